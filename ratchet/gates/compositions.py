"""Compositions of compression techniques side by side: what each gives, and which ones nothing else beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

AXES = {"accuracy": 1, "latency_p95_ms": -1, "size_mb": -1, "cost_per_million_usd": -1}
"""What a composition is judged by → whether more (1) or less (-1) is better."""
UNITS = {"latency_p95_ms": "p95, ms", "size_mb": "MB", "cost_per_million_usd": "USD per million"}


class Row(NamedTuple):
    """One bundle of one composition."""

    composition: str
    bundle: str
    metrics: Mapping[str, Mapping[str, float]]
    """As `evaluate` reports them: metric → value, low, high."""
    against_teacher: Mapping[str, Mapping[str, float]]
    """The same, against the teacher of the same run: accuracy as a difference, the others as ratios."""


def rows_of(reports: Mapping[str, Mapping[str, Any]], bundles: Sequence[str]) -> list[Row]:
    """The named bundles of each composition's `evaluate` report, in the order of both."""
    return [
        Row(composition, name, item["metrics"], item["against"].get("teacher", {}))
        for composition, report in reports.items()
        for name, item in report["bundles"].items()
        if name in bundles
    ]


def pareto_front(rows: Sequence[Row]) -> list[Row]:
    """The rows that no other row beats: none is at least as good on every axis and better on one.

    An undefined figure counts as the worst there is, so such a row is on the front only for what it does have.
    """
    scores = np.array([[_score(row, axis) for axis in AXES] for row in rows])  # (n_rows, n_axes), more is better
    return [
        row
        for row, own in zip(rows, scores, strict=True)
        if not np.any(np.all(scores >= own, axis=1) & np.any(scores > own, axis=1))
    ]


def table(rows: Sequence[Row], bundles: Sequence[str] = ()) -> str:
    """The rows as Markdown: figures, each against its teacher with the 95 % interval; the front of all in bold.

    Args:
        rows: all there are.
        bundles: those to show; none: all.
    """
    front = {(row.composition, row.bundle) for row in pareto_front(rows)}
    lines = [
        "| composition | bundle | accuracy − teacher, points | size × | p95 × | cost × | MB | p95, ms |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in (row for row in rows if not bundles or row.bundle in bundles):
        name = f"**{row.composition}**" if (row.composition, row.bundle) in front else row.composition
        versus = row.against_teacher
        cells = [
            _points(versus.get("accuracy")),
            _times(versus.get("size_mb")),
            _times(versus.get("latency_p95_ms")),
            _times(versus.get("cost_per_million_usd")),
            _plain(row.metrics.get("size_mb")),
            _plain(row.metrics.get("latency_p95_ms")),
        ]
        lines.append(f"| {name} | {row.bundle} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw_front(rows: Sequence[Row], path: Path) -> None:
    """A PNG with accuracy over p95 latency, size and cost, the Pareto front filled."""
    from matplotlib.figure import Figure

    front = {(row.composition, row.bundle) for row in pareto_front(rows)}
    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, axis in zip(figure.subplots(1, 3, sharey=True), list(AXES)[1:], strict=True):
        for row in rows:
            x, y = row.metrics[axis]["value"], row.metrics["accuracy"]
            best = (row.composition, row.bundle) in front
            axes.errorbar(
                x,
                y["value"],
                yerr=[[y["value"] - y["low"]], [y["high"] - y["value"]]],
                fmt="o",
                color="tab:blue",
                ecolor="0.8",
                markerfacecolor="tab:blue" if best else "white",
            )
            if best:
                axes.annotate(f"{row.composition}\n{row.bundle}", (x, y["value"]), fontsize=6)
        axes.set_xscale("log")
        axes.set_xlabel(UNITS[axis])
    figure.axes[0].set_ylabel("accuracy, 95 % interval")
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _score(row: Row, axis: str) -> float:
    value = row.metrics.get(axis, {}).get("value")
    return -np.inf if value is None or np.isnan(value) else AXES[axis] * value


def _points(estimate: Mapping[str, float] | None) -> str:
    if not estimate:
        return "–"
    return f"{100 * estimate['value']:+.1f} [{100 * estimate['low']:+.1f}, {100 * estimate['high']:+.1f}]"


def _times(estimate: Mapping[str, float] | None) -> str:
    """A ratio to the teacher as how many times less: 0.1 is 10."""
    if not estimate or not estimate["value"]:
        return "–"
    text = f"{1 / estimate['value']:.1f}"
    if estimate["low"] == estimate["high"]:
        return text
    return f"{text} [{1 / estimate['high']:.1f}, {1 / estimate['low']:.1f}]"


def _plain(estimate: Mapping[str, float] | None) -> str:
    return "–" if not estimate else f"{estimate['value']:.3g}"
