"""Linear models explained exactly: by shap's linear explainer, and as the batched search finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from ratchet.data.words import word_spans
from ratchet.engines.kinds.static import StaticPredictor
from ratchet.engines.kinds.tfidf import TfidfPredictor
from ratchet.models.linear_text import LinearPredictor
from ratchet.models.static_model import StaticModel, save_static
from ratchet.models.tfidf import fit_pipeline, save_pipeline
from ratchet.trust.attributions import attribute, keep_words, shapley_search
from ratchet.trust.linear_attributions import as_question, attribute_linear, feature_score, searched_difference
from ratchet.trust.lockstep import cached_score, run_together
from ratchet.trust.owen_values import n_questions, owen_search, phrase_tree
from tests.support.bundles import manifest
from tests.support.linear_words import LinearWords

TEXTS = [
    "a superb, moving film: not dull, though a bit flat",
    "dull dull film, dull film",
    "film",
    "unknownword and !",
    "?!",
    "superb – i don't know «why» film",
]
TRAINING = [
    "a superb moving film",
    "dull and flat film",
    "not superb , bit dull",
    "moving though flat",
    "why know dull",
]


def tfidf(folder: Path, *, n_classes: int = 2, max_ngram: int = 2, max_characters: int = 0) -> TfidfPredictor:
    targets = [index % n_classes for index in range(len(TRAINING))]
    pipeline = fit_pipeline(
        TRAINING, targets, max_ngram=max_ngram, inverse_regularization=9.0, max_characters=max_characters
    )
    save_pipeline(pipeline, folder)
    labels = ["a", "b", "c"][:n_classes]
    return TfidfPredictor(manifest("baseline", kind="tfidf", max_tokens=0, labels=labels), folder)


def static(folder: Path, *, n_pairs: int = 0) -> StaticPredictor:
    pieces = ["[UNK]", "a", "superb", "mov", "##ing", "film", "dull", "flat", ",", ":", "!", "?", "not", "why"]
    tokenizer = Tokenizer(models.WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    rng, n = np.random.default_rng(0), len(pieces)
    tables: list[Any] = [rng.normal(size=size).astype(np.float32) for size in ((n, 3), (n_pairs + 1, 3), 3)]
    tables[1][-1] = 0
    save_static(StaticModel(tables[0], np.arange(n_pairs, dtype=np.int64), tables[1], tables[2]), folder)
    return StaticPredictor(manifest("static", kind="static", max_tokens=0, labels=["a", "b", "c"]), folder)


@pytest.fixture(params=["tfidf of words", "tfidf of pairs, three classes", "static"])
def predictor(request: pytest.FixtureRequest, tmp_path: Path) -> LinearPredictor:
    if request.param == "static":
        return static(tmp_path)
    return tfidf(tmp_path, max_ngram=1) if request.param == "tfidf of words" else tfidf(tmp_path, n_classes=3)


def test_values_account_for_the_probability_of_every_text(predictor: LinearPredictor) -> None:
    found = attribute_linear(predictor, TEXTS)
    assert found is not None
    for text, item in zip(TEXTS, found, strict=True):
        assert item.unit == "log-odds"
        assert item.words == [text[start:end] for start, end in word_spans(text)]
        assert item.proba == pytest.approx(predictor.predict_proba([text])[0])
        assert item.additivity_error < 1e-6
    assert np.abs(found[0].values).max() > 0.01


def test_the_batched_search_finds_the_same(predictor: LinearPredictor) -> None:
    text = TEXTS[0]
    (exact,) = attribute_linear(predictor, [text]) or []
    score, tree = feature_score(predictor, text), phrase_tree(text, word_spans(text))
    assert score is not None
    searches = [owen_search(tree, as_question, n_questions(tree)), shapley_search(len(exact.spans), as_question)]
    for values, base in run_together(searches, score):
        assert values == pytest.approx(exact.values, abs=1e-9)
        assert base == pytest.approx(exact.base, abs=1e-9)


def test_a_word_left_out_of_a_model_of_words_changes_the_logits_by_its_value(tmp_path: Path) -> None:
    """The same by another way: the row of scikit-learn's vectorizer without the word's column."""
    predictor, text = tfidf(tmp_path, max_ngram=1), "superb film"
    (exact,) = attribute_linear(predictor, [text]) or []
    vectorizer, classifier = (step for _, step in predictor._pipeline.steps)
    row = vectorizer.transform([text]).toarray()[0]
    for word, value in zip(exact.words, exact.values, strict=True):
        column = vectorizer.vocabulary_[word]
        assert value[1] - value[0] == pytest.approx(row[column] * classifier.coef_[0, column])


def test_the_difference_from_a_search_is_nothing_and_shows_wrong_shares(
    predictor: LinearPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert searched_difference(predictor, TEXTS).max() < 1e-9
    from ratchet.trust import linear_attributions

    whole = linear_attributions.word_shares
    monkeypatch.setattr(linear_attributions, "word_shares", lambda *given: whole(*given) ** 2 * 0.9)
    assert searched_difference(predictor, TEXTS[:1])[0] > 1e-3


def test_what_is_not_linear_is_left_to_the_search(tmp_path: Path) -> None:
    assert attribute_linear(LinearWords(), ["superb"]) is None
    for name, made in (("runs", lambda at: tfidf(at, max_characters=3)), ("pairs", lambda at: static(at, n_pairs=2))):
        (tmp_path / name).mkdir()
        predictor = made(tmp_path / name)
        assert attribute_linear(predictor, ["superb film"]) is None
        assert np.isnan(searched_difference(predictor, ["superb film"])).all()


def test_letters_that_grow_in_lower_case_are_left_to_the_search(tmp_path: Path) -> None:
    predictor = tfidf(tmp_path)
    assert (
        attribute_linear(predictor, ["İstanbul film"]) is None
        or searched_difference(predictor, ["İstanbul film"]).max() < 1e-9
    )


def test_log_odds_name_the_words_that_probabilities_name(tmp_path: Path) -> None:
    predictor, text = tfidf(tmp_path, max_ngram=1), "a superb moving film though flat and dull"
    (exact,) = attribute_linear(predictor, [text]) or []
    (searched,) = attribute(predictor, cached_score(predictor), [text], 300)
    assert np.corrcoef(exact.values[:, 1], searched.values[:, 1])[0, 1] > 0.9
    strongest = int(np.abs(exact.values[:, 1]).argmax())
    without = keep_words(text, exact.spans, np.arange(len(exact.spans)) != strongest)
    changed = predictor.predict_proba([without])[0, 1] - exact.proba[1]
    assert np.sign(changed) == -np.sign(exact.values[strongest, 1])
