"""The champion is the bundle that was pinned, and its probabilities stand under the data's classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ratchet.errors import BundleError
from ratchet.files import sha256_file, write_json
from ratchet.models.bundle import MANIFEST
from ratchet.models.champion import champion_path, champion_proba, mark_path
from ratchet.models.predictor import Predictor, Proba
from tests.support.bundles import LABELS, manifest


class LengthScorer(Predictor):
    """The first class with probability 1 / characters."""

    def __init__(self) -> None:
        super().__init__(manifest("lengths"))

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        first = np.array([1 / len(text) for text in texts])
        return np.stack([first, 1 - first], axis=1)


def test_the_champion_is_the_one_that_was_pinned(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    write_json(pointer, {"bundle": None})
    assert champion_path(pointer) is None
    bundle = tmp_path / "old"
    bundle.mkdir()
    write_json(bundle / MANIFEST, {"name": "old"})
    write_json(pointer, {"bundle": str(bundle), "manifest_sha256": sha256_file(bundle / MANIFEST)})
    assert champion_path(pointer) == bundle
    write_json(bundle / MANIFEST, {"name": "altered"})
    with pytest.raises(BundleError, match="not the bundle that was promoted"):
        champion_path(pointer)


def test_a_champion_that_is_not_there_is_refused(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    write_json(pointer, {"bundle": str(tmp_path / "nowhere"), "manifest_sha256": "0" * 64})
    with pytest.raises(BundleError, match="got: none"):
        champion_path(pointer)


def test_the_columns_follow_the_data_s_classes() -> None:
    champion = LengthScorer()
    assert champion_proba(champion, ["ab"], LABELS).tolist() == [[0.5, 0.5]]
    assert champion_proba(champion, ["abcd"], LABELS).tolist() == [[0.25, 0.75]]
    assert champion_proba(champion, ["abcd"], LABELS[::-1]).tolist() == [[0.75, 0.25]]


def test_a_champion_of_other_classes_is_refused() -> None:
    with pytest.raises(BundleError, match="other classes"):
        champion_proba(LengthScorer(), ["ab"], ["routine", "urgent"])


def test_a_mark_whose_bundle_is_gone_says_how_to_get_it_back(tmp_path: Path) -> None:
    pointer = tmp_path / "high_water_mark.json"
    write_json(pointer, {"bundle": None})
    assert mark_path(pointer) is None
    bundle = tmp_path / "best"
    write_json(pointer, {"bundle": str(bundle), "manifest_sha256": "0" * 64, "version": "sentiment@v1.0.0"})
    with pytest.raises(
        BundleError, match=r"is gone(?s:.*)sentiment@v1.0.0(?s:.*)ratchet registry fetch high_water_mark"
    ):
        mark_path(pointer)
    write_json(bundle / MANIFEST, {"name": "best"})
    write_json(pointer, {"bundle": str(bundle), "manifest_sha256": sha256_file(bundle / MANIFEST)})
    assert mark_path(pointer) == bundle
