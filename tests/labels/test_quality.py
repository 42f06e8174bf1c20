"""People on gold questions, the model on random samples, and the posterior beside the majority."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ratchet.labels.annotations import annotation_table
from ratchet.labels.dawid_skene import dawid_skene
from ratchet.labels.quality import decided_otherwise, gold_accuracy, sampled_accuracy
from ratchet.labels.resolution import resolve
from tests.support.answers import KEY, LABELS, answer, stored_answers


def _simulated(n: int, accuracies: list[float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True classes of texts, and what people answered who are right so often, else wrong at random."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, 3, n)
    wrong = (truth[:, None] + chance.integers(1, 3, (n, len(accuracies)))) % 3
    right = chance.random((n, len(accuracies))) < np.array(accuracies)
    return truth, np.where(right, truth[:, None], wrong)


def test_two_good_people_outweigh_three_who_guess() -> None:
    truth, votes = _simulated(600, [0.95, 0.9, 0.4, 0.4, 0.4], 1)
    found = dawid_skene(votes, 3)
    counts = np.stack([(votes == name).sum(axis=1) for name in range(3)], axis=1)
    by_posterior = (found.proba.argmax(axis=1) == truth).mean()
    by_majority = (counts.argmax(axis=1) == truth).mean()
    assert by_posterior > by_majority + 0.05
    assert np.diagonal(found.confusion, axis1=1, axis2=2).mean(axis=1) == pytest.approx(
        [0.95, 0.9, 0.4, 0.4, 0.4], abs=0.08
    )


def test_rows_sum_to_one_and_a_text_without_an_answer_has_the_classes_shares() -> None:
    votes = np.array([[0, 0], [0, 0], [0, 0], [1, 1], [-1, -1]])
    found = dawid_skene(votes, 2)
    np.testing.assert_allclose(found.proba.sum(axis=1), 1)
    assert found.proba[:4].argmax(axis=1).tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(found.proba[4], found.proba.mean(axis=0), atol=1e-4)


def test_the_order_of_people_and_texts_changes_nothing() -> None:
    _, votes = _simulated(40, [0.9, 0.6, 0.7], 2)
    one, other = dawid_skene(votes, 3), dawid_skene(votes[::-1, ::-1], 3)
    np.testing.assert_allclose(one.proba, other.proba[::-1], atol=1e-9)


def test_a_text_is_named_where_the_posterior_decides_otherwise() -> None:
    """Three who are often wrong agree against two who are right elsewhere."""
    truth, votes = _simulated(200, [0.95, 0.95, 0.4, 0.4, 0.4], 3)
    names = LABELS[:3]
    rows = [(f"t{at:03}", f"p{who}", names[votes[at, who]]) for at in range(200) for who in range(5)]
    annotations = stored_answers(rows)
    found = decided_otherwise(annotations, resolve(annotations, 5, 0.5), names)
    assert len(found) >= 3
    right = [item.posterior == names[truth[int(item.id[1:])]] for item in found]
    assert np.mean(right) > 0.8
    assert [item.proba for item in found] == sorted((item.proba for item in found), reverse=True)


def test_gold_questions_give_each_person_an_accuracy_with_its_interval() -> None:
    right = {"anna": 9, "ben": 3}
    rows = [(f"t{n}", who, "yes" if n < right[who] else "no") for who in right for n in range(10)]
    annotations = stored_answers(rows)
    found = gold_accuracy(annotations, {f"t{n}": "yes" for n in range(10)} | {"other": "no"})
    assert sorted(item.value for item in found.values()) == [0.3, 0.9]
    assert all(item.low < item.value < item.high and item.n == 10 for item in found.values())
    assert gold_accuracy(annotations, {"other": "no"}) == {}


def test_only_random_samples_tell_a_model_s_accuracy() -> None:
    """Suggested is always `positive`: right of 6 of 8 random texts, and of none that were chosen for being hard."""
    given = [(f"r{n}", "positive" if n < 6 else "negative", "random") for n in range(8)]
    given += [(f"h{n}", "negative", "margin") for n in range(20)]
    answers = [answer(name, "anna", label) for name, label, _ in given]
    pairs = zip(answers, given, strict=True)
    chosen = [replace(one, item=replace(one.item, query_strategy=by)) for one, (*_, by) in pairs]
    annotations = annotation_table(chosen, "annotator", KEY, LABELS)
    (found,) = sampled_accuracy(annotations, resolve(annotations, 1, 0.5)).values()
    assert (found.value, found.n) == (0.75, 8)
    assert found.low < 0.75 < found.high
