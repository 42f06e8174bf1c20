"""Every bundle measured the same way, and measured rightly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from pipeline_steps import evaluate
from ratchet.errors import BundleError
from ratchet.files import sha256_file, write_json
from ratchet.measure.footprint import peak_memory_mb
from ratchet.measure.latency import percentile_estimate, percentile_ratio, resamples
from ratchet.measure.scoring import Scored, cost_per_million, throughput
from ratchet.models.bundle import MANIFEST, write_bundle
from ratchet.models.predictor import Predictor, Proba
from ratchet.models.tfidf import fit_pipeline, save_pipeline
from ratchet.tables import PREDICTIONS, check_table
from tests.bundles import LABELS, manifest
from tests.tiny import PRAISE, reviews

PARAMS = evaluate.Params(
    slices=["length"], length_edges=[5, 8], n_bootstrap=200, n_bins=5, n_latency=20, n_rounds=1, n_chunks=4,
    usd_per_core_hour=0.04, n_threads=1, seed=0,
)  # fmt: skip
TAKEN = (10.0, 100.0)


class WordCounter(Predictor):
    """Says positive where a text has a word of praise, but errs on every n-th text by its length."""

    def __init__(self, name: str, errs_every: int) -> None:
        super().__init__(manifest(name))
        self._errs_every = errs_every

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        praised = np.array([any(word in text for word in PRAISE) for text in texts], dtype=bool)
        wrong = np.array([self._errs_every > 0 and len(text) % self._errs_every == 0 for text in texts], dtype=bool)
        positive = np.where(praised ^ wrong, 0.9, 0.2).reshape(-1)
        return np.stack([1 - positive, positive], axis=1)


@pytest.fixture(scope="module")
def evaluated() -> tuple[pd.DataFrame, dict[str, Any]]:
    predictors = {"baseline": WordCounter("baseline", 2), "teacher": WordCounter("teacher", 0),
                  "student": WordCounter("student", 5)}  # fmt: skip
    taken = {"baseline": (1.0, 50.0), "teacher": (40.0, 300.0), "student": TAKEN}
    return evaluate.run(predictors, taken, reviews(120, 1), reviews(30, 2), PARAMS)


def test_accuracy_and_f1_are_scikit_learns(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    predictions, report = evaluated
    for name, bundle in report["bundles"].items():
        rows = predictions[(predictions["bundle"] == name) & (predictions["split"] == "test")]
        assert bundle["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(rows["label"], rows["predicted"]))
        expected = f1_score(rows["label"], rows["predicted"], average="macro")
        assert bundle["metrics"]["macro_f1"]["value"] == pytest.approx(expected)
        assert bundle["metrics"]["accuracy"]["n"] == 120
    assert report["bundles"]["teacher"]["metrics"]["accuracy"]["value"] == 1.0


def test_predictions_keep_ids_texts_and_both_domains_apart(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    predictions, _ = evaluated
    check_table(predictions, PREDICTIONS, "predictions")
    assert predictions.groupby(["bundle", "split"]).size().to_dict()["student", "transfer"] == 30
    rows = predictions[(predictions["bundle"] == "teacher") & (predictions["split"] == "test")]
    assert rows["id"].tolist() == reviews(120, 1)["id"].tolist()
    np.testing.assert_allclose(rows[[f"proba_{label}" for label in LABELS]].sum(axis=1), 1.0)


def test_differences_are_paired_and_ratios_are_quotients(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    bundles = evaluated[1]["bundles"]
    lost = bundles["student"]["against"]["teacher"]["accuracy"]
    assert lost["value"] == pytest.approx(bundles["student"]["metrics"]["accuracy"]["value"] - 1.0)
    assert lost["low"] <= lost["value"] <= lost["high"] < 0
    assert bundles["student"]["against"]["teacher"]["size_mb"]["value"] == pytest.approx(0.25)
    assert set(bundles["teacher"]["against"]) == {"baseline"}


def test_slices_cover_the_test_set(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    slices = evaluated[1]["bundles"]["student"]["slices"]
    assert sum(item["accuracy"]["n"] for item in slices.values()) == 120


def test_another_domain_that_is_empty_is_undefined_not_zero() -> None:
    _, report = evaluate.run(
        {"teacher": WordCounter("teacher", 0)}, {"teacher": TAKEN}, reviews(40, 1), reviews(0, 2), PARAMS
    )
    transfer = report["bundles"]["teacher"]["metrics"]["transfer_accuracy"]
    assert np.isnan(transfer["value"])
    assert transfer["reason"]


def test_percentiles_and_their_ratio() -> None:
    times = np.arange(1.0, 101.0)
    draws = resamples(100, 500, np.random.default_rng(0))
    p95 = percentile_estimate(times, 95, draws)
    assert p95.value == pytest.approx(np.percentile(times, 95))
    assert p95.low < p95.value < p95.high
    ratio = percentile_ratio(times, times * 4, 95, draws)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.25, 0.25, 0.25))


def test_cost_is_processor_time_at_the_price() -> None:
    # 8 texts in 2 CPU-seconds: a million take 250,000 CPU-seconds, 69.44 core-hours, 2.78 dollars at 4 cents
    scored = Scored(np.zeros((8, 2)), np.array([4, 4]), np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    draws = resamples(2, 50, np.random.default_rng(0))
    assert cost_per_million(scored, 0.04, draws).value == pytest.approx(2.7778, abs=1e-3)
    assert throughput(scored, draws).value == pytest.approx(8.0)


def test_the_memory_is_that_of_a_process_that_serves_the_bundle(tmp_path: Path) -> None:
    frame = reviews(40, 1)
    pipeline = fit_pipeline(
        frame["text"].tolist(), (frame["label"] == "positive").astype(int).tolist(), max_ngram=1,
        inverse_regularization=1.0,
    )  # fmt: skip
    facts = manifest("baseline", kind="tfidf", max_tokens=0)
    write_bundle(tmp_path / "baseline", facts, lambda folder: save_pipeline(pipeline, folder))
    ballast = np.ones(100_000_000)  # 800 MB of this process that are not the bundle's
    assert 20 < peak_memory_mb(tmp_path / "baseline", ["superb film", "dull film"], 1) < 600
    assert ballast[-1] == 1
    with pytest.raises(BundleError, match="could not be served"):
        peak_memory_mb(tmp_path / "nowhere", ["x"], 1)


def test_the_champion_is_the_one_that_was_pinned(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    write_json(pointer, {"bundle": None})
    assert evaluate.champion_path(pointer) is None
    bundle = tmp_path / "old"
    bundle.mkdir()
    write_json(bundle / MANIFEST, {"name": "old"})
    write_json(pointer, {"bundle": str(bundle), "manifest_sha256": sha256_file(bundle / MANIFEST)})
    assert evaluate.champion_path(pointer) == bundle
    write_json(bundle / MANIFEST, {"name": "altered"})
    with pytest.raises(BundleError, match="not the bundle that was promoted"):
        evaluate.champion_path(pointer)
