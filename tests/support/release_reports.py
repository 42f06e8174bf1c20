"""Made-up reports, in the shapes the steps write, with round figures that no run measured."""

from __future__ import annotations

import copy
from typing import Any

from pipeline_steps import shortlist

Json = dict[str, Any]


def estimate(value: float, half: float = 0.0, n: int = 1000) -> Json:
    """An estimate with a symmetric interval."""
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def gate_at(bound: float, metric: str = "accuracy", against: str = "absolute", comparison: str = "at_least") -> Json:
    """A gate on the figure of a whole bundle, which fails where there is none."""
    return {
        "metric": metric,
        "scope": "bundle",
        "against": against,
        "comparison": comparison,
        "bound": bound,
        "rule": "value",
        "when_undefined": "fail",
    }


def bundle(accuracy: float, latency_ms: float, size_mb: float, *, deployable: bool = True, **extra: Any) -> Json:
    """A bundle of evaluate's report, compared with a baseline of 0.70 and a teacher of 0.80, 20 ms and 100 MB.

    The teacher is the best one, and a constant answer is right on half of the texts.
    """
    return {
        "is_best": accuracy >= 0.80,
        "kind": "torch",
        "precision": "fp32",
        "parent": "",
        "deployable": deployable,
        "metrics": {
            "primary": estimate(accuracy, 0.02),
            "accuracy": estimate(accuracy, 0.02),
            "macro_f1": estimate(accuracy, 0.02),
            "ece": estimate(0.05, 0.01),
            "transfer_accuracy": estimate(accuracy - 0.05, 0.03, 500),
            "latency_p50_ms": estimate(latency_ms / 2, 0.1),
            "latency_p95_ms": estimate(latency_ms, 0.2),
            "throughput_per_s": estimate(1000 / latency_ms),
            "size_mb": estimate(size_mb),
            "peak_memory_mb": estimate(size_mb * 3),
            "cost_per_million_usd": estimate(latency_ms / 20),
            "weak_slice_accuracy": estimate(accuracy - 0.1, 0.05, 90),
            "contrast_accuracy": estimate(0.7, 0.1, 40),
            "contrast_consistency": estimate(0.6, 0.1, 40),
            "invariance_violation_rate": estimate(0.02, 0.01, 80),
        },
        "challenge": {
            "weak": {"word=but": estimate(accuracy - 0.1, 0.05, 90)},
            "contrast": {"swap": estimate(0.6, 0.1, 40)},
            "invariance": {"typos": estimate(0.02, 0.01, 80)},
        },
        "slices": {
            "length=short": {"accuracy": estimate(accuracy + 0.02, 0.03, 400)},
            "negation=yes": {"accuracy": estimate(accuracy - 0.06, 0.05, 200)},
        },
        "against": {
            "majority": {"primary": estimate(accuracy - 0.50, 0.02)},
            "best": {"primary": estimate(accuracy - 0.80, 0.005)},
            "baseline": {
                "primary": estimate(accuracy - 0.70, 0.01),
                "accuracy": estimate(accuracy - 0.70, 0.01),
                "macro_f1": estimate(accuracy - 0.70, 0.01),
                "latency_p95_ms": estimate(latency_ms / 0.5),
                "size_mb": estimate(size_mb / 2),
            },
            "teacher": {
                "accuracy": estimate(accuracy - 0.80, 0.01),
                "macro_f1": estimate(accuracy - 0.80, 0.01),
                "latency_p95_ms": estimate(latency_ms / 20),
                "size_mb": estimate(size_mb / 100),
                "cost_per_million_usd": estimate(latency_ms / 20),
            },
        },
        **extra,
    }


def evaluate_report(with_champion: bool = False) -> Json:
    """A baseline that is small and poor, a teacher that is large and good, two compressed bundles that are both."""
    bundles = {
        "baseline": bundle(0.70, 0.5, 2.0, kind="tfidf"),
        "teacher": bundle(0.80, 20.0, 100.0),
        "small-int8": bundle(0.79, 2.0, 8.0, kind="onnx", precision="int8", parent="teacher"),
        "small-nf4": bundle(0.77, 30.0, 24.0, kind="bitsandbytes", precision="nf4", parent="teacher"),
    }
    for name, own in (("baseline", ["baseline"]), ("teacher", ["teacher", "best"])):
        for reference in own:
            del bundles[name]["against"][reference]
    if with_champion:
        bundles["champion"] = bundle(0.78, 2.0, 8.0, deployable=False, kind="onnx")
        for name, item in bundles.items():
            if name != "champion":
                accuracy = item["metrics"]["accuracy"]["value"] - 0.78
                item["against"]["champion"] = {
                    "primary": estimate(accuracy, 0.005),
                    "accuracy": estimate(accuracy, 0.005),
                    "latency_p95_ms": estimate(item["metrics"]["latency_p95_ms"]["value"] / 2.0),
                }
    return {
        "command": "python -m pipeline_steps.evaluate",
        "labels": ["negative", "positive"],
        "machine": {"cpu": "Imaginary 9000", "n_cores": 2, "n_threads": 2, "system": "Linux"},
        "n_validation": 1000,
        "n_transfer": 500,
        "n_challenge": 210,
        "bundles": bundles,
        "challenge_failures": [
            {
                "kind": "contrast",
                "edit": "swap",
                "text": "a bright <b> film",
                "edited": "a dull <b> film",
                "expected": "negative",
                "n_failed": "4 of 4",
            }
        ],
    }


def audit_report() -> Json:
    """Fair enough for every bundle."""
    metrics = {
        "worst_slice_accuracy": estimate(0.72, 0.05),
        "accuracy_gap": estimate(0.08, 0.03),
        "selection_rate_difference": estimate(0.10, 0.04),
        "equalized_odds_difference": estimate(0.12, 0.05),
        "sensitive_equalized_odds_difference": estimate(0.2, 0.1),
        "demographic_parity_ratio": estimate(0.8, 0.1),
        "calibration_gap": estimate(0.1, 0.05),
    }
    slices = {
        "length=short": {"n": 400, "accuracy": estimate(0.8, 0.03, 400)},
        "gender=women": {"n": 60, "accuracy": estimate(0.72, 0.1, 60)},
        "age=old": {"n": 9, "accuracy": {"value": None, "low": None, "high": None, "n": 9, "reason": "few"}},
    }
    paired = {name: {"accuracy": estimate(-0.02, 0.01, 60)} for name in ("length=short", "gender=women")}
    point = {"coverage": 0.5, "least_confidence": 0.8, "accuracy": estimate(0.9, 0.02)}
    bins = [{"confidence": at, "accuracy": estimate(at, 0.05)} for at in (0.6, 0.9)]
    calibration = {"ece": estimate(0.04, 0.01), "ece_before": estimate(0.12, 0.02), "bins": bins, "bins_before": bins}
    confidence = {"calibration": calibration, "selective": [point, {**point, "coverage": 1.0}]}
    part = {
        "metrics": metrics,
        "confidence": confidence,
        "slices": slices,
        "slices_against": {other: copy.deepcopy(paired) for other in ("baseline", "teacher", "champion")},
    }
    bundles = dict.fromkeys(("baseline", "teacher", "small-int8", "small-nf4"), part)
    matches = {"gender": {"women": {"n_texts": 60, "terms": {"she": 40}, "examples": ["…<i>she</i>…"]}}}
    return {
        "command": "python -m pipeline_steps.audit",
        "sensitive_features": ["gender", "age"],
        "matches": matches,
        "bundles": bundles,
    }


def behave_report() -> Json:
    """Every bundle behaves."""
    names = (
        "counterfactual_flip_rate",
        "minimum_failure_rate",
        "negation_failure_rate",
        "invariance_failure_rate",
        "direction_failure_rate",
        "trigger_flip_rate",
    )
    metrics = {name: estimate(0.02, 0.02, 80) for name in names}
    metrics |= {"test_leak_rate": estimate(0.0), "better_on_test": estimate(-0.01, 0.03)}
    part = {
        "metrics": metrics,
        "examples": dict.fromkeys(names, "reports/behave/bundle.md"),
        "tests": [
            {
                "test": "plain praise",
                "kind": "minimum",
                "failure_rate": estimate(0.02, 0.02, 80),
                "examples": [{"text": "a <b>bright</b> film", "before": "", "told": "P(positive) = 0.4"}],
            }
        ],
    }
    bundles = dict.fromkeys(("baseline", "teacher", "small-int8", "small-nf4"), part)
    return {"command": "python -m pipeline_steps.behave", "bundles": bundles}


def judge_report() -> Json:
    """Every bundle but one was judged, and is on the sealed test as good as on the validation texts."""
    quality = ("primary", "accuracy", "macro_f1", "ece")
    bundles = {
        name: {
            "is_best": bundle["is_best"],
            "metrics": {metric: bundle["metrics"][metric] for metric in quality},
            "against": {
                other: {metric: figures[metric] for metric in quality if metric in figures}
                for other, figures in bundle["against"].items()
            },
        }
        for name, bundle in evaluate_report()["bundles"].items()
        if name != "small-nf4"
    }
    return {
        "command": "python -m pipeline_steps.judge",
        "n_test": 2000,
        "max_openings": 20,
        "best": "teacher",
        "bundles": bundles,
    }


def explain_report() -> Json:
    """Only the bundles on the shortlist were explained."""
    metrics = {
        "n_explained": estimate(10),
        "additivity_error": estimate(1e-6),
        "shap_difference": estimate(1e-16),
        "faithfulness_gain": estimate(0.4, 0.05, 10),
        "attribution_agreement": estimate(0.7, 0.1, 10),
    }
    rest = {
        "words": [
            {"word": "dull", "mean_abs_shap": estimate(0.4, 0.1), "n_texts": 6, "towards": "negative"},
            {"word": "<b>bright</b>", "mean_abs_shap": estimate(0.3, 0.1), "n_texts": 4, "towards": "positive"},
        ]
    }
    bundles = {name: {"metrics": metrics, **rest} for name in ("small-int8", "small-nf4", "teacher")}
    return {"command": "python -m pipeline_steps.explain", "bundles": bundles}


def step_reports() -> dict[str, Json]:
    """Reports whose form only their own steps know."""
    return {
        "ingest": {"command": "python -m pipeline_steps.ingest", "source": "made-up.csv", "n_rows": 4000},
        "validate": {
            "command": "python -m pipeline_steps.validate",
            "n_quarantined": 12,
            "rules": {
                "short": {"severity": "quarantine", "kept": True},
                "empty": {"severity": "quarantine", "kept": False},
            },
        },
        "split": {"command": "python -m pipeline_steps.split", "rows": {"train": 2000, "test": 1000}},
        "sample": {"command": "python -m pipeline_steps.sample", "n_labeled": 500, "query_strategy": "margin"},
        "train": {"command": "python -m pipeline_steps.train", "history": [{"epoch": 1, "loss": 0.5}]},
    }


def people_report(gain: float) -> Json:
    """What sample tells of people's labels, when a hundred more of them gain this much accuracy."""
    price = estimate(50.0, 10.0)
    people = {
        "n_people": 3,
        "n_resolved": 40,
        "n_escalated": 2,
        "seconds_per_label": estimate(90.0, 18.0),
        "usd_per_hundred_labels": price,
        "agreement": {"krippendorff_alpha": estimate(0.6, 0.1)},
    }
    return {
        "people": people,
        "primary_metric": "accuracy",
        "gained_per_hundred_labels": estimate(gain, 0.002),
    }


SHORTLIST = shortlist.Params(
    n_candidates=2,
    max_loss=0.015,
    confidence=0.8,
    size_tie=0.1,
    latency_tie=0.25,
    quality_tie=0.005,
    aim="size",
    max_size_mb=0.0,
    max_p95_ms=0.0,
    max_memory_mb=0.0,
)


def shortlist_report(evaluate: Json) -> Json:
    """What the stage `shortlist` makes of an evaluation."""
    return shortlist.run(evaluate, SHORTLIST)
