"""The cost of a month as a report, and as tables for a README: what `ratchet cost` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ratchet.errors import PipelineError
from ratchet.gates.measured_reports import read_report, read_whole
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_text, markdown_text, number
from ratchet.params import load_params
from ratchet.reporting.cost_section import load_text
from ratchet.reporting.ownership import TRAINING, CostParams, Prices, cost_report


def make_report(live: Path, prices: Prices, workspace: Path) -> dict[str, Any]:
    """The cost report of a workspace, from its folders `reports` and `measurements`.

    Raises:
        PipelineError: a report is missing, or nothing was chosen.
    """
    reports, measured = workspace / "reports", workspace / "measurements"
    decision = read_report(reports / "decision.json")
    if not (chosen := decision.get("chosen")):
        raise PipelineError("No bundle was chosen, so there is no cost to report.", where=reports / "decision.json")
    evaluate = read_whole(reports / "evaluate.json", measured / "evaluate.json")
    stages = {stage: read_whole(reports / f"{stage}.json", measured / f"{stage}.json") for stage in TRAINING}
    trained = {stage: report for stage, report in stages.items() if "left_out" not in report}
    loads = load_params(CostParams, "cost", live)
    found = cost_report(evaluate, trained, read_report(reports / "sample.json"), chosen, loads, prices)
    return {"command": "ratchet cost", **found}


def tables(report: dict[str, Any]) -> str:
    """Tables of the monthly cost and of each optimization's savings, as Markdown."""
    month = report["usd_per_month"]
    lines = [
        f"{load_text(report)} US dollars a month:",
        "",
        f"| {' | '.join(month)} |",
        "|---:" * len(month) + "|",
        f"| {' | '.join(_text(item) for item in month.values())} |",
        "",
        "| bundle | CPU-ms a text | used, USD | saved | cores | reserved, USD | saved | texts on the fewest cores |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report["optimizations"]:
        cells = [
            markdown_text(row["bundle"]),
            _text(row["cpu_ms_per_text"]),
            _text(row["used_usd"]),
            number(row["used_usd_saved"]),
            number(row["cores"]),
            number(row["reserved_usd"]["value"]),
            number(row["reserved_usd_saved"]),
            f"{row['requests_on_fewest_cores'] / 1e6:,.0f} million",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _text(item: dict[str, Any]) -> str:
    return estimate_text(Estimate.from_json(item))
