"""The data dictionary: each table a name, each column a line. Read and written here, checked both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from ratchet.errors import TableError
from ratchet.files import replace_file

ROW_GROUP_ROWS = 16_384
"""Rows of a Parquet row group: what a writer holds in memory at most, however the rows reach it."""


@dataclass(frozen=True)
class Column:
    """One column: pandas dtype, whether a value may be missing, what it means, whether the table may go without it."""

    dtype: str
    nullable: bool
    meaning: str
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """A declared table. Columns beyond the declared ones are metadata and pass through."""

    name: str
    columns: dict[str, Column]


TEXT_COLUMNS = {
    "id": Column("str", False, "first 16 hexadecimal digits of the SHA-256 of the normalised text"),
    "text": Column("str", False, "the cleaned text"),
    "label": Column("str", True, "class name; missing where nobody has labelled the text"),
    "source": Column("str", False, "where the text comes from: a domain, a file, a channel"),
}

ROW = Column("int64", False, "position in the source, from 0")

CORPUS = Table(
    "corpus",
    {"row": ROW, **TEXT_COLUMNS,
     "timestamp": Column("datetime64[us, UTC]", True, "when the text was written", optional=True)},
)  # fmt: skip

RAW = Table(
    "raw",
    {"row": ROW, "id": TEXT_COLUMNS["id"], "raw": Column("str", False, "the text as the source gave it")},
)  # fmt: skip
"""The texts that cleaning changed; the others are in the corpus as they came."""

QUARANTINE = Table(
    "quarantine",
    {**CORPUS.columns, "rule": Column("str", False, "the first rule that was broken"),
     "value": Column("str", False, "the value that broke it"),
     "reason": Column("str", False, "what was wrong with this row, in words")},
)  # fmt: skip

FLAGGED = Table(
    "flagged",
    {"row": CORPUS.columns["row"], "id": TEXT_COLUMNS["id"], "rule": Column("str", False, "a rule that only warns"),
     "value": Column("str", False, "the value that broke it")},
)  # fmt: skip
"""A line for each such rule that a row of the validated corpus breaks; no texts."""

SPLIT = Table(
    "split",
    {**CORPUS.columns, "group": Column("str", False, "id of the first text of its near-duplicate group")},
)  # fmt: skip

EMBEDDINGS = Table(
    "embeddings",
    {"id": TEXT_COLUMNS["id"],
     "embedding": Column("object", False, "what the frozen backbone makes of the text, as float32")},
)  # fmt: skip
"""Read and written in batches by `ratchet.models.embedding_table`, every embedding of the same length."""

LABELED = Table(
    "labeled",
    {**TEXT_COLUMNS, "round": Column("int64", False, "query round in which the label was bought, from 0"),
     "query_strategy": Column("str", False, "the strategy that asked for it")},
)  # fmt: skip

UNLABELED = Table("unlabeled", {name: TEXT_COLUMNS[name] for name in ("id", "text", "source")})

SUSPECTS = Table(
    "suspects",
    {**{name: TEXT_COLUMNS[name] for name in ("id", "text", "source")},
     "label": Column("str", False, "the class it was labelled as"),
     "part": Column("str", False, "'labeled', 'validation' or 'test': where the label is used"),
     "suggested": Column("str", False, "the class that a model which never saw this label finds most probable"),
     "score": Column("float64", False, "probability which that model gives the label, in [0, 1]; low is suspicious"),
     "rank": Column("int64", False, "place in the ranking, from 0: most suspicious first")},
)  # fmt: skip
"""Labels that people should look at again; none was changed."""

CHALLENGE = Table(
    "challenge",
    {"id": Column("str", False, "the test text that it is, or was made from"),
     "kind": Column("str", False, "'weak': a text of a weak slice; 'contrast': edited, and of another class than the "
                                  "text; 'invariance': edited, and of the same"),
     "name": Column("str", False, "the slice's predicates, or the edit's name"),
     "text": Column("str", False, "the text to classify"),
     "label": Column("str", False, "the class it belongs to")},
)  # fmt: skip
"""Texts harder than the random test set, or made to show how a model decides."""

SOFT_LABELS = Table("soft_labels", {name: TEXT_COLUMNS[name] for name in ("id", "text", "label")})
"""What the teacher says of each text; a column `logit_<class>` for each class follows."""

PREDICTIONS = Table(
    "predictions",
    {"id": TEXT_COLUMNS["id"], "split": Column("str", False, "'test', or 'transfer' for the other domain"),
     "bundle": Column("str", False, "name of the bundle that predicted"),
     "label": Column("str", False, "the true class"), "predicted": Column("str", False, "the predicted class"),
     "confidence": Column("float64", False, "probability of the predicted class, in [0, 1]")},
)  # fmt: skip
"""One row per text and bundle; a column `proba_<class>` for each class follows."""

ANNOTATIONS = Table(
    "annotations",
    {"annotation_id": Column("str", False, "hash of origin, text, annotator, role, answer and its time"),
     "id": TEXT_COLUMNS["id"], "text": TEXT_COLUMNS["text"], "source": TEXT_COLUMNS["source"],
     "label": Column("str", False, "the class that a person gave the text"),
     "annotator": Column("str", False, "pseudonym of the person"),
     "role": Column("str", False, "'annotator', or 'adjudicator' for one who settles a conflict"),
     "annotated_at": Column("str", True, "when, UTC, ISO 8601; missing where nobody noted it"),
     "lead_time_s": Column("float64", True, "seconds the person took; missing where nobody noted it"),
     "bundle": Column("str", True, "version of the model that suggested a class, name@hash; missing: none did"),
     "suggested": Column("str", True, "the class it suggested"),
     "query_strategy": Column("str", True, "what asked for the label; missing where the person chose the text"),
     "origin": Column("str", False, "where the answer was given: a server's project or a file's name")},
)  # fmt: skip
"""One row an answer of one person; answers are added and never changed, and a person's latest one counts."""

HUMAN_LABELS = Table(
    "human_labels",
    {"id": TEXT_COLUMNS["id"], "text": TEXT_COLUMNS["text"],
     "label": Column("str", True, "the class that was decided; missing while the conflict is open"),
     "source": TEXT_COLUMNS["source"],
     "state": Column("str", False, "'resolved', or 'escalated' while the answers are in conflict"),
     "rule": Column("str", False, "what decided: 'unanimous', 'majority', 'adjudicated', or 'conflict'"),
     "n_annotators": Column("int64", False, "people whose answers count"),
     "agreement": Column("float64", False, "share of them who gave the most frequent class, in (0, 1]")},
)  # fmt: skip
"""One row a decision; decisions are added and never changed, and the last one on a text holds."""


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
                    f"The table '{table.name}' lacks the column '{absent[0]}'.", where=path,
                    got=", ".join(file.schema_arrow.names), expected=", ".join(columns),
                )  # fmt: skip
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
                f"A batch of the table '{self._table.name}' has other columns than the first.", where=self._path,
                got=", ".join(map(str, frame.columns)), expected=", ".join(self._schema.names),
            )  # fmt: skip
        try:
            rows = pyarrow.Table.from_pandas(frame, schema=self._schema, preserve_index=False)
        except (pyarrow.ArrowException, TypeError) as error:
            raise TableError(
                f"A batch of the table '{self._table.name}' has values of another type than the first.",
                where=self._path, got=" ".join(map(str, error.args)), expected=str(self._schema),
            ) from None  # fmt: skip
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
        finally:
            if self._file is not None:
                self._file.close()
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


def empty_table(table: Table) -> pd.DataFrame:
    """The declared columns without rows."""
    return pd.DataFrame({name: pd.Series(dtype=column.dtype) for name, column in table.columns.items()})


def check_table(frame: pd.DataFrame, table: Table, where: object, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The frame itself, if it keeps the table's declaration."""
    for name, column in table.columns.items():
        if columns is not None and name not in columns:
            continue
        if name not in frame.columns:
            if column.optional:
                continue
            raise TableError(
                f"The table '{table.name}' lacks the column '{name}'.", where=where,
                got=", ".join(map(str, frame.columns)), expected=", ".join(table.columns),
            )  # fmt: skip
        dtype, empty = str(frame[name].dtype), frame[name].empty
        same = dtype == column.dtype or (column.dtype == "str" and (dtype in ("string", "object") or empty))
        if not same:
            raise TableError(
                f"The column '{name}' of '{table.name}' has another type.", where=where,
                got=dtype, expected=f"{column.dtype}: {column.meaning}",
            )  # fmt: skip
        if not column.nullable and frame[name].isna().any():
            raise TableError(
                f"The column '{name}' of '{table.name}' has missing values.", where=where,
                got=f"{int(frame[name].isna().sum())} of {len(frame)} rows", expected=column.meaning,
            )  # fmt: skip
    return frame


def _arrow_schema(frame: pd.DataFrame, table: Table) -> Any:
    """Types by the declaration, those of metadata by the frame; a column of nulls alone is one of strings."""
    import pyarrow

    declared = {
        "str": pyarrow.large_string(), "int64": pyarrow.int64(), "float64": pyarrow.float64(), "bool": pyarrow.bool_(),
        "datetime64[us, UTC]": pyarrow.timestamp("us", "UTC"),
    }  # fmt: skip
    found = pyarrow.Schema.from_pandas(frame, preserve_index=False)
    types = {name: pyarrow.large_string() if found.field(name).type in (pyarrow.null(), pyarrow.string())
             else found.field(name).type for name in found.names}  # fmt: skip
    types |= {name: declared.get(table.columns[name].dtype, types[name]) for name in types if name in table.columns}
    return pyarrow.schema(list(types.items()))


def _missing(table: Table, path: Path) -> TableError:
    return TableError(
        f"The table '{table.name}' is missing.", where=path, fix="run the stage that writes it: dvc repro"
    )


def _unreadable(table: Table, path: Path, error: Exception) -> TableError:
    return TableError(f"The table '{table.name}' cannot be read.", where=path, got=error, fix="dvc repro")
