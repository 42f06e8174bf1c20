"""The data dictionary: each table a name, each column a line; and whether a frame keeps to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ratchet.errors import TableError


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
    {
        "row": ROW,
        **TEXT_COLUMNS,
        "timestamp": Column("datetime64[us, UTC]", True, "when the text was written", optional=True),
    },
)

RAW = Table(
    "raw",
    {
        "row": ROW,
        "id": TEXT_COLUMNS["id"],
        "raw": Column("str", False, "the text as the source gave it; where personal data was masked, the masked one"),
        "unmasked_id": Column("str", True, "the id it had before masking; missing: nothing was masked", optional=True),
    },
)
"""The texts that cleaning changed; the others are in the corpus as they came."""

BAD_ROWS = Table(
    "bad_rows",
    {
        "file": Column("str", False, "the file that holds the record"),
        "line": Column("int64", False, "its first line, from 1; of Parquet, its row"),
        "n_lines": Column("int64", False, "the lines it takes; 0: the format has none"),
        "found": Column("str", False, "what is wrong with it"),
        "expected": Column("str", False, "what would be right"),
        "raw": Column("bytes", False, "its bytes, as they stand in the file once decompressed"),
    },
)
"""Records of the source that could not be read exactly, within `ingest.source.max_bad_rows`."""

QUARANTINE = Table(
    "quarantine",
    {
        **CORPUS.columns,
        "rule": Column("str", False, "the first rule that was broken"),
        "value": Column("str", False, "the value that broke it"),
        "reason": Column("str", False, "what was wrong with this row, in words"),
    },
)

FLAGGED = Table(
    "flagged",
    {
        "row": CORPUS.columns["row"],
        "id": TEXT_COLUMNS["id"],
        "rule": Column("str", False, "a rule that only warns"),
        "value": Column("str", False, "the value that broke it"),
    },
)
"""A line for each such rule that a row of the validated corpus breaks; no texts."""

SPLIT = Table(
    "split",
    {**CORPUS.columns, "group": Column("str", False, "id of the first text of its group: what must not be parted")},
)

EMBEDDINGS = Table(
    "embeddings",
    {
        "id": TEXT_COLUMNS["id"],
        "embedding": Column("object", False, "what the frozen backbone makes of the text, as float32"),
    },
)
"""Read and written in batches by `ratchet.embeddings.table`, every embedding of the same length."""

LABELED = Table(
    "labeled",
    {
        **TEXT_COLUMNS,
        "round": Column("int64", False, "query round in which the label was bought, from 0; 0 where none is bought"),
        "query_strategy": Column("str", False, "the strategy that asked for it; 'given': it came with its text"),
    },
)

UNLABELED = Table("unlabeled", {name: TEXT_COLUMNS[name] for name in ("id", "text", "source")})

SUSPECTS = Table(
    "suspects",
    {
        **{name: TEXT_COLUMNS[name] for name in ("id", "text", "source")},
        "label": Column("str", False, "the class it was labelled as"),
        "part": Column("str", False, "'labeled' or 'validation': where the label is used"),
        "suggested": Column("str", False, "the class that a model which never saw this label finds most probable"),
        "score": Column("float64", False, "probability which that model gives the label, in [0, 1]; low is suspicious"),
        "rank": Column("int64", False, "place in the ranking, from 0: most suspicious first"),
    },
)
"""Labels that people should look at again; none was changed."""

CHALLENGE = Table(
    "challenge",
    {
        "id": Column("str", False, "the test text that it is, or was made from"),
        "kind": Column(
            "str",
            False,
            "'weak': a text of a weak slice; 'contrast': edited, and of another class than the "
            "text; 'invariance': edited, and of the same",
        ),
        "name": Column("str", False, "the slice's predicates, or the edit's name"),
        "text": Column("str", False, "the text to classify"),
        "label": Column("str", False, "the class it belongs to"),
    },
)
"""Texts harder than the random test set, or made to show how a model decides."""

SOFT_LABELS = Table("soft_labels", {name: TEXT_COLUMNS[name] for name in ("id", "text", "label")})
"""The teacher's logits of each text; a column `logit_<class>` for each class follows."""

PREDICTIONS = Table(
    "predictions",
    {
        "id": TEXT_COLUMNS["id"],
        "split": Column("str", False, "'validation' or 'test', or 'transfer' for the other domain"),
        "bundle": Column("str", False, "name of the bundle that predicted"),
        "label": Column("str", False, "the true class"),
        "predicted": Column("str", False, "the predicted class"),
        "confidence": Column("float64", False, "probability of the predicted class, in [0, 1]"),
    },
)
"""One row per text and bundle; a column `proba_<class>` for each class follows."""

EXPLAINED_TEXTS = Table(
    "explained_texts",
    {
        "id": TEXT_COLUMNS["id"],
        "text": TEXT_COLUMNS["text"],
        "label": Column("str", False, "the true class"),
        "unit": Column("str", False, "of bases and values: 'probability', or 'log-odds' against the mean class"),
    },
)
"""One row a text. Of each class follow `proba_<class>`, its probability, and `base_<class>`, without any word."""

EXPLAINED_WORDS = Table(
    "explained_words",
    {
        "id": TEXT_COLUMNS["id"],
        "start": Column("int64", False, "where the word starts in its text, in characters"),
        "end": Column("int64", False, "where it ends"),
        "word": Column("str", False, "the word as it is written"),
    },
)
"""One row a word, in the order of the texts; a column `value_<class>`, its SHAP value, for each class follows."""

ANNOTATIONS = Table(
    "annotations",
    {
        "annotation_id": Column("str", False, "hash of origin, text, annotator, role, answer and its time"),
        "id": TEXT_COLUMNS["id"],
        "text": TEXT_COLUMNS["text"],
        "source": TEXT_COLUMNS["source"],
        "label": Column("str", True, "the class that a person gave the text; missing: the person skipped it"),
        "annotator": Column("str", False, "pseudonym of the person"),
        "role": Column("str", False, "'annotator', or 'adjudicator' for one who settles a conflict"),
        "annotated_at": Column("str", True, "when, UTC, ISO 8601; missing where nobody noted it"),
        "lead_time_s": Column("float64", True, "seconds the person took; missing where nobody noted it"),
        "bundle": Column("str", True, "version of the model that suggested a class, name@hash; missing: none did"),
        "suggested": Column("str", True, "the class it suggested"),
        "query_strategy": Column("str", True, "what asked for the label; missing where the person chose the text"),
        "query_score": Column("float64", True, "its score of the text; missing where it gives none", optional=True),
        "origin": Column("str", False, "where the answer was given: a server's project or a file's name"),
    },
)
"""One row an answer of one person; answers are added and never changed, and a person's latest one counts."""

HUMAN_LABELS = Table(
    "human_labels",
    {
        "id": TEXT_COLUMNS["id"],
        "text": TEXT_COLUMNS["text"],
        "label": Column("str", True, "the class that was decided; missing while the conflict is open, or unusable"),
        "source": TEXT_COLUMNS["source"],
        "state": Column("str", False, "'resolved', 'escalated' while in conflict, or 'unusable'"),
        "rule": Column("str", False, "what decided: 'unanimous', 'majority', 'adjudicated', or 'conflict'"),
        "n_annotators": Column("int64", False, "people whose answers count"),
        "agreement": Column("float64", False, "share of them who gave the most frequent answer, in (0, 1]"),
        "n_earlier": Column("int64", False, "decisions on the text before this one", optional=True),
    },
)
"""One row a decision; decisions are added and never changed, and the last one on a text holds."""


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
                f"The table '{table.name}' lacks the column '{name}'.",
                where=where,
                got=", ".join(map(str, frame.columns)),
                expected=", ".join(table.columns),
            )
        dtype, empty = str(frame[name].dtype), frame[name].empty
        same = dtype == column.dtype or (column.dtype == "str" and (dtype in ("string", "object") or empty))
        same |= column.dtype == "bytes" and dtype == "object"
        if not same:
            raise TableError(
                f"The column '{name}' of '{table.name}' has another type.",
                where=where,
                got=dtype,
                expected=f"{column.dtype}: {column.meaning}",
            )
        if not column.nullable and frame[name].isna().any():
            raise TableError(
                f"The column '{name}' of '{table.name}' has missing values.",
                where=where,
                got=f"{int(frame[name].isna().sum())} of {len(frame)} rows",
                expected=column.meaning,
            )
    return frame
