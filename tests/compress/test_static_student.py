"""The static student: its features, and that the tables that are stored say what was learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ratchet.compress.static_student import (
    Taught,
    frequency_weights,
    frequent_pairs,
    pair_means,
    teach,
    token_means,
    token_vectors,
)
from ratchet.models.checkpoint import load_model
from ratchet.models.examples import Examples
from ratchet.models.predictor import softmax
from ratchet.models.word_tokens import WordTokens
from tests.support.bundles import LABELS, torch_bundle
from tests.support.tiny import BLAME, PRAISE, reviews

pytestmark = pytest.mark.slow


def test_vectors_are_the_encoder_s_of_each_token_alone(tmp_path: Path) -> None:
    import torch

    folder = torch_bundle(tmp_path)
    teacher, _ = load_model(folder)
    words = WordTokens(folder)
    vectors = token_vectors(teacher, words.template, words.n_tokens + 2, 1)
    assert vectors.shape == (words.n_tokens + 2, 32)
    assert not vectors[-2:].any()  # ids without an embedding
    with torch.no_grad():
        hidden = teacher.base_model(input_ids=torch.tensor([[2, 7, 3]])).last_hidden_state.mean(dim=1)[0].numpy()
    np.testing.assert_allclose(vectors[7], hidden / np.linalg.norm(hidden), atol=1e-5)


def test_frequent_tokens_count_less() -> None:
    weight = frequency_weights([[1] * 90 + [2] * 10], 4)
    share = np.array([0, 0.9, 0.1, 0])
    np.testing.assert_allclose(weight, 1e-2 / (1e-2 + share), rtol=1e-5)


def test_pairs_are_counted_once_a_text_and_the_most_frequent_stay() -> None:
    texts = [[1, 2, 1, 2], [1, 2, 3], [2, 3], [4, 5], []]
    assert frequent_pairs(texts, 10, 2, 99).tolist() == [12, 23]
    assert frequent_pairs(texts, 10, 1, 1).tolist() == [12]
    assert frequent_pairs(texts, 10, 1, 0).tolist() == []


def test_features_are_means_over_a_text_s_tokens_and_no_pair_spans_two_texts() -> None:
    texts = [[1, 2, 1], [], [2], [3, 1]]
    expected = np.array([[0, 2 / 3, 1 / 3, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0.5, 0, 0.5]])
    np.testing.assert_allclose(token_means(texts, 4).toarray(), expected, atol=1e-6)
    keys = np.array([4 * 1 + 2, 4 * 1 + 3, 4 * 3 + 1])
    expected = np.array([[1 / 3, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0.5]])
    np.testing.assert_allclose(pair_means(texts, 4, keys).toarray(), expected)
    assert pair_means(texts, 4, keys[:0]).shape == (4, 0)


def learned(words: WordTokens, vectors: np.ndarray, max_pairs: int) -> Taught:
    """From a teacher that is sure of what the words of praise and blame say."""

    def proba(texts: list[str]) -> np.ndarray:
        found = [[sum(w in BLAME for w in t.split()), sum(w in PRAISE for w in t.split())] for t in texts]
        return softmax(np.array(found, dtype=np.float32) * 2)

    train, held = reviews(200, 1)["text"].tolist(), reviews(40, 2)
    hard = np.array([LABELS.index(label) for label in held["label"]])
    return teach(
        words.encode(train),
        proba(train),
        Examples(words.encode(held["text"].tolist()), hard),
        vectors,
        inverse_regularization=100.0,
        min_pair_texts=2,
        max_pairs=max_pairs,
    )


@pytest.mark.parametrize("max_pairs", [0, 1000])
def test_it_learns_from_soft_labels_alone(tmp_path: Path, max_pairs: int) -> None:
    folder = torch_bundle(tmp_path)
    teacher, _ = load_model(folder)
    words = WordTokens(folder)
    taught = learned(words, token_vectors(teacher, words.template, words.n_tokens, 1), max_pairs)
    unseen = reviews(100, 7)
    predicted = taught.model.logits(words.encode(unseen["text"].tolist())).argmax(1)
    assert np.mean([LABELS[index] == label for index, label in zip(predicted, unseen["label"], strict=True)]) > 0.95
    assert (taught.report["n_pairs"] > 0) == (max_pairs > 0)


def test_a_token_that_no_text_had_is_judged_by_its_vector(tmp_path: Path) -> None:
    """The vector of a word of praise, given to an id that is in no text, takes that word's side."""
    words = WordTokens(torch_bundle(tmp_path))
    rng = np.random.default_rng(0)
    vectors = np.eye(words.n_tokens + 2, dtype=np.float32)
    kind = {word: np.float32(sign) for sign, listed in ((1, PRAISE), (-1, BLAME)) for word in listed}
    direction = rng.normal(size=words.n_tokens + 2).astype(np.float32)
    for word, sign in kind.items():
        vectors[words.encode([word])[0][0]] = sign * direction / np.linalg.norm(direction)
    vectors[-2], vectors[-1] = direction / np.linalg.norm(direction), -direction / np.linalg.norm(direction)
    model = learned(words, vectors, 0).model
    assert model.logits([[words.n_tokens], [words.n_tokens + 1]]).argmax(1).tolist() == [1, 0]
