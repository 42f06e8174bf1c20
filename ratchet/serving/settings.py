"""Production settings: the blocks `log` and `serve` of live.yaml, as strict as those of params.yaml.

A block may be changed without any stage of the pipeline running again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ratchet.params import Params

LIVE_FILE = Path("live.yaml")


class LogParams(Params):
    """The block `log`: where predictions are kept, how they get there, and for how long."""

    url: str = Field(min_length=1)
    """Database: sqlite:///path, or postgresql://user@host/name; the password belongs into ~/.pgpass, not here."""
    folder: str = Field(min_length=1)
    """Folder of the compacted Parquet files."""
    batch_size: int = Field(ge=1, le=10_000)
    """Rows written at once."""
    interval_ms: int = Field(ge=1, le=60_000)
    """Rows are written after so long at the latest; a kill loses at most what came in it and while it was written."""
    queue_size: int = Field(ge=1)
    """Rows that may wait; further ones are dropped and counted."""
    retention_days: int = Field(ge=1)
    """Compacted files are deleted after so many days."""
    personal_data: Literal["off", "mask"]
    """Whether e-mail addresses and telephone, card, account and national numbers are masked before texts are kept."""
    regions: list[Annotated[str, Field(pattern="^[A-Z]{2}$")]]
    """Countries (ISO 3166) whose national formats of telephone and identity numbers count."""


class ModelParams(Params):
    """A further model of the server."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,49}$")
    """Its name in paths, metrics and keys."""
    pointer: str = Field(min_length=1)
    """File that names and pins its champion; watched."""
    experiment: str = Field(min_length=1)
    """Path of its experiment file; watched."""


class ServeParams(Params):
    """The block `serve`: how the server answers, whom, and how much it takes on."""

    host: str = Field(min_length=1)
    """Address to listen on."""
    port: int = Field(ge=0, le=65_535)
    """Port; 0: any free one."""
    pointer: str = Field(min_length=1)
    """File that names and pins the champion; watched."""
    registry: Literal["off", "verify", "attestation"]
    """Whether a champion must have been released before it is loaded: by the signed tags of the clone, or, where there
    is none, by the attestation beside the bundle."""
    attestation_keys: list[str]
    """PEM files of the public keys of which one must have signed an attestation."""
    experiment: str = Field(min_length=1)
    """Path of the experiment file; watched."""
    models: list[ModelParams]
    """Models beside that of `pointer`."""
    state: Literal["files", "database"]
    """Where keys, pointer, experiment and the use of rates are: in files of this machine, or in the log's database."""
    watch_s: float = Field(gt=0.0, le=3600.0)
    """Pointer and experiment are looked at so often."""
    n_workers: Annotated[int, Field(ge=1, le=256)] | Literal["auto"]
    """Forward passes at a time; auto: as many as fill the cores, where `n_threads` is auto too by a measurement."""
    n_threads: Annotated[int, Field(ge=1, le=256)] | Literal["auto"]
    """Threads for the arithmetic of each; auto: as `n_workers`."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"]
    """Texts of a forward pass, at most; auto: measured for each model when it is loaded."""
    max_batch: int = Field(ge=1, le=4096)
    """Of the texts that wait, so many, the oldest, are read ahead and compared by length; a pass is made of these."""
    window_ms: float = Field(ge=0.0, le=1000.0)
    """A worker waits so long for more requests before it starts, where fewer than `max_batch` texts wait."""
    switch_ms: float = Field(gt=0.0, le=100.0)
    """A thread gives the interpreter to one that waits for it after so long; Python's own default is 5."""
    max_wait_ms: float = Field(gt=0.0)
    """Requests that would wait longer are refused with 429."""
    max_texts: int = Field(ge=1)
    """Texts of a request."""
    max_text_characters: int = Field(ge=1)
    """Characters of a text."""
    max_body_bytes: int = Field(ge=1)
    """Bytes of a request's body, also once it is decompressed."""
    max_header_bytes: int = Field(ge=1024, le=1_000_000)
    """Bytes of a request's head."""
    max_connections: int = Field(ge=1, le=100_000)
    """Beyond so many, the one that has waited longest without a request is closed."""
    keep_alive_s: float = Field(gt=0.0, le=3600.0)
    """An idle connection is closed after so long; longer than the balancer before the server keeps its own (60)."""
    header_timeout_s: float = Field(gt=0.0, le=600.0)
    """Time for a request's head, from its first byte; also for the first byte of a connection."""
    body_timeout_s: float = Field(gt=0.0, le=600.0)
    """Time for a request's body."""
    write_timeout_s: float = Field(gt=0.0, le=600.0)
    """A client that takes nothing of its answer for so long is cut."""
    keys: Literal["required", "off"]
    """Whether requests need an API key; off only where nobody else can reach the server."""
    key_file: str = Field(min_length=1)
    """Where the hashes of the keys are kept."""
    max_key_age_s: float = Field(gt=0.0, le=86_400.0)
    """Where the keys cannot be read, those that are known work for so long; then nobody is let in."""
    access_log: str
    """File of the access log, a JSON line a request; -: standard output; empty: none."""
    traces: Literal["off", "otlp"]
    """Whether each request is sent as an OpenTelemetry span, to the address in `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    explain_max_evals: int = Field(ge=16)
    """Masked texts that an explanation scores, as in `attribute`."""
    max_explanations: int = Field(ge=1, le=100)
    """Explanations that wait or are made at a time; further ones are refused with 429."""
    drain_s: float = Field(ge=0.0, le=600.0)
    """Seconds after SIGTERM during which the server reports not ready, and still answers."""
    shutdown_s: float = Field(gt=0.0, le=600.0)
    """Then what it is still answering and writing may take so long."""
