"""The architecture section of the report page: candidates, their Pareto front, and the one the labels ask for."""

from __future__ import annotations

from typing import Any

from ratchet.gates.measured_reports import Report
from ratchet.measure.estimate import Estimate
from ratchet.reporting.figures import Point, scatter
from ratchet.reporting.outline import outline


def architecture_section(report: Report | None, data_sha256: str) -> dict[str, Any] | None:
    """The candidates as a figure and a table, and the one that the data asks for in words.

    Args:
        report: of `python -m benchmarks.architectures`; None where it has not run.
        data_sha256: hash of the labels that the teacher learned from; measured on other labels, a candidate says
            nothing about these.

    None where there is nothing to show.
    """
    if not report or report["data_sha256"] != data_sha256:
        return None
    found, asked_for, best = report["candidates"], report["asked_for"], report["most_accurate"]
    points_lost = f"{report['max_loss'] * 100:g} points"
    if asked_for == best:
        why = f"every smaller candidate may lose more than {points_lost} against it"
    else:
        why = f"the smallest that loses no more than {points_lost} against {best}"
    points = [Point(n, f["latency_p95_ms"]["value"], Estimate.from_json(f["accuracy"])) for n, f in found.items()]
    rows = [
        {
            "architecture": name,
            "accuracy": item["accuracy"],
            "against the most accurate": report["against_most_accurate"][name],
            "latency_p95_ms": item["latency_p95_ms"],
            "size_mb": item["size_mb"],
            "CPU-seconds of training": item["train_cpu_s"],
            "on the front": "yes" if name in report["front"] else "no",
        }
        for name, item in found.items()
    ]
    return {
        "summary": f"{report['n_train']:,} labels ask for {asked_for}: {why}, as far as a 95 % interval can tell.",
        "scatter": scatter(points, asked_for, "p95 latency, ms (one text at a time)", "accuracy"),
        "rows": outline(rows),
        "command": report["command"],
    }
