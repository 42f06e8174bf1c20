"""The source of the texts, where it lies on this machine: whether it is there, its columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.checks.finding import Finding, raised, unknown
from flows.checks.project import Project
from ratchet.errors import RatchetError

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
"""Records of JSONL whose keys are looked at: the first ones."""


def check_source(project: Project) -> list[Finding]:
    """Whether a local source holds the columns that the task names.

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
        return _missing_columns(project, places[0])
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
