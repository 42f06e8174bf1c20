"""Candidates are compared on texts that neither learned from; ties go to the cheaper."""

from __future__ import annotations

import numpy as np

from ratchet.measure.candidates import Candidate, Judge
from ratchet.measure.primary import primary_metric

TARGETS = np.arange(200) % 2
JUDGE = Judge(primary_metric("accuracy", ["no", "yes"]), TARGETS, tie=0.02, n_bootstrap=100, seed=0)


def candidate(name: str, n_wrong: int, confidence: float = 0.8, n_parameters: int = 1, unknown: int = 0) -> Candidate:
    """A model that errs on the first texts, and learned from the last."""
    right = np.full(200, confidence)
    right[:n_wrong] = 1 - confidence
    proba = np.where(TARGETS[:, None] == [0, 1], right[:, None], 1 - right[:, None])
    proba[200 - unknown :] = np.nan
    return Candidate(name, proba, {}, n_parameters, 0.0)


def test_a_candidate_is_judged_on_what_it_did_not_learn_from() -> None:
    found = JUDGE.estimate(candidate("a", 20, unknown=100))
    assert (found.value, found.n) == (0.8, 100)
    difference = JUDGE.difference(candidate("a", 20, unknown=100), candidate("b", 10))
    assert (round(difference.value, 3), difference.n) == (-0.1, 100)


def test_the_best_wins_and_a_tie_goes_to_the_lesser_log_loss() -> None:
    sharp, blunt, bad = candidate("sharp", 12, 0.95), candidate("blunt", 10, 0.6), candidate("bad", 60, 0.95)
    assert JUDGE.best([blunt, sharp, bad]).name == "sharp"
    assert JUDGE.best([candidate("far", 40, 0.95), blunt]).name == "blunt"


def test_a_tie_of_backbones_goes_to_the_smaller() -> None:
    large, small = candidate("large", 10, n_parameters=9), candidate("small", 13, n_parameters=3)
    assert JUDGE.smallest([large, small]).name == "small"
    assert JUDGE.smallest([large, candidate("tiny", 40)]).name == "large"


def test_the_least_cost_is_the_best_cost() -> None:
    judge = Judge(primary_metric("expected_cost", ["no", "yes"], "", [[0, 1], [5, 0]]), TARGETS, 0.0, 100, 0)
    assert judge.smallest([candidate("dear", 50), candidate("cheap", 5)]).name == "cheap"
