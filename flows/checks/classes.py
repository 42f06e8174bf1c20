"""The classes of the task against the labels of a local source: what no stage could learn, or would leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.checks.finding import Finding, error, warning
from flows.checks.project import Project
from flows.checks.source import source_files
from ratchet.data.rare_classes import FILLED, classes_after_cut
from ratchet.errors import RatchetError
from ratchet.values import raw_value

if TYPE_CHECKING:
    from ratchet.data.sources.places import Place

N_ROWS = 50_000
"""Rows whose labels are looked at, the first ones: reading them takes half a second."""


@dataclass
class _Read:
    """What the label column, and the time column of a split by time, hold."""

    labels: list[str | None] = field(default_factory=list)
    """As `raw_value` writes them; None: missing, or ignored."""
    times: list[str | None] = field(default_factory=list)
    """As they stand there; empty: they are not asked for."""
    whole: bool = True
    """Whether these are all rows of the source."""

    @property
    def rows(self) -> str:
        """Which rows these are, in words."""
        return f"{'all' if self.whole else 'the first'} {len(self.labels):,} rows"


def check_classes(project: Project) -> list[Finding]:
    """Labels that mean no class; classes without enough labels; classes that come up after the cut of a split by time.

    What follows from how many labels a class has is told of a source of at most `N_ROWS` rows only.
    """
    ingest: Any = project.blocks.get("ingest")
    if ingest is None:
        return []
    try:
        read = _read(project, source_files(project))
    except (RatchetError, OSError):
        return []  # the check of the source says why
    if read is None:
        return []
    found = _strangers(project, read)
    return found if found or not read.whole else [*_too_few(project, read), *_after_cut(project, read)]


def _read(project: Project, places: Sequence[Place]) -> _Read | None:
    """The first rows; None: there is no local source, or a column that is asked for is none of its files'."""
    from ratchet.data.sources.formats import columns_of, read_file
    from ratchet.data.sources.reading import Reading

    if not places:
        return None
    ingest: Any = project.blocks["ingest"]
    split: Any = project.blocks.get("split")
    time_column = ingest.time_column if split is not None and split.by == "time" else ""
    columns = list(dict.fromkeys(filter(None, [ingest.label_column, time_column])))
    read, reading = _Read(), Reading(ingest.source.max_bad_rows)
    missing = {*ingest.missing_values, "", None}
    for place in places:
        file = Path(place.path)
        if not {*columns} <= {*columns_of(file, ingest.source.dialect, N_ROWS)}:
            return None
        for rows in read_file(file, ingest.source.dialect, columns, reading):
            labels = (value.strip() if value not in missing and value else "" for value in rows.columns[columns[0]])
            raw = [raw_value(value) if value else None for value in labels]
            read.labels += [None if value in ingest.ignored_labels else value for value in raw]
            read.times += [None if value in missing else value for value in rows.columns.get(time_column, [])]
            if len(read.labels) >= N_ROWS:
                read.whole = False
                return read
    return read


def _strangers(project: Project, read: _Read) -> list[Finding]:
    """Labels that mean no class."""
    class_of: Mapping[str, str] = project.blocks["ingest"].class_of  # type: ignore[attr-defined]
    strangers = Counter(value for value in read.labels if value is not None and value not in class_of)
    if not strangers:
        return []
    return [
        error(
            f"Labels mean no class, in {read.rows} of the source: `ingest` stops at them.",
            project.param("task", "classes"),
            got=", ".join(f"{value!r} ({n} times)" for value, n in strangers.most_common(5)),
            expected=f"one of {', '.join(map(repr, class_of))}",
            fix="add the value to the class that it means, under task.classes, or to task.ignored_labels",
        )
    ]


def _too_few(project: Project, read: _Read) -> list[Finding]:
    """Classes with fewer labelled texts than there are sides of the split."""
    counts = Counter(_classes_of(project, read))
    poor = {name: counts[name] for name in project.classes if counts[name] < len(FILLED)}
    if not poor:
        return []
    return [
        error(
            "A class has too few labelled texts to train, validate and test.",
            project.param("task", "classes"),
            got=", ".join(f"{name}: {n}" for name, n in poor.items()),
            expected=f"at least {len(FILLED)} of each class, better some dozens",
            fix="correct the values of the class, label more texts, merge it with another class, or take it out of "
            "task.classes and name its values in task.ignored_labels",
        )
    ]


def _after_cut(project: Project, read: _Read) -> list[Finding]:
    """Classes without a text before the cut of a split by time, which `split` sets aside."""
    split: Any = project.blocks.get("split")
    if split is None or split.by != "time" or not read.times:
        return []
    labels = _classes_of(project, read)
    new = classes_after_cut(labels, read.times, split.validation_rate + split.test_rate)
    if not new:
        return []
    kind = error if len({*labels} - {None}) - len(new) < 2 else warning
    return [
        kind(
            "A class comes up only after the cut of the split by time: no model can learn it, and `split` sets its "
            "texts aside." + (" Fewer than two classes are left." if kind is error else ""),
            project.param("split", "by"),
            got=", ".join(f"{name}: {n} texts" for name, n in new.items()),
            expected="texts of each class among the older ones, which train",
            fix="wait for more texts, lower split.test_rate or split.validation_rate, set split.by: hash, or name its "
            "values in task.ignored_labels",
        )
    ]


def _classes_of(project: Project, read: _Read) -> list[str | None]:
    class_of: Mapping[str, str] = project.blocks["ingest"].class_of  # type: ignore[attr-defined]
    return [None if value is None else class_of[value] for value in read.labels]
