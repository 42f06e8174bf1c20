"""Slices partition the rows, mean what they say, and refuse names they do not know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ratchet.errors import ParamsError, TableError
from ratchet.params import check_params
from ratchet.trust.slices import NO_PATTERNS, PatternFeatures, length_groups, slice_masks
from tests.support.films import PATTERNS


def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": [
                "good",
                "it isn’t good at all",
                "no rating here 8/10",
                "a b c d e f g h i j",
                "nothing but 3 stars",
            ],
            "source": ["a", "b", "a", "b", "a"],
            "country": ["NL", None, "NL", "BE", "BE"],
        }
    )


def test_groups_of_a_feature_are_disjoint_and_cover_all_rows() -> None:
    masks = slice_masks(_frame(), ["source", "length", "negation", "rating", "country"], [2, 5], PATTERNS)
    for feature in ("source", "length", "negation", "rating", "country"):
        of_feature = [mask for name, mask in masks.items() if name.startswith(f"{feature}=")]
        assert np.sum(of_feature, axis=0).tolist() == [1] * 5
    assert masks["source=a"].tolist() == [True, False, True, False, True]
    assert masks["country=missing"].tolist() == [False, True, False, False, False]


def test_length_edges_are_inclusive() -> None:
    texts = ["w " * n for n in (1, 2, 3, 5, 6)]
    assert length_groups(texts, [2, 5]).tolist() == ["short", "short", "medium", "medium", "long"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("This is NOT it", True), ("it doesn't", True), ("it does n't", True), ("a notable knot", False), ("", False)],
)
def test_negation_finds_cues_and_not_their_lookalikes(text: str, expected: bool) -> None:
    masks = slice_masks(pd.DataFrame({"text": [text]}), ["negation"], [1, 2], PATTERNS)
    assert list(masks) == [f"negation={'yes' if expected else 'no'}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8/10 for me", True), ("3 out of 5", True), ("**** great", True), ("two of 5 friends", False), ("9/11", False)],
)
def test_rating_finds_figures_and_stars(text: str, expected: bool) -> None:
    masks = slice_masks(pd.DataFrame({"text": [text]}), ["rating"], [1, 2], PATTERNS)
    assert list(masks) == [f"rating={'yes' if expected else 'no'}"]


def test_an_unknown_feature_is_refused_with_what_there_is() -> None:
    with pytest.raises(TableError, match="no slice feature 'age'") as caught:
        slice_masks(_frame(), ["age"], [1, 2], PATTERNS)
    assert "negation" in str(caught.value)
    assert "country" in str(caught.value)


@pytest.mark.parametrize("patterns", [{"length": "x"}, {"language": "x"}, {"order": "#("}])
def test_a_pattern_that_is_none_or_takes_a_known_name_is_refused(patterns: dict[str, str]) -> None:
    with pytest.raises(ParamsError, match=r"already|no regular expression"):
        check_params(PatternFeatures, "features", {"patterns": patterns})


def test_no_rows_give_no_slices() -> None:
    assert slice_masks(_frame().head(0), ["source", "length", "negation"], [1, 2], PATTERNS) == {}


ENGLISH, GERMAN = "the bus is late again this morning", "Der Bus kommt heute leider wieder zu spät"


def test_languages_of_a_handful_of_texts_are_one_slice() -> None:
    texts = [ENGLISH] * 30 + [GERMAN] * 10 + ["el autobús llega tarde otra vez", "42"]
    masks = slice_masks(pd.DataFrame({"text": texts}), ["language"], [1, 2], NO_PATTERNS)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {
        "language=de": 10,
        "language=en": 30,
        "language=other": 2,
    }


def test_a_column_of_the_data_says_it_better() -> None:
    frame = pd.DataFrame({"text": [ENGLISH, GERMAN], "language": ["en-GB", None]})
    assert list(slice_masks(frame, ["language"], [1, 2], NO_PATTERNS)) == ["language=en-GB", "language=missing"]
