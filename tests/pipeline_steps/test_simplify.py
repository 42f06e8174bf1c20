"""Rungs without layers: each becomes a bundle that loads, or says why it was left out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_steps import simplify
from ratchet.embeddings.encoder import embed
from ratchet.engines.loading import load
from ratchet.errors import ParamsError
from ratchet.files import read_json, write_json
from ratchet.labels.selection_model import unit_length
from ratchet.models.architecture import Architecture, BackboneSettings, TfidfSettings, write_architecture
from ratchet.models.discovery import discover
from ratchet.models.examples import class_indices, logit_columns
from ratchet.models.left_out import left_out_of, reason_left_out
from ratchet.models.predictor import softmax
from ratchet.models.probe import fit_probe, load_probe, save_probe
from ratchet.table_files import read_table, write_table
from ratchet.tables import SOFT_LABELS
from tests.contract import read_stages
from tests.support.bundles import LABELS, torch_bundle
from tests.support.params import write_params
from tests.support.tiny import ACCURACY, reviews

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def params(**changes: Any) -> simplify.Params:
    values = {
        **ACCURACY,
        "static_regularization": 100.0,
        "min_pair_texts": 2,
        "max_pairs": 100,
        "tfidf_regularization": 10.0,
        "temperature": 2.0,
        "max_ngram": 2,
        "n_tokens": 0,
        "n_calibration": 16,
        "rungs": list(simplify.RUNGS),
        "n_threads": 1,
        "seed": 5,
        **changes,
    }
    return simplify.Params.model_validate(values)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A teacher, the head from which it was tuned, and soft labels that are sure of the class the words give away."""
    monkeypatch.chdir(tmp_path)
    torch_bundle(Path("models"))
    write_json(Path(simplify.READS["teaching"]), {"left_out": "", "teacher_is_probe": False})
    backbone, labeled = Path("models/teacher-backbone"), reviews(120, 3)
    vectors = unit_length(embed(backbone, labeled["text"].tolist(), 32, 1, 8))
    save_probe(fit_probe(vectors, class_indices(labeled, LABELS), 2, 10.0), Path(simplify.READS["head"]))
    settings = {"method": "full", "learning_rate": 1e-3, "probe_regularization": 10.0, "prior_strength": 0.0}
    chosen = Architecture(
        command="a test",
        kind="backbone",
        tfidf=TfidfSettings(max_characters=0, inverse_regularization=1.0, prior_strength=0.0),
        backbone=BackboneSettings.model_validate({**settings, "source": str(backbone), "sha256": ""}),
    )
    write_architecture(Path(simplify.READS["architecture"]), chosen)
    for name, n, seed in (("soft_labels", 200, 1), ("validation", 40, 2)):
        frame = reviews(n, seed)[["id", "text", "label"]]
        logits = np.where(frame["label"].to_numpy()[:, None] == np.array(LABELS), 2.0, -2.0)
        frame = frame.assign(**dict(zip(logit_columns(LABELS), logits.T, strict=True)))
        write_table(Path(simplify.READS[name]), frame, SOFT_LABELS)
    write_params(simplify.Params, "simplify", params().model_dump())
    return tmp_path


def build(rung: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["simplify", rung])
    simplify.main()
    return Path("models") / rung


def test_the_matrix_of_the_stage_names_every_rung() -> None:
    assert read_stages(ROOT)["simplify"].matrix == {"rung": list(simplify.RUNGS)}


@pytest.mark.parametrize("rung", list(simplify.RUNGS))
def test_a_rung_is_a_bundle_that_knows_its_classes(rung: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(rung, monkeypatch)
    unseen = reviews(60, 9)
    predictor = load(folder, 1)
    texts = unseen["text"].tolist()
    proba = predictor.predict_proba(texts)
    right = np.mean([LABELS[k] == label for k, label in zip(proba.argmax(1), unseen["label"], strict=True)])
    assert right > (0.5 if rung == "probe" else 0.9), "the frozen backbone of the probe has random weights"
    np.testing.assert_allclose([predictor.predict_proba([text])[0] for text in texts], proba, atol=1e-5)
    np.testing.assert_allclose(predictor.predict_proba([""]).sum(), 1.0)
    assert predictor.predict_proba([]).shape == (0, 2)
    manifest = predictor.manifest
    parent = "" if rung == "probe" else "teacher"
    assert (manifest.name, manifest.parent, manifest.labels) == (rung, parent, LABELS)
    report = read_json(Path(f"reports/simplify/{rung}.json"))
    assert report["validation"]["metric"] == "accuracy"
    assert report["validation"]["value"] > (0.5 if rung == "probe" else 0.9)
    assert {*discover(Path("models"))} == {rung, "teacher"}


@pytest.mark.parametrize("rung", ["static", "probe"])
def test_the_same_texts_give_the_same_bytes(rung: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [read_json(build(rung, monkeypatch) / "bundle.json")["files"] for _ in range(2)]
    assert files[0] == files[1]


def test_what_learned_softened_probabilities_is_as_sure_as_it_is_right(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(simplify.Params, "simplify", params(temperature=4.0).model_dump())
    predictor = load(build("static", monkeypatch), 1)
    proba = predictor.predict_proba(reviews(60, 9)["text"].tolist())
    assert proba.max(axis=1).mean() > 0.9  # at a temperature of 4 the teacher's own targets are below 0.8
    assert read_json(Path("reports/simplify/static.json"))["calibration_temperature"] < 0.6


@pytest.mark.parametrize("why", ["teaching", "ladder"])
def test_a_rung_that_is_not_built_says_why(why: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "teaching":
        write_json(Path(simplify.READS["teaching"]), {"left_out": "TF-IDF is better"})
    else:
        write_params(simplify.Params, "simplify", params(rungs=[]).model_dump())
    folder = build("static", monkeypatch)
    reason = {"teaching": "TF-IDF is better", "ladder": "ladder"}[why]
    assert reason in reason_left_out(folder)
    assert read_json(folder / "left_out.json")["built"] is False
    assert reason in read_json(Path("reports/simplify/static.json"))["left_out"]
    assert left_out_of(Path("models")).keys() == {"static"}
    assert {*discover(Path("models"))} == {"teacher"}


def test_the_probe_is_the_frozen_backbone_under_its_head(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = reviews(40, 9)["text"].tolist()
    vectors = unit_length(embed(Path("models/teacher-backbone"), texts, 32, 1, 8))
    expected = softmax(load_probe(Path(simplify.READS["head"])).logits(vectors))
    np.testing.assert_allclose(load(build("probe", monkeypatch), 1).predict_proba(texts), expected, atol=0.05)


def test_a_probe_that_is_the_teacher_is_no_rung_of_its_own(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(Path(simplify.READS["teaching"]), {"left_out": "", "teacher_is_probe": True})
    assert "the teacher is the probe" in reason_left_out(build("probe", monkeypatch))
    assert reason_left_out(build("static", monkeypatch)) == ""


def test_a_teacher_that_predicts_one_class_teaches_nothing(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = read_table(Path(simplify.READS["soft_labels"]), SOFT_LABELS)
    frame[logit_columns(LABELS)] = np.array([1.0, 0.0], dtype=np.float32)
    write_table(Path(simplify.READS["soft_labels"]), frame, SOFT_LABELS)
    for rung in ("static", "tfidf-taught"):
        assert "a single class: negative" in reason_left_out(build(rung, monkeypatch))
    assert reason_left_out(build("probe", monkeypatch)) == "", "it has learned from labels"


def test_an_unknown_rung_is_refused_by_name(workspace: Path) -> None:
    import pandas as pd

    with pytest.raises(ParamsError, match="no such rung") as refused:
        simplify.run("stattic", simplify.Inputs(pd.DataFrame(), pd.DataFrame(), LABELS, 32), params())
    assert "stattic" in str(refused.value)
