"""Cost and gain of labels, from the report of `sample`, as the report page shows them."""

from __future__ import annotations

from typing import Any

from ratchet.gates.measured_reports import Report
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_or_reason, metric_name


def label_worth(sample: Report | None) -> dict[str, Any]:
    """Figures in words; what is undefined says why. Empty for a report that knows nothing of people.

    >>> gained = {"value": 0.01, "low": 0.005, "high": 0.015, "n": 5}
    >>> nobody = {"value": None, "low": None, "high": None, "n": 0, "reason": "no person has labelled a text yet"}
    >>> people = {"n_people": 0, "n_resolved": 0, "n_escalated": 0, "n_answers": 0,
    ...           "seconds_per_label": nobody, "usd_per_hundred_labels": nobody}
    >>> worth = label_worth(
    ...     {"people": people, "primary_metric": "macro_f1", "gained_per_hundred_labels": gained}
    ... )
    >>> worth["macro-F1 improved by a hundred more labels"], worth["price of a hundred labels, USD"]
    ('0.010 [0.005, 0.015]', 'unknown: no person has labelled a text yet')
    """
    people = (sample or {}).get("people")
    if not sample or not people:
        return {}
    price, gain = (
        Estimate.from_json(found) for found in (people["usd_per_hundred_labels"], sample["gained_per_hundred_labels"])
    )
    point = price.value / gain.value / 100 if gain.value > 0 else float("nan")
    metric = metric_name(sample["primary_metric"])
    reason = price.reason or gain.reason or "a hundred more labels gain nothing"
    worth = {
        "people who labelled": people["n_people"],
        "labels by people": people["n_resolved"],
        "texts in conflict": people["n_escalated"],
        "people’s seconds for one label": estimate_or_reason(Estimate.from_json(people["seconds_per_label"])),
        "price of a hundred labels, USD": estimate_or_reason(price),
        f"{metric} improved by a hundred more labels": estimate_or_reason(gain),
        f"price of improving {metric} by 0.01, USD": estimate_or_reason(
            Estimate(point, float("nan"), float("nan"), gain.n, reason)
        ),
    }
    if alpha := people.get("agreement", {}).get("krippendorff_alpha"):
        worth["agreement of people, Krippendorff’s alpha"] = estimate_or_reason(Estimate.from_json(alpha))
    return worth
