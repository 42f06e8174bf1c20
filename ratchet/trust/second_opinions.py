"""Whether other models and methods name the same words: the teacher, gradients, another grouping."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.measure.bootstrap import interval_estimate, mean_estimate, weights
from ratchet.measure.estimate import Estimate, undefined
from ratchet.models.predictor import Predictor
from ratchet.models.torch_predictor import TorchPredictor
from ratchet.trust.attributions import Attribution, attribute
from ratchet.trust.faithfulness import agreement, curves
from ratchet.trust.lockstep import Score

NO_PARENT = "the bundle comes from no torch weights"


class Others(NamedTuple):
    """Who is asked for a second opinion; None: nobody."""

    teacher: Predictor | None
    teacher_score: Score | None
    parent: TorchPredictor | None
    """The torch weights that the bundle was made from."""


class Draws(NamedTuple):
    """How intervals over texts are drawn."""

    n_bootstrap: int
    seed: int


def second_opinions(
    predictor: Predictor,
    score: Score,
    attributions: list[Attribution],
    others: Others,
    *,
    max_evals: int,
    n_steps: int,
    n_random_orders: int,
    draws: Draws,
) -> dict[str, Estimate]:
    """Whether the words are named again, as means over texts of the correlation with other values of the same words.

    `attribution_agreement`: with the teacher's SHAP values (compression must not change the reasons);
    `attribution_stability`: with the same method's under a random grouping of the words;
    `gradient_agreement`: with integrated gradients of the torch weights the bundle was made from;
    `gradient_faithfulness_gain`: of these gradients, on this bundle, beside `faithfulness_gain`;
    `gradient_convergence_delta`: the median over texts of what the gradients do not account for.

    Args:
        predictor: the bundle.
        score: its cached score.
        attributions: of the texts on which is compared.
        others: who is asked.
        max_evals: masked texts that an explanation may take.
        n_steps: steps of the integrated gradients.
        n_random_orders: random orders of the words that the gradients' are compared with.
        draws: of the intervals; its seed is also that of the other grouping and of the random orders.
    """
    texts, rng = [item.text for item in attributions], np.random.default_rng(draws.seed)
    own = [item.values[:, item.predicted] for item in attributions]
    classes = [item.predicted for item in attributions]

    def against(other: list[Attribution]) -> Estimate:
        values = [item.values[:, k] for item, k in zip(other, classes, strict=True)]
        return mean_over_texts(agreement(own, values), draws)

    found = {"attribution_agreement": undefined("there is no teacher to compare with")}
    if others.teacher is not None and others.teacher_score is not None:
        found["attribution_agreement"] = against(attribute(others.teacher, others.teacher_score, texts, max_evals))
    found["attribution_stability"] = against(attribute(predictor, score, texts, max_evals, draws.seed))
    names = ("gradient_agreement", "gradient_faithfulness_gain", "gradient_convergence_delta")
    if others.parent is None or not texts:
        return {**found, **dict.fromkeys(names, undefined(NO_PARENT if texts else "no text was explained"))}
    from ratchet.trust.gradients import integrated_gradients

    gradients = integrated_gradients(others.parent, texts, classes, n_steps)
    values = [item.values for item in gradients]
    gains = curves(attributions, score, n_random_orders, rng, values).comprehensiveness_gain
    deltas = np.array([item.convergence_delta for item in gradients])
    told = (mean_over_texts(agreement(own, values), draws), mean_over_texts(gains, draws), _median(deltas, draws))
    return {**found, **dict(zip(names, told, strict=True))}


def mean_over_texts(values: NDArray[np.float64], draws: Draws) -> Estimate:
    """The mean over texts with its bootstrap interval; undefined without texts."""
    return mean_estimate(values, weights(len(values), draws.n_bootstrap, np.random.default_rng(draws.seed)))


def _median(values: NDArray[np.float64], draws: Draws) -> Estimate:
    """The median over texts with its bootstrap interval."""
    drawn = np.random.default_rng(draws.seed).choice(values, (draws.n_bootstrap, len(values)))
    return interval_estimate(float(np.median(values)), np.median(drawn, axis=1), len(values))
