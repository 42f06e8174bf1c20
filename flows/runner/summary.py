"""Final table of a run: a line a bundle, best first, with what became of it; the verdict, the path of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.runner.openings import used_up

EVALUATION, JUDGEMENT = Path("reports/evaluate.json"), Path("reports/judge.json")
DECISION, REPORT = Path("reports/decision.json"), Path("reports/report.html")
MEASUREMENTS = Path("measurements")
MAX_REASON = 320
"""Most characters of a reason that are printed."""
COLUMNS = {
    "validation": ("primary", "{:.3f}"),
    "test": ("test_primary", "{:.3f}"),
    "p95 ms": ("latency_p95_ms", "{:.1f}"),
    "MB": ("size_mb", "{:.1f}"),
}
"""Heading → metric of reports/evaluate.json and how its figure is written."""


def print_summary(root: Path, console: Console) -> None:
    """Print the summary table and the verdict; nothing where there are no reports."""
    if not all((root / path).is_file() for path in (EVALUATION, JUDGEMENT, DECISION)):
        return
    from ratchet.gates.measured_reports import read_known, read_report, with_judgement  # only where it is needed
    from ratchet.measure.formats import metric_name

    evaluation, decision = (read_known(root / path, root / MEASUREMENTS / path.name) for path in (EVALUATION, DECISION))
    evaluation = with_judgement(evaluation, read_report(root / JUDGEMENT))
    console.print()
    metric = metric_name(evaluation["primary_metric"])
    console.print(Text(f"{metric}: on validation texts, to choose by; on the sealed test, to judge by", "dim"))
    console.print(summary_table(evaluation["bundles"], decision))
    for line in not_built_lines(evaluation.get("left_out", {})):
        console.print(Text(line, style="dim"))
    console.print(verdict(decision))
    if warning := used_up(root):
        console.print(Text(warning, style="bold yellow"))
    if (root / REPORT).is_file():
        console.print(Text(f"Report: {REPORT}"))


def end_line(n_stages: int, counts: Mapping[str, int]) -> str:
    """The last line of a run: its stages by state.

    >>> end_line(24, {"Cached": 22, "Ran": 2})
    '24 stages: cached 22, ran 2'
    """
    return f"{n_stages} stages: {', '.join(f'{state.lower()} {n}' for state, n in counts.items())}"


def summary_table(bundles: dict[str, Any], decision: dict[str, Any]) -> Table:
    """A row a bundle: those that were judged in their order, then the others; and why one is not the chosen one."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("bundle", no_wrap=True)
    for heading in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    judged = [name for name in decision["ranking"] if name in bundles]
    for name in [*judged, *sorted(set(bundles) - set(judged))]:
        metrics = bundles[name]["metrics"]
        cells = [_cell(metrics.get(metric), form, metric == "test_primary") for metric, form in COLUMNS.values()]
        table.add_row(name, *cells, outcome(name, decision), style="bold" if name == decision["chosen"] else "")
    return table


def not_built_lines(left_out: Mapping[str, str]) -> list[str]:
    """A line a reason: the bundles that were asked for, and why there are none.

    >>> not_built_lines({"student": "TF-IDF is better", "pruned": "TF-IDF is better"})
    ['Not built: student, pruned: TF-IDF is better']
    """
    from ratchet.ladder import not_built  # only where it is needed

    return [
        shorten(f"Not built: {', '.join(names)}: {reason}", MAX_REASON, placeholder=" …")
        for reason, names in not_built(left_out).items()
    ]


def outcome(name: str, decision: dict[str, Any]) -> str:
    """What became of a bundle in a few words.

    >>> failed = {"gates": [{"metric": "ece", "passed": False}]}
    >>> outcome("a", {"chosen": "b", "ranking": ["a", "b"], "bundles": {"a": failed}, "over_limits": {}})
    'fails ece'
    """
    if name == decision["chosen"]:
        return "chosen"
    if name in decision["over_limits"]:
        return "beyond a limit"
    if name not in decision["bundles"]:
        if name in decision["near_the_best"]:
            return "later in order"
        return "loss not settled" if name in decision["undecided"] else "loses too much"
    failed = dict.fromkeys(gate["metric"] for gate in decision["bundles"][name]["gates"] if not gate["passed"])
    return f"fails {', '.join(failed)}" if failed else "passes too"


def verdict(decision: dict[str, Any]) -> Text:
    """The verdict with its first reason, and where to read the others."""
    accepted = decision["verdict"] == "accepted"
    text = Text(f"\nPromotion: {decision['verdict']}", style="bold green" if accepted else "bold red")
    if decision["chosen"]:
        text.append(f" — {decision['chosen']}")
    shown = decision["reasons"][:1] if accepted else decision["reasons"]
    for reason in shown:
        text.append(
            f"\n  · {shorten(reason, MAX_REASON, placeholder=' … (the report has it whole)')}", "default not bold"
        )
    for step in decision.get("next_steps", []):
        text.append(f"\n  → {step}", "default not bold")
    if n_more := len(decision["reasons"]) - len(shown):
        text.append(
            f"\n  · {n_more} more in the report: what was not shown either way, and why not the others",
            "default not bold",
        )
    return text


def _cell(estimate: dict[str, Any] | None, form: str, with_interval: bool) -> str:
    """The value, with half of its interval where there is room; a dash where it is undefined.

    >>> _cell({"value": 0.81234, "low": 0.79, "high": 0.83}, "{:.3f}", True), _cell({"value": None}, "{:.3f}", True)
    ('0.812 ± 0.020', '–')
    """
    if not estimate or estimate.get("value") is None:
        return "–"
    value = form.format(estimate["value"])
    low, high = estimate.get("low"), estimate.get("high")
    if not with_interval or low is None or high is None or low == high:
        return value
    return f"{value} ± {form.format((high - low) / 2)}"
