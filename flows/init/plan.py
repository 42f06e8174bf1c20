"""The task that `ratchet init` proposes: every value with its reason, from what the sample shows and what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ratchet.data.languages import likely_region
from ratchet.data.survey.columns import is_split
from ratchet.data.survey.survey import Survey
from ratchet.errors import ParamsError
from ratchet.values import raw_value

MIN_CLASS = 20
"""Labelled texts below which a class is proposed to be dropped: the test gets a fifth, and validation a tenth."""
RARE_CLASS = 100
"""Labelled texts below which a class is called rare."""
IMBALANCED = 3.0
"""Ratio of the most to the least frequent class from which accuracy hides the rare ones."""


@dataclass(frozen=True)
class Said:
    """What flags or answers decide; None: the proposal is taken."""

    id: str | None = None
    time: str | None = None
    group: str | None = None
    source: str | None = None
    metadata: list[str] | None = None
    sensitive: list[str] | None = None
    languages: list[str] | None = None
    selected: list[str] | None = None
    metric: str | None = None
    minutes: int | None = None
    merge: list[str] = field(default_factory=list)
    """Such as `spam=junk,phishing`: the class on the left also means the values on the right."""
    drop: list[str] | None = None


@dataclass(frozen=True)
class TaskPlan:
    """The task as it will be written."""

    name: str
    n_rows: int
    """Rows of the source."""
    text: str
    label: str
    classes: dict[str, list[str]]
    """Class → raw values of the label column that mean it."""
    counts: dict[str, int]
    """Class → labelled texts."""
    dropped: dict[str, int]
    """Raw value that becomes no class → labelled texts, which count as unlabelled."""
    id: str
    time: str
    group: str
    source: str
    metadata: list[str]
    sensitive: list[str]
    languages: list[str]
    regions: list[str]
    """Countries whose telephone and identity numbers are looked for."""
    selected: list[str]
    metric: str
    minutes: int
    reasons: dict[str, str]
    """Field → why it has its value."""


def make_plan(name: str, survey: Survey, said: Said) -> TaskPlan:
    """The plan of a task.

    Raises:
        ParamsError: fewer than two classes are left, or what was said names a column or class that there is none of.
    """
    reasons: dict[str, str] = {}
    classes, dropped = _classes(survey, said, reasons)
    counts = {label: sum(survey.values[value] for value in values) for label, values in classes.items()}
    columns = _columns(survey, said, reasons)
    if said.languages is not None:
        languages, reasons["languages"] = said.languages, "you said so"
    else:
        languages = list(survey.languages) or ["und"]
        shares = ", ".join(f"{share:.0%} {name}".replace("%", " %") for name, share in survey.languages.items())
        reasons["languages"] = f"of the texts whose language can be told: {shares or 'none'}"
    return TaskPlan(
        name=name,
        n_rows=survey.n_rows,
        text=survey.text,
        label=survey.label,
        classes=classes,
        counts=counts,
        dropped=dropped,
        **columns,
        languages=languages,
        regions=[region for name in languages if (region := likely_region(name))],
        selected=_selected(said, classes, reasons),
        metric=_metric(said, counts, reasons),
        minutes=said.minutes or 25,
        reasons=reasons,
    )


def spellings(values: Mapping[str, int]) -> dict[str, list[str]]:
    """Class → the raw values that differ from it in case or white space only, or that mean the same number.

    The class bears the most frequent spelling.

    >>> spellings({"Bug": 5, "idea": 9, "bug ": 2, "1": 1, "1.0": 1})
    {'idea': ['idea'], 'Bug': ['Bug', 'bug '], '1': ['1', '1.0']}
    """
    found: dict[str, list[str]] = {}
    for value in sorted(values, key=lambda item: -values[item]):
        found.setdefault(" ".join(raw_value(value).split()).casefold(), []).append(value)
    return {" ".join(alike[0].split()): alike for alike in found.values()}


def _classes(survey: Survey, said: Said, reasons: dict[str, str]) -> tuple[dict[str, list[str]], dict[str, int]]:
    classes = spellings(survey.values)
    many = [alike for alike in classes.values() if len(alike) > 1]
    reasons["classes"] = "the values of the label column" + (
        f"; spellings of one class: {'; '.join(' = '.join(map(repr, alike)) for alike in many)}" if many else ""
    )
    for rule in said.merge:
        target, _, parts = rule.partition("=")
        for part in filter(None, map(str.strip, parts.split(","))):
            classes.setdefault(_known(target.strip(), classes, "--merge", new=True), []).extend(
                classes.pop(_known(part, classes, "--merge"))
            )
    counts = {label: sum(survey.values[value] for value in values) for label, values in classes.items()}
    if said.drop is not None:
        gone = [_known(label, classes, "--drop") for label in said.drop]
    else:
        gone = [label for label, n in counts.items() if n < MIN_CLASS]
        if gone:
            reasons["dropped"] = (
                f"fewer than {MIN_CLASS} labelled texts, of which a test split gets a fifth; --merge or --drop '' "
                "decide otherwise, or label more"
            )
    dropped = {value: survey.values[value] for label in gone for value in classes.pop(label)}
    if len(classes) < 2:
        raise ParamsError(
            "Fewer than two classes are left.",
            where=f"column '{survey.label}'",
            got=", ".join(f"{value!r} ({n})" for value, n in list(survey.values.items())[:10]) or "no labels",
            expected=f"two classes of at least {MIN_CLASS} labelled texts each",
            fix="name another column with --label, label more texts, or keep small classes with --drop ''",
        )
    return dict(sorted(classes.items())), dropped


def _known(name: str, known: Mapping[str, object], flag: str, *, new: bool = False) -> str:
    if name in known or new:
        return name
    raise ParamsError("There is no such class.", where=flag, got=name, expected=", ".join(known), fix=f"correct {flag}")


def _columns(survey: Survey, said: Said, reasons: dict[str, str]) -> dict[str, Any]:
    """Roles of the other columns; a column that gives the label away is none of them."""
    roles, telling = survey.roles, {item.column: item for item in survey.giveaways}
    names = [item.name for item in survey.columns]

    def one(role: str, told: str | None) -> str:
        if told is not None:
            _require_column(told, names, role)
            reasons[role] = "you said so"
            return told
        fitting = [name for name, found in roles.items() if found == role and name not in telling]
        reasons[role] = WHY[role] if fitting else "no column looks like one"
        return fitting[0] if fitting else ""

    found: dict[str, Any] = {role: one(role, getattr(said, role)) for role in ("id", "time", "group", "source")}
    sensitive = [name for name, role in roles.items() if role == "sensitive" and name not in telling]
    metadata = [name for name, role in roles.items() if role == "metadata" and name not in telling]
    for key, told, proposed in (("sensitive", said.sensitive, sensitive), ("metadata", said.metadata, metadata)):
        for name in told or []:
            _require_column(name, names, key)
        found[key] = proposed if told is None else told
        reasons[key] = "you said so" if told is not None else WHY[key] if proposed else "no column looks like one"
    taken = {name for name in found.values() if isinstance(name, str)}
    found["metadata"] = [name for name in found["metadata"] if name not in taken and name not in found["sensitive"]]
    if others := [item.name for item in survey.columns if is_split(item) and item.name in found["metadata"]]:
        reasons["metadata"] += f"; {', '.join(others)} is somebody else's split: a slice here, the pipeline splits anew"
    return found


WHY = {
    "id": "its values are all different",
    "time": "its values are times",
    "group": "its name says who or what wrote several texts, and its values repeat",
    "source": "its name says where a text comes from",
    "sensitive": "its name says that people differ by it",
    "metadata": "few values that repeat, and they do not give the label away",
}


def _require_column(name: str, names: Sequence[str], role: str) -> None:
    if name and name not in names:
        raise ParamsError(
            "The source has no such column.",
            where=f"--{role}",
            got=name,
            expected=", ".join(names),
            fix="name a column of the source, or '' for none",
        )


def _selected(said: Said, classes: Mapping[str, object], reasons: dict[str, str]) -> list[str]:
    if said.selected is None:
        reasons["selected"] = "nobody said which classes count as being selected, so that no gate asks for it"
        return []
    reasons["selected"] = "you said so"
    return [_known(name, classes, "--selected") for name in said.selected]


def _metric(said: Said, counts: Mapping[str, int], reasons: dict[str, str]) -> str:
    most, least = max(counts.values()), min(counts.values())
    if said.metric is not None:
        reasons["metric"] = "you said so"
        return said.metric
    if most >= IMBALANCED * least:
        reasons["metric"] = f"the most frequent class has {most / least:.3g} times the texts of the rarest"
        return "macro_f1"
    reasons["metric"] = f"classes are balanced within {most / least:.2g} to 1"
    return "accuracy"
