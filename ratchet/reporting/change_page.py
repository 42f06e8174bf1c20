"""A review as Markdown: the verdict first, then figures, gates, params, data and plots, each only where it changed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.measure.formats import MISSING, markdown_table, markdown_text, metric_name, number
from ratchet.reporting.revisions import Revision, dvc_json

MAX_LINES = 40
"""Of each section: a comment is read by people."""


@dataclass(frozen=True)
class Sources:
    """Where a repository keeps what a review shows."""

    metrics: str
    evaluate: str
    decision: str
    lock: str
    pipeline: str
    data: str


def review(before: Revision, after: Revision, sources: Sources, plots: Path | None = None) -> str:
    """The whole page; with a folder, the plots that differ are drawn into it."""
    decisions = before.json(sources.decision), after.json(sources.decision)
    with tempfile.TemporaryDirectory(prefix="ratchet-") as name:
        work = Path(name)
        sections = {
            "Verdict": [verdict_line(*decisions)],
            "Leaderboard": leaderboard(*decisions, before.json(sources.evaluate), after.json(sources.evaluate)),
            "Gates": gate_rows(*decisions),
            "Metrics": metric_rows(before, after, sources.metrics),
            "Params": param_rows(before, after),
            "Data": data_rows(before, after, sources, work),
            "Plots": _plots(before, after, sources, work, plots) if plots else [],
        }
    lines = [f"## What {after.commit[:10]} changes over {before.commit[:10]}"]
    for title, rows in sections.items():
        if rows:
            lines += ["", f"### {title}", "", *rows[:MAX_LINES]]
            lines += [f"… and {len(rows) - MAX_LINES} more"] if len(rows) > MAX_LINES else []
    unchanged = [title.lower() for title, rows in sections.items() if not rows]
    return "\n".join([*lines, "", f"Unchanged: {', '.join(unchanged)}." if unchanged else "", ""])


def verdict_line(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What was and what would be promoted.

    >>> verdict_line({"verdict": "accepted", "chosen": "a"}, {"verdict": "rejected", "chosen": None})
    'Before: accepted, **a**. After: rejected.'
    """
    told = []
    for item in (before, after):
        chosen = f", **{markdown_text(str(item['chosen']))}**" if item.get("chosen") else ""
        told.append(markdown_text(str(item.get("verdict", "no decision"))) + chosen)
    return f"Before: {told[0]}. After: {told[1]}."


def leaderboard(
    decision_before: dict[str, Any], decision_after: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> list[str]:
    """A row for each bundle whose place, accuracy or gates changed; empty when none did."""
    rows = []
    ranks = [list(item.get("ranking", [])) for item in (decision_before, decision_after)]
    for name in dict.fromkeys([*ranks[1], *ranks[0]]):
        places = [str(rank.index(name) + 1) if name in rank else MISSING for rank in ranks]
        figures = [_accuracy(report, name) for report in (before, after)]
        gates = [_gates(item, name) for item in (decision_before, decision_after)]
        if places[0] != places[1] or figures[0] != figures[1] or gates[0] != gates[1]:
            rows.append([markdown_text(name), _arrow(*places), _arrow(*figures), _arrow(*gates)])
    return markdown_table(["bundle", "place", "accuracy", "gates failed"], rows) if rows else []


def gate_rows(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A line for each gate that a bundle passes now and did not, or the other way round, or that is new or gone."""
    old, new = (_verdicts(item) for item in (before, after))
    words = {True: "passed", False: "failed", None: MISSING}
    found = []
    for key in sorted(set(old) | set(new)):
        if old.get(key, (None, ""))[0] != new.get(key, (None, ""))[0]:
            states = [words[item.get(key, (None, ""))[0]] for item in (old, new)]
            reason = new.get(key, old.get(key, (None, "")))[1]
            found.append(f"- {markdown_text(key[0])}: {_arrow(*states)}: {markdown_text(reason)}")
    return found


def metric_rows(before: Revision, after: Revision, path: str) -> list[str]:
    """`dvc metrics diff` as a table."""
    told = dvc_json(before.root, "metrics", "diff", "--json", before.commit, after.commit, "--targets", path)
    found = told.get("diff", told).get(path, {})
    rows = []
    for name, change in sorted(found.items()):
        bundle, _, metric = name.rpartition(".")
        values = [number(change.get(when)) for when in ("old", "new")]
        rows.append([markdown_text(bundle), markdown_text(metric_name(metric)), *values])
    return markdown_table(["bundle", "metric", "before", "after"], rows, 2) if rows else []


def param_rows(before: Revision, after: Revision) -> list[str]:
    """`dvc params diff` as a list."""
    found = dvc_json(before.root, "params", "diff", "--json", before.commit, after.commit)
    changes = {name: change for params in found.get("diff", found).values() for name, change in params.items()}
    return [
        f"- `{name}`: {_arrow(_code(change.get('old')), _code(change.get('new')))}"
        for name, change in sorted(changes.items())
    ]


def data_rows(before: Revision, after: Revision, sources: Sources, work: Path) -> list[str]:
    """A line for each table that differs: rows added, removed and relabelled, columns, distributions."""
    from ratchet.reporting.data_change import read_tables, table_change

    outputs = before.outputs(sources.lock), after.outputs(sources.lock)
    found = []
    for path in sorted(set(outputs[0]) | set(outputs[1])):
        if not path.startswith(f"{sources.data}/") or outputs[0].get(path) == outputs[1].get(path):
            continue
        if path not in outputs[0] or path not in outputs[1]:
            found.append(f"- `{path}` is {'new' if path in outputs[1] else 'gone'}")
            continue
        files = [revision.get(path, work) for revision in (before, after)]
        if files[0] is None or files[1] is None:
            found.append(f"- `{path}` differs; DVC has not both at hand")
            continue
        old, new = read_tables(files[0]), read_tables(files[1])
        for name in sorted(set(old) & set(new)):
            change = table_change(name, old[name], new[name])
            told = [
                f"{change.n_before:,} → {change.n_after:,} rows",
                f"{change.n_added:,} added",
                f"{change.n_removed:,} removed",
                f"{change.n_relabeled:,} relabelled",
            ]
            told += [markdown_text(item) for item in [*change.schema, *change.distribution]]
            found.append(f"- `{path}`{f' {name}' if len(old) > 1 else ''}: {', '.join(told)}")
        found += [f"- `{path}` {name} is {'new' if name in new else 'gone'}" for name in sorted(set(old) ^ set(new))]
    return found


def _plots(before: Revision, after: Revision, sources: Sources, work: Path, into: Path) -> list[str]:
    from ratchet.reporting.plots_change import draw_all

    return [f"- {line}" for line in draw_all(before, after, sources.lock, sources.pipeline, work, into)]


def _verdicts(decision: dict[str, Any]) -> dict[tuple[str, ...], tuple[bool, str]]:
    found = {}
    for name, bundle in decision.get("bundles", {}).items():
        for gate in bundle.get("gates", []):
            key = (name, *(str(gate.get(part)) for part in ("metric", "scope", "against", "comparison", "rule")))
            found[key] = (bool(gate.get("passed")), str(gate.get("reason", "")))
    return found


def _gates(decision: dict[str, Any], name: str) -> str:
    gates = decision.get("bundles", {}).get(name, {}).get("gates")
    return MISSING if gates is None else str(sum(not gate.get("passed") for gate in gates))


def _accuracy(report: dict[str, Any], name: str) -> str:
    return number(report.get("bundles", {}).get(name, {}).get("metrics", {}).get("accuracy", {}).get("value"))


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _code(value: Any) -> str:
    text = str(value).replace("`", "'").replace("\n", " ")
    return MISSING if value is None else f"`{text[:80]}{'…' if len(text) > 80 else ''}`"
