"""A source scored from its first row to its last: shard after shard, carried on where it was stopped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.data.cleaning import clean
from ratchet.data.sources.reading import BadRow, Reading
from ratchet.data.sources.rows import Batch
from ratchet.data.sources.source import Source, read_source
from ratchet.engines.loading import load
from ratchet.errors import ScoreError
from ratchet.files import sha256_file, write_json
from ratchet.models.bundle import MANIFEST, read_manifest
from ratchet.scoring.scorer import BATCH_SIZES, Asked, Scorer, batch_size_for
from ratchet.scoring.shards import RECORD, digest_of, in_shards, is_done, opened, shard_path, write_shard
from ratchet.table_files import write_table
from ratchet.tables import BAD_ROWS

if TYPE_CHECKING:
    import pandas as pd

WORTH_A_TRIAL = 5_000
"""Rows of a first shard from which batch sizes are tried."""
DEFAULT_BATCH = 32


@dataclass(frozen=True)
class Job:
    """What is scored with what, and where to."""

    source: Any
    """A `ratchet.data.sources.source.Source`."""
    bundle: Path
    out: Path
    asked: Asked
    shard_rows: int
    max_bad_rows: int
    n_threads: int


@dataclass(frozen=True)
class Done:
    """What came of it."""

    n_rows: int
    n_scored: int
    """Rows that were scored now; the others had been before."""
    n_bad_rows: int
    labels: dict[str, int]
    """Predicted label → rows that were scored now."""
    seconds: float
    """Of scoring, reading and writing."""
    batch_size: int


def score(job: Job, told: Callable[[int, int, float], None]) -> Done:
    """Score all rows of the source that are not scored yet.

    Args:
        job: see `Job`.
        told: called after each shard with the rows that are done, those that were scored now, and seconds.

    Raises:
        BundleError: the bundle does not verify.
        SourceError: the source cannot be read exactly.
        ScoreError: the folder is another run's, the source has changed, or the disk is full.
    """
    manifest = read_manifest(job.bundle)
    pinned = sha256_file(job.bundle / MANIFEST)
    identity = {
        "bundle": pinned,
        "source": job.source.model_dump(),
        "shard_rows": job.shard_rows,
        **asdict(job.asked),
    }
    with opened(job.out, identity) as record:
        reading, bad, labels = Reading(job.max_bad_rows), list[BadRow](), Counter[str]()
        scorer: Scorer | None = None
        began, n_rows, n_scored = time.monotonic(), 0, 0
        for index, frame in enumerate(in_shards(_kept_bad(job, reading, bad), job.shard_rows)):
            first_row, n_rows = n_rows, n_rows + len(frame)
            said = {"first_row": first_row, "n_rows": len(frame), "rows_sha256": digest_of(frame)}
            if is_done(shard_path(job.out, index), frame, said):
                told(n_rows, n_scored, time.monotonic() - began)
                continue
            if scorer is None:
                size = record.get("batch_size") or _batch_size(job, frame, manifest.max_tokens)
                if "batch_size" not in record:  # kept: in integers a probability can depend on its batch
                    write_json(job.out / RECORD, record := record | {"batch_size": size})
                scorer = Scorer(load(job.bundle, job.n_threads, size), pinned, job.asked)
            scored = scorer.rows(frame, first_row)
            if job.asked.explains:
                write_shard(shard_path(job.out, index, "words"), scorer.words(frame, scored), said)
            write_shard(shard_path(job.out, index), scored, said)
            labels.update(scored["label"].dropna().tolist())
            n_scored += len(frame)
            told(n_rows, n_scored, time.monotonic() - began)
        _finish(job, record, reading, bad, n_rows)
        return Done(
            n_rows,
            n_scored,
            len(bad),
            dict(sorted(labels.items())),
            time.monotonic() - began,
            int(record.get("batch_size", DEFAULT_BATCH)),
        )


def _finish(job: Job, record: dict[str, Any], reading: Reading, bad: list[BadRow], n_rows: int) -> None:
    import pandas as pd

    n_shards = -(-n_rows // job.shard_rows)
    if shard_path(job.out, n_shards).is_file():
        raise ScoreError(
            "The source has fewer rows than were scored.",
            where=job.out,
            got=f"{n_rows:,} rows, {n_shards:,} shards",
            expected=f"rows for {shard_path(job.out, n_shards).name} too",
            fix="restore the source, or score it into another folder",
        )
    if bad:
        table = pd.DataFrame(bad, columns=list(BAD_ROWS.columns)).astype({"line": "int64", "n_lines": "int64"})
        if read_manifest(job.bundle).cleaning.mask:
            table["raw"] = b""  # what could not be read cannot be masked
        write_table(job.out / "bad_rows.parquet", table, BAD_ROWS)
    told = {
        "is_complete": True,
        "n_rows": n_rows,
        "n_shards": n_shards,
        "n_bad_rows": len(bad),
        "files": [tally.to_json() for tally in reading.files],
        "source_sha256": reading.sha256,
    }
    write_json(job.out / RECORD, record | told)


def _kept_bad(job: Job, reading: Reading, bad: list[BadRow]) -> Iterator[Batch]:
    source: Source = job.source
    for batch in read_source(source, [job.asked.text_column, *job.asked.keep], reading):
        bad.extend(batch.bad)
        yield batch


def _batch_size(job: Job, frame: pd.DataFrame, max_tokens: int) -> int:
    if len(frame) < WORTH_A_TRIAL or not max_tokens:
        return DEFAULT_BATCH
    given = [value for value in frame[job.asked.text_column].head(WORTH_A_TRIAL).tolist() if isinstance(value, str)]
    if not given:
        return BATCH_SIZES[0]
    return batch_size_for(job.bundle, clean(given, read_manifest(job.bundle).cleaning).texts, job.n_threads)
