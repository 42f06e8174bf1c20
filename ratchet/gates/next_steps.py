"""What to do about the data where no bundle may be released."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

MAX_CLASSES = 3
"""Classes that are named, those with the fewest labels first."""


def next_steps(
    split: Mapping[str, Any], validate: Mapping[str, Any], vet: Mapping[str, Any], sample: Mapping[str, Any]
) -> list[str]:
    """Steps in sentences, the cheapest for people first: what is there already is looked at before more is labelled.

    Args:
        split: reports/split.json.
        validate: reports/validate.json.
        vet: reports/vet.json.
        sample: reports/sample.json.

    >>> split = {"splits": {"train": {"labels": {"bug": 400, "idea": 30, "unlabelled": 900}}}}
    >>> sample = {"n_unlabeled": 900, "gained_per_hundred_labels": {"value": None}}
    >>> for step in next_steps(split, {"rules": {}}, {"n_flagged": 12, "n_labels": 430}, sample): print(step)
    12 of 430 labels look wrong to a model that did not learn from them: `ratchet labels push --suspects` asks again.
    Label about 185 more of idea: it has 30 texts to learn from, half of the classes have at least 215.
    900 texts have no label: `ratchet labels push` chooses those that teach most.
    """
    steps = []
    twins = validate.get("rules", {}).get("conflicting_labels", {}).get("observed")
    if twins:
        steps.append(
            f"{twins:,.0f} rows have texts with several labels, and nothing learns from them: look at the rule "
            "conflicting_labels in data/quarantine.parquet, and decide them."
        )
    if n_flagged := vet.get("n_flagged"):
        steps.append(
            f"{n_flagged:,} of {vet['n_labels']:,} labels look wrong to a model that did not learn from them: "
            "`ratchet labels push --suspects` asks again."
        )
    steps += _rare_classes(split["splits"]["train"]["labels"])
    n_unlabeled = sample.get("n_unlabeled", 0)
    if n_unlabeled:
        gained = sample.get("gained_per_hundred_labels") or {}
        worth = ""
        if (value := gained.get("value")) is not None:
            low, high = (100 * gained[bound] for bound in ("low", "high"))
            worth = f"; a hundred brought {100 * value:+.1f} points [{low:+.1f}, {high:+.1f}] at the end of the curve"
        steps.append(
            f"{n_unlabeled:,} texts have no label: `ratchet labels push` chooses those that teach most{worth}."
        )
    else:
        steps.append("Every text has its label: bring more texts, or merge classes that people confuse.")
    return steps


def _rare_classes(labels: Mapping[str, int]) -> list[str]:
    """A sentence for each class with less than half of what the class in the middle has."""
    counts = {name: n for name, n in labels.items() if name != "unlabelled"}
    middle = median(counts.values()) if counts else 0
    rare = sorted((name for name in counts if counts[name] < middle / 2), key=lambda name: counts[name])
    return [
        f"Label about {middle - counts[name]:,.0f} more of {name}: it has {counts[name]:,} texts to learn from, half "
        f"of the classes have at least {middle:,.0f}."
        for name in rare[:MAX_CLASSES]
    ]
