"""Total cost of ownership a month: training, labelling, serving, monitoring; and the savings of each optimization.

Serving has two prices. *Used*: processor time of the answers alone, what one would pay where idle cores
cost nothing. *Reserved*: cores that are there all month for the busiest hour, never fewer than a service needs to stay
up. A faster model always saves the first; the second only above the load that the fewest cores can carry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from ratchet.errors import PipelineError
from ratchet.gates.measured_reports import Report, metric_of
from ratchet.measure.estimate import Estimate, exact
from ratchet.params import At, Params
from ratchet.task import TrainThreads

HOURS = 730.0
"""Of a month."""
SECONDS = 3600.0
TRAINING = ("train", "distil", "prune")
"""The stages that cost most, with their own time in their reports."""


class CostParams(Params):
    """The block `cost` of live.yaml: the load, and what cannot be measured."""

    requests_per_month: int = Field(ge=1)
    """Texts answered a month, for which costs are reported."""
    peak_factor: float = Field(ge=1.0)
    """Requests in the busiest hour, as a multiple of the average hour: the peak-to-average ratio."""
    max_utilisation: float = Field(gt=0.0, le=1.0)
    """Highest utilisation of a core in the busiest hour before answers wait."""
    min_cores: int = Field(ge=1)
    """Cores of the smallest service that stays up."""
    overhead_cpu_ms: float = Field(ge=0.0)
    """Processor time of a request beyond the model's, in milliseconds."""
    monitoring_cpu_s: float = Field(ge=0.0)
    """Processor seconds of monitoring for 100,000 logged requests."""
    retrainings_per_month: float = Field(ge=0.0)
    """Retrainings on new labels a month."""
    labels_per_retraining: int = Field(ge=0)
    """Labels that people give each time."""
    assumed_seconds_per_label: float = Field(gt=0.0)
    """People's time for a label until it has been measured; the report says which of the two it used."""


class Prices(Params):
    """Hourly prices in US dollars, and the number of training cores."""

    core_hour: Annotated[float, Field(gt=0), At("evaluate.prices", view=lambda prices: prices[0]["usd_per_core_hour"])]
    annotator_hour: Annotated[float, Field(ge=0), At("sample.usd_per_annotator_hour")]
    train_threads: TrainThreads


def cost_report(
    evaluate: Report,
    trained: Mapping[str, Report],
    sample: Report,
    chosen: str,
    params: CostParams,
    prices: Prices,
) -> dict[str, Any]:
    """The costs of a month at the stated load, and those of each bundle from the chosen one back to the teacher.

    Args:
        evaluate: metrics of all bundles.
        trained: the reports of the stages in `TRAINING` that trained anything, with their `seconds`.
        sample: the report that holds what people's labels cost.
        chosen: the bundle that serves.
        params: the load.
        prices: of hours; that of cores must be the one of `cost_per_million_usd`, the first one. Training is paid for
            on all the cores it used.
    """
    lineage = _lineage(evaluate, chosen)
    months = {name: serving(evaluate, name, params, prices) for name in lineage}
    training_s = {stage: float(report["seconds"]) * prices.train_threads for stage, report in trained.items()}
    training = sum(training_s.values()) / SECONDS * prices.core_hour * params.retrainings_per_month
    labels = labelling(sample, params, prices)
    watched = params.requests_per_month / 1e5 * params.monitoring_cpu_s / SECONDS * prices.core_hour
    parts = {
        "labelling": labels["usd"],
        "training": exact(training).to_json(),
        "serving": months[chosen]["reserved_usd"],
        "monitoring": exact(watched).to_json(),
    }
    return {
        "chosen": chosen,
        "load": params.model_dump(),
        "usd_per_core_hour": prices.core_hour,
        "usd_per_month": {**parts, "total": _sum(list(parts.values()))},
        "labels": labels,
        "training_core_seconds": training_s,
        "optimizations": [_saved(months, lineage, index) for index in range(len(lineage))],
    }


def serving(evaluate: Report, name: str, params: CostParams, prices: Prices) -> dict[str, Any]:
    """Serving cost of a bundle a month: processor seconds, cores, and US dollars used and reserved."""
    price = metric_of(evaluate["bundles"][name], "cost_per_million_usd")
    per_usd = SECONDS / (1e6 * prices.core_hour)  # CPU-seconds a text for a dollar a million
    text_s = _scaled(price, per_usd)
    request_s = _shifted(text_s, params.overhead_cpu_ms / 1000)
    used = _scaled(request_s, params.requests_per_month / SECONDS * prices.core_hour)
    busiest = params.requests_per_month / (HOURS * SECONDS) * params.peak_factor / params.max_utilisation
    value, low, high = (_cores(end * busiest, params) for end in (request_s.value, request_s.low, request_s.high))
    reserved = _scaled(Estimate(value, low, high, price.n), HOURS * prices.core_hour)
    carries = params.min_cores / (request_s.value * busiest) * params.requests_per_month
    return {
        "cpu_ms_per_text": _scaled(text_s, 1000.0).to_json(),
        "used_usd": used.to_json(),
        "cores": value,
        "reserved_usd": reserved.to_json(),
        "requests_on_fewest_cores": int(carries),
    }


def labelling(sample: Report, params: CostParams, prices: Prices) -> dict[str, Any]:
    """Labelling cost a month, by measured seconds for a label or by assumed ones, and which of the two."""
    measured = Estimate.from_json(sample["people"]["seconds_per_label"])
    known = not math.isnan(measured.value)
    seconds = measured if known else exact(params.assumed_seconds_per_label)
    n = params.labels_per_retraining * params.retrainings_per_month
    return {
        "seconds_per_label": seconds.to_json(),
        "measured": known,
        "n_per_month": n,
        "usd": _scaled(seconds, n / SECONDS * prices.annotator_hour).to_json(),
    }


def _lineage(evaluate: Report, chosen: str) -> list[str]:
    """The bundles from the first ancestor to the chosen one."""
    names: list[str] = []
    name = chosen
    while name:
        if name not in evaluate["bundles"] or name in names:
            raise PipelineError(
                "A bundle's parent was not evaluated.", got=name, expected=", ".join(evaluate["bundles"])
            )
        names.insert(0, name)
        name = evaluate["bundles"][name].get("parent") or ""
    return names


def _saved(months: Mapping[str, dict[str, Any]], lineage: list[str], index: int) -> dict[str, Any]:
    """A bundle's row: what it takes, and what it saves against the one before and against the first."""
    month = months[lineage[index]]
    before = months[lineage[max(index - 1, 0)]]
    return {
        "bundle": lineage[index],
        **month,
        "used_usd_saved": before["used_usd"]["value"] - month["used_usd"]["value"],
        "reserved_usd_saved": before["reserved_usd"]["value"] - month["reserved_usd"]["value"],
        "times_cheaper_than_first": months[lineage[0]]["used_usd"]["value"] / month["used_usd"]["value"],
    }


def _cores(busy: float, params: CostParams) -> float:
    return float(max(params.min_cores, math.ceil(busy))) if math.isfinite(busy) else math.nan


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(estimate.value * factor, estimate.low * factor, estimate.high * factor, estimate.n, estimate.reason)


def _shifted(estimate: Estimate, by: float) -> Estimate:
    return Estimate(estimate.value + by, estimate.low + by, estimate.high + by, estimate.n, estimate.reason)


def _sum(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of estimates; ends are added, which is wider than the sum's own interval."""
    read = [Estimate.from_json(part) for part in parts]
    total = {end: sum(getattr(part, end) for part in read) for end in ("value", "low", "high")}
    return Estimate(**total, n=min(part.n for part in read)).to_json()
