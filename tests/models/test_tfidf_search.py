"""TF-IDF is tuned by cross-validation, with runs of characters where they help, and stored exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ratchet.models.probe import stratified_folds
from ratchet.models.tfidf import fit_pipeline, load_pipeline, save_pipeline, shift_intercepts, terms_of
from ratchet.models.tfidf_search import choose_tfidf

STEMS = ["walk", "jump", "sing", "read", "play", "talk", "cook", "look", "kick", "push", "pull", "fill"]


def endings(n: int, seed: int) -> tuple[list[str], list[int]]:
    """Texts whose class is the ending of words that hardly ever come twice."""
    rng = np.random.default_rng(seed)
    texts, targets = [], []
    for row in range(n):
        middle = "".join(rng.choice(list("bdfgmnprt"), 4))
        texts.append(f"{rng.choice(STEMS)} {middle}{'ology' if row % 2 else 'ament'} again")
        targets.append(row % 2)
    return texts, targets


def test_runs_of_characters_are_chosen_where_words_say_nothing() -> None:
    texts, targets = endings(120, 0)
    found = choose_tfidf(texts, np.array(targets), 2, stratified_folds(np.array(targets), 3, 0), 2)
    assert found.max_characters > 0
    assert (found.held_out.argmax(axis=1) == targets).mean() > 0.95


def test_a_class_that_a_fold_lacks_is_no_error() -> None:
    texts, targets = endings(30, 0)
    targets[0] = 2
    found = choose_tfidf(texts, np.array(targets), 3, stratified_folds(np.array(targets), 3, 0), 1)
    assert np.allclose(found.held_out.sum(axis=1), 1)


def test_a_pipeline_of_words_and_characters_is_stored_exactly(tmp_path: Path) -> None:
    texts, targets = endings(60, 0)
    pipeline = fit_pipeline(texts, targets, max_ngram=2, inverse_regularization=4.0, max_characters=4)
    save_pipeline(pipeline, tmp_path)
    others, _ = endings(30, 1)
    assert np.array_equal(load_pipeline(tmp_path).predict_proba(others), pipeline.predict_proba(others))
    assert terms_of(load_pipeline(tmp_path)) == terms_of(pipeline)
    assert any(term.startswith("olo") for term in terms_of(pipeline))


def test_an_offset_taken_out_of_the_logits_moves_the_odds_by_it() -> None:
    for n_classes, offset in ((2, np.array([0.4, -0.4])), (3, np.array([0.5, -0.2, -0.3]))):
        texts, _ = endings(60, 0)
        targets = [row % n_classes for row in range(60)]
        pipeline = fit_pipeline(texts, targets, max_ngram=1, inverse_regularization=4.0)
        before = np.log(pipeline.predict_proba(texts))
        shift_intercepts(pipeline, offset)
        moved = before - np.log(pipeline.predict_proba(texts))
        assert np.allclose(moved[:, 0] - moved[:, 1], offset[0] - offset[1])
