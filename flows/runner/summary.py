"""Final table of a run: baseline, teacher, student and chosen model, the verdict, the path of the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

EVALUATION, DECISION, REPORT = Path("reports/evaluate.json"), Path("reports/decision.json"), Path("reports/report.html")
MEASUREMENTS = Path("measurements")
MAX_REASON = 320
"""Most characters of a reason that are printed."""
ALWAYS = ("baseline", "teacher", "student")
COLUMNS = {
    "accuracy": ("accuracy", "{:.3f}"),
    "p95 ms": ("latency_p95_ms", "{:.1f}"),
    "size MB": ("size_mb", "{:.1f}"),
    "$ per million": ("cost_per_million_usd", "{:.3f}"),
}
"""Heading → metric of reports/evaluate.json and how its figure is written."""


def print_summary(root: Path, console: Console) -> None:
    """Print the summary table and the verdict; nothing where there are no reports."""
    if not (root / EVALUATION).is_file() or not (root / DECISION).is_file():
        return
    from ratchet.gates.measured_reports import read_known  # only where there is something to print

    evaluation, decision = (read_known(root / path, root / MEASUREMENTS / path.name) for path in (EVALUATION, DECISION))
    console.print()
    console.print(summary_table(evaluation["bundles"], decision["chosen"]))
    console.print(verdict(decision))
    if (root / REPORT).is_file():
        console.print(Text(f"Report: {REPORT}"))


def end_line(n_stages: int, counts: Mapping[str, int]) -> str:
    """The last line of a run: its stages by state.

    >>> end_line(24, {"Cached": 22, "Ran": 2})
    '24 stages: cached 22, ran 2'
    """
    return f"{n_stages} stages: {', '.join(f'{state.lower()} {n}' for state, n in counts.items())}"


def summary_table(bundles: dict[str, Any], chosen: str | None) -> Table:
    """A row a model; the chosen one last and marked, also when it is one of the others."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    for heading in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    rows = [(name, name) for name in ALWAYS if name in bundles]
    if chosen in bundles:
        rows.append((f"chosen: {chosen}", str(chosen)))
    for title, name in rows:
        metrics = bundles[name]["metrics"]
        cells = [_cell(metrics.get(metric), form, metric == "accuracy") for metric, form in COLUMNS.values()]
        table.add_row(title, *cells, style="bold" if title != name else "")
    return table


def verdict(decision: dict[str, Any]) -> Text:
    """The gate's verdict with its reasons, each cut to a few lines: the report has them whole."""
    accepted = decision["verdict"] == "accepted"
    text = Text(f"\nPromotion: {decision['verdict']}", style="bold green" if accepted else "bold red")
    if decision["chosen"]:
        text.append(f" — {decision['chosen']}")
    for reason in decision["reasons"]:
        short = shorten(reason, MAX_REASON, placeholder=" … (full text in the report)")
        text.append(f"\n  · {short}", style="default not bold")
    return text


def _cell(estimate: dict[str, Any] | None, form: str, with_interval: bool) -> str:
    """The value, with its interval where there is room; a dash where it is undefined.

    >>> _cell({"value": 0.81234, "low": 0.79, "high": 0.83}, "{:.3f}", True), _cell({"value": None}, "{:.3f}", True)
    ('0.812 [0.790, 0.830]', '–')
    """
    if not estimate or estimate.get("value") is None:
        return "–"
    value = form.format(estimate["value"])
    low, high = estimate.get("low"), estimate.get("high")
    if not with_interval or low is None or high is None or low == high:
        return value
    return f"{value} [{form.format(low)}, {form.format(high)}]"
