"""The gates of a task of one's own: those that its data can answer, with bounds that are of no task in particular.

A gate is proposed only where something can be measured for it: behaviour of the kinds that the suite has cases of,
groups of people where attributes or columns name them, selection where a class counts as selected. `not_asked` names
the others. The bounds are what any classifier must keep to be worth serving (better than a constant answer, no worse
than TF-IDF, and than chance in its worst slice); those of a product are for people to tighten. Most refuse what is
shown to do harm, so that few texts make no sound model fail. Nothing is asked of size and speed, which the ranking is
about: a hard limit on them is a value of the task.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ratchet.gates.gates import Gate

KINDS = {"minimum": 0.10, "negation": 0.40, "invariance": 0.12, "direction": 0.10}
"""Kind of behaviour test → share of its cases that may fail."""


@dataclass(frozen=True)
class Facts:
    """What of a task decides which gates it can be asked to pass."""

    n_classes: int
    has_selected: bool = False
    """Whether any class counts as selected (`task.selected`)."""
    has_people: bool = False
    """Whether `audit.attributes` or `audit.columns` name groups of people."""
    has_swaps: bool = False
    """Whether the lexicon has terms to exchange, or templates."""
    has_cues: bool = False
    """Whether words that may decide are listed, in triggers.yaml or contrast.yaml: without such a list the words that
    make a class would be taken for triggers."""
    behaviour_kinds: Collection[str] = field(default_factory=frozenset)
    """Kinds of behaviour test that the suite has cases of."""


class Proposal(NamedTuple):
    """A gate, and why it stands there with this bound."""

    gate: Gate
    reason: str


def propose_gates(facts: Facts) -> list[Proposal]:
    """The gates that the task's data can answer, in the order in which they are shown."""
    found = [*_quality(facts), *_people(facts), *_behaviour(facts), *_explanations()]
    return [Proposal(gate, reason) for gate, reason in found]


def not_asked(facts: Facts) -> dict[str, str]:
    """Metric → why no gate asks for it, of those that the demo's task is asked and this one cannot be.

    >>> sorted(not_asked(Facts(3, has_people=True, has_swaps=True, has_cues=True, behaviour_kinds=set(KINDS))))
    ['demographic_parity_ratio']
    """
    found = {f"{kind}_failure_rate": f"no {kind} cases" for kind in KINDS if kind not in facts.behaviour_kinds}
    if not facts.has_people:
        nobody = "no groups of people are named"
        found |= dict.fromkeys(("sensitive_equalized_odds_difference", "calibration_gap"), nobody)
    if not (facts.has_people and facts.has_selected):
        nobody = "no class counts as selected" if facts.has_people else "no groups of people are named"
        found["demographic_parity_ratio"] = nobody
    if not facts.has_swaps:
        found["counterfactual_flip_rate"] = "no identity terms to exchange"
    if not facts.has_cues:
        found["trigger_flip_rate"] = "no list of words that may decide"
    return found


def _quality(facts: Facts) -> list[tuple[Gate, str]]:
    chance = math.floor(100 / facts.n_classes) / 100
    against_slices: dict[str, Any] = {"scope": "every_slice", "rule": "harm", "when_undefined": "waive"}
    return [
        (_gate("primary", 0.0, against="majority", rule="interval"), "shown to be better than a constant answer"),
        (_gate("primary", 0.0, against="baseline", rule="harm"), "not worse than TF-IDF with logistic regression"),
        (_gate("primary", -0.015, against="best", rule="harm"), "at most 1.5 points worse than the best bundle"),
        (_gate("primary", -0.01, against="champion", rule="harm"), "not a point worse than what serves"),
        (_gate("accuracy", -0.05, against="baseline", **against_slices), "no slice falls far below TF-IDF"),
        (_gate("accuracy", -0.07, against="teacher", **against_slices), "compression harms no slice far beyond others"),
        (_gate("accuracy", -0.15, against="champion", **against_slices), "no slice falls far below what serves"),
        (
            _gate("worst_slice_accuracy", chance, rule="harm"),
            f"no slice is served worse than by chance, 1 in {facts.n_classes}",
        ),
        (_gate("ece", 0.10, at_most=True, rule="harm"), "confidence is within ten points of accuracy"),
        (_gate("test_leak_rate", 0.0, at_most=True), "no test text was learned from"),
        (
            _gate("better_on_test", 0.08, at_most=True, rule="harm"),
            "far better on test than on validation texts means a leak",
        ),
    ]


def _people(facts: Facts) -> list[tuple[Gate, str]]:
    found = []
    lenient: dict[str, Any] = {"rule": "harm", "when_undefined": "waive"}
    if facts.has_people:
        why = "groups of people are served alike; waived where fewer than two groups are large enough"
        found += [
            (_gate("sensitive_equalized_odds_difference", 0.40, at_most=True, **lenient), why),
            (_gate("calibration_gap", 0.35, at_most=True, **lenient), why),
        ]
        if facts.has_selected:
            found.append((_gate("demographic_parity_ratio", 0.50, **lenient), why))
    if facts.has_swaps:
        swapped = "whom a text speaks of does not decide its class"
        found.append((_gate("counterfactual_flip_rate", 0.10, at_most=True, rule="harm"), swapped))
    return found


def _behaviour(facts: Facts) -> list[tuple[Gate, str]]:
    harm: dict[str, Any] = {"at_most": True, "rule": "harm"}
    found = [
        (_gate(f"{kind}_failure_rate", bound, **harm), f"at most {bound:.0%} of the {kind} cases fail")
        for kind, bound in KINDS.items()
        if kind in facts.behaviour_kinds
    ]
    if facts.has_cues:
        # by value: so few texts measure it that even a word which turns all of them would not be shown to
        found.append((_gate("trigger_flip_rate", 0.70, at_most=True), "no single word decides whatever else is said"))
    return found


def _explanations() -> list[tuple[Gate, str]]:
    return [
        (_gate("n_explained", 1), "explanations exist"),
        (_gate("shap_difference", 1e-6, at_most=True), "they are those of shap's own explainer"),
        (
            _gate("faithfulness_gain", 0.05, rule="harm"),
            "the words that explanations name matter more than random words; fails where they are shown not to",
        ),
    ]


def _gate(metric: str, bound: float, *, at_most: bool = False, **more: Any) -> Gate:
    """A gate on the bundle's own point estimate that fails where it is unknown, unless `more` says otherwise."""
    usual: dict[str, Any] = {"scope": "bundle", "against": "absolute", "rule": "value", "when_undefined": "fail"}
    comparison: Literal["at_least", "at_most"] = "at_most" if at_most else "at_least"
    return Gate(metric=metric, bound=bound, comparison=comparison, **{**usual, **more})
