"""A cascade is a bundle of its own that answers by one of the two it holds, or says why there is none."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_steps import cascade
from ratchet.engines.kinds.cascade import SETTINGS, CascadePredictor, write_cascade
from ratchet.engines.loading import load
from ratchet.errors import BundleError
from ratchet.files import read_json, write_json
from ratchet.models.bundle import MANIFEST, read_manifest
from ratchet.models.discovery import discover
from ratchet.models.left_out import leave_out, reason_left_out
from ratchet.models.lineage import ancestors_of
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from ratchet.trust.attributions import attribute
from ratchet.trust.lockstep import cached_score
from tests.support.bundles import LABELS, static_bundle, torch_bundle
from tests.support.params import write_params
from tests.support.tiny import ACCURACY, reviews

pytestmark = pytest.mark.slow
SECOND = "teacher-onnx-int8"
"""A name: what stands behind it is PyTorch here, which a cascade does not mind."""


def params(**changes: Any) -> dict[str, Any]:
    limits = {"max_loss": 0.005, "min_loss_per_disagreement": 0.15, "min_speedup": 2.0}
    return {**ACCURACY, **limits, "rungs": [f"cascade-{SECOND}"], "n_threads": 1, **changes}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A static student of the labels, a transformer, and validation texts."""
    monkeypatch.chdir(tmp_path)
    static_bundle(Path("models/static"), torch_bundle(Path("models"), SECOND))
    write_table(Path("data/splits/validation.parquet"), reviews(80, 2), SPLIT)
    return tmp_path


def build(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Path:
    write_params(cascade.Params, "cascade", params(**changes))
    monkeypatch.setattr(sys, "argv", ["cascade", SECOND])
    cascade.main()
    return Path(f"models/cascade-{SECOND}")


def test_each_text_is_answered_by_one_of_the_two(workspace: Path) -> None:
    first, second = Path("models/static"), Path("models") / SECOND
    texts = reviews(60, 9)["text"].tolist()
    cheap, dear = (load(path, 1).predict_proba(texts) for path in (first, second))
    confidence = np.sort(cheap.max(axis=1))
    widest = 15 + int(np.diff(confidence[15:45]).argmax())
    threshold = float(confidence[widest] + confidence[widest + 1]) / 2
    write_cascade(Path("models/both"), "both", first, second, threshold, "0" * 64)
    for part in (first, second):
        shutil.rmtree(part)  # it needs neither of them
    predictor = load(Path("models/both"), 1)
    proba, sure = predictor.predict_proba(texts), cheap.max(axis=1) >= threshold
    assert 10 < sure.sum() < 50
    np.testing.assert_allclose(proba, np.where(sure[:, None], cheap, dear), atol=1e-5)
    np.testing.assert_allclose([predictor.predict_proba([text])[0] for text in texts], proba, atol=1e-5)
    assert predictor.predict_proba([]).shape == (0, 2)
    assert isinstance(predictor, CascadePredictor)
    kinds = [branch.manifest.name for branch in predictor.branches(texts)]
    assert kinds == ["static" if is_sure else SECOND for is_sure in sure]
    assert predictor.branches([]) == []
    written = predictor.manifest
    assert (written.name, written.kind, written.parent, written.labels) == ("both", "cascade", SECOND, LABELS)
    assert {"numpy", "torch"} <= set(written.versions)


def test_a_text_is_explained_by_the_part_that_answers_it(workspace: Path) -> None:
    from ratchet.trust.word_explainer import WordExplainer

    first, second = Path("models/static"), Path("models") / SECOND
    texts = reviews(12, 9)["text"].tolist()
    confidence = load(first, 1).predict_proba(texts).max(axis=1)
    write_cascade(Path("models/both"), "both", first, second, float(np.median(confidence)), "0" * 64)
    predictor = load(Path("models/both"), 1)
    answering = predictor.branches(texts)
    assert {branch.manifest.name for branch in answering} == {"static", SECOND}
    found = attribute(predictor, cached_score(predictor), texts, 64)
    explained = WordExplainer(predictor)(texts, max_evals=64)
    for text, branch, item, values in zip(texts, answering, found, explained.values, strict=True):
        (own,) = attribute(branch, cached_score(branch), [text], 64)
        assert item.values == pytest.approx(own.values, abs=1e-6)
        assert values == pytest.approx(own.values, abs=1e-6)
        assert item.additivity_error < 1e-5


def test_its_parts_are_looked_at_for_leaks(workspace: Path) -> None:
    paths = {"static": Path("models/static"), SECOND: Path("models") / SECOND, "both": Path("models/both")}
    cheap, dear = (read_manifest(path) for path in (paths["static"], paths[SECOND]))
    other = cheap.model_copy(update={"data_sha256": "f" * 64})
    write_json(paths["static"] / MANIFEST, other.model_dump())
    write_cascade(paths["both"], "both", paths["static"], paths[SECOND], 0.9, "0" * 64)
    assert {item.data_sha256 for item in ancestors_of("both", paths)} == {dear.data_sha256, "f" * 64}
    assert [item.name for item in ancestors_of("static", paths)] == ["static"]


def test_a_part_that_was_altered_is_refused(workspace: Path) -> None:
    write_cascade(Path("models/both"), "both", Path("models/static"), Path("models") / SECOND, 0.9, "0" * 64)
    write_json(Path("models/both") / SETTINGS, {"threshold": 0.0})
    with pytest.raises(BundleError, match=r"cascade\.json"):
        load(Path("models/both"), 1)


def test_bundles_of_different_classes_make_no_cascade(workspace: Path) -> None:
    torch_bundle(Path("elsewhere"), labels=["a", "b"])
    with pytest.raises(BundleError, match="different labels"):
        write_cascade(Path("models/both"), "both", Path("models/static"), Path("elsewhere/teacher"), 0.9, "0" * 64)


def test_a_cascade_that_pays_is_a_bundle(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(monkeypatch, max_loss=1.0)
    report = read_json(Path(f"reports/cascade/{SECOND}.json"))
    assert report["answered_rate"] == 1.0
    assert report["expected_speedup"] == pytest.approx(100)
    assert 0 < report["disagreement"] == report["answered_disagreement"]
    assert read_manifest(folder).name == folder.name
    assert folder.name in discover(Path("models"))


def test_a_cascade_that_does_not_pay_says_so(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build(monkeypatch)  # the transformer has random opinions: they disagree on half of the texts
    assert "times the throughput" in reason_left_out(folder)
    report = read_json(Path(f"reports/cascade/{SECOND}.json"))
    assert report["left_out"] == reason_left_out(folder)
    assert report["expected_speedup"] < 2
    assert folder.name not in discover(Path("models"))


@pytest.mark.parametrize("why", ["ladder", "first", "second"])
def test_a_cascade_of_what_is_not_there_passes_the_reason_on(
    why: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = {"first": "static", "second": SECOND}.get(why)
    if part:
        shutil.rmtree(Path("models") / part)
        leave_out(Path("models") / part, "TF-IDF is better")
    folder = build(monkeypatch, rungs=[] if why == "ladder" else [f"cascade-{SECOND}"])
    assert ("ladder" if why == "ladder" else "TF-IDF is better") in reason_left_out(folder)
