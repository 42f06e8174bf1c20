"""Mitigations against their definitions: independence after reweighing, parity after thresholds, labels kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ratchet.trust.group_thresholds import group_thresholds, predicted_under, rules_of
from ratchet.trust.lexicons import Lexicon, audit_matches, lexicon_groups, swapped
from ratchet.trust.mitigation import augmented, resampled, reweighing
from tests.support.films import ARTICLES

LEXICON = Lexicon(
    attributes={"gender": {"women": ["she", "woman", "old lady"], "men": ["he", "man"]}},
    phrases=["he-man", "man on"],
    swaps={"gender": [["man", "woman"], ["he", "she"]]},
    templates=[],
)


def biased(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    groups = rng.choice(["a", "b"], n)
    return (rng.random(n) < np.where(groups == "a", 0.8, 0.3)).astype(int), groups


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_under_the_weights_label_and_group_are_independent(seed: int) -> None:
    labels, groups = biased(500, seed)
    weight = reweighing(labels, groups)
    assert weight.sum() == pytest.approx(500)
    rates = [np.average(labels[groups == g], weights=weight[groups == g]) for g in "ab"]
    assert rates == pytest.approx([labels.mean()] * 2)
    frame = pd.DataFrame({"label": labels, "group": groups})
    drawn = resampled(frame, weight, 1)
    assert len(drawn) == 500
    assert drawn.groupby("group")["label"].mean().tolist() == pytest.approx([labels.mean()] * 2, abs=0.12)
    assert resampled(frame, weight, 1).equals(drawn)


def test_thresholds_by_group_select_alike() -> None:
    y_true, groups = biased(2000, 4)
    rng = np.random.default_rng(5)
    proba = np.clip(0.25 + 0.5 * y_true + 0.2 * rng.standard_normal(2000), 0, 1)
    gap = {}
    for name, predicted in (
        ("before", proba >= 0.5),
        (
            "after",
            group_thresholds(proba, y_true, groups, "demographic_parity").predict(
                proba[:, None], sensitive_features=groups, random_state=0
            ),
        ),
    ):
        gap[name] = abs(np.mean(predicted[groups == "a"]) - np.mean(predicted[groups == "b"]))
    assert gap["before"] > 0.3
    assert gap["after"] < 0.05


def test_thresholds_of_the_other_half_select_alike_and_small_groups_keep_the_bundles_decision() -> None:
    y_true, groups = biased(2000, 4)
    groups = groups.astype("U8")
    groups[:6] = "few"
    rng = np.random.default_rng(5)
    proba = np.clip(0.25 + 0.5 * y_true + 0.2 * rng.standard_normal(2000), 0, 1)
    half, own = rng.random(2000) < 0.5, proba >= 0.4  # what the bundle decides itself, of several classes
    selected = predicted_under("demographic_parity", proba, own, y_true == 1, groups, half, 0)
    assert abs(selected[groups == "a"].mean() - selected[groups == "b"].mean()) < 0.1
    assert selected[:6].tolist() == own[:6].tolist()
    hidden = y_true.copy()
    hidden[half] = 1 - hidden[half]  # what is true of one half does not decide of itself
    other = predicted_under("demographic_parity", proba, own, hidden == 1, groups, half, 0)
    assert np.array_equal(other[half], selected[half])
    assert not np.array_equal(other[~half], selected[~half])
    rules = rules_of("demographic_parity", proba, y_true == 1, groups)
    assert set(rules) == {"a", "b"}
    assert rules["a"]["thresholds"][1] > rules["b"]["thresholds"][1]  # the favoured group is held to more
    assert sum(rules["a"]["probabilities"]) == pytest.approx(1)
    assert rules_of("demographic_parity", proba[:6], y_true[:6] == 1, groups[:6]) == {}


def test_augmentation_adds_swapped_copies_with_the_same_label() -> None:
    frame = pd.DataFrame({"id": ["1", "2"], "text": ["A man and she", "nobody"], "label": ["good", "bad"]})
    more = augmented(frame, LEXICON, 1, ARTICLES)
    assert more["text"].tolist()[:2] == frame["text"].tolist()
    assert more["label"].tolist() == ["good", "bad", "good"]
    assert more["text"].iloc[2] in ("A man and he", "A woman and she")
    assert more["id"].is_unique


def test_terms_are_whole_words_in_any_casing_and_phrases_do_not_count() -> None:
    texts = ["SHE came", "sheer", "a he-man", "the man on the moon", "man-made", "an old lady", "he and she", ""]
    assert lexicon_groups(texts, LEXICON, "gender").tolist() == [
        "women",
        "none",
        "none",
        "none",
        "none",
        "women",
        "several",
        "none",
    ]
    matches = audit_matches(texts, LEXICON, "gender", 1)
    assert matches["women"]["terms"] == {"she": 2, "old lady": 1}
    assert matches["women"]["n_texts"] == 3
    assert matches["women"]["examples"] == ["…SHE came…"]
    assert matches["men"]["n_terms_without_match"] == 1


def test_a_swap_changes_every_term_and_never_to_itself() -> None:
    edits = swapped("The man said he knew a woman.", "key", LEXICON.swaps["gender"], 5, ARTICLES, [])
    assert set(edits) == {"The woman said she knew a woman.", "The man said he knew a man."}
    assert swapped("Nobody here.", "key", LEXICON.swaps["gender"], 5, ARTICLES, []) == []


@pytest.mark.parametrize(
    "change",
    [
        {"attributes": {"x": {"a": ["he"], "b": ["He"]}}},
        {"attributes": {"x": {"none": ["he"]}}},
        {"swaps": {"x": [["a", "b"], ["c"]]}},
        {"templates": ["{TERM:nobody}"]},
    ],
)
def test_a_lexicon_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"x|nobody"):
        Lexicon.model_validate(LEXICON.model_dump() | change)
