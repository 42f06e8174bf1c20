"""The baseline learns, is stored as a bundle that predicts the same, and refuses what it cannot learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import baseline
from ratchet.engines.loading import load
from ratchet.errors import TrainingError
from ratchet.files import plain_value, read_json
from ratchet.measure.report_files import rounded
from ratchet.table_files import write_table
from ratchet.tables import LABELED, SPLIT
from tests.support.architecture import BASELINE, TFIDF, write_choice
from tests.support.params import write_params
from tests.support.tiny import reviews


def labeled(n: int = 120, seed: int = 1) -> pd.DataFrame:
    frame = reviews(n, seed)[["id", "text", "label", "source"]]
    return frame.assign(round=np.zeros(n, dtype=np.int64), query_strategy="random")


def test_it_learns_what_the_words_say() -> None:
    _, report = baseline.run(labeled(), reviews(60, 2), TFIDF, BASELINE)
    assert report["validation_accuracy"]["value"] > 0.95
    assert report["validation_accuracy"]["n"] == 60
    assert report["n_labels"] == 120
    assert report["labels"] == {"negative": 60, "positive": 60}


def test_shuffled_labels_teach_it_nothing() -> None:
    frame = labeled(400)
    frame["label"] = np.random.default_rng(0).permutation(frame["label"].to_numpy())
    _, report = baseline.run(frame, reviews(400, 2), TFIDF, BASELINE)
    assert 0.35 < report["validation_accuracy"]["value"] < 0.65


def test_main_writes_a_bundle_that_predicts_as_the_fitted_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(baseline.Params, "baseline", BASELINE.model_dump())
    write_choice()
    write_table(Path("data/labeled.parquet"), labeled(), LABELED)
    write_table(Path("data/splits/validation.parquet"), reviews(40, 2), SPLIT)
    baseline.main()
    predictor = load(Path("models/baseline"))
    texts = reviews(30, 3)["text"].tolist()
    pipeline, report = baseline.run(labeled(), reviews(40, 2), TFIDF, BASELINE)
    assert np.array_equal(predictor.predict_proba(texts), pipeline.predict_proba(texts))
    assert predictor.labels == ["negative", "positive"]
    manifest = predictor.manifest
    assert (manifest.kind, manifest.precision, manifest.max_tokens) == ("tfidf", "fp64", 0)
    written = read_json(Path("reports/baseline.json"))
    assert written == rounded(plain_value({"command": "python -m pipeline_steps.baseline", **report}))
    first = Path("models/baseline/weights.safetensors").read_bytes()
    baseline.main()
    assert Path("models/baseline/weights.safetensors").read_bytes() == first


@pytest.mark.parametrize("keep", [["negative"], []])
def test_too_few_classes_are_refused_with_what_to_do(keep: list[str]) -> None:
    frame = labeled()
    with pytest.raises(TrainingError, match="at least two classes") as caught:
        baseline.run(frame[frame["label"].isin(keep)], reviews(40, 2), TFIDF, BASELINE)
    assert "sample.budget" in str(caught.value)


def test_one_class_everywhere_is_refused() -> None:
    frame, validation = labeled(), reviews(40, 2)
    with pytest.raises(TrainingError, match="at least two classes"):
        baseline.run(
            frame[frame["label"] == "negative"], validation[validation["label"] == "negative"], TFIDF, BASELINE
        )


def test_a_failure_leaves_the_old_bundle_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(baseline.Params, "baseline", BASELINE.model_dump())
    write_choice()
    write_table(Path("data/labeled.parquet"), labeled(), LABELED)
    write_table(Path("data/splits/validation.parquet"), reviews(40, 2), SPLIT)
    baseline.main()
    before = Path("models/baseline/bundle.json").read_bytes()
    write_table(Path("data/labeled.parquet"), labeled().head(1), LABELED)
    with pytest.raises(TrainingError):
        baseline.main()
    assert Path("models/baseline/bundle.json").read_bytes() == before
    assert not list(Path("models").glob(".*"))
