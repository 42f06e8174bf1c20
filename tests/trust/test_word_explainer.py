"""The batched search as an explainer of shap's own kind: the same values, its maskers, its plots, and stored ones."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from ratchet.data.words import word_spans
from ratchet.errors import ParamsError, TableError
from ratchet.models.predictor import Predictor, Proba
from ratchet.trust.attributions import attribute, keep_words
from ratchet.trust.explanation_tables import read_explained, read_explanation, to_explanation, write_explanation
from ratchet.trust.lockstep import cached_score, run_together
from ratchet.trust.owen_values import linkage_of, n_questions, owen_search, phrase_tree, random_tree, tree_of
from tests.support.bundles import manifest
from tests.support.linear_words import LinearWords

LONG = "A long, winding film and a short one: " + " ".join(f"w{'x' * (i % 7)}{i}" for i in range(10))
SHORT = "superb, but flat <b>"
EVERY = 200_000
"""Enough to open every group; with fewer, which are opened first is shap's own business."""


class Order(Predictor):
    """Scores a text by which words stand before which: every word depends on every other."""

    def __init__(self) -> None:
        super().__init__(manifest("order"))

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        ends = [sum((7 * at + 3) ** 2 * len(word) for at, word in enumerate(text.split())) for text in texts]
        positive = np.array([end % 97 / 97 for end in ends])
        return np.stack([1 - positive, positive], axis=1) if texts else np.zeros((0, 2))


def ask(texts: NDArray[Any]) -> Proba:
    """The predictor as a model of shap's."""
    return Order().predict_proba([str(text) for text in texts])


def test_values_are_those_of_shaps_partition_explainer_and_of_its_exact_one() -> None:
    import shap

    from ratchet.trust.word_explainer import UngroupedMasker, WordExplainer, WordMasker

    found = WordExplainer(Order())([LONG, SHORT], max_evals=2000)
    expected = shap.explainers.PartitionExplainer(ask, WordMasker())(np.array([LONG]), max_evals=EVERY, silent=True)
    assert found.values[0] == pytest.approx(expected.values[0], abs=1e-9)
    assert found.base_values[0] == pytest.approx(expected.base_values[0])
    exact = shap.explainers.ExactExplainer(ask, UngroupedMasker())(np.array([SHORT]), silent=True)
    assert found.values[1] == pytest.approx(exact.values[0], abs=1e-9)


def test_any_tree_gives_shaps_values() -> None:
    import shap

    from ratchet.trust.word_explainer import WordMasker

    tree = random_tree(len(word_spans(LONG)), np.random.default_rng(3))

    class Masker(WordMasker):
        def clustering(self, text: str) -> NDArray[np.float64]:
            return linkage_of(tree)

    expected = shap.explainers.PartitionExplainer(ask, Masker())(np.array([LONG]), max_evals=EVERY, silent=True)
    search = owen_search(tree, lambda mask: keep_words(LONG, word_spans(LONG), mask), EVERY)
    ((values, base),) = run_together([search], cached_score(Order()))
    assert values == pytest.approx(expected.values[0], abs=1e-9)
    assert base == pytest.approx(expected.base_values[0])


def test_it_is_shaps_kind_and_takes_shaps_maskers() -> None:
    import shap

    from ratchet.trust.word_explainer import WordExplainer

    masker = shap.maskers.Text(r"\W+")
    texts = np.array([LONG, "Late, but it came after all of them left"])
    found = WordExplainer(ask, masker, output_names=["negative", "positive"])(texts, max_evals=20_000, silent=True)
    expected = shap.explainers.PartitionExplainer(ask, shap.maskers.Text(r"\W+"))(texts, max_evals=20_000, silent=True)
    assert isinstance(WordExplainer(ask, masker), shap.Explainer)
    assert found.output_names == ["negative", "positive"]
    assert [list(row) for row in found.data] == [list(row) for row in expected.data]
    total = [base + values.sum(axis=0) for base, values in zip(found.base_values, found.values, strict=True)]
    whole = [masker(np.ones(masker.shape(text)[1], dtype=bool), text)[0][0] for text in texts]
    assert np.array(total) == pytest.approx(ask(np.array(whole)), abs=1e-9)
    assert found.values[0] == pytest.approx(expected.values[0], abs=1e-9)


def test_outputs_and_fixed_contexts_are_shaps() -> None:
    import shap

    from ratchet.trust.word_explainer import WordExplainer, WordMasker

    whole = WordExplainer(Order())([LONG], max_evals=2000)
    top = WordExplainer(Order())([LONG], max_evals=2000, outputs=shap.Explanation.argsort.flip[:1])
    highest = int(Order().predict_proba([LONG])[0].argmax())
    assert top.values[0] == pytest.approx(whole.values[0][:, [highest]])
    fixed = WordExplainer(Order())([LONG], fixed_context=1, silent=True)
    own = shap.explainers.PartitionExplainer(ask, WordMasker())(np.array([LONG]), fixed_context=1, silent=True)
    assert fixed.values[0] == pytest.approx(own.values[0])
    assert not np.allclose(fixed.values[0], whole.values[0])


def test_texts_of_a_call_share_batches_and_one_alone_is_the_same() -> None:
    from ratchet.trust.word_explainer import WordExplainer

    predictor = LinearWords()
    texts = [f"{LONG} number {i}" for i in range(20)]
    together = WordExplainer(predictor)(texts, max_evals=62)
    assert predictor.n_calls <= 1 + 12
    (alone,) = WordExplainer(LinearWords())(texts[:1], max_evals=62).values
    assert alone == pytest.approx(together.values[0])


def test_the_difference_from_shap_is_nothing_and_shows_a_broken_search(monkeypatch: pytest.MonkeyPatch) -> None:
    from ratchet.trust import word_explainer

    predictor, texts = Order(), [LONG, SHORT, " ".join(f"word{i}" for i in range(200)), "one"]
    score = cached_score(predictor)
    differences = word_explainer.shap_difference(predictor, score, texts, 64)
    assert differences.shape == (4,)
    assert differences.max() < 1e-9
    monkeypatch.setattr(word_explainer, "owen_search", lambda *given: _doubled(owen_search(*given)))
    assert word_explainer.shap_difference(predictor, score, [LONG], 64)[0] > 1e-3


def _doubled(search: Any) -> Generator[Any, Any, Any]:
    values, base = yield from search
    return 2 * values, base


def test_a_text_of_many_words_is_cut_to_what_can_be_opened() -> None:
    from ratchet.trust.word_explainer import MAX_QUESTIONS, _first_words

    text = ", ".join(f"word{i}" for i in range(200)) + "."
    cut = _first_words(text)
    assert text.startswith(cut)
    assert n_questions(phrase_tree(cut, word_spans(cut))) <= MAX_QUESTIONS
    longer = text[: text.index(",", len(cut) + 2)]
    assert n_questions(phrase_tree(longer, word_spans(longer))) > MAX_QUESTIONS
    assert _first_words(SHORT) == SHORT


@pytest.mark.parametrize("seed", range(5))
def test_a_tree_comes_back_from_its_linkage_and_its_questions_are_counted(seed: int) -> None:
    tree = random_tree(9, np.random.default_rng(seed))
    assert tree_of(linkage_of(tree), 9) == tree
    asked = [0]

    def score(questions: Sequence[Any]) -> Proba:
        asked[0] += len(questions)
        return np.random.default_rng(asked[0]).random((len(questions), 2))

    run_together([owen_search(tree, lambda mask: str(mask), EVERY)], score)
    assert asked[0] == n_questions(tree)


def test_groups_of_words_apart_are_refused() -> None:
    with pytest.raises(ParamsError, match="no neighbours"):
        tree_of(np.array([[0.0, 2.0, 1.0, 2.0], [1.0, 3.0, 1.0, 3.0]]), 3)


TEXTS = [LONG, "superb film", "flat $x$ <b>=", "moving and dull film"]


def explained() -> list[tuple[str, str, Any]]:
    predictor = LinearWords()
    found = attribute(predictor, cached_score(predictor), TEXTS, 64)
    return [(f"id{index}", "positive", item) for index, item in enumerate(found)]


def test_explanations_come_back_to_the_last_bit(tmp_path: Path) -> None:
    items = [*explained(), ("id9", "negative", attribute(LinearWords(), cached_score(LinearWords()), ["?!"], 16)[0])]
    write_explanation(tmp_path, "small", items, ["negative", "positive"])
    read, labels = read_explained(tmp_path, "small")
    assert labels == ["negative", "positive"]
    for (key, label, one), (other_key, other_label, other) in zip(items, read, strict=True):
        assert (key, label, one.text, one.spans) == (other_key, other_label, other.text, other.spans)
        for name in ("values", "base", "proba"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
    first = [(tmp_path / f"small-{part}.parquet").read_bytes() for part in ("texts", "words")]
    write_explanation(tmp_path, "small", items, ["negative", "positive"])
    assert first == [(tmp_path / f"small-{part}.parquet").read_bytes() for part in ("texts", "words")]


def test_no_texts_are_stored_as_tables_without_rows(tmp_path: Path) -> None:
    write_explanation(tmp_path, "small", [], ["negative", "positive"])
    assert read_explained(tmp_path, "small") == ([], ["negative", "positive"])


def test_a_missing_explanation_is_reported(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="missing"):
        read_explanation(tmp_path, "small")


def test_the_words_are_a_table_that_adds_up(tmp_path: Path) -> None:
    write_explanation(tmp_path, "small", explained(), ["negative", "positive"])
    texts, words = (pd.read_parquet(tmp_path / f"small-{part}.parquet") for part in ("texts", "words"))
    sums = words.groupby("id")["value_positive"].sum().reindex(texts["id"]).to_numpy()
    assert (texts["base_positive"] + sums).to_numpy() == pytest.approx(texts["proba_positive"].to_numpy(), abs=1e-9)
    assert all(
        text[a:b] == word
        for text, a, b, word in zip(
            words["id"].map(texts.set_index("id")["text"]), words["start"], words["end"], words["word"], strict=True
        )
    )


def test_shaps_plots_draw_from_what_is_stored(tmp_path: Path) -> None:
    import matplotlib.pyplot as plt
    import shap

    write_explanation(tmp_path, "small", explained(), ["negative", "positive"])
    explanation = read_explanation(tmp_path, "small")
    assert explanation.shape == (4, None, 2)
    assert ["".join(pieces) for pieces in explanation.data] == TEXTS
    positive = explanation[:, :, "positive"]
    try:
        shap.plots.bar(positive.mean(0), show=False)
        names = [text.get_text() for text in plt.gca().get_yticklabels()]
        assert "superb" in names
        plt.close()
        shap.plots.waterfall(explanation[2, :, "positive"], show=False)
        assert any("flat" in text.get_text() for text in plt.gcf().axes[0].get_yticklabels())
        plt.close()
        page = shap.plots.text(explanation[1, :, "positive"], display=False)
        assert "superb" in page
        assert "superb" in shap.plots.force(explanation[1, :, "positive"]).html()
    finally:
        plt.close("all")


def test_an_explanation_of_texts_of_one_length_is_an_array() -> None:
    predictor = LinearWords()
    found = attribute(predictor, cached_score(predictor), ["superb film", "flat film"], 64)
    assert to_explanation(found, predictor.labels).values.shape == (2, 2, 2)
