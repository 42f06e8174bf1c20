"""Agreement against independent implementations, a published example, and its limits."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from ratchet.labels.agreement import agreement, krippendorff_alpha
from ratchet.labels.kappa import cohen_kappa
from tests.support.answers import stored_answers

PUBLISHED = {
    "a": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    "b": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    "c": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    "d": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
}
"""Example C of Krippendorff 2011, https://repository.upenn.edu/asc_papers/43: nominal data, any number of observers,
missing data; alpha = 0.743. The last text has one answer."""


@pytest.mark.parametrize("seed", range(20))
def test_kappa_is_scikit_learn_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.choice(["a", "b", "c"], 40)
    second = np.where(rng.random(40) < rng.random(), first, rng.choice(["a", "b", "c", "d"], 40))
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_kappa_is_undefined_where_chance_alone_always_agrees() -> None:
    assert np.isnan(cohen_kappa(np.array([]), np.array([])))
    assert np.isnan(cohen_kappa(np.array(["a", "a"]), np.array(["a", "a"])))
    assert cohen_kappa(np.array(["a", "b"]), np.array(["b", "a"])) == -1.0


def published_counts() -> np.ndarray:
    table = np.array([[np.nan if value is None else value for value in row] for row in PUBLISHED.values()])
    return np.stack([(table == value).sum(axis=0) for value in (1, 2, 3, 4, 5)], axis=1)


def test_alpha_of_the_published_example() -> None:
    assert krippendorff_alpha(published_counts()) == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize("seed", range(5))
def test_alpha_follows_its_definition(seed: int) -> None:
    """1 − observed / expected disagreement, from all ordered pairs of answers, one by one."""
    rng = np.random.default_rng(seed)
    answers = [list(rng.integers(0, 3, rng.integers(0, 5))) for _ in range(30)]
    counts = np.array([[row.count(value) for value in range(3)] for row in answers])
    pairable = [row for row in answers if len(row) >= 2]
    values = [value for row in pairable for value in row]
    observed = sum(
        (a != b) / (len(row) - 1) for row in pairable for i, a in enumerate(row) for j, b in enumerate(row) if i != j
    ) / len(values)
    expected = sum(a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j)
    expected /= len(values) * (len(values) - 1)
    assert krippendorff_alpha(counts) == pytest.approx(1 - observed / expected)
    assert krippendorff_alpha(counts[rng.permutation(30)]) == pytest.approx(1 - observed / expected)


def test_alpha_is_undefined_without_two_classes_among_shared_texts() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(krippendorff_alpha(np.array([[2, 0], [3, 0]])))
        assert np.isnan(krippendorff_alpha(np.array([[1, 0], [0, 1]])))
        assert np.isnan(krippendorff_alpha(np.zeros((0, 2), dtype=int)))


def test_the_report_counts_each_person_once_a_text_and_leaves_adjudicators_out() -> None:
    table = stored_answers(
        [
            ("t1", "anna", "yes"),
            ("t1", "ben", "yes"),
            ("t2", "anna", "no"),
            ("t2", "ben", "yes"),
            ("t3", "anna", "no"),
            ("t3", "ben", "no"),
            ("t4", "anna", "no"),
            ("t2", "anna", "yes"),
        ]
    )
    settled = stored_answers([("t3", "chief", "yes")], role="adjudicator")
    found = agreement(pd.concat([table, settled], ignore_index=True), ["no", "yes"], seed=0)
    (pair,) = found["pairs"]
    assert (pair["n_texts"], pair["agree"], pair["cohen_kappa"]) == (3, 1.0, 1.0)
    assert found["n_texts_with_two_answers"] == 3
    assert found["krippendorff_alpha"]["value"] == 1.0
    assert found["krippendorff_alpha"]["low"] <= 1.0


def test_the_interval_of_alpha_holds_it_and_repeats() -> None:
    rng = np.random.default_rng(4)
    rows = [(f"t{i}", who, str(rng.choice(["no", "yes"], p=[0.3, 0.7]))) for i in range(40) for who in "ab"]
    first, second = (agreement(stored_answers(rows), ["no", "yes"], seed=1) for _ in range(2))
    alpha = first["krippendorff_alpha"]
    assert first == second
    assert alpha["low"] < alpha["value"] < alpha["high"]


def test_a_class_that_people_disagree_on_is_told_by_its_alpha_and_its_pair() -> None:
    """Both know `no`; of `yes` and `positive` one says the one and one the other."""
    rows = [(f"n{i}", who, "no") for i in range(6) for who in "ab"]
    rows += [(f"y{i}", who, ("yes", "positive")[(i + at) % 2]) for i in range(6) for at, who in enumerate("ab")]
    found = agreement(stored_answers(rows), ["no", "positive", "yes"], seed=0)
    alphas = {item["label"]: item["krippendorff_alpha"] for item in found["classes"]}
    assert alphas["no"] == 1.0
    assert alphas["yes"] < 0
    assert alphas["positive"] == alphas["yes"]
    assert found["confused"] == [{"first": "positive", "second": "yes", "n_texts": 6}]
