"""SHAP values of words: exact where they are known, additive, and better than chance at naming what matters."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.models.predictor import Predictor, Proba
from ratchet.trust.attributions import attribute, cached_score, deletion_gap, global_words, keep_words, word_spans
from ratchet.trust.explanation_page import render_figure, render_page
from tests.bundles import manifest
from tests.linear_words import SHARES, LinearWords


def test_values_of_independent_words_are_their_shares() -> None:
    predictor = LinearWords()
    text = "A superb, moving film: not dull, though a bit flat and long for what it is"
    attribution = attribute(predictor, cached_score(predictor), text, 64, 0)
    expected = [SHARES.get(word.lower(), 0.0) for word in attribution.words]
    assert attribution.values[:, 1] == pytest.approx(expected, abs=1e-6)
    assert attribution.values[:, 0] == pytest.approx([-value for value in expected], abs=1e-6)
    assert attribution.base == pytest.approx([0.5, 0.5])
    assert attribution.additivity_error < 1e-9


class NotGood(Predictor):
    """'good' speaks for positive, but 'not' turns it: words that depend on each other."""

    def __init__(self) -> None:
        super().__init__(manifest("not-good"))

    def predict_proba(self, texts: list[str]) -> Proba:  # type: ignore[override]
        positive = np.array([0.5 + 0.3 * ("good" in t) - 0.1 * ("not" in t) - 0.4 * ("good" in t and "not" in t)
                             for t in (text.split() for text in texts)])  # fmt: skip
        return np.stack([1 - positive, positive], axis=1)


def test_values_of_dependent_words_are_shapleys() -> None:
    predictor, words = NotGood(), ["this", "is", "not", "good"]
    attribution = attribute(predictor, cached_score(predictor), " ".join(words), 64, 0)

    def value(chosen: list[str]) -> float:
        return float(predictor.predict_proba([" ".join(chosen)])[0, 1])

    expected = np.zeros(4)
    for order in itertools.permutations(range(4)):
        for position, word in enumerate(order):
            before = sorted(order[:position])
            gain = value([words[i] for i in sorted([*before, word])]) - value([words[i] for i in before])
            expected[word] += gain / math.factorial(4)
    assert attribution.values[:, 1] == pytest.approx(expected, abs=1e-6)
    assert attribution.values[2, 1] < 0 < attribution.values[3, 1]


def test_a_predictor_that_does_not_repeat_itself_shows_as_additivity_error() -> None:
    predictor = LinearWords(drift=0.01)
    attribution = attribute(predictor, cached_score(predictor), "superb but flat film", 32, 0)
    assert attribution.additivity_error >= 0.0099


def test_one_word_and_repeated_words() -> None:
    predictor = LinearWords()
    one = attribute(predictor, cached_score(predictor), "superb", 16, 0)
    assert one.values[:, 1] == pytest.approx([0.2])
    twice = attribute(predictor, cached_score(predictor), "flat flat film", 16, 0)
    assert twice.values[:, 1] == pytest.approx([-0.1, -0.1, 0.0], abs=1e-6)


def test_the_seed_decides_and_numpys_global_generator_is_left_alone() -> None:
    predictor = LinearWords()
    text = " ".join(f"word{i}" for i in range(30)) + " superb"
    np.random.seed(123)
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    first, second = (attribute(predictor, cached_score(predictor), text, 80, 4) for _ in range(2))
    assert np.array_equal(first.values, second.values)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]


def test_each_different_text_is_scored_once() -> None:
    predictor = LinearWords()
    score = cached_score(predictor)
    assert score(["a superb film", "flat", "flat"])[:, 1] == pytest.approx([0.7, 0.4, 0.4])
    assert score(["flat", "moving"])[:, 1] == pytest.approx([0.4, 0.6])
    assert predictor.n_scored == 3


@given(st.text(max_size=60), st.integers(0, 2**32 - 1))
def test_kept_words_are_what_is_left(text: str, seed: int) -> None:
    spans = word_spans(text)
    keep = np.random.default_rng(seed).random(len(spans)) < 0.5
    left = keep_words(text, spans, keep)
    if keep.all():
        assert left == text
    else:
        expected = [text[start:end] for (start, end), kept in zip(spans, keep, strict=True) if kept]
        assert [left[start:end] for start, end in word_spans(left)] == expected


def test_deletion_gap_is_the_loss_beyond_that_of_random_words() -> None:
    predictor = LinearWords()
    score = cached_score(predictor)
    text = "superb " + " ".join(f"word{i}" for i in range(9))
    attribution = attribute(predictor, score, text, 64, 0)
    gap = deletion_gap(attribution, score, 0.1, 4000, np.random.default_rng(0))
    assert gap == pytest.approx(0.2 - 0.2 / 10, abs=0.004)
    everything = deletion_gap(attribution, score, 1.0, 5, np.random.default_rng(0))
    assert everything == pytest.approx(0.0)


def test_global_words_average_over_all_texts_and_name_the_class() -> None:
    predictor = LinearWords()
    score = cached_score(predictor)
    attributions = [attribute(predictor, score, text, 64, 0) for text in ("Superb film", "superb, flat", "flat flat")]
    rows = {row["word"]: row for row in global_words(attributions, predictor.labels)}
    assert rows["superb"]["mean_abs_shap"] == pytest.approx(0.4 / 3)
    assert rows["flat"]["mean_abs_shap"] == pytest.approx(0.3 / 3)
    assert (rows["superb"]["n_texts"], rows["superb"]["towards"]) == (2, "positive")
    assert (rows["flat"]["n_texts"], rows["flat"]["towards"]) == (2, "negative")
    assert rows["film"]["mean_abs_shap"] == pytest.approx(0, abs=1e-9)
    assert [row["word"] for row in global_words(attributions, predictor.labels)] == ["superb", "flat", "film"]
    assert global_words([], predictor.labels) == []


def test_the_page_loads_nothing_runs_nothing_and_escapes_every_text() -> None:
    predictor = LinearWords()
    text = 'superb <script>alert("x")</script> & <img src=http://example.org/a.png> flat'
    attribution = attribute(predictor, cached_score(predictor), text, 64, 0)
    words = global_words([attribution], predictor.labels)
    page = render_page("<b>bundle</b>", predictor.labels, [("id1", "negative", attribution)], words, {"n": "1"})
    assert "<script" not in page.lower()
    assert "<b>bundle" not in page
    assert "&lt;" in page
    assert page.count("<img") == 1
    assert 'src="data:image/png;base64,' in page
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "url(" not in page
    assert 'title="+0.200 towards positive"' in page
    assert '<span class="wrong">wrong</span>' in page


def test_the_figure_is_a_png_and_the_same_each_time() -> None:
    words = [{"word": "a_$b$", "mean_abs_shap": 0.2, "n_texts": 3, "towards": "positive"}]
    first, second = (render_figure(words, ["negative", "positive"]) for _ in range(2))
    assert first.startswith(b"\x89PNG")
    assert first == second
