"""Declared tables as Parquet files: read and written whole or in batches, checked both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pandas as pd

from ratchet.errors import TableError
from ratchet.files import replace_file
from ratchet.tables import Table, check_table

ROW_GROUP_ROWS = 16_384
"""Rows of a Parquet row group: what a writer holds in memory at most, however the rows reach it."""


def read_table(path: Path, table: Table, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The table at `path`, checked against its declaration.

    Raises:
        TableError: the file is missing or no Parquet, a column is absent, of another type, or holds a null it may not.
    """
    try:
        frame = pd.read_parquet(path, columns=list(columns) if columns else None)
    except FileNotFoundError:
        raise _missing(table, path) from None
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(table, path, error) from None
    return check_table(frame, table, path, columns)


def read_batches(
    path: Path, table: Table, columns: Sequence[str] | None = None, batch_rows: int = ROW_GROUP_ROWS
) -> Iterator[pd.DataFrame]:
    """The table at `path`, at most `batch_rows` rows at a time in their order, each batch checked as `read_table` does.

    A table without rows gives one empty batch, so that its columns are known.

    Raises:
        TableError: as `read_table`.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        # pre-buffered, what was read would stay in memory until the end
        with pyarrow.parquet.ParquetFile(path, pre_buffer=False) as file:
            if columns and (absent := sorted({*columns} - {*file.schema_arrow.names})):
                raise TableError(
                    f"The table '{table.name}' lacks the column '{absent[0]}'.",
                    where=path,
                    got=", ".join(file.schema_arrow.names),
                    expected=", ".join(columns),
                )
            if not file.metadata.num_rows:
                yield check_table(file.read(columns=columns).to_pandas(), table, path, columns)
            for batch in file.iter_batches(batch_rows, columns=columns):
                yield check_table(batch.to_pandas(), table, path, columns)
    except FileNotFoundError:
        raise _missing(table, path) from None
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable(table, path, error) from None


def write_table(path: Path, frame: pd.DataFrame, table: Table) -> None:
    """Write a checked table as Parquet (zstd), whole or not at all; equal frames give equal bytes."""
    with TableWriter(path, table) as writer:
        writer.write(frame)


class TableWriter:
    """Writes a table batch by batch as Parquet (zstd), whole or not at all.

    Equal rows give equal bytes, whatever the size of the batches they come in. The columns are those of the first
    batch, the declared ones and metadata; without any batch the table has the declared columns and no rows.

        with TableWriter(path, CORPUS) as writer:
            for frame in frames:
                writer.write(frame)
    """

    def __init__(self, path: Path, table: Table) -> None:
        self.n_rows = 0
        """Rows written so far."""
        self._path, self._table = path, table
        self._stack = ExitStack()
        self._file: Any = None
        self._schema: Any = None
        self._waiting: list[Any] = []  # Arrow tables, together less than a row group

    def __enter__(self) -> Self:
        self._partial = self._stack.enter_context(replace_file(self._path))
        return self

    def write(self, frame: pd.DataFrame) -> None:
        """Append the rows of a batch.

        Raises:
            TableError: the batch breaks the table's declaration, or its columns are not those of the first one.
        """
        import pyarrow

        check_table(frame, self._table, self._path)
        if self._schema is None:
            self._open(_arrow_schema(frame, self._table))
        if [*frame.columns] != self._schema.names:
            raise TableError(
                f"A batch of the table '{self._table.name}' has other columns than the first.",
                where=self._path,
                got=", ".join(map(str, frame.columns)),
                expected=", ".join(self._schema.names),
            )
        try:
            rows = pyarrow.Table.from_pandas(frame, schema=self._schema, preserve_index=False)
        except (pyarrow.ArrowException, TypeError) as error:
            raise TableError(
                f"A batch of the table '{self._table.name}' has values of another type than the first.",
                where=self._path,
                got=" ".join(map(str, error.args)),
                expected=str(self._schema),
            ) from None
        self.n_rows += len(frame)
        self._waiting.append(rows.replace_schema_metadata(None))
        while sum(map(len, self._waiting)) >= ROW_GROUP_ROWS:
            self._flush()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                if self._schema is None:
                    names = [name for name, column in self._table.columns.items() if not column.optional]
                    self._open(_arrow_schema(pd.DataFrame(columns=names), self._table))
                self._flush()
        except BaseException as failed:
            kind, error = type(failed), failed  # what was written is no table: it must not take the name
            raise
        finally:
            try:
                if self._file is not None:
                    self._file.close()
            except BaseException as failed:
                kind, error = type(failed), failed
                raise
            finally:
                self._stack.__exit__(kind, error, None)

    def _open(self, schema: Any) -> None:
        import pyarrow.parquet

        self._schema = schema
        self._file = pyarrow.parquet.ParquetWriter(self._partial, schema, compression="zstd")

    def _flush(self) -> None:
        """Write one row group, or what is left of one."""
        import pyarrow

        if not self._waiting:
            return
        rows = pyarrow.concat_tables(self._waiting)
        group, rest = rows[:ROW_GROUP_ROWS], rows[ROW_GROUP_ROWS:]
        # the group is copied into one chunk: a column of many is written in other pages
        self._file.write_table(group.combine_chunks(), row_group_size=ROW_GROUP_ROWS)
        self._waiting = [rest] if len(rest) else []


def _arrow_schema(frame: pd.DataFrame, table: Table) -> Any:
    """Types by the declaration, those of metadata by the frame; a column of nulls alone is one of strings."""
    import pyarrow

    declared = {
        "str": pyarrow.large_string(),
        "int64": pyarrow.int64(),
        "float64": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "bytes": pyarrow.large_binary(),
        "datetime64[us, UTC]": pyarrow.timestamp("us", "UTC"),
    }
    found = pyarrow.Schema.from_pandas(frame, preserve_index=False)
    types = {
        name: pyarrow.large_string()
        if found.field(name).type in (pyarrow.null(), pyarrow.string())
        else found.field(name).type
        for name in found.names
    }
    types |= {name: declared.get(table.columns[name].dtype, types[name]) for name in types if name in table.columns}
    return pyarrow.schema(list(types.items()))


def _missing(table: Table, path: Path) -> TableError:
    return TableError(
        f"The table '{table.name}' is missing.", where=path, fix="run the stage that writes it: dvc repro"
    )


def _unreadable(table: Table, path: Path, error: Exception) -> TableError:
    return TableError(f"The table '{table.name}' cannot be read.", where=path, got=error, fix="dvc repro")
