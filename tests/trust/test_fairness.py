"""Fairness figures against fairlearn's own, and what happens to groups too small to judge."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ratchet.measure.bootstrap import weights
from ratchet.trust.fairness import audit_feature, bundle_metrics, feature_gaps
from ratchet.trust.sensitive import sensitive_metrics


def random_case(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_true = np.where(rng.random(n) < 0.5, "good", "bad")
    groups = rng.choice(["a", "b", "c"], size=n)
    wrong = rng.random(n) < np.where(groups == "a", 0.4, 0.15)
    y_pred = np.where(wrong, np.where(y_true == "good", "bad", "good"), y_true)
    return y_true, y_pred, groups


def draws(n: int) -> np.ndarray:
    return weights(n, 300, np.random.default_rng(0))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gaps_equal_fairlearns(seed: int) -> None:
    from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
    from sklearn.metrics import accuracy_score

    y_true, y_pred, groups = random_case(seed)
    audit = audit_feature(y_true, y_pred, groups, ["good"], 5, draws(400))
    metrics = bundle_metrics({"group": audit})
    true, pred = (y_true == "good").astype(int), (y_pred == "good").astype(int)
    accuracies = [accuracy_score(y_true[groups == g], y_pred[groups == g]) for g in "abc"]
    assert metrics["selection_rate_difference"].value == pytest.approx(
        demographic_parity_difference(true, pred, sensitive_features=groups)
    )
    assert metrics["equalized_odds_difference"].value == pytest.approx(
        equalized_odds_difference(true, pred, sensitive_features=groups)
    )
    assert metrics["accuracy_gap"].value == pytest.approx(max(accuracies) - min(accuracies))
    assert metrics["worst_slice_accuracy"].value == pytest.approx(min(accuracies))
    for estimate in metrics.values():
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.low < estimate.high


@pytest.mark.parametrize("seed", [1, 2])
def test_every_rate_and_ratio_equals_metricframes(seed: int) -> None:
    from fairlearn.metrics import (
        MetricFrame,
        demographic_parity_ratio,
        false_positive_rate,
        selection_rate,
        true_positive_rate,
    )

    y_true, y_pred, groups = random_case(seed)
    audit = audit_feature(y_true, y_pred, groups, ["good"], 5, draws(400))
    true, pred = (y_true == "good").astype(int), (y_pred == "good").astype(int)
    functions = {
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
    }
    frame = MetricFrame(metrics=functions, y_true=true, y_pred=pred, sensitive_features=groups)
    for name, rates in audit.rates.items():
        for measure in functions:
            assert rates[measure].value == pytest.approx(frame.by_group[measure][name])
    ratio = demographic_parity_ratio(true, pred, sensitive_features=groups)
    assert audit.ratio("selection_rate").value == pytest.approx(ratio)
    assert sensitive_metrics({"group": audit}, with_selection=True)["demographic_parity_ratio"].value == pytest.approx(
        ratio
    )


def test_texts_that_speak_of_nobody_are_no_group_of_people() -> None:
    y_true, y_pred, groups = random_case(4)
    y_pred[groups == "a"] = "bad"
    named = np.where(groups == "a", "none", groups)
    audit = audit_feature(y_true, y_pred, named, ["good"], 5, draws(400))
    assert bundle_metrics({"g": audit})["selection_rate_difference"].value > 0.3
    assert sensitive_metrics({"g": audit}, with_selection=True)["demographic_parity_difference"].value < 0.2


def test_overconfidence_is_confidence_minus_accuracy() -> None:
    y_true, y_pred, groups = random_case(3)
    audit = audit_feature(y_true, y_pred, groups, ["good"], 5, draws(400), np.full(400, 0.9))
    for name in "abc":
        inside = groups == name
        expected = 0.9 - np.mean(y_true[inside] == y_pred[inside])
        assert audit.rates[name]["overconfidence"].value == pytest.approx(expected)


def test_draws_under_unit_weights_are_the_values() -> None:
    y_true, y_pred, groups = random_case(5)
    audit = audit_feature(y_true, y_pred, groups, ["good"], 5, np.ones((1, 400), np.float32))
    for name in audit.rates:
        rates = audit.rates[name] | audit.one_against_rest[name]
        assert len(rates) == 8
        for rate in rates.values():
            assert rate.draws.tolist() == pytest.approx([rate.value])


def test_a_perfect_model_has_no_gap_but_in_selection() -> None:
    y_true = np.array(["good"] * 30 + ["bad"] * 10 + ["good"] * 10 + ["bad"] * 30)
    groups = np.repeat(["a", "b"], 40)
    metrics = bundle_metrics({"g": audit_feature(y_true, y_true, groups, ["good"], 5, draws(80))})
    assert metrics["accuracy_gap"].value == 0
    assert metrics["equalized_odds_difference"].value == 0
    assert metrics["selection_rate_difference"].value == pytest.approx(0.5)


def test_a_small_group_is_undefined_and_out_of_every_gap() -> None:
    y_true, y_pred, groups = random_case(6)
    groups = np.where(np.arange(400) < 3, "tiny", groups)
    y_pred[:3] = np.where(y_true[:3] == "good", "bad", "good")  # all wrong: it would be the worst by far
    audit = audit_feature(y_true, y_pred, groups, ["good"], 10, draws(400))
    estimate = audit.rates["tiny"]["accuracy"].estimate()
    assert math.isnan(estimate.value)
    assert "3 texts" in estimate.reason
    metrics = bundle_metrics({"g": audit})
    without = bundle_metrics({"g": audit_feature(y_true[3:], y_pred[3:], groups[3:], ["good"], 10, draws(397))})
    assert {name: item.value for name, item in metrics.items()} == {name: item.value for name, item in without.items()}


def test_a_rate_of_too_few_positives_is_undefined_though_the_group_is_large() -> None:
    y_true = np.array(["bad"] * 49 + ["good"] + ["bad", "good"] * 25)
    groups = np.repeat(["a", "b"], 50)
    rates = audit_feature(y_true, y_true, groups, ["good"], 10, draws(100)).rates["a"]
    assert not rates["accuracy"].reason
    assert not rates["false_positive_rate"].reason
    assert math.isnan(rates["true_positive_rate"].value)


def test_one_group_leaves_gaps_undefined_with_a_reason_and_other_features_count() -> None:
    y_true, y_pred, groups = random_case(7)
    one = audit_feature(y_true, y_pred, np.full(400, "only"), ["good"], 10, draws(400))
    metrics = bundle_metrics({"source": one})
    assert math.isnan(metrics["accuracy_gap"].value)
    assert metrics["accuracy_gap"].reason
    assert metrics["worst_slice_accuracy"].value == pytest.approx(np.mean(y_true == y_pred))
    other = audit_feature(y_true, y_pred, groups, ["good"], 10, draws(400))
    both = bundle_metrics({"source": one, "group": other})
    assert both["accuracy_gap"] == feature_gaps(other)["accuracy_gap"].estimate()


def test_the_largest_gap_over_features_and_labels_counts() -> None:
    y_true, y_pred, groups = random_case(8)
    shuffled = np.random.default_rng(0).permutation(groups)
    w = draws(400)
    audits = {name: audit_feature(y_true, y_pred, g, ["good"], 5, w) for name, g in (("x", groups), ("y", shuffled))}
    gaps = [feature_gaps(audit)["accuracy_gap"].value for audit in audits.values()]
    assert bundle_metrics(audits)["accuracy_gap"].value == max(gaps)
    assert gaps[0] > gaps[1]


def random_classes(seed: int, n: int = 900) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes, of which one is taken for another more often in one group."""
    rng = np.random.default_rng(seed)
    y_true = rng.choice(["billing", "bug", "praise"], n, p=[0.5, 0.3, 0.2])
    groups = rng.choice(["a", "b", "c"], n)
    y_pred = np.where(rng.random(n) < 0.15, rng.choice(["billing", "bug", "praise"], n), y_true)
    return y_true, np.where((groups == "b") & (y_true == "bug") & (rng.random(n) < 0.5), "praise", y_pred), groups


@pytest.mark.parametrize("seed", [1, 2])
def test_of_k_classes_equalized_odds_is_the_worst_of_fairlearns_one_against_the_rest(seed: int) -> None:
    from fairlearn.metrics import equalized_odds_difference

    y_true, y_pred, groups = random_classes(seed)
    metrics = bundle_metrics({"g": audit_feature(y_true, y_pred, groups, [], 5, draws(900))})
    of_classes = {
        label: equalized_odds_difference(y_true == label, y_pred == label, sensitive_features=groups)
        for label in ("billing", "bug", "praise")
    }
    assert metrics["equalized_odds_difference"].value == pytest.approx(max(of_classes.values()))
    assert max(of_classes, key=of_classes.__getitem__) == "bug"


def test_being_selected_is_one_decision_of_all_selected_classes() -> None:
    from fairlearn.metrics import MetricFrame, demographic_parity_difference, selection_rate, true_positive_rate

    y_true, y_pred, groups = random_classes(3)
    audit = audit_feature(y_true, y_pred, groups, ["bug", "praise"], 5, draws(900))
    true, pred = y_true != "billing", y_pred != "billing"
    frame = MetricFrame(
        metrics={"selection_rate": selection_rate, "true_positive_rate": true_positive_rate},
        y_true=true,
        y_pred=pred,
        sensitive_features=groups,
    )
    for name, rates in audit.rates.items():
        for measure in frame.by_group:
            assert rates[measure].value == pytest.approx(frame.by_group[measure][name])
    assert bundle_metrics({"g": audit})["selection_rate_difference"].value == pytest.approx(
        demographic_parity_difference(true, pred, sensitive_features=groups)
    )


def test_without_a_selection_its_figures_are_absent_and_the_others_the_same() -> None:
    y_true, y_pred, groups = random_classes(4)
    with_it, without = (audit_feature(y_true, y_pred, groups, selected, 5, draws(900)) for selected in (["bug"], []))
    both = bundle_metrics({"g": with_it}), bundle_metrics({"g": without})
    assert set(both[0]) - set(both[1]) == {"selection_rate_difference"}
    assert both[1] == {name: both[0][name] for name in both[1]}
    assert set(sensitive_metrics({"g": without}, with_selection=False)) == {
        "sensitive_equalized_odds_difference",
        "sensitive_accuracy_gap",
        "calibration_gap",
    }


def test_no_sensitive_feature_leaves_the_figures_of_a_selection_undefined_with_a_reason() -> None:
    for estimate in sensitive_metrics({}, with_selection=True).values():
        assert math.isnan(estimate.value)
        assert estimate.reason
