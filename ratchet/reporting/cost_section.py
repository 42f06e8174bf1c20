"""The cost section of the report page: load, monthly cost by part, savings by optimization."""

from __future__ import annotations

from typing import Any

from ratchet.gates.measured_reports import Report
from ratchet.measure.estimate import exact
from ratchet.measure.formats import number
from ratchet.reporting.outline import outline


def cost_section(report: Report | None) -> dict[str, Any] | None:
    """The load in words, and two tables; None where costs are not known, since nothing was chosen."""
    if not report:
        return None
    month = report["usd_per_month"]
    serves = [("serving, cores reserved", "serving"), ("monitoring", "monitoring"), ("total", "total")]
    parts = [("labelling", "labelling"), ("training", "training"), *serves]
    rows = [
        {
            "bundle": row["bundle"],
            "CPU-ms a text": row["cpu_ms_per_text"],
            "used, USD": row["used_usd"],
            "saved by it": exact(row["used_usd_saved"]).to_json(),
            "cores": number(row["cores"]),
            "reserved, USD": row["reserved_usd"],
            "saved by it, reserved": exact(row["reserved_usd_saved"]).to_json(),
            "times cheaper than the first": f"{row['times_cheaper_than_first']:.1f}",
        }
        for row in report["optimizations"]
    ]
    return {
        "summary": load_text(report),
        "month": outline([{title: month[name] for title, name in parts}]),
        "saved": outline(rows),
        "command": report["command"],
    }


def load_text(report: Report) -> str:
    """The load that costs are reported for, in a sentence, and which part of it is an assumption."""
    load, labels = report["load"], report["labels"]
    assumed = "" if labels["measured"] else " (their seconds are an assumption: nobody was timed yet)"
    return (
        f"{load['requests_per_month']:,} texts a month, the busiest hour {load['peak_factor']:g} times the "
        f"average; {number(labels['n_per_month'])} labels by people{assumed}."
    )
