"""Which bundles are explained, perturbed and judged: the top of the ranking, and the best one by the primary metric.

The cheapest bundle by the task's aim comes first, of those that are shown to lose little against the best; bundles
beyond a hard limit are left out, with the figure that says so. `promote` goes through the same ranking, so what it may
choose has been looked at, and where the first does harm the next is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

import ratchet.params
from ratchet.entry import entry
from ratchet.gates.measured_reports import read_whole
from ratchet.gates.ranking import Ties, candidates_in_order, most_accurate, rule_sentence, texts_needed
from ratchet.measure.report_files import write_report
from ratchet.params import load_params
from ratchet.task import MaxMemoryMb, MaxP95Ms, MaxSizeMb, TaskAim

READS = {"evaluate": "reports/evaluate.json", "measurements": "measurements/evaluate.json"}
WRITES = {"report": "reports/shortlist.json"}


class Params(ratchet.params.Params):
    """How bundles are ranked, and how many are looked at closely."""

    n_candidates: int = Field(ge=1)
    """Bundles on the shortlist, from the top of the ranking; the best one is put behind them, if not among them."""
    max_loss: float = Field(ge=0, le=1)
    """What a bundle may lose of the primary metric against the best one and still be preferred for being cheap."""
    confidence: float = Field(ge=0.5, lt=1)
    """One-sided confidence with which it must be shown to lose no more."""
    size_tie: float = Field(ge=0, le=1)
    """Bundles at most this much larger, on disk or in memory, than the smallest count as equally small; a rate."""
    latency_tie: float = Field(ge=0, le=1)
    """Bundles at most this much slower at p95, or more expensive, than the best count as its equals; a rate."""
    quality_tie: float = Field(ge=0, le=1)
    """Bundles at most this far below the best in the primary metric count as its equals."""
    aim: TaskAim
    max_size_mb: MaxSizeMb
    max_p95_ms: MaxP95Ms
    max_memory_mb: MaxMemoryMb

    @property
    def ties(self) -> Ties:
        """The differences that count as none."""
        return Ties(self.size_tie, self.latency_tie, self.quality_tie)

    @property
    def limits(self) -> dict[str, float]:
        """Metric → what it may be at most, of the limits that are set."""
        limits = {"size_mb": self.max_size_mb, "latency_p95_ms": self.max_p95_ms, "peak_memory_mb": self.max_memory_mb}
        return {metric: limit for metric, limit in limits.items() if limit}


def run(evaluated: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """The ranking of the deployable bundles within the limits, and the shortlist.

    Args:
        evaluated: the report of `evaluate`.
        params: see `Params`.
    """
    deployable = {name: item for name, item in evaluated["bundles"].items() if item.get("deployable")}
    over = {name: broken for name, item in sorted(deployable.items()) if (broken := _over(item, params.limits))}
    within = {name: item for name, item in deployable.items() if name not in over}
    near, ranking = candidates_in_order(within, params.max_loss, params.confidence, params.aim, params.ties)
    chosen = ranking[: params.n_candidates]
    best = most_accurate(within)
    last_resort = [best] if best and best not in chosen else []
    return {
        "aim": params.aim,
        "rule": rule_sentence(params.aim, params.ties, params.max_loss, params.confidence),
        "ranking": ranking,
        "over_limits": over,
        "near_the_best": near,
        "undecided": {
            name: needed
            for name, item in within.items()
            if (needed := texts_needed(item, params.max_loss, params.confidence)) is not None
        },
        "best": best,
        "shortlist": [*chosen, *last_resort],
    }


def _over(bundle: Mapping[str, Any], limits: Mapping[str, float]) -> list[str]:
    """The limits that a bundle does not keep, each with its figure; what was not measured does not keep one."""
    values = {metric: bundle["metrics"].get(metric, {}).get("value") for metric in limits}
    return [
        f"{metric} {'is not measured' if value is None else f'{value:.4g}'}, limit {limits[metric]:g}"
        for metric, value in values.items()
        if value is None or value > limits[metric]
    ]


def main() -> None:
    """Load the measurements, rank, save."""
    params = load_params(Params, "shortlist")
    report = run(read_whole(Path(READS["evaluate"]), Path(READS["measurements"])), params)
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.shortlist", **report})


if __name__ == "__main__":
    entry(main)
