"""Soft labels: which texts the teacher labels, and what is written of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import teach
from ratchet.engines.loading import load
from ratchet.files import read_json, write_json
from ratchet.models.examples import soft_labels
from ratchet.models.predictor import softmax
from ratchet.table_files import read_table, write_table
from ratchet.tables import LABELED, SOFT_LABELS, SPLIT, UNLABELED
from tests.support.bundles import LABELS, torch_bundle
from tests.support.params import write_params
from tests.support.tiny import reviews

pytestmark = pytest.mark.slow


def params(**changes: Any) -> teach.Params:
    return teach.Params.model_validate({"max_texts": 100, "n_threads": 1, "seed": 5, **changes})


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What earlier stages write: 20 labelled texts, 30 without a label, 10 of validation, one of them unlabelled."""
    monkeypatch.chdir(tmp_path)
    torch_bundle(Path("models"))
    labeled = reviews(20, 1)[["id", "text", "label", "source"]].assign(round=0, query_strategy="random")
    write_table(Path(teach.READS["labeled"]), labeled, LABELED)
    write_table(Path(teach.READS["unlabeled"]), reviews(30, 2)[["id", "text", "source"]], UNLABELED)
    validation = reviews(10, 3)
    validation.loc[0, "label"] = None
    write_table(Path(teach.READS["splits"]) / "validation.parquet", validation, SPLIT)
    write_json(Path(teach.READS["teaching"]), {"left_out": ""})
    write_params(teach.Params, "teach", params().model_dump())
    return tmp_path


def test_labelled_texts_come_first_and_are_sampled_by_class_where_they_are_too_many() -> None:
    labeled, unlabeled = reviews(60, 1), reviews(50, 2).drop(columns="label")
    both = teach.texts_to_learn(labeled, unlabeled, params(max_texts=80))
    assert both["id"].tolist()[:60] == labeled["id"].tolist()
    assert (len(both), both["label"].notna().sum(), both["id"].is_unique) == (80, 60, True)
    few = teach.texts_to_learn(labeled, unlabeled, params(max_texts=20))
    assert few["label"].value_counts().to_dict() == {"negative": 10, "positive": 10}
    assert len(teach.texts_to_learn(labeled, unlabeled, params(max_texts=1000))) == 110


def test_the_teacher_s_logits_are_written_of_every_text_it_teaches_with(workspace: Path) -> None:
    teach.main()
    texts, validation = (read_table(Path(teach.WRITES[name]), SOFT_LABELS) for name in ("soft_labels", "validation"))
    assert (len(texts), texts["label"].notna().sum(), len(validation)) == (50, 20, 9)
    predictor = load(Path(teach.READS["teacher"]), 1)
    for frame in (texts, validation):
        proba = softmax(soft_labels(frame, LABELS))
        np.testing.assert_allclose(proba, predictor.predict_proba(frame["text"].tolist()), atol=1e-4)
    report = read_json(Path(teach.WRITES["report"]))
    assert (report["n_texts"], report["n_labeled"], report["n_validation"]) == (50, 20, 9)


def test_a_teacher_that_is_not_worth_it_teaches_nothing(workspace: Path) -> None:
    write_json(Path(teach.READS["teaching"]), {"left_out": "TF-IDF is better"})
    teach.main()
    assert read_json(Path(teach.WRITES["report"]))["left_out"] == "TF-IDF is better"
    empty: list[pd.DataFrame] = [read_table(Path(teach.WRITES[n]), SOFT_LABELS) for n in ("soft_labels", "validation")]
    assert [len(frame) for frame in empty] == [0, 0]
