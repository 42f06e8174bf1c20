"""A data set of the library `datasets` as a source: a commit on the Hugging Face hub, or a saved local folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ratchet.data.sources.reading import Reading
from ratchet.data.sources.rows import (
    BATCH_ROWS,
    Batch,
    RowsDigest,
    require_columns,
    require_rows,
    require_sha256,
    strings,
)
from ratchet.errors import MissingExtraError, SourceError
from ratchet.params import Params


class DatasetSource(Params):
    """One split of a data set."""

    kind: Literal["dataset"]
    """This kind."""
    path: str = Field(min_length=1)
    """An id on the hub, such as `owner/name`; or a local folder that `save_to_disk` wrote."""
    subset: str
    """Name of the hub's configuration; empty: its only one."""
    split: str
    """Name of the split; empty: the folder holds but one."""
    revision: str = Field(pattern="^([0-9a-f]{40})?$")
    """Commit on the hub, so that it cannot change unseen; empty: `path` is a local folder."""
    sha256: str = Field(pattern="^([0-9a-f]{64})?$")
    """SHA-256 of the rows as read; empty: not pinned."""

    @property
    def local_path(self) -> str:
        """What DVC has to watch; empty: nothing that it could."""
        return "" if self.revision else self.path


def read_dataset(source: DatasetSource, columns: Sequence[str], reading: Reading) -> Iterator[Batch]:
    """The rows of the split in batches, streamed: classes as their numbers, as the data set stores them.

    Args:
        source: which split of which data set.
        columns: the columns to read, each once.
        reading: the pass, which receives the tally, and the hash of the rows when the last batch is out.

    Raises:
        SourceError: the data set, split or a column is missing, it cannot be reached, or its rows are not the pinned.
        MissingExtraError: `datasets` is not installed.
    """
    dataset = _load(source)
    digest, n_rows, name = RowsDigest(), 0, source.split or Path(source.path).name
    tally = reading.start(name)
    try:
        require_columns(source.path, columns, dataset.column_names or columns)
        for rows in dataset.select_columns(list(columns)).iter(batch_size=BATCH_ROWS):
            frame = strings({column: rows[column] for column in columns}, source.path)
            digest.add(frame)
            yield Batch(name, n_rows, frame)
            n_rows += len(frame)
    except OSError as error:
        raise _unreachable(source, error) from None
    require_rows(source.path, n_rows)
    require_sha256(source.path, digest.hexdigest(), source.sha256)
    tally.n_records = tally.n_rows = n_rows
    reading.sha256 = digest.hexdigest()


def dataset_columns(source: DatasetSource) -> list[str]:
    """The columns of the split, in its order.

    Raises:
        SourceError: as `read_dataset`.
        MissingExtraError: as `read_dataset`.
    """
    dataset = _load(source)
    try:
        return list(dataset.column_names or next(iter(dataset), {}))
    except OSError as error:
        raise _unreachable(source, error) from None


def _load(source: DatasetSource) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(
            "The package `datasets` is not installed.",
            where=f"ingest.source.path = {source.path}",
            fix="pip install -e '.[datasets]'",
        ) from None
    datasets.disable_progress_bars()
    try:
        if source.revision:
            return datasets.load_dataset(
                source.path, source.subset or None, split=source.split, revision=source.revision, streaming=True
            )
        loaded = datasets.load_from_disk(source.path)
    except (OSError, ValueError) as error:  # the hub's errors are OSErrors
        raise _unreachable(source, error) from None
    splits = list(loaded) if isinstance(loaded, datasets.DatasetDict) else []
    if (splits or source.split) and source.split not in splits:
        raise SourceError(
            "The data set has no such split.",
            where=source.path,
            got=source.split or "none named",
            expected=", ".join(splits) or "an empty ingest.source.split: the folder holds one data set alone",
            fix="correct ingest.source.split in params.yaml",
        )
    return loaded[source.split] if splits else loaded


def _unreachable(source: DatasetSource, error: Exception) -> SourceError:
    return SourceError(
        "The data set cannot be read.",
        where=source.path,
        got=f"{type(error).__name__}: {error}",
        expected="an id on the hub with the commit in revision, or a folder that save_to_disk wrote, without",
        fix="correct ingest.source in params.yaml; a private data set needs HF_TOKEN in the environment",
    )
