"""The audit step finds a planted gap, lines rows up by id, and refuses what it cannot judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import audit
from ratchet.errors import TableError
from ratchet.files import read_json
from ratchet.table_files import write_table
from ratchet.tables import PREDICTIONS, SPLIT
from tests.tiny import reviews

VALUES = {
    "splits": ["test"], "features": ["source", "length", "negation"], "columns": [], "length_edges": [6, 8],
    "positive_labels": ["positive"], "min_group_size": 10, "n_bootstrap": 200, "seed": 1,
}  # fmt: skip


def params(**changes: Any) -> audit.Params:
    return audit.Params.model_validate({**VALUES, **changes})


def texts(n: int = 200) -> pd.DataFrame:
    frame = reviews(n, 1)
    negated = np.arange(n) % 5 == 0
    frame["text"] = frame["text"].where(~negated, "not " + frame["text"])
    frame["region"] = np.where(np.arange(n) % 3 == 0, "north", "south")
    return frame


def predictions(frame: pd.DataFrame, bundle: str, wrong: np.ndarray, split: str = "test") -> pd.DataFrame:
    other = frame["label"].map({"positive": "negative", "negative": "positive"})
    predicted = frame["label"].where(~wrong, other)
    return pd.DataFrame(
        {"id": frame["id"], "split": split, "bundle": bundle, "label": frame["label"], "predicted": predicted,
         "confidence": 0.9, "proba_negative": np.where(predicted == "negative", 0.9, 0.1),
         "proba_positive": np.where(predicted == "positive", 0.9, 0.1)}
    )  # fmt: skip


def test_it_finds_the_slice_on_which_a_bundle_fails() -> None:
    frame = texts()
    negated = frame["text"].str.startswith("not").to_numpy()
    table = pd.concat([predictions(frame, "blind", negated), predictions(frame, "fair", np.zeros(200, bool))])
    report = audit.run(table, frame, params())
    blind, fair = report["bundles"]["blind"], report["bundles"]["fair"]
    assert blind["slices"]["negation=yes"]["accuracy"]["value"] == 0
    assert blind["slices"]["negation=yes"]["n"] == 40
    assert blind["slices"]["negation=no"]["accuracy"]["value"] == 1
    assert blind["metrics"]["worst_slice_accuracy"]["value"] == 0
    assert blind["metrics"]["accuracy_gap"]["value"] == 1
    assert blind["metrics"]["equalized_odds_difference"]["value"] == 1
    assert fair["metrics"]["worst_slice_accuracy"]["value"] == 1
    assert fair["metrics"]["accuracy_gap"]["value"] == 0
    assert set(fair["metrics"]) == {
        "worst_slice_accuracy", "accuracy_gap", "selection_rate_difference", "equalized_odds_difference"
    }  # fmt: skip


def test_rows_are_matched_by_id_whatever_their_order() -> None:
    frame = texts()
    wrong = np.random.default_rng(0).random(200) < 0.3
    table = predictions(frame, "a", wrong)
    shuffled = table.sample(frac=1, random_state=3), frame.sample(frac=1, random_state=4)
    assert audit.run(*shuffled, params()) == audit.run(table, frame, params())
    assert audit.run(table, frame, params(seed=2)) != audit.run(table, frame, params())


def test_metadata_columns_define_groups_and_small_groups_are_counted() -> None:
    frame = texts()
    frame.loc[:4, "region"] = "island"
    report = audit.run(predictions(frame, "a", np.zeros(200, bool)), frame, params(columns=["region"]))
    bundle = report["bundles"]["a"]
    assert {"region=north", "region=south", "region=island"} <= set(bundle["slices"])
    assert bundle["groups_left_out"] == {"region=island": 5}
    assert bundle["n_groups_left_out"] == 1
    assert np.isnan(bundle["slices"]["region=island"]["accuracy"]["value"])
    assert bundle["slices"]["region=island"]["accuracy"]["reason"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"features": ["mood"]}, "no slice feature 'mood'"), ({"columns": ["age"]}, "no slice feature 'age'"),
     ({"positive_labels": ["great"]}, "no class")],
)  # fmt: skip
def test_unknown_names_are_refused(change: dict[str, Any], message: str) -> None:
    frame = texts()
    with pytest.raises(TableError, match=message):
        audit.run(predictions(frame, "a", np.zeros(200, bool)), frame, params(**change))


def test_missing_predictions_are_refused() -> None:
    frame = texts()
    with pytest.raises(TableError, match="no prediction for some texts"):
        audit.run(predictions(frame.head(190), "a", np.zeros(190, bool)), frame, params())


def test_main_audits_only_the_named_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    test, transfer = texts(), reviews(80, 7).assign(source="elsewhere", region="south")
    block = "\n".join(f"  {name}: {value}" for name, value in VALUES.items())
    Path("params.yaml").write_text(f"audit:\n{block}\n")
    write_table(Path("data/splits/test.parquet"), test, SPLIT)
    write_table(Path("data/splits/transfer.parquet"), transfer, SPLIT)
    table = pd.concat(
        [predictions(test, "a", np.zeros(200, bool)), predictions(transfer, "a", np.ones(80, bool), "transfer")],
        ignore_index=True,
    )
    write_table(Path("data/predictions.parquet"), table, PREDICTIONS)
    audit.main()
    report = read_json(Path("reports/audit.json"))
    assert report["command"] == "python -m pipeline_steps.audit"
    assert report["n_texts"] == 200
    assert report["bundles"]["a"]["metrics"]["worst_slice_accuracy"]["value"] == 1
    Path("params.yaml").write_text(f"audit:\n{block}\n".replace("['test']", "['test', 'transfer']"))
    audit.main()
    report = read_json(Path("reports/audit.json"))
    assert report["bundles"]["a"]["slices"]["source=elsewhere"]["accuracy"]["value"] == 0
