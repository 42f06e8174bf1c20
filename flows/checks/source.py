"""The source of the texts, where it lies on this machine: whether it is there, its columns, its labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.checks.finding import Finding, error, raised, unknown, warning
from flows.checks.project import Project
from ratchet.errors import RatchetError
from ratchet.values import raw_value

if TYPE_CHECKING:
    from ratchet.data.sources.places import Place

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
        places = source_files(project)
        if not places:
            return []
        missing = _missing_columns(project, places[0])
        return missing or _labels(project, places[0])
    except RatchetError as problem:
        return [raised(problem, where)]


def source_files(project: Project) -> list[Place]:
    """The files of a packaged or local source; empty for the others.

    Raises:
        SourceError: there are none.
    """
    # pydantic models and readers, which a check of params alone need not load
    from ratchet.data.sources.files import FilesSource, PackagedSource, find_places
    from ratchet.data.sources.places import find_files

    source = getattr(project.blocks.get("ingest"), "source", None)
    if isinstance(source, PackagedSource):
        return find_places(source).files
    if isinstance(source, FilesSource) and source.local_path:
        return find_files(str(project.root / source.local_path), source.dialect).files
    return []


def _missing_columns(project: Project, place: Place) -> list[Finding]:
    from ratchet.data.sources.formats import columns_of

    named = {key: getattr(project.task, key) for key in COLUMN_KEYS}
    ingest: Any = project.blocks["ingest"]
    known = [*columns_of(Path(place.path), ingest.source.dialect, N_ROWS), *place.partition]
    found = []
    for key, value in named.items():
        for name in value if isinstance(value, list) else [value]:
            if name and name not in known:
                fix = "name a column of the source" + ("" if key in ("text_column", "label_column") else ", or none")
                what = f"The source has no such column; looked at {Path(place.path).name}."
                found.append(unknown(what, project.param("task", key), name, known, fix))
    return found


def _labels(project: Project, place: Place) -> list[Finding]:
    """Labels that mean no class, and classes that no label means, among the first rows."""
    from ratchet.data.sources.formats import read_file
    from ratchet.data.sources.reading import Reading

    ingest: Any = project.blocks["ingest"]
    column, file = ingest.label_column, Path(place.path)
    if column in place.partition:
        return []
    reading = Reading(ingest.source.max_bad_rows)
    rows = next(iter(read_file(file, ingest.source.dialect, [column], reading, batch_rows=N_ROWS)))
    values = [value for value in rows.columns[column] if value and value not in ingest.missing_values]
    counts = Counter(raw_value(value) for value in values if value.strip())
    strangers = {value: n for value, n in counts.items() if value not in ingest.class_of}
    if not strangers:
        return []
    most = ", ".join(f"{value!r} ({n} times)" for value, n in Counter(strangers).most_common(5))
    kind = error if len(strangers) == len(counts) else warning
    return [
        kind(
            f"Labels mean no class, in the first {len(rows.lines):,} rows of {file.name}: `validate` sets them aside.",
            project.param("task", "classes"),
            got=most,
            expected=f"one of {', '.join(map(repr, ingest.class_of))}",
            fix="add the value to the class that it means, under task.classes",
        )
    ]
