"""The output folder: shards of Parquet, each whole or not at all, and a record of what they are the scores of."""

from __future__ import annotations

import errno
import fcntl
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.data.sources.rows import Batch, RowsDigest
from ratchet.errors import ScoreError
from ratchet.files import read_json, replace_file, write_json

if TYPE_CHECKING:
    import pandas as pd

RECORD, LOCK = "score.json", ".lock"
KEY = b"ratchet"
"""Of a shard's own metadata: the number of its first row, how many it has, and the hash of the source's rows."""


@contextmanager
def opened(folder: Path, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The folder, for one process, as a record of the job: that which was begun in it, or a new one.

    Args:
        folder: made where there is none.
        job: what decides about the scores; a folder that holds those of another job is refused.

    Raises:
        ScoreError: the folder holds something else, or another process writes into it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ScoreError(
                "Another process writes into this folder.", where=folder, fix="wait for it, or name another folder"
            ) from None
        yield _record(folder, job)


def _record(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    path = folder / RECORD
    if not path.is_file():
        if found := sorted(item.name for item in folder.iterdir() if item.name != LOCK):
            raise ScoreError(
                "The folder is not empty, and holds no scores.",
                where=folder,
                got=", ".join(found[:5]),
                expected="an empty folder, or one that this command has begun",
                fix="name another folder",
            )
        record = {"job": job, "is_complete": False}
        write_json(path, record)
        return record
    record = read_json(path)
    known = json.loads(json.dumps(job))
    if different := [name for name in known if record["job"].get(name) != known[name]]:
        name = different[0]
        raise ScoreError(
            f"The folder holds the scores of another run: {', '.join(different)} differ.",
            where=path,
            got=f"{name}: {known[name]}",
            expected=f"{name}: {record['job'].get(name)}",
            fix="name another folder, or empty this one",
        )
    return dict(record)


def in_shards(batches: Iterable[Batch], n_rows: int) -> Iterator[pd.DataFrame]:
    """The rows of the batches again, `n_rows` at a time in their order; the last ones as many as are left."""
    import pandas as pd

    waiting: list[pd.DataFrame] = []
    n_waiting = 0
    for batch in batches:
        waiting.append(batch.frame)
        n_waiting += len(batch.frame)
        if n_waiting < n_rows:
            continue
        frame = pd.concat(waiting, ignore_index=True)
        whole = n_waiting - n_waiting % n_rows
        for start in range(0, whole, n_rows):
            yield frame.iloc[start : start + n_rows].reset_index(drop=True)
        waiting, n_waiting = [frame.iloc[whole:]], n_waiting - whole
    if n_waiting:
        yield pd.concat(waiting, ignore_index=True)


def digest_of(frame: pd.DataFrame) -> str:
    """Hash of the rows of a source."""
    digest = RowsDigest()
    digest.add(frame)
    return digest.hexdigest()


def shard_path(folder: Path, index: int, kind: str = "part") -> Path:
    """Where a shard lies: `part`, the scores; `words`, the attributions."""
    return folder / f"{kind}-{index:06}.parquet"


def is_done(path: Path, frame: pd.DataFrame, said: dict[str, Any]) -> bool:
    """Whether the shard of these rows is there already; a last one that has got more rows since is not.

    Raises:
        ScoreError: it is, and its rows were others.
    """
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():
        return False
    try:
        known = json.loads((pyarrow.parquet.read_schema(path).metadata or {}).get(KEY, b"{}"))
    except (OSError, ValueError, pyarrow.ArrowException):
        path.unlink()  # damaged: made again
        return False
    n_known = int(known.get("n_rows", 0))
    if n_known < len(frame) and known == {**said, "n_rows": n_known, "rows_sha256": digest_of(frame.head(n_known))}:
        return False
    if known != said:
        raise ScoreError(
            "The source has changed since these rows were scored.",
            where=path,
            got=f"{len(frame):,} rows from row {said['first_row']:,} on, of another hash",
            expected=f"{n_known:,} rows from row {known.get('first_row')} on, as they were",
            fix="restore the source, or score it into another folder",
        )
    return True


def write_shard(path: Path, frame: pd.DataFrame, said: dict[str, Any]) -> None:
    """Write a shard whole or not at all.

    Raises:
        ScoreError: the disk is full.
    """
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({KEY: json.dumps(said, sort_keys=True).encode()})
    try:
        with replace_file(path) as partial:
            pyarrow.parquet.write_table(table, partial, compression="zstd")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ScoreError(
            "The disk is full.",
            where=path.parent,
            got=str(error),
            fix="make room; the same command carries on, what is done stays done",
        ) from None
