"""The source of the texts, where it lies on this machine: whether it is there, its columns, its labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from flows.checks.finding import Finding, error, raised, unknown, warning
from flows.checks.project import Project
from ratchet.errors import RatchetError
from ratchet.task import raw_value

COLUMN_KEYS = (
    "text_column",
    "label_column",
    "id_column",
    "source_column",
    "time_column",
    "group_column",
    "metadata_columns",
)
"""Keys of the task that name a column, or several."""
N_ROWS = 5000
"""Rows whose labels are looked at: the first ones."""


def check_source(project: Project) -> list[Finding]:
    """Whether a local source holds the columns that the task names, and labels that are classes.

    A database, a URL or a data set of the hub is not asked: that may take long, or need what only `ingest` has.
    """
    ingest: Any = project.blocks.get("ingest")
    if ingest is None:
        return []
    where = project.param("ingest", "source", "path")
    try:
        files = source_files(project)
        if not files:
            return []
        missing = _missing_columns(project, files[0])
        return missing or _labels(project, files[0])
    except RatchetError as problem:
        return [raised(problem, where)]


def source_files(project: Project) -> list[Path]:
    """The files of a packaged or local source; empty for the others.

    Raises:
        SourceError: there are none.
    """
    from ratchet.data.sources.files import PackagedSource, find_files, find_packaged

    source = getattr(project.blocks.get("ingest"), "source", None)
    if isinstance(source, PackagedSource):
        return [find_packaged(source.path)]
    local = getattr(source, "local_path", "")
    return find_files(str(project.root / local)) if local else []


def _missing_columns(project: Project, file: Path) -> list[Finding]:
    named = {key: getattr(project.task, key) for key in COLUMN_KEYS}
    known = _columns(file)
    found = []
    for key, value in named.items():
        for name in value if isinstance(value, list) else [value]:
            if name and name not in known:
                fix = "name a column of the source" + ("" if key in ("text_column", "label_column") else ", or none")
                what = f"The source has no such column; looked at {file.name}."
                found.append(unknown(what, project.param("task", key), name, known, fix))
    return found


def _columns(file: Path) -> list[str]:
    """The columns of a file; of JSONL the keys of its first rows, since a key may appear late."""
    import pandas as pd
    import pyarrow.parquet

    suffix = file.suffix.lower()
    try:
        if suffix == ".parquet":
            return list(pyarrow.parquet.read_schema(file).names)
        if suffix == ".jsonl":
            return list(pd.read_json(file, lines=True, nrows=N_ROWS, dtype=False).columns)
        separator = "\t" if suffix == ".tsv" else ","
        return list(pd.read_csv(file, sep=separator, encoding="utf-8-sig", nrows=0).columns)
    except (ValueError, OSError, pd.errors.EmptyDataError):
        return []  # `ingest` says what is wrong with the file


def _labels(project: Project, file: Path) -> list[Finding]:
    """Labels that mean no class, and classes that no label means, among the first rows."""
    from ratchet.data.sources.formats import read_file

    ingest: Any = project.blocks["ingest"]
    batch = next(iter(read_file(file, [ingest.label_column], batch_rows=N_ROWS)))
    counts = Counter(raw_value(value) for value in batch[ingest.label_column].dropna() if str(value).strip())
    strangers = {value: n for value, n in counts.items() if value not in ingest.class_of}
    if not strangers:
        return []
    most = ", ".join(f"{value!r} ({n} times)" for value, n in Counter(strangers).most_common(5))
    kind = error if len(strangers) == len(counts) else warning
    return [
        kind(
            f"Labels mean no class, in the first {len(batch):,} rows of {file.name}: `validate` sets them aside.",
            project.param("task", "classes"),
            got=most,
            expected=f"one of {', '.join(map(repr, ingest.class_of))}",
            fix="add the value to the class that it means, under task.classes",
        )
    ]
