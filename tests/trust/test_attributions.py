"""SHAP values of words: exact where they are known, additive, and better than chance at naming what matters."""

from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ratchet.data.words import word_spans
from ratchet.models.predictor import Predictor, Proba
from ratchet.reporting.explanation_page import render_page
from ratchet.reporting.words_chart import words_chart
from ratchet.trust.attributions import attribute, keep_words
from ratchet.trust.faithfulness import agreement, curves
from ratchet.trust.lockstep import cached_score
from ratchet.trust.owen_values import phrase_tree
from ratchet.trust.word_importance import global_words, outcome_groups, stem_key, words_by_group
from tests.support.bundles import manifest
from tests.support.linear_words import SHARES, LinearWords


def test_values_of_independent_words_are_their_shares() -> None:
    predictor = LinearWords()
    text = "A superb, moving film: not dull, though a bit flat and long for what it is"
    attribution = attribute(predictor, cached_score(predictor), [text], 400)[0]
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
        positive = np.array(
            [
                0.5 + 0.3 * ("good" in t) - 0.1 * ("not" in t) - 0.4 * ("good" in t and "not" in t)
                for t in (text.split() for text in texts)
            ]
        )
        return np.stack([1 - positive, positive], axis=1)


def test_values_of_dependent_words_are_shapleys() -> None:
    predictor, words = NotGood(), ["this", "is", "not", "good"]
    attribution = attribute(predictor, cached_score(predictor), [" ".join(words)], 64)[0]

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
    attribution = attribute(predictor, cached_score(predictor), ["superb but flat film"], 32)[0]
    assert attribution.additivity_error >= 0.0099


def test_one_word_and_repeated_words() -> None:
    predictor = LinearWords()
    one = attribute(predictor, cached_score(predictor), ["superb"], 16)[0]
    assert one.values[:, 1] == pytest.approx([0.2])
    twice = attribute(predictor, cached_score(predictor), ["flat flat film"], 16)[0]
    assert twice.values[:, 1] == pytest.approx([-0.1, -0.1, 0.0], abs=1e-6)


def test_a_text_without_words_is_its_own_base() -> None:
    predictor = LinearWords()
    for seed in (None, 1):
        none, some = attribute(predictor, cached_score(predictor), ["?!", "superb"], 16, seed)
        assert none.values.shape == (0, 2)
        assert none.base.tolist() == none.proba.tolist()
        assert none.additivity_error == 0.0
        assert some.words == ["superb"]


class Order(Predictor):
    """Scores a text by which words stand before which: every word depends on every other."""

    def __init__(self) -> None:
        super().__init__(manifest("order"))

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        ends = [sum((7 * at + 3) ** 2 * len(word) for at, word in enumerate(text.split())) for text in texts]
        positive = np.array([end % 97 / 97 for end in ends])
        return np.stack([1 - positive, positive], axis=1) if texts else np.zeros((0, 2))


LONG = "A long, winding film and a short one: " + " ".join(f"w{'x' * (i % 7)}{i}" for i in range(20))


@pytest.mark.parametrize("max_evals", [8, 30, 500])
def test_values_add_up_however_few_are_asked(max_evals: int) -> None:
    predictor = Order()
    found = attribute(predictor, cached_score(predictor), [LONG, "not so short a text, or is it"], max_evals)
    assert max(item.additivity_error for item in found) < 1e-9


def test_the_tree_seed_decides_and_side_by_side_is_as_alone() -> None:
    predictor = Order()
    texts = [LONG, "one", "two words", "A longer text than two words, but not by so much as the first"]
    first, second, other = (attribute(predictor, cached_score(predictor), texts, 80, seed) for seed in (4, 4, 5))
    assert all(np.array_equal(a.values, b.values) for a, b in zip(first, second, strict=True))
    assert not np.allclose(first[0].values, other[0].values)
    for text, together in zip(texts, first, strict=True):
        (alone,) = attribute(predictor, cached_score(predictor), [text], 80, 4)
        assert np.array_equal(alone.values, together.values)


def test_questions_of_many_texts_share_calls() -> None:
    predictor = LinearWords()
    texts = [f"{LONG} number {i}" for i in range(20)]
    attribute(predictor, cached_score(predictor), texts, 62)
    assert predictor.n_calls <= 1 + 12 + len(texts)  # ends, rounds of six, each text alone
    assert predictor.n_scored <= len(texts) * (62 + 1)


def test_phrases_part_at_stops_then_commas() -> None:
    text = "Dull. It moves, and it sings"
    tree = phrase_tree(text, word_spans(text))
    assert tree.right is not None
    assert tree.right.left is not None
    assert (tree.right.start, tree.right.left.end) == (1, 3)


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


def test_curves_are_what_named_words_do_beyond_random_ones() -> None:
    predictor = LinearWords()
    score = cached_score(predictor)
    text = "superb " + " ".join(f"word{i}" for i in range(9))
    found = curves(attribute(predictor, score, [text], 1024), score, 2000, np.random.default_rng(0))
    assert found.deleted == pytest.approx(np.full((1, 4), 0.5))
    assert found.kept == pytest.approx(np.full((1, 4), 0.7))
    mean_rate = (0.1 + 0.2 + 0.3 + 0.5) / 4
    assert found.comprehensiveness_gain == pytest.approx([0.2 * (1 - mean_rate)], abs=0.01)
    assert found.sufficiency_gain == pytest.approx([0.2 * (1 - mean_rate)], abs=0.01)


def test_words_named_by_a_blind_method_gain_nothing() -> None:
    predictor, rng = LinearWords(), np.random.default_rng(0)
    score = cached_score(predictor)
    texts = [f"superb {' '.join(f'word{i + j}' for i in range(19))}" for j in range(200)]
    blind = [rng.random(20) for _ in texts]
    found = curves(attribute(predictor, score, texts, 8), score, 4, rng, blind)
    assert found.comprehensiveness_gain.mean() == pytest.approx(0, abs=0.02)


def test_agreement_leaves_out_texts_that_say_nothing() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=12), rng.normal(size=12)
    expected = stats.pearsonr(a, b).statistic
    assert agreement([a, a[:1], np.zeros(3)], [b, b[:1], a[:3]]) == pytest.approx([expected])


def value(row: dict[str, Any]) -> float:
    return float(row["mean_abs_shap"]["value"])


def test_global_words_average_over_all_texts_and_name_the_class() -> None:
    predictor = LinearWords()
    texts = ["Superb film", "superb, flat", "flat flat"]
    attributions = attribute(predictor, cached_score(predictor), texts, 64)
    listed = global_words(attributions, predictor.labels, 200, 0)
    rows = {row["word"]: row for row in listed}
    assert value(rows["superb"]) == pytest.approx(0.4 / 3)
    assert value(rows["flat"]) == pytest.approx(0.3 / 3)
    interval = rows["superb"]["mean_abs_shap"]
    assert 0 <= interval["low"] < 0.4 / 3 < interval["high"] <= 0.2 + 1e-6
    assert (rows["superb"]["n_texts"], rows["superb"]["towards"]) == (2, "positive")
    assert (rows["flat"]["n_texts"], rows["flat"]["towards"]) == (2, "negative")
    assert value(rows["film"]) == pytest.approx(0, abs=1e-9)
    assert [row["word"] for row in listed] == ["superb", "flat", "film"]
    assert global_words([], predictor.labels, 100, 0) == []


def test_stems_join_the_forms_of_a_word() -> None:
    predictor = LinearWords({"moving": 0.1, "moved": 0.1})
    attributions = attribute(predictor, cached_score(predictor), ["moving film", "it moved me"], 64)
    rows = {row["word"]: row for row in global_words(attributions, predictor.labels, 100, 0, stem_key("english"))}
    assert rows["move"]["n_texts"] == 2
    assert value(rows["move"]) == pytest.approx(0.1)


def test_each_kind_of_error_has_words_of_its_own() -> None:
    predictor = LinearWords()
    attributions = attribute(predictor, cached_score(predictor), ["superb film", "dull film", "superb thing"], 64)
    groups = outcome_groups(attributions, ["positive", "positive", "negative"], predictor.labels)
    found = words_by_group(attributions, predictor.labels, groups, 100, 0, 1)
    assert {name: (group["n_texts"], group["words"][0]["word"]) for name, group in found.items()} == {
        "right": (1, "superb"),
        "negative taken for positive": (1, "superb"),
        "positive taken for negative": (1, "dull"),
    }


def test_the_page_loads_nothing_runs_nothing_and_escapes_every_text() -> None:
    predictor = LinearWords()
    text = 'superb <script>alert("x")</script> & <img src=http://example.org/a.png> \u202e flat'
    attribution = attribute(predictor, cached_score(predictor), [text], 64)[0]
    words = global_words([attribution], predictor.labels, 100, 0)
    point = {"value": 0.123, "low": 0.1, "high": 0.2, "n": 1}
    curve = {"rate": 0.1, **dict.fromkeys(("deleted", "deleted_random", "kept", "kept_random"), point)}
    report = {"words": words, "stems": words, "groups": {"<i>g": {"n_texts": 1, "words": words}}, "curves": [curve]}
    page = render_page("<b>bundle</b>", predictor.labels, [("id1", "negative", attribution)], report, {"n": "1"})
    assert "<script" not in page.lower()
    assert "<b>bundle" not in page
    assert "<i>g" not in page
    assert "&lt;" in page
    assert "[U+202E]" in page
    assert "\u202e" not in page
    assert "<img" not in page
    assert "superb (1) 0.200 towards positive" in page.partition("<title>mean")[2]
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "url(" not in page
    assert 'title="+0.200 towards positive"' in page
    assert '<span class="wrong">wrong</span>' in page
    assert page.count('0.123<span class="ci">[0.100, 0.200]</span>') == 4


def test_the_chart_names_words_and_classes_and_is_the_same_each_time() -> None:
    size = {"value": 0.2, "low": 0.1, "high": 0.4, "n": 3}
    words = [{"word": "a_$b$", "mean_abs_shap": size, "n_texts": 3, "towards": name} for name in ("positive", "c3")]
    first, second = (words_chart(words, ["negative", "positive"]) for _ in range(2))
    assert first == second
    texts = ["".join(text.itertext()) for text in ET.fromstring(first).iter("{http://www.w3.org/2000/svg}text")]
    assert {"a_$b$ (3)", "towards positive", "towards c3"} <= set(texts)
    assert first.count('class="bar"') == 2
    assert words_chart([], ["negative", "positive"]) == ""
