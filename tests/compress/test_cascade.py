"""The cascade's threshold: as many texts as possible at a bounded expected loss, and none where that cannot be had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.compress.cascade import choose_threshold, expected_speedup

LIMITS: dict[str, Any] = {"max_loss": 0.005, "min_loss_per_disagreement": 0.15}


def proba(confidence: Any, predicted: Any) -> Any:
    """Of two classes, (n_texts, 2)."""
    rows = np.array(confidence)[:, None]
    return np.where(np.array(predicted)[:, None] == np.arange(2), rows, 1 - rows)


def test_models_that_never_disagree_need_no_second_answer() -> None:
    first = proba([0.6, 0.9, 0.7], [0, 1, 0])
    found = choose_threshold(first, first, 0.0, **LIMITS)
    assert found.threshold == 0.0
    assert found.answered.all()
    assert found.loss_per_disagreement == 0.15


def test_models_that_always_disagree_answer_nothing_first() -> None:
    first, second = proba([0.9, 0.8], [0, 1]), proba([0.9, 0.9], [1, 0])
    found = choose_threshold(first, second, 0.5, **LIMITS)
    assert found.threshold > 1.0
    assert not found.answered.any()
    assert found.answered_disagreement == 0.0


def test_what_a_disagreement_costs_is_measured_but_never_taken_for_nothing() -> None:
    n = 1000
    confidence = np.linspace(0.99, 0.51, n)
    predicted = np.zeros(n, dtype=int)
    second = proba(np.full(n, 0.9), np.arange(n) >= 900)  # they disagree on the least sure tenth
    by_chance = choose_threshold(proba(confidence, predicted), second, -0.02, **LIMITS)
    assert by_chance.loss_per_disagreement == 0.15
    assert by_chance.answered.sum() == 931  # 31 of 931 are the most that stay below 0.005 / 0.15
    dear = choose_threshold(proba(confidence, predicted), second, 0.1, **LIMITS)
    assert dear.loss_per_disagreement == pytest.approx(1.0)
    assert dear.answered.sum() == 904  # 4 of 904


def test_texts_of_one_confidence_stay_together() -> None:
    first = proba([0.9, 0.9, 0.9, 0.6], [0, 0, 0, 0])
    second = proba([0.9, 0.9, 0.9, 0.9], [0, 0, 1, 0])
    assert not choose_threshold(first, second, 0.3, **LIMITS).answered.any()


@given(st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1, max_size=60), st.floats(0, 0.3))
def test_the_expected_loss_is_bounded_and_confidence_decides(rows: list[tuple[float, bool]], loss: float) -> None:
    confidence = np.array([value for value, _ in rows])
    first = proba(confidence, np.zeros(len(rows), dtype=int))
    second = proba(np.full(len(rows), 0.9), [int(differs) for _, differs in rows])
    found = choose_threshold(first, second, loss, **LIMITS)
    assert found.answered_disagreement * found.loss_per_disagreement <= 0.005 + 1e-12
    assert (first.max(axis=1)[found.answered] >= found.threshold).all()
    assert (first.max(axis=1)[~found.answered] < found.threshold).all()


def test_the_speedup_counts_the_tokens_that_are_still_read() -> None:
    tokens = [[1] * 10, [1] * 30]
    assert expected_speedup(tokens, np.array([True, False])) == pytest.approx(1 / 0.76)
    assert expected_speedup(tokens, np.array([False, True])) == pytest.approx(1 / 0.26)
    assert expected_speedup(tokens, np.array([False, False])) < 1
