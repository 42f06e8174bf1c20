"""Counterfactual token fairness: what a prediction does when only whom the text speaks of changes.

Source: Garg et al. 2019, Counterfactual Fairness in Text Classification through Robustness,
https://arxiv.org/abs/1809.10610.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import interval_estimate, mean_draws, proportion_estimate, weights
from ratchet.measure.estimate import Estimate, undefined
from ratchet.models.predictor import Predictor
from ratchet.trust.language import Articles
from ratchet.trust.lexicons import Lexicon, filled_templates, swapped

FAIRNESS = ("counterfactual_flip_rate", "counterfactual_gap")
"""The figures of `token_fairness`."""


DECIDED = 0.5
"""Probability from which a prediction is a decision."""
UNDECIDED = "no prediction on texts with a term that can be swapped is decided"


@dataclass(frozen=True)
class Swap:
    """A text and one that differs in whom it speaks of."""

    attribute: str
    origin: str
    """'texts' or 'templates'."""
    before: str
    after: str


def make_swaps(texts: Mapping[str, str], lexicon: Lexicon, most: int, articles: Articles) -> list[Swap]:
    """At most `most` swaps of each attribute in test texts (id → text), and all of the templates.

    Of the templates every sentence is compared with the one of the first term.
    """
    swaps = []
    for attribute, rows in lexicon.swaps.items():
        found = [
            Swap(attribute, "texts", text, edited)
            for key, text in texts.items()
            for edited in swapped(text, key, rows, most=2, articles=articles, phrases=lexicon.phrases)
        ]
        swaps += found[:most]
    for attribute, filled in filled_templates(lexicon, articles).items():
        swaps += [Swap(attribute, "templates", first, text) for _, (first, *rest) in filled for text in rest]
    return swaps


def token_fairness(
    predictor: Predictor, swaps: list[Swap], selected: list[str], n_draws: int, n_examples: int, seed: int
) -> tuple[dict[str, Estimate], dict[str, Any]]:
    """The figures, and the same by attribute with the swaps that move most.

    - `counterfactual_flip_rate`: share of swaps that change the predicted class, in [0, 1]; Wilson interval. Of the
      swaps on either side of which a class has at least half of the probability: of many classes none may have, and
      which of them comes first then is no decision. With two classes these are all.
    - `counterfactual_gap`: mean |change| of the probability of being selected, which is that of all selected classes
      together, in [0, 1]; 0: it does not matter. Where no class counts as selected, the mean total variation distance
      of the class probabilities, half the sum of their |changes|, which is the same figure for two classes.

    Both NaN without swaps, the rate also where no prediction is decided.
    """
    if not swaps:
        return dict.fromkeys(FAIRNESS, undefined("no text holds a term that can be swapped")), {}
    texts = list(dict.fromkeys(text for swap in swaps for text in (swap.before, swap.after)))
    known = dict(zip(texts, predictor.predict_proba(texts), strict=True))
    columns = [predictor.labels.index(label) for label in selected]
    before, after = (np.stack([known[getattr(swap, side)] for swap in swaps]) for side in ("before", "after"))
    decided = np.maximum(before.max(axis=1), after.max(axis=1)) >= DECIDED
    flipped = before.argmax(axis=1) != after.argmax(axis=1)
    change_of_class = after - before  # (n_swaps, n_classes)
    moved = change_of_class[:, columns].sum(axis=1) if selected else np.abs(change_of_class).sum(axis=1) / 2
    rng = np.random.default_rng(seed)

    def figures(rows: Any) -> dict[str, Estimate]:
        change = np.abs(moved[rows])
        gap = interval_estimate(
            float(change.mean()), mean_draws(change, weights(len(change), n_draws, rng)), len(change)
        )
        return {
            "counterfactual_flip_rate": _flip_rate(flipped[rows & decided]),
            "counterfactual_gap": gap,
        }

    parts = {}
    for attribute in dict.fromkeys(swap.attribute for swap in swaps):
        rows = np.array([swap.attribute == attribute for swap in swaps])
        worst = [row for row in np.argsort(-np.abs(moved), kind="stable") if rows[row]][:n_examples]
        parts[attribute] = {
            **{name: estimate.to_json() for name, estimate in figures(rows).items()},
            "examples": [
                {
                    "before": swaps[row].before,
                    "after": swaps[row].after,
                    "change": float(moved[row]),
                    "flipped": bool(flipped[row]),
                }
                for row in worst
            ],
        }
    return figures(np.ones(len(swaps), dtype=bool)), parts


def _flip_rate(flipped: NDArray[np.bool_]) -> Estimate:
    return proportion_estimate(int(flipped.sum()), len(flipped)) if len(flipped) else undefined(UNDECIDED)
