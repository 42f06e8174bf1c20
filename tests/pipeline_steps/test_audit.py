"""The audit step finds a planted gap, lines rows up by id, and refuses what it cannot judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import audit
from ratchet.embeddings.table import write_embeddings
from ratchet.errors import TableError
from ratchet.files import read_json, write_json
from ratchet.gates.measured_reports import merge_bundles, with_details
from ratchet.table_files import write_table
from ratchet.tables import PREDICTIONS, SPLIT
from ratchet.trust.audited_groups import Rules
from ratchet.trust.lexicons import Lexicon
from tests.support.bare_figures import bare_figures
from tests.support.films import PATTERNS, copy_task_files
from tests.support.params import write_params
from tests.support.tiny import reviews

VALUES: dict[str, Any] = {
    "splits": ["validation"],
    "features": ["source", "length", "negation"],
    "columns": [],
    "attributes": [],
    "intersections": [],
    "length_edges": [6, 8],
    "positive_labels": ["positive"],
    "min_group_size": 10,
    "n_bins": 5,
    "false_alarm_rate": 0.05,
    "thresholds": "none",
    "threshold_attribute": "gender",
    "n_examples": 2,
    "n_bootstrap": 200,
    "seed": 1,
}


LEXICON = Lexicon(attributes={"gender": {"women": ["she"], "men": ["he"]}}, phrases=[], swaps={}, templates=[])


def params(**changes: Any) -> audit.Params:
    return audit.Params.model_validate({**VALUES, **changes})


def run(predictions: pd.DataFrame, frame: pd.DataFrame, values: audit.Params, **trained: Any) -> dict[str, Any]:
    return audit.run(predictions, frame, Rules(LEXICON, PATTERNS), trained, values)


def texts(n: int = 200) -> pd.DataFrame:
    frame = reviews(n, 1)
    negated = np.arange(n) % 5 == 0
    frame["text"] = frame["text"].where(~negated, "not " + frame["text"])
    frame["region"] = np.where(np.arange(n) % 3 == 0, "north", "south")
    return frame


def predictions(frame: pd.DataFrame, bundle: str, wrong: np.ndarray, split: str = "validation") -> pd.DataFrame:
    other = frame["label"].map({"positive": "negative", "negative": "positive"})
    predicted = frame["label"].where(~wrong, other)
    return pd.DataFrame(
        {
            "id": frame["id"],
            "split": split,
            "bundle": bundle,
            "label": frame["label"],
            "predicted": predicted,
            "confidence": 0.9,
            "proba_negative": np.where(predicted == "negative", 0.9, 0.1),
            "proba_positive": np.where(predicted == "positive", 0.9, 0.1),
        }
    )


def test_it_finds_the_slice_on_which_a_bundle_fails() -> None:
    frame = texts()
    negated = frame["text"].str.startswith("not").to_numpy()
    table = pd.concat([predictions(frame, "blind", negated), predictions(frame, "fair", np.zeros(200, bool))])
    report = run(table, frame, params())
    blind, fair = report["bundles"]["blind"], report["bundles"]["fair"]
    assert blind["slices"]["negation=yes"]["accuracy"]["value"] == 0
    assert blind["slices"]["negation=yes"]["n"] == 40
    assert blind["slices"]["negation=no"]["accuracy"]["value"] == 1
    assert blind["metrics"]["worst_slice_accuracy"]["value"] == 0
    assert blind["metrics"]["accuracy_gap"]["value"] == 1
    assert blind["metrics"]["equalized_odds_difference"]["value"] == 1
    assert fair["metrics"]["worst_slice_accuracy"]["value"] == 1
    assert fair["metrics"]["accuracy_gap"]["value"] == 0
    assert {"worst_slice_accuracy", "accuracy_gap", "selection_rate_difference"} <= set(fair["metrics"])


def test_it_finds_people_whom_a_bundle_serves_worse() -> None:
    frame = texts()
    women, men = np.arange(200) % 4 == 0, np.arange(200) % 4 == 1
    frame["text"] = np.where(women, "she " + frame["text"], np.where(men, "he " + frame["text"], frame["text"]))
    frame["label"] = np.where(np.arange(200) // 4 % 2 == 0, "positive", "negative")
    harmed = women & (frame["label"] == "positive").to_numpy()
    table = pd.concat([predictions(frame, "unfair", harmed), predictions(frame, "teacher", np.zeros(200, bool))])
    values = params(attributes=["gender"], intersections=[["gender", "negation"]])
    report = run(table, frame, values)
    unfair, fair = (report["bundles"][name]["metrics"] for name in ("unfair", "teacher"))
    assert unfair["demographic_parity_ratio"]["value"] == 0  # no woman is selected
    assert unfair["sensitive_equalized_odds_difference"]["value"] == 1
    assert fair["demographic_parity_difference"]["value"] < 0.1
    assert fair["sensitive_equalized_odds_difference"]["value"] == 0
    assert unfair["worst_slice_accuracy"]["value"] > 0.7  # of the slices, which say nothing of people
    against = report["bundles"]["unfair"]["slices_against"]["teacher"]
    assert against["gender=women"]["accuracy"]["value"] == pytest.approx(-harmed.sum() / women.sum())
    assert against["gender=men"]["accuracy"]["value"] == 0
    assert "gender & negation=women & no" in report["bundles"]["unfair"]["slices"]
    assert report["matches"]["gender"]["women"]["n_texts"] == 50
    assert report["sensitive_features"] == ["gender", "gender & negation"]


def test_calibration_is_told_before_and_after_and_domains_apart() -> None:
    frame = texts()
    wrong = np.arange(200) % 10 == 0
    home, away = (
        predictions(frame, "pruned-int8", wrong),
        predictions(reviews(60, 7), "pruned-int8", np.zeros(60, bool)),
    )
    away = away.assign(split="transfer", confidence=0.6)
    report = run(pd.concat([home, away]), frame, params(), pruned={"calibration_temperature": 2.0})
    bundle = report["bundles"]["pruned-int8"]
    assert bundle["confidence"]["calibration"]["ece"]["value"] == pytest.approx(0)  # sure to 0.9, right to 0.9
    raised = 0.81 / 0.82  # 0.9 and 0.1 squared, and made to add up again
    assert bundle["confidence"]["calibration"]["ece_before"]["value"] == pytest.approx(raised - 0.9)
    assert bundle["metrics"]["other_domain_auroc"]["value"] == 1
    assert bundle["confidence"]["false_alarms"]["value"] == 0
    without = run(home, frame, params())["bundles"]["pruned-int8"]
    assert np.isnan(without["confidence"]["calibration"]["ece_before"]["value"])
    assert np.isnan(without["metrics"]["other_domain_auroc"]["value"])


def test_thresholds_by_group_are_told_before_and_after_and_change_no_other_figure() -> None:
    frame = texts(400)
    women = np.arange(400) % 2 == 0
    frame["text"] = np.where(women, "she ", "he ") + frame["text"]
    frame["label"] = np.where(np.arange(400) // 2 % 2 == 0, "positive", "negative")
    table = predictions(frame, "a", np.zeros(400, bool))
    noise = np.random.default_rng(2).standard_normal(400) * 0.05
    positive = (frame["label"] == "positive").to_numpy()
    proba = np.clip(np.where(positive, 0.7, 0.3) - 0.25 * women + noise, 0.01, 0.99)  # women are scored lower
    table = table.assign(
        proba_positive=proba,
        proba_negative=1 - proba,
        confidence=np.maximum(proba, 1 - proba),
        predicted=np.where(proba > 0.5, "positive", "negative"),
    )
    off = run(table, frame, params())["bundles"]["a"]
    assert "thresholds" not in off
    on = run(table, frame, params(thresholds="equalized_odds"))["bundles"]["a"]
    told = on.pop("thresholds")
    assert json.dumps(on) == json.dumps(off)
    assert bare_figures([on, told]) == []
    assert told["before"]["sensitive_equalized_odds_difference"]["value"] > 0.5
    assert told["after"]["sensitive_equalized_odds_difference"]["value"] < 0.1
    assert told["after"]["accuracy"]["low"] > told["before"]["accuracy"]["high"]
    assert told["rules"]["women"]["thresholds"][0] < told["rules"]["men"]["thresholds"][0]


def test_rows_are_matched_by_id_whatever_their_order() -> None:
    frame = texts()
    wrong = np.random.default_rng(0).random(200) < 0.3
    table = predictions(frame, "a", wrong)
    shuffled = table.sample(frac=1, random_state=3), frame.sample(frac=1, random_state=4)
    assert json.dumps(run(*shuffled, params())) == json.dumps(run(table, frame, params()))
    assert json.dumps(run(table, frame, params(seed=2))) != json.dumps(run(table, frame, params()))


def test_metadata_columns_define_groups_and_small_groups_are_counted() -> None:
    frame = texts()
    frame.loc[:4, "region"] = "island"
    report = run(predictions(frame, "a", np.zeros(200, bool)), frame, params(columns=["region"]))
    bundle = report["bundles"]["a"]
    assert {"region=north", "region=south", "region=island"} <= set(bundle["slices"])
    assert bundle["groups_left_out"] == {"region=island": 5}
    assert bundle["n_groups_left_out"] == 1
    assert np.isnan(bundle["slices"]["region=island"]["accuracy"]["value"])
    assert bundle["slices"]["region=island"]["accuracy"]["reason"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": ["mood"]}, "no slice feature 'mood'"),
        ({"columns": ["age"]}, "no slice feature 'age'"),
        ({"positive_labels": ["great"]}, "no class"),
        ({"attributes": ["class"]}, "not in the lexicon"),
        ({"intersections": [["length", "mood"]]}, "unknown feature"),
    ],
)
def test_unknown_names_are_refused(change: dict[str, Any], message: str) -> None:
    frame = texts()
    with pytest.raises(TableError, match=message):
        run(predictions(frame, "a", np.zeros(200, bool)), frame, params(**change))


def test_missing_predictions_are_refused() -> None:
    frame = texts()
    with pytest.raises(TableError, match="no prediction for some texts"):
        run(predictions(frame.head(190), "a", np.zeros(190, bool)), frame, params())


def test_main_audits_only_the_named_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    validation, transfer = texts(), reviews(80, 7).assign(source="elsewhere", region="south")
    write_params(audit.Params, "audit", VALUES)
    write_table(Path("data/splits/validation.parquet"), validation, SPLIT)
    write_table(Path("data/splits/transfer.parquet"), transfer, SPLIT)
    rng, parts = np.random.default_rng(1), {"validation": validation, "transfer": transfer}
    for seed, name in enumerate(("train", "test"), start=8):
        parts[name] = reviews(100, seed)
        write_table(Path(f"data/splits/{name}.parquet"), parts[name], SPLIT)
    vectors = [
        (part["id"].tolist(), rng.standard_normal((len(part), 4)).astype(np.float32) + 9 * (name == "transfer"))
        for name, part in parts.items()
    ]
    write_embeddings(Path("data/embeddings.parquet"), vectors, 4)
    table = pd.concat(
        [predictions(validation, "a", np.zeros(200, bool)), predictions(transfer, "a", np.ones(80, bool), "transfer")],
        ignore_index=True,
    )
    write_table(Path("data/predictions.parquet"), table, PREDICTIONS)
    copy_task_files(tmp_path, "lexicons")
    write_json(Path("data/lexicons/identity.yaml"), LEXICON.model_dump())
    for path in audit.TRAINED.values():
        write_json(Path(path), {})
    audit.main()
    report = read_json(Path("reports/audit.json"))
    assert report["command"] == "python -m pipeline_steps.audit"
    assert report["n_texts"] == 200
    assert report["bundles"]["a"]["metrics"]["worst_slice_accuracy"]["value"] == 1
    far = report["other_domain"]["Mahalanobis distance"]
    assert far["detection_rate"]["value"] == far["auroc"]["value"] == 1
    assert far["false_alarm_rate"]["value"] < 0.15
    assert bare_figures([read_json(Path(path)) for path in audit.WRITES.values()]) == []
    write_params(audit.Params, "audit", {**VALUES, "splits": ["validation", "transfer"]})
    audit.main()
    report, details = (read_json(Path(path)) for path in audit.WRITES.values())
    assert details["bundles"]["a"]["slices"]["source=elsewhere"]["accuracy"]["value"] == 0
    assert set(report["bundles"]["a"]) == {"metrics", "n_groups_left_out"}


def test_the_two_files_together_are_the_report() -> None:
    frame = texts()
    report = run(predictions(frame, "a", np.arange(200) % 7 == 0), frame, params())
    short, details = audit.summary_and_details(report)
    assert with_details(short, details) == report
    assert not {"slices", "confidence"} & set(short["bundles"]["a"])
    merged = merge_bundles({"bundles": {"a": {}}}, short, details, paths=["evaluate", "audit", "details"])["a"]
    assert merged["slices"] == report["bundles"]["a"]["slices"]
    assert (merged["see"]["accuracy by slice"], merged["see"]["worst_slice_accuracy"]) == ("details", "audit")
