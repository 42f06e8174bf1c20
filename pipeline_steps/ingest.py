"""Which texts enter the line: a pinned source, its columns mapped, its texts cleaned and counted.

Two kinds of source: `packaged`, a CSV carried by an installed package and read as a file, none of whose code is run;
`files`, your own CSV, JSONL or Parquet. Rows without a label stay: they are the unlabelled pool.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

import ratchet.params
from ratchet.data.cleaning import clean_texts, text_id
from ratchet.data.sources import check_sha256, find_files, find_packaged, read_columns
from ratchet.entry import entry
from ratchet.errors import TableError
from ratchet.files import write_json
from ratchet.params import load_params
from ratchet.tables import CORPUS, write_table

if TYPE_CHECKING:
    import pandas as pd

READS = {"watch": "${ingest.watch}"}
WRITES = {"corpus": "data/corpus.parquet", "report": "reports/ingest.json"}
RESERVED = {*CORPUS.columns, "group", "rule", "reason"}


class Params(ratchet.params.Params):
    """Block `ingest` of params.yaml."""

    kind: Literal["packaged", "files"]
    """packaged: a file inside an installed package; files: a file, a folder or a glob of your own."""
    path: str = Field(min_length=1)
    """packaged: `<top-level package>/<file inside>`; files: relative to the repository's root."""
    watch: str = Field(min_length=1)
    """The local file or folder whose change makes DVC read the source again. files: `path` itself, or a folder that
    holds what it names; packaged: the file that pins the package's version."""
    sha256: str = Field(pattern="^([0-9a-f]{64})?$")
    """SHA-256 of the file, or of the joined hashes of the sorted files; empty: not pinned (`files` only)."""
    text_column: str = Field(min_length=1)
    """Column of the source that holds the text."""
    label_column: str = Field(min_length=1)
    """Column of the source that holds the label; an empty cell is a text nobody has labelled."""
    source_column: str
    """Column of the source that says where a text comes from; empty: the file's name without its suffix."""
    metadata_columns: list[str]
    """Further columns of the source to carry along, as strings."""
    label_values: list[str] = Field(min_length=2)
    """What the label column holds, one value for each class."""
    labels: list[str] = Field(min_length=2)
    """Class names, in the order of `label_values`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.labels) != len(self.label_values):
            raise ValueError(f"{len(self.label_values)} label_values for {len(self.labels)} labels")
        if len({*self.labels}) != len(self.labels) or len({*self.label_values}) != len(self.label_values):
            raise ValueError("labels and label_values must not repeat")
        if self.kind == "files" and not PurePath(self.path).is_relative_to(self.watch):
            raise ValueError(f"watch must be path or a folder above it, or a change of '{self.path}' goes unnoticed")
        if self.kind == "packaged" and not self.sha256:
            raise ValueError("sha256 must be pinned for the kind 'packaged'")
        if taken := sorted(RESERVED & {*self.metadata_columns}):
            raise ValueError(f"metadata_columns must not be named {', '.join(taken)}: the tables' own columns are")
        return self

    @property
    def columns(self) -> list[str]:
        """The columns of the source that are read, each once."""
        named = [self.text_column, self.label_column, self.source_column, *self.metadata_columns]
        return list(dict.fromkeys(name for name in named if name))


class Ingested(NamedTuple):
    """What `run` returns."""

    corpus: pd.DataFrame
    report: dict[str, Any]


def run(files: dict[str, pd.DataFrame], params: Params) -> Ingested:
    """The corpus of all files in their order, and what was counted on the way.

    Args:
        files: the columns `params.columns` of each file as strings, by its name without suffix (its path where
            names repeat).
        params: the column and label mapping.

    Raises:
        TableError: a label is not among `label_values`.
    """
    import pandas as pd

    mapped = [_map_columns(name, frame, params) for name, frame in files.items()]
    corpus = pd.concat(mapped, ignore_index=True)
    texts, repairs = clean_texts(corpus["text"].tolist())
    corpus["text"] = pd.Series(texts, dtype="str")
    corpus.insert(0, "id", pd.Series([text_id(text) for text in texts], dtype="str"))
    corpus.insert(0, "row", range(len(corpus)))
    labelled = corpus["label"].fillna("unlabelled")
    report = {
        "n_rows": len(corpus),
        "n_unlabelled": int(corpus["label"].isna().sum()),
        "labels": {label: int((labelled == label).sum()) for label in params.labels},
        "sources": {
            str(source): {"n_rows": len(rows), "labels": labelled[rows.index].value_counts().to_dict()}
            for source, rows in corpus.groupby("source")
        },
        "n_texts_changed": repairs,
    }
    return Ingested(corpus, report)


def main() -> None:
    params = load_params(Params, "ingest")
    files = [find_packaged(params.path)] if params.kind == "packaged" else find_files(params.path)
    sha256 = check_sha256(files, params.sha256)
    stems = {file.stem for file in files}
    names = [file.stem if len(stems) == len(files) else file.as_posix() for file in files]
    frames = {name: read_columns(file, params.columns) for name, file in zip(names, files, strict=True)}
    corpus, report = run(frames, params)
    source = {"kind": params.kind, "path": params.path, "sha256": sha256, "pinned": bool(params.sha256),
              "n_files": len(files)}  # fmt: skip
    write_table(Path(WRITES["corpus"]), corpus, CORPUS)
    write_json(Path(WRITES["report"]), {"command": "python -m pipeline_steps.ingest", "source": source, **report})


def _map_columns(name: str, frame: pd.DataFrame, params: Params) -> pd.DataFrame:
    """One file's rows with the corpus' column names, labels as class names, missing texts and sources filled."""
    import pandas as pd

    labels = frame[params.label_column].str.strip().replace("", None)
    unknown = labels.notna() & ~labels.isin(params.label_values)
    if unknown.any():
        first = int(unknown.to_numpy().argmax())
        raise TableError(
            "The source has a label that params.yaml does not name.",
            where=f"{name}, column '{params.label_column}', row {first} (from 0), {int(unknown.sum())} rows in all",
            got=", ".join(sorted(set(labels[unknown]))[:10]), expected=", ".join(params.label_values),
            fix="add the value to ingest.label_values and its class to ingest.labels, or correct the source",
        )  # fmt: skip
    source = frame[params.source_column].fillna(name) if params.source_column else name
    columns = {
        "text": frame[params.text_column].fillna(""),
        "label": labels.map(dict(zip(params.label_values, params.labels, strict=True))),
        "source": source,
        **{column: frame[column] for column in params.metadata_columns},
    }
    return pd.DataFrame(columns, index=frame.index).astype("str")


if __name__ == "__main__":
    entry(main)
