"""Drift: the statistics against scipy, error rates that hold, planted shifts that are found."""

from __future__ import annotations

import numpy as np
import pytest

from ratchet.errors import TableError
from ratchet.monitoring import drift
from ratchet.monitoring.features import N_FOURIER, TextFeatures, fourier_features, text_features
from ratchet.monitoring.shift_statistics import kolmogorov_smirnov, maximum_mean_discrepancy, wasserstein, weights
from tests.support.drift_samples import sample

N_SPLITS = 500


@pytest.mark.parametrize("seed", range(5))
def test_the_statistics_are_scipys(seed: int) -> None:
    from scipy.stats import ks_2samp, wasserstein_distance

    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 9, 40).astype(float), rng.integers(1, 12, 65).astype(float)  # with ties
    inside = np.arange(105)[None] < 40
    d, scale = weights(inside, ~inside)
    both = np.concatenate([a, b])
    assert kolmogorov_smirnov(both, d)[0] == pytest.approx(ks_2samp(a, b).statistic, abs=1e-6)
    assert wasserstein(both[:, None], d)[0] == pytest.approx(wasserstein_distance(a, b), abs=1e-5)
    assert scale[0] == pytest.approx(np.sqrt(40 * 65 / 105))


def test_the_discrepancy_is_that_of_the_gaussian_kernel() -> None:
    """Against the kernel written out, over the hashed texts themselves."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.metrics.pairwise import rbf_kernel

    from ratchet.monitoring.features import BANDWIDTH, N_HASHED

    words = ["film", "plot", "actor", "scene", "story", "music", "camera", "light", "sound", "joke"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words[:7] if row < 30 else words[4:], 12)) for row in range(60)]
    hashed = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 3), n_features=N_HASHED).transform(texts)
    kernel = rbf_kernel(hashed, gamma=1 / (2 * BANDWIDTH**2))
    inside = np.arange(60)[None] < 30
    d, _ = weights(inside, ~inside)
    exact = np.sqrt(d[0] @ kernel @ d[0])
    assert maximum_mean_discrepancy(fourier_features(texts), d)[0] == pytest.approx(exact, rel=0.15)


def test_features_do_not_depend_on_the_other_texts_nor_on_the_tail_of_a_long_one() -> None:
    texts = ["a fine film", "", "word " * 100]
    together = text_features(texts, None)
    assert together.fourier.shape == (3, N_FOURIER)
    for row, text in enumerate(texts):
        np.testing.assert_allclose(text_features([text], None).fourier[0], together.fourier[row], atol=1e-6)
    longer = text_features(["word " * 100 + "tail " * 900], None)
    assert longer.n_words[0] == 1000
    assert longer.fertility[0] == together.fertility[2]
    np.testing.assert_allclose(longer.fourier[0], together.fourier[2], atol=1e-6)


def test_windows_without_drift_alarm_as_often_as_stated() -> None:
    """Over references and windows of the same source; the bound is four standard errors above α."""
    alpha, n_windows, alarms = 0.05, 300, 0
    for seed in range(10):
        rng = np.random.default_rng([1, seed])
        reference = sample(600, rng)
        null = drift.calibrate(reference, 200, N_SPLITS, rng)
        alarms += sum(drift.judge(reference, sample(200, rng), null).p <= alpha for _ in range(n_windows // 10))
    rate = alarms / n_windows
    assert 0 < rate <= alpha + 4 * np.sqrt(alpha * (1 - alpha) / n_windows)


@pytest.mark.parametrize("which", ["length", "fertility", "prediction", "content"])
def test_each_statistic_finds_what_it_is_for(which: str) -> None:
    rng = np.random.default_rng(2)
    reference = sample(800, rng)
    null = drift.calibrate(reference, 300, N_SPLITS, rng)
    found = drift.judge(reference, sample(300, rng, shifted=which), null)
    assert found.p <= 0.01
    assert min(found.p_values, key=lambda name: found.p_values[name]) == which
    assert all(p > 0.001 for name, p in found.p_values.items() if name != which)


def test_texts_that_were_learned_from_do_not_vouch_for_probabilities() -> None:
    """Rows that are not held out may hold any probability and fertility: neither threshold nor verdict changes."""
    rng = np.random.default_rng(3)
    held, learned = sample(400, rng), sample(300, rng, held_out=False)
    window = sample(200, rng)

    def verdict(proba: float) -> tuple[float, float]:
        both = drift.joined(
            held,
            drift.Sample(
                TextFeatures(learned.texts.n_words, learned.texts.fertility + proba, learned.texts.fourier),
                np.full((300, 2), proba),
                learned.held_out,
            ),
        )
        null = drift.calibrate(both, 200, N_SPLITS, np.random.default_rng(4))
        found = drift.judge(both, window, null)
        return found.p_values["prediction"], found.p_values["fertility"]

    assert verdict(0.0) == verdict(0.9)


def test_the_same_seed_gives_the_same_thresholds_and_a_small_reference_is_refused() -> None:
    reference = sample(300, np.random.default_rng(5))
    one, two = (drift.calibrate(reference, 100, 50, np.random.default_rng(6)) for _ in range(2))
    np.testing.assert_array_equal(one.smallest, two.smallest)
    with pytest.raises(TableError, match="too small"):
        drift.calibrate(reference, 250, 50, np.random.default_rng(6))
    with pytest.raises(TableError, match="another size"):
        drift.judge(reference, reference, one)
