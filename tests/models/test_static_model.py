"""The static classifier against its formula, written out in plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ratchet.errors import BundleError
from ratchet.models import static_model
from ratchet.models.static_model import StaticModel, load_static, save_static

N_TOKENS, N_CLASSES = 20, 3


def model(seed: int = 0, n_pairs: int = 30) -> StaticModel:
    rng = np.random.default_rng(seed)
    keys = np.sort(rng.choice(N_TOKENS * N_TOKENS, n_pairs, replace=False))
    pairs = np.concatenate([rng.normal(size=(n_pairs, N_CLASSES)), np.zeros((1, N_CLASSES))])
    tables = (rng.normal(size=(N_TOKENS, N_CLASSES)), pairs, rng.normal(size=N_CLASSES))
    tokens, pairs, bias = (table.astype(np.float32) for table in tables)
    return StaticModel(tokens, keys, pairs, bias)


def by_hand(static: StaticModel, ids: list[int]) -> np.ndarray:
    """bias + (Σ tokens + Σ known pairs) ÷ n, one after the other."""
    total = np.zeros(N_CLASSES)
    for at, token in enumerate(ids):
        total += static.tokens[token]
        if at + 1 < len(ids):
            key = token * N_TOKENS + ids[at + 1]
            if key in static.keys.tolist():
                total += static.pairs[static.keys.tolist().index(key)]
    return static.bias + (total / len(ids) if ids else 0)


def texts(n: int, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, N_TOKENS, rng.integers(0, 12)).tolist() for _ in range(n)]


@pytest.mark.parametrize("n_pairs", [0, 1, 30, 200])
@pytest.mark.parametrize("chunk", [3, 20_000])
def test_logits_follow_the_formula_in_any_company(n_pairs: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_model, "CHUNK_TOKENS", chunk)
    static, asked = model(n_pairs=n_pairs), [[], *texts(40, 1), []]
    expected = np.array([by_hand(static, ids) for ids in asked])
    np.testing.assert_allclose(static.logits(asked), expected, atol=1e-5)
    np.testing.assert_allclose([static.logits_of_one(ids) for ids in asked], expected, atol=1e-5)


def test_no_texts_and_only_empty_ones() -> None:
    assert model().logits([]).shape == (0, N_CLASSES)
    np.testing.assert_array_equal(model().logits([[], []]), np.tile(model().bias, (2, 1)))


def test_a_temperature_divides_the_logits() -> None:
    asked = texts(10, 2)
    np.testing.assert_allclose(model().divided(2.0).logits(asked), model().logits(asked) / 2, atol=1e-5)


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    save_static(model(), tmp_path)
    asked = texts(10, 3)
    np.testing.assert_allclose(load_static(tmp_path).logits(asked), model().logits(asked), atol=5e-3)


def test_tables_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    whole = model()
    save_static(StaticModel(whole.tokens, whole.keys[:-1], whole.pairs, whole.bias), tmp_path)
    with pytest.raises(BundleError, match="do not fit together"):
        load_static(tmp_path)
