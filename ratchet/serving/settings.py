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


class ServeParams(Params):
    """The block `serve`: how the server answers, whom, and how much it takes on."""

    host: str = Field(min_length=1)
    """Address to listen on."""
    port: int = Field(ge=0, le=65_535)
    """Port; 0: any free one."""
    pointer: str = Field(min_length=1)
    """File that names and pins the champion; watched."""
    registry: Literal["off", "verify"]
    """Whether the signed tags of the clone must agree with the pointer before a champion is loaded."""
    experiment: str = Field(min_length=1)
    """Path of the experiment file; watched."""
    watch_s: float = Field(gt=0.0, le=3600.0)
    """Pointer and experiment are looked at so often."""
    n_workers: int = Field(ge=1, le=256)
    """Forward passes at a time."""
    n_threads: int = Field(ge=1, le=256)
    """Threads for the arithmetic of each."""
    batch_size: int = Field(ge=1, le=1024)
    """Texts of a forward pass, at most."""
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
    """Bytes of a request."""
    keys: Literal["required", "off"]
    """Whether requests need an API key; off only where nobody else can reach the server."""
    key_file: str = Field(min_length=1)
    """Where the hashes of the keys are kept."""
    access_log: str
    """File of the access log, a JSON line a request; -: standard output; empty: none."""
    explain_max_evals: int = Field(ge=16)
    """Masked texts that an explanation scores, as in `attribute`."""
    max_explanations: int = Field(ge=1, le=100)
    """Explanations that wait or are made at a time; further ones are refused with 429."""
    drain_s: float = Field(ge=0.0, le=600.0)
    """Seconds after SIGTERM during which the server reports not ready, and still answers."""
    shutdown_s: float = Field(gt=0.0, le=600.0)
    """Then what it is still answering and writing may take so long."""
