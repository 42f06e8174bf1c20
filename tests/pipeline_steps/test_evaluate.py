"""Every bundle measured the same way, and measured rightly."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

from pipeline_steps import evaluate
from ratchet.errors import BundleError, TableError
from ratchet.measure.comparison import Measured, Rates, against, draw
from ratchet.measure.energy import joules_between, read_joules
from ratchet.measure.footprint import Footprint, footprint
from ratchet.measure.latency import percentile_estimate, percentile_ratio, resamples
from ratchet.measure.machine_figures import drop
from ratchet.measure.report_files import report_text
from ratchet.measure.scoring import (
    Scored,
    cost_per_million,
    energy_per_thousand,
    estimated_energy_per_thousand,
    score,
    throughput,
)
from ratchet.measure.significance import discordant, mcnemar_p, paired_difference
from ratchet.models.bundle import write_bundle
from ratchet.models.predictor import Predictor, Proba
from ratchet.models.tfidf import PACKAGES, fit_pipeline, save_pipeline
from ratchet.tables import CHALLENGE, PREDICTIONS, check_table, empty_table
from tests.support.bundles import LABELS, manifest
from tests.support.films import PATTERNS
from tests.support.linear_words import LinearWords
from tests.support.tiny import BLAME, PRAISE, reviews

PARAMS = evaluate.Params(
    labels=LABELS,
    primary_metric="accuracy",
    rare_class="",
    cost_matrix=[],
    slices=["length"],
    length_edges=[5, 8],
    n_bootstrap=200,
    n_bins=5,
    n_latency=20,
    n_rounds=1,
    n_chunks=4,
    n_long=10,
    long_words=9,
    prices=[
        evaluate.Price(machine="core", usd_per_core_hour=0.04),
        evaluate.Price(machine="spot", usd_per_core_hour=0.01),
    ],
    usd_per_gpu_hour=1.8,
    watts_per_core=5.0,
    n_failures=4,
    n_threads=1,
    seed=0,
)
TAKEN = (10.0, Footprint(100.0, 2.0))
NO_CASES = empty_table(CHALLENGE)


def cases(test: pd.DataFrame) -> pd.DataFrame:
    """A weak slice of 40 texts, 20 whose words of praise and blame change sides, and 20 with an added full stop."""
    swap = dict(zip([*PRAISE, *BLAME], [*BLAME, *PRAISE], strict=True))
    other = {"positive": "negative", "negative": "positive"}
    weak, edited = test.head(40).assign(kind="weak", name="word=film"), test.tail(20)
    turned = edited.assign(
        kind="contrast",
        name="swap",
        label=edited["label"].map(other),
        text=[" ".join(swap.get(word, word) for word in text.split()) for text in edited["text"]],
    )
    same = edited.assign(kind="invariance", name="punctuation", text=edited["text"] + " .")
    return pd.concat([weak, turned, same], ignore_index=True)[list(CHALLENGE.columns)].astype("str")


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
    predictors = {
        "baseline": WordCounter("baseline", 2),
        "teacher": WordCounter("teacher", 0),
        "student": WordCounter("student", 5),
    }
    taken = {"baseline": (1.0, Footprint(50.0, 1.0)), "teacher": (40.0, Footprint(300.0, 4.0)), "student": TAKEN}
    return evaluate.run(
        predictors, taken, reviews(120, 1), reviews(30, 2), cases(reviews(120, 1)), PATTERNS, PARAMS, list(predictors)
    )


def test_accuracy_and_f1_are_scikit_learns(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    predictions, report = evaluated
    for name, bundle in report["bundles"].items():
        rows = predictions[(predictions["bundle"] == name) & (predictions["split"] == "validation")]
        assert bundle["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(rows["label"], rows["predicted"]))
        expected = f1_score(rows["label"], rows["predicted"], average="macro")
        assert bundle["metrics"]["macro_f1"]["value"] == pytest.approx(expected)
        assert bundle["metrics"]["accuracy"]["n"] == 120
    assert report["bundles"]["teacher"]["metrics"]["accuracy"]["value"] == 1.0


def test_predictions_keep_ids_texts_and_both_domains_apart(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    predictions, _ = evaluated
    check_table(predictions, PREDICTIONS, "predictions")
    assert predictions.groupby(["bundle", "split"]).size().to_dict()["student", "transfer"] == 30
    rows = predictions[(predictions["bundle"] == "teacher") & (predictions["split"] == "validation")]
    assert rows["id"].tolist() == reviews(120, 1)["id"].tolist()
    np.testing.assert_allclose(rows[[f"proba_{label}" for label in LABELS]].sum(axis=1), 1.0)


def test_differences_are_paired_and_ratios_are_quotients(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    bundles = evaluated[1]["bundles"]
    lost = bundles["student"]["against"]["teacher"]["accuracy"]
    assert lost["value"] == pytest.approx(bundles["student"]["metrics"]["accuracy"]["value"] - 1.0)
    assert lost["low"] <= lost["value"] <= lost["high"] < 0
    assert bundles["student"]["against"]["teacher"]["size_mb"]["value"] == pytest.approx(0.25)
    assert set(bundles["teacher"]["against"]) == {"baseline", "majority"}


def test_the_best_is_compared_with_nothing_and_everything_with_a_constant_answer(
    evaluated: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    bundles = evaluated[1]["bundles"]
    assert {name: bundle["is_best"] for name, bundle in bundles.items()} == {
        "baseline": False,
        "teacher": True,
        "student": False,
    }
    student = bundles["student"]
    assert student["against"]["best"]["primary"] == student["against"]["teacher"]["primary"]
    commonest = reviews(120, 1)["label"].value_counts(normalize=True).max()
    for bundle in bundles.values():
        gained = bundle["metrics"]["accuracy"]["value"] - commonest
        assert bundle["against"]["majority"]["accuracy"]["value"] == pytest.approx(gained)


def test_what_cannot_be_released_is_never_the_best() -> None:
    predictors = {"teacher": WordCounter("teacher", 3), "champion": WordCounter("champion", 0)}
    _, report = evaluate.run(
        predictors,
        dict.fromkeys(predictors, TAKEN),
        reviews(60, 1),
        reviews(9, 2),
        NO_CASES,
        PATTERNS,
        PARAMS,
        ["teacher"],
    )
    assert report["bundles"]["teacher"]["is_best"]
    assert report["bundles"]["champion"]["against"]["best"]["accuracy"]["value"] > 0


def test_accuracy_as_the_primary_metric_is_the_accuracy(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    assert evaluated[1]["primary_metric"] == "accuracy"
    for bundle in evaluated[1]["bundles"].values():
        for figures in (bundle["metrics"], *bundle["against"].values(), *bundle["slices"].values()):
            assert figures["primary"] == figures["accuracy"]


def test_the_primary_metric_stands_beside_accuracy_and_counts_upwards_in_differences() -> None:
    predictors = {"teacher": WordCounter("teacher", 0), "student": WordCounter("student", 5)}
    costs = {"primary_metric": "expected_cost", "cost_matrix": [[0.0, 1.0], [10.0, 0.0]]}
    predictions, report = evaluate.run(
        predictors,
        dict.fromkeys(predictors, TAKEN),
        reviews(120, 1),
        reviews(30, 2),
        NO_CASES,
        PATTERNS,
        PARAMS.model_copy(update=costs),
        list(predictors),
    )
    rows = predictions[(predictions["bundle"] == "student") & (predictions["split"] == "validation")]
    false_alarms = (rows["label"] == "negative") & (rows["predicted"] == "positive")
    missed = (rows["label"] == "positive") & (rows["predicted"] == "negative")
    expected = float((false_alarms + 10 * missed.astype(int)).mean())
    student = report["bundles"]["student"]
    assert report["primary_metric"] == "expected_cost"
    assert student["metrics"]["primary"]["value"] == pytest.approx(expected)
    assert student["against"]["teacher"]["primary"]["value"] == pytest.approx(-expected)
    assert student["metrics"]["accuracy"]["value"] == pytest.approx(1 - float((false_alarms | missed).mean()))
    by_slice = [figures["primary"] for figures in student["slices"].values()]
    assert sum(item["value"] * item["n"] for item in by_slice) / 120 == pytest.approx(expected)


def test_what_is_lost_is_bounded_by_the_discordant_texts(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    predictions, report = evaluated
    rows = predictions[predictions["split"] == "validation"].pivot(index="id", columns="bundle", values="predicted")
    truth = reviews(120, 1).set_index("id").loc[rows.index, "label"]
    counts = discordant((rows["student"] == truth).to_numpy(), (rows["teacher"] == truth).to_numpy())
    found = report["bundles"]["student"]["against"]["teacher"]
    assert found["accuracy"] == paired_difference(counts).to_json()
    assert found["mcnemar_p"]["value"] == mcnemar_p(counts) < 0.01
    assert found["mcnemar_p"]["n"] == counts.n_lost > 5


def test_latency_of_long_texts_cost_by_machine_and_energy_stand_in_the_report(
    evaluated: tuple[pd.DataFrame, dict[str, Any]],
) -> None:
    student = evaluated[1]["bundles"]["student"]
    metrics = student["metrics"]
    assert (
        metrics["latency_p50_ms"]["value"] <= metrics["latency_p95_ms"]["value"] <= metrics["latency_p99_ms"]["value"]
    )
    assert metrics["latency_long_p95_ms"]["n"] == PARAMS.n_long
    assert metrics["cold_start_s"]["value"] == 2.0
    assert np.isnan(metrics["cold_start_s"]["low"])  # one start tells no interval
    assert student["costs"]["core"] == metrics["cost_per_million_usd"]
    assert student["costs"]["spot"]["value"] == pytest.approx(metrics["cost_per_million_usd"]["value"] / 4)
    # a CPU-second at 5 W is 5 J, at 4 cents an hour 1.11e-5 dollars: joules a thousand = dollars a million × 450
    joules = metrics["energy_estimate_per_thousand_j"]["value"]
    assert joules == pytest.approx(metrics["cost_per_million_usd"]["value"] * 450)
    if read_joules() is None:
        assert "no energy counters" in metrics["energy_per_thousand_j"]["reason"]


def test_long_texts_are_long_where_there_are_enough() -> None:
    rng = np.random.default_rng(0)
    test, transfer = reviews(60, 1), reviews(60, 2)
    n_words = [len(text.split()) for text in evaluate.long_texts(test, transfer, PARAMS, rng)]
    assert len(n_words) == PARAMS.n_long
    assert min(n_words) >= PARAMS.long_words
    few = evaluate.long_texts(test, transfer, PARAMS.model_copy(update={"long_words": 999}), rng)
    longest = sorted((len(text.split()) for text in [*test["text"], *transfer["text"]]), reverse=True)
    assert sorted((len(text.split()) for text in few), reverse=True) == longest[: PARAMS.n_long]


def test_energy_is_what_the_packages_counted(tmp_path: Path) -> None:
    assert read_joules(tmp_path) is None
    for name, microjoules in {"intel-rapl:0": 2_000_000, "intel-rapl:1": 500_000, "intel-rapl:0:0": 9}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{microjoules}\n")
    assert read_joules(tmp_path) == 2.5
    assert joules_between(2.0, 2.5) == 0.5
    assert joules_between(2.5, 2.0) is None  # wrapped around
    assert joules_between(None, 2.0) is None
    scored = Scored(np.zeros((8, 2)), np.array([4, 4]), np.ones(2), np.ones(2), np.array([1.0, 3.0]))
    assert energy_per_thousand(scored, resamples(2, 50, np.random.default_rng(0))).value == pytest.approx(500.0)


def test_slices_cover_the_test_set(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    slices = evaluated[1]["bundles"]["student"]["slices"]
    assert sum(item["accuracy"]["n"] for item in slices.values()) == 120


def test_the_challenge_is_measured_for_every_bundle(evaluated: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    _, report = evaluated
    teacher, student = (report["bundles"][name]["metrics"] for name in ("teacher", "student"))
    assert teacher["weak_slice_accuracy"]["n"] == 40
    assert teacher["contrast_accuracy"]["value"] == teacher["contrast_consistency"]["value"] == 1.0
    assert teacher["invariance_violation_rate"]["value"] == 0.0
    assert student["invariance_violation_rate"]["value"] > 0, "the student's errors depend on a text's length"
    assert student["contrast_consistency"]["value"] < 1.0
    parts = report["bundles"]["student"]["challenge"]
    assert set(parts) == {"weak", "contrast", "invariance"}
    assert parts["contrast"]["swap"] == student["contrast_consistency"]
    assert report["n_challenge"] == 80
    shown = report["challenge_failures"]
    assert 0 < len(shown) <= 4
    assert {item["kind"] for item in shown} == {"contrast", "invariance"}
    counts = [item["n_failed"] for item in shown if item["kind"] == "invariance"]
    assert counts == sorted(counts, reverse=True)


def test_without_cases_the_figures_are_absent_and_the_kinds_are_named() -> None:
    _, report = evaluate.run(
        {"teacher": WordCounter("teacher", 0)},
        {"teacher": TAKEN},
        reviews(40, 1),
        reviews(9, 2),
        NO_CASES,
        PATTERNS,
        PARAMS,
        ["teacher"],
    )
    figures = set(report["bundles"]["teacher"]["metrics"])
    assert not figures & {
        "weak_slice_accuracy",
        "contrast_accuracy",
        "contrast_consistency",
        "invariance_violation_rate",
    }
    assert report["challenge_kinds_without_cases"] == ["weak", "contrast", "invariance"]
    assert report["without_cases"] == {
        "weak_slice_accuracy": "no weak cases",
        "contrast_accuracy": "no contrast cases",
        "contrast_consistency": "no contrast cases",
        "invariance_violation_rate": "no invariance cases",
    }
    assert report["challenge_failures"] == []


def test_a_second_measurement_of_the_same_bundles_gives_the_same_report_in_git() -> None:
    """Whatever is timed is named in MACHINE_METRICS: a new metric that is not would fail here."""

    def measure(taken: Footprint) -> tuple[str, str]:
        predictors = {name: WordCounter(name, 0) for name in ("baseline", "teacher")}
        sizes = dict.fromkeys(predictors, (TAKEN[0], taken))
        _, report = evaluate.run(
            predictors, sizes, reviews(60, 1), reviews(9, 2), NO_CASES, PATTERNS, PARAMS, ["teacher"]
        )
        return report_text(drop(report)), report_text(report)

    one, other = measure(TAKEN[1]), measure(Footprint(peak_memory_mb=999.0, cold_start_s=9.9))
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_a_case_of_an_unknown_text_is_refused() -> None:
    stray = cases(reviews(120, 1)).replace({"id": {reviews(120, 1)["id"][119]: "stranger"}})
    with pytest.raises(TableError, match="comes from no evaluated text"):
        evaluate.run(
            {"teacher": WordCounter("teacher", 0)},
            {"teacher": TAKEN},
            reviews(120, 1),
            reviews(9, 2),
            stray,
            PATTERNS,
            PARAMS,
            ["teacher"],
        )


def test_another_domain_that_is_empty_is_undefined_not_zero() -> None:
    _, report = evaluate.run(
        {"teacher": WordCounter("teacher", 0)},
        {"teacher": TAKEN},
        reviews(40, 1),
        reviews(0, 2),
        NO_CASES,
        PATTERNS,
        PARAMS,
        ["teacher"],
    )
    transfer = report["bundles"]["teacher"]["metrics"]["transfer_accuracy"]
    assert np.isnan(transfer["value"])
    assert transfer["reason"]


def test_percentiles_and_their_ratio() -> None:
    times = np.arange(1.0, 101.0)
    draws = resamples(100, 500, np.random.default_rng(0))
    p95 = percentile_estimate(times, 95)
    assert p95.value == pytest.approx(np.percentile(times, 95))
    assert p95.low < p95.value < p95.high
    ratio = percentile_ratio(times, times * 4, 95, draws)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.25, 0.25, 0.25))
    beyond = percentile_ratio(times, times * 4, 99, draws)
    assert beyond.value == pytest.approx(0.25)
    assert np.isnan(beyond.high)


@pytest.mark.parametrize(("percent", "n"), [(95, 72), (95, 80), (99, 368), (50, 16)])
def test_an_interval_of_a_percentile_holds_the_true_one_95_times_in_100(percent: int, n: int) -> None:
    rng, held, true = np.random.default_rng(n), 0, stats.lognorm(1).ppf(percent / 100)
    for _ in range(400):
        found = percentile_estimate(rng.lognormal(size=n), percent)
        held += found.low <= true <= found.high
    assert held / 400 > 0.925  # two standard errors below 0.95


@pytest.mark.parametrize(("percent", "n", "needed"), [(99, 80, 368), (95, 16, 72), (95, 71, 72), (50, 5, 6)])
def test_a_percentile_beyond_the_sample_has_no_interval(percent: int, n: int, needed: int) -> None:
    found = percentile_estimate(np.random.default_rng(0).lognormal(size=n), percent)
    assert found.value > 0
    assert np.isnan([found.low, found.high]).all()
    assert f"{n} texts are too few" in found.reason
    assert f"{needed} would do" in found.reason


def test_cost_is_processor_time_at_the_price() -> None:
    # 8 texts in 2 CPU-seconds: a million take 250,000 CPU-seconds, 69.44 core-hours, 2.78 dollars at 4 cents
    scored = Scored(np.zeros((8, 2)), np.array([4, 4]), np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    draws = resamples(2, 50, np.random.default_rng(0))
    assert cost_per_million(scored, 0.04, 1.8, draws).value == pytest.approx(2.7778, abs=1e-3)
    assert throughput(scored, draws).value == pytest.approx(8.0)


def test_a_model_on_a_gpu_costs_the_time_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """8 texts in a second of a GPU at 1.80 an hour and 0.1 CPU-seconds at 0.04: a million cost 62.6 dollars."""
    chunks, spent = np.array([4, 4]), np.array([0.05, 0.05])
    scored = Scored(np.zeros((8, 2)), chunks, np.array([0.5, 0.5]), spent, on_gpu=True)
    draws = resamples(2, 50, np.random.default_rng(0))
    assert cost_per_million(scored, 0.04, 1.8, draws).value == pytest.approx(1e6 / 8 * (1.8 + 0.1 * 0.04) / 3600)
    assert np.isnan(estimated_energy_per_thousand(scored, 5.0, draws).value)
    on_cores = Scored(np.zeros((8, 2)), chunks, np.array([5.0, 5.0]), np.array([10.0, 10.0]))
    teacher, student = (
        Measured(item, np.zeros(0, bool), np.ones(9), np.ones(9), *TAKEN) for item in (scored, on_cores)
    )
    y_true, w = np.zeros(8, dtype=np.int64), draw(8, 0, 9, 9, 2, 50, 0)
    ratio = against(student, teacher, y_true, PARAMS.metric_of(LABELS), Rates(0.04, 1.8, 5.0), w)[
        "cost_per_million_usd"
    ]
    assert ratio.value == pytest.approx(20 * 0.04 / (1.8 + 0.1 * 0.04))
    predictor = LinearWords()
    assert not score(predictor, ["superb"] * 8, 2, np.random.default_rng(0)).on_gpu
    monkeypatch.setattr(LinearWords, "on_gpu", True)
    assert score(predictor, ["superb"] * 8, 2, np.random.default_rng(0)).on_gpu


def test_bundles_start_one_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    running, most = [0], [0]

    def start(path: Path, texts: list[str], n_threads: int) -> Footprint:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.05)
        running[0] -= 1
        return Footprint(float(path.name), 1.0)

    monkeypatch.setattr(evaluate, "footprint", start)
    paths = {name: tmp_path / name for name in "123"}
    for path in paths.values():
        path.mkdir()
    taken = evaluate.served(paths, ["a"], 1)
    assert [item.peak_memory_mb for _, item in taken.values()] == [1.0, 2.0, 3.0]
    assert most == [1]


def test_memory_and_cold_start_are_those_of_a_process_that_serves_the_bundle(tmp_path: Path) -> None:
    frame = reviews(40, 1)
    pipeline = fit_pipeline(
        frame["text"].tolist(),
        (frame["label"] == "positive").astype(int).tolist(),
        max_ngram=1,
        inverse_regularization=1.0,
    )
    facts = manifest("baseline", kind="tfidf", max_tokens=0)
    write_bundle(tmp_path / "baseline", facts, lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    ballast = np.ones(100_000_000)  # 800 MB of this process that are not the bundle's
    began = time.perf_counter()
    taken = footprint(tmp_path / "baseline", ["superb film", "dull film"], 1)
    assert 20 < taken.peak_memory_mb < 600
    assert 0 < taken.cold_start_s < time.perf_counter() - began
    assert ballast[-1] == 1
    with pytest.raises(BundleError, match="could not be served"):
        footprint(tmp_path / "nowhere", ["x"], 1)
