"""Which bundles are explained, perturbed and tried: the top of the ranking, of those that lose little quality.

The ranking follows the aim of the task; bundles beyond a hard limit are left out of it, with the figure that says so.
`promote` goes through the same ranking, so what it may choose has been looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

import ratchet.params
from ratchet.entry import entry
from ratchet.gates.measured_reports import read_whole
from ratchet.gates.ranking import Ties, contenders, rank, rule_sentence
from ratchet.measure.report_files import write_report
from ratchet.params import load_params
from ratchet.task import MaxMemoryMb, MaxP95Ms, MaxSizeMb, TaskAim

READS = {"evaluate": "reports/evaluate.json", "measurements": "measurements/evaluate.json"}
WRITES = {"report": "reports/shortlist.json"}


class Params(ratchet.params.Params):
    """How bundles are ranked, and how many are looked at closely."""

    n_candidates: int = Field(ge=1)
    """Bundles on the shortlist, from the top of the ranking."""
    max_loss: float = Field(ge=0, le=1)
    """Bundles that lose more of the primary metric against the teacher are passed over."""
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
    near = contenders(within, params.max_loss, params.aim, params.ties)
    return {
        "aim": params.aim,
        "rule": rule_sentence(params.aim, params.ties),
        "ranking": rank(within, params.aim, params.ties),
        "over_limits": over,
        "near_the_teacher": near,
        "shortlist": near[: params.n_candidates],
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
