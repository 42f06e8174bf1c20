"""Review of a change, section by section: verdict, ladder, gates, figures, params, data."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import MISSING, estimate_text, number
from ratchet.measure.machine_figures import merge
from ratchet.reporting.revisions import Revision, dvc_json

MEASUREMENTS = "measurements"
LADDER = ("accuracy", "latency_p95_ms", "size_mb")


@dataclass(frozen=True)
class Sources:
    """Paths of the files that a review compares."""

    evaluate: str
    decision: str
    predictions: str
    lock: str
    pipeline: str
    data: str
    steps: str
    """The folder with a module a stage."""


@dataclass(frozen=True)
class Section:
    """A table of a review; empty where nothing changed."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """The review that `ratchet diff` shows."""

    before: str
    after: str
    verdict: str
    sections: list[Section]

    @property
    def unchanged(self) -> list[str]:
        """The titles of the sections in which nothing changed."""
        return [section.title.lower() for section in self.sections if not section.rows]


def describe(before: Revision, after: Revision, sources: Sources, plots: Path | None = None) -> Change:
    """The change from one revision to the other; with a folder, the plots that differ are drawn into it."""
    from ratchet.reporting.data_change import changed_tables, data_rows, text_rows
    from ratchet.reporting.figure_change import moved_rows
    from ratchet.reporting.plots_change import draw_all

    decisions = before.json(sources.decision), after.json(sources.decision)
    with tempfile.TemporaryDirectory(prefix="ratchet-") as name:
        work = Path(name)
        evaluated = tuple(_measured(revision, sources.evaluate, work) for revision in (before, after))
        tables = changed_tables(before, after, sources, work)
        sections = [
            Section("Ladder", ("bundle", "place", "accuracy", "p95, ms", "MB"), ladder(decisions, evaluated)),
            Section("Gates", ("bundle", "gate", "before → after", "why"), gate_rows(*decisions)),
            Section(
                "Figures beyond their intervals",
                ("report", "figure", "before", "after", "difference"),
                moved_rows(before, after, sources, work),
            ),
            Section("Params", ("key", "before", "after"), param_rows(before, after, sources)),
            Section("Data", ("table", "what", "rows before", "rows after"), data_rows(tables)),
            Section("Texts that came and went", ("table", "what", "id", "text"), text_rows(tables)),
        ]
        if plots:
            drawn = draw_all(before, after, sources.lock, sources.pipeline, work, plots)
            sections.append(Section("Plots", ("plot",), [[line] for line in drawn]))
    return Change(before.label, after.label, verdict_line(*decisions), sections)


def verdict_line(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Verdict and chosen bundle, before and after.

    >>> verdict_line({"verdict": "accepted", "chosen": "a"}, {"verdict": "rejected", "chosen": None})
    'Before: accepted, a. After: rejected.'
    """
    verdicts = []
    for item in (before, after):
        chosen = f", {item['chosen']}" if item.get("chosen") else ""
        verdicts.append(str(item.get("verdict", "no decision")) + chosen)
    return f"Before: {verdicts[0]}. After: {verdicts[1]}."


def ladder(decisions: Sequence[dict[str, Any]], evaluated: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row for each bundle: its place on the shortlist, accuracy, p95 latency and size, before and after.

    Empty where both revisions say the same of all of them.
    """
    ranks = [list(item.get("ranking", [])) for item in decisions]
    rows = []
    others = [sorted(report.get("bundles", {})) for report in reversed(evaluated)]
    for name in dict.fromkeys(itertools.chain(ranks[1], ranks[0], *others)):
        places = [str(rank.index(name) + 1) if name in rank else MISSING for rank in ranks]
        metrics = [report.get("bundles", {}).get(name, {}).get("metrics", {}) for report in evaluated]
        cells = [[_figure(item.get(metric), metric) for item in metrics] for metric in LADDER]
        rows.append([name, *(arrow(*pair) for pair in [places, *cells])])
    return rows if any("→" in cell for row in rows for cell in row[1:]) else []


def gate_rows(before: dict[str, Any], after: dict[str, Any]) -> list[list[str]]:
    """A row for each gate that a bundle passes now and did not, or the other way round, or that is new or gone."""
    old, new = (_verdicts(item) for item in (before, after))
    words = {True: "passed", False: "failed", None: MISSING}
    found = []
    for key in sorted(set(old) | set(new)):
        states = [item.get(key, (None, ""))[0] for item in (old, new)]
        if states[0] != states[1]:
            reason = new.get(key, old.get(key, (None, "")))[1]
            found.append([key[0], key[1], arrow(*(words[state] for state in states)), reason])
    return found


def param_rows(before: Revision, after: Revision, sources: Sources) -> list[list[str]]:
    """`dvc params diff`; the block of a stage that was renamed is compared with the one of its former name."""
    revisions = [before.commit, *([after.commit] if after.commit else [])]
    found = dvc_json(before.root, "params", "diff", "--json", *revisions)
    changes = {name: change for params in found.get("diff", found).values() for name, change in params.items()}
    old = {name: change["old"] for name, change in changes.items() if change.get("old") is not None}
    new = {name: change["new"] for name, change in changes.items() if change.get("new") is not None}
    for now, then in _renamed_stages(before, sources.steps).items():
        for key in [key for key in old if key.startswith(f"{then}.")]:
            old[f"{now}.{key.removeprefix(f'{then}.')}"] = old.pop(key)
    return [
        [name, _short(old.get(name)), _short(new.get(name))]
        for name in sorted(set(old) | set(new))
        if old.get(name) != new.get(name)
    ]


def arrow(before: str, after: str) -> str:
    """Both, or one where they are the same.

    >>> arrow("1", "2"), arrow("1", "1")
    ('1 → 2', '1')
    """
    return before if before == after else f"{before} → {after}"


def _measured(revision: Revision, path: str, work: Path) -> dict[str, Any]:
    """A report with what DVC has of the machine's measurements."""
    name = f"{MEASUREMENTS}/{Path(path).name}"
    found = revision.get(name, work) if name in revision.outputs("dvc.lock") else None
    report = revision.json(path)
    if found is None:
        return report
    return dict(merge(report, json.loads(found.read_text(encoding="utf-8"))))


def _renamed_stages(before: Revision, steps: str) -> dict[str, str]:
    """Stage after → stage before, of the modules that were renamed."""
    found = {Path(now): Path(then) for now, then in before.renamed.items()}
    return {
        now.stem: then.stem
        for now, then in found.items()
        if now.parent == then.parent == Path(steps) and now.suffix == then.suffix == ".py"
    }


def _verdicts(decision: dict[str, Any]) -> dict[tuple[str, ...], tuple[bool, str]]:
    found = {}
    for name, bundle in decision.get("bundles", {}).items():
        for gate in bundle.get("gates", []):
            key = (name, *(str(gate.get(part)) for part in ("metric", "scope", "against", "comparison", "rule")))
            found[key] = (bool(gate.get("passed")), str(gate.get("reason", "")))
    return found


def _figure(value: dict[str, Any] | None, metric: str) -> str:
    if not value or value.get("value") is None:
        return MISSING
    if metric != "accuracy" or "low" not in value:
        return number(value["value"])
    return estimate_text(Estimate.from_json(value))


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return MISSING if value is None else f"{text[:80]}{'…' if len(text) > 80 else ''}"
