"""Where texts come from: one strict block of params for each kind of source, and one way to read them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from ratchet.data.sources.datasets import DatasetSource, read_dataset
from ratchet.data.sources.files import FilesSource, PackagedSource, read_files
from ratchet.data.sources.reading import Reading
from ratchet.data.sources.rows import Batch
from ratchet.data.sources.sql import SqlSource, read_query

Source = Annotated[PackagedSource | FilesSource | SqlSource | DatasetSource, Field(discriminator="kind")]
"""Any of them; `kind` says which."""


def read_source(source: Source, columns: Sequence[str], reading: Reading) -> Iterator[Batch]:
    """The named columns of a source as strings, in batches and in its order; memory does not grow with the source.

    Args:
        source: any kind.
        columns: the columns to read, each once.
        reading: the pass, which receives the tally of each file, and the hash when the last batch is out; a pinned
            source that is another raises then at the latest, so nothing may be kept before.

    Raises:
        SourceError: the source is missing, unreadable, or not the one that was pinned; or more records cannot be read
            exactly than the pass allows.
        MissingExtraError: a package that this kind needs is not installed.
    """
    if isinstance(source, SqlSource):
        return read_query(source, columns, reading)
    if isinstance(source, DatasetSource):
        return read_dataset(source, columns, reading)
    return read_files(source, columns, reading)
