"""What `ratchet init` says: what it saw, what it proposes and why, what it would write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from flows.checks.project import PARAMS
from flows.init.flow import Change
from flows.init.plan import RARE_CLASS, TaskPlan
from flows.init.sources import SAMPLE_ROWS, Place
from ratchet.data.rare_classes import classes_after_cut
from ratchet.data.survey.survey import Survey
from ratchet.measure.stage_costs import Sizes
from ratchet.measure.time_plan import Plan

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 12
MAX_SHOWN = 120
"""Characters of a value that is shown."""
SORTED = 1.5
"""Times chance from which neighbours of one class mean that the rows are sorted."""


def survey_text(found: Survey, place: Place) -> str:
    """What the sample shows, a line each."""
    lengths, named = found.lengths, ", ".join(f"{name}: {role}" for name, role in found.roles.items())
    more = " (the first of them)" if found.n_rows == SAMPLE_ROWS else ""
    languages = (
        ", ".join(f"{name} {_percent(share)}" for name, share in found.languages.items()) or "none could be told"
    )
    lines = [
        f"Seen in {place.now.get('path') or place.now.get('url')}",
        f"  rows        {found.n_rows:,}{more}; {found.n_unlabelled:,} without label, {found.n_empty:,} without text",
        f"  columns     {named}",
        f"  words       median {lengths.median}, {lengths.low} to {lengths.high} in 98 %, at most {lengths.most:,}",
        f"  languages   {languages}",
        f"  copies      {found.n_copies:,} rows repeat an earlier text; {found.n_conflicts:,} with several labels",
    ]
    if place.detected is not None:
        lines.insert(1, f"  format      {_dialect(place)}: {place.detected.reason}")
        lines += [f"  careful     {item.what}{_at_lines(item.lines)}" for item in place.detected.findings]
    lines += [
        f"  gives away  '{item.column}' tells the label by {item.how} ({_percent(item.accuracy)} of held-out rows): "
        "not carried along"
        for item in found.giveaways
    ]
    if found.label_runs > SORTED:
        lines.append(
            f"  order       neighbours share a class {found.label_runs:.1f} times as often as by chance: sorted rows"
        )
    return "\n".join(lines)


def _dialect(place: Place) -> str:
    """The format in words; of a dialect what is not as most tools write it, too."""
    values = {name: value for name, value in place.block["dialect"].items() if value not in ("none", True, "refuse")}
    return " ".join(f"{name} {value!r}" if name != "format" else str(value) for name, value in values.items())


def _at_lines(lines: Sequence[int]) -> str:
    return f" (lines {', '.join(map(str, lines[:5]))}{', …' if len(lines) > 5 else ''})" if lines else ""


def plan_text(plan: TaskPlan) -> str:
    """Every proposed value with its reason."""
    lines = [f"\nThe task '{plan.name}'"]
    most = sorted(plan.counts, key=lambda name: -plan.counts[name])
    shown = [f"{name} {plan.counts[name]:,}" for name in most]
    middle = [f"… {len(shown) - MAX_CLASSES} more …"] if len(shown) > MAX_CLASSES else []
    listed = [*shown[: MAX_CLASSES - 2], *middle, *shown[-2:]] if middle else shown
    lines.append(_line(f"{len(shown)} classes", ", ".join(listed), plan.reasons["classes"]))
    rare = [name for name in most if plan.counts[name] < RARE_CLASS]
    if rare:
        advice = f"merge them (--merge), drop them (--drop), or label more: up to {RARE_CLASS} each"
        lines.append(_line("rare classes", ", ".join(f"{name} {plan.counts[name]}" for name in rare), advice))
    if plan.dropped:
        gone = ", ".join(f"{value} {n}" for value, n in plan.dropped.items())
        lines.append(_line("no label", gone, plan.reasons.get("dropped", "you said so")))
    for key in ("id", "time", "group", "source", "metadata", "sensitive", "languages", "selected", "metric"):
        value = getattr(plan, key)
        told = ", ".join(value) if isinstance(value, list) else value
        lines.append(_line(key, told or "none", plan.reasons[key]))
    return "\n".join(lines)


def time_text(frame: pd.DataFrame, plan: TaskPlan, sizes: Plan | None) -> str:
    """What a split by time, which is not the default, would do to the classes; empty: there are no times.

    Args:
        frame: the sample.
        plan: the task.
        sizes: of the run, which say how many texts are held out.
    """
    if not plan.time:
        return ""
    rates = sizes.sizes if sizes else Sizes()
    class_of = {value.strip(): name for name, values in plan.classes.items() for value in values}
    labels = [class_of.get(value.strip()) if isinstance(value, str) else None for value in frame[plan.label]]
    times = [value if isinstance(value, str) else None for value in frame[plan.time]]
    new = classes_after_cut(labels, times, rates.validation_rate + rates.test_rate)
    told = ", ".join(f"{name} {n:,}" for name, n in new.items())
    left = f"the texts of classes without older ones are set aside: {told}" if new else "every class has older ones"
    return f"\nThe split\n  By hash; with split.by: time the newest texts by '{plan.time}' test, and {left}.\n"


def sizes_text(sizes: Plan | None) -> str:
    """What a run will take, and what more minutes would bring."""
    told = sizes.sentences() if sizes else ["The backbone is not on this machine, so that no time can be told."]
    return "\n".join(["\nThe run", *(f"  {sentence}" for sentence in told)])


def change_text(root: Path, change: Change) -> str:
    """The files that are written, kept and reset."""
    new = [path for path, content in change.written.items() if not _is(root / path, content)]
    lines = ["\nWritten: " + (", ".join(new) or "nothing, all of it is there already")]
    if not change.reset and PARAMS in new and (root / PARAMS).is_file():
        before, after = (
            _leaves(YAML(typ="safe", pure=True).load(text))
            for text in ((root / PARAMS).read_text(encoding="utf-8"), change.written[PARAMS].decode())
        )
        lines += [
            f"  {key}: {_short(before.get(key))} → {_short(after.get(key))}"
            for key in {**before, **after}
            if before.get(key) != after.get(key)
        ]
    if change.copied:
        lines.append("Copied: " + ", ".join(f"{source} to {path}" for path, source in change.copied.items()))
    if concepts := [path for path in new if path.startswith("data/concepts/") and path.endswith(".txt")]:
        lines.append(f"{len(concepts)} concepts quote texts of the data: look at data/concepts before you commit it")
    if change.kept:
        lines.append("Kept, since somebody edited them: " + ", ".join(change.kept))
    if change.reset:
        lines.append("Reset, since it belongs to the task before:")
        lines += [f"  {item.path:32} {item.what}" for item in change.reset]
    if change.n_experiments:
        lines.append(f"  {change.n_experiments} experiments of DVC")
    return "\n".join(lines)


def _leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key → value, of what is no mapping."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        key: value for name, item in tree.items() for key, value in _leaves(item, f"{prefix}.{name}".strip(".")).items()
    }


def _short(value: Any) -> str:
    """A value in words: a class by its name, a list by its items."""
    if isinstance(value, dict) and "name" in value:
        return str(value["name"])
    text = ", ".join(map(_short, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _is(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _line(name: str, value: str, why: str) -> str:
    return (
        f"  {name:12} {value}\n{'':15}because {why}"
        if not why.startswith("merge")
        else f"  {name:12} {value}\n{'':15}{why}"
    )


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %").replace(".0 ", " ")
