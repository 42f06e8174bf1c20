"""A release is scored again: the same machine gives the same verdict, other predictions are counted and judged."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows import verification
from flows.verification import CPU_KINDS, Released, enter, score_again, sentences
from pipeline_steps import judge
from ratchet.errors import ReleaseError
from ratchet.files import plain_value, read_json, write_json
from ratchet.measure.report_files import rounded
from ratchet.models.predictor import Predictor
from ratchet.params import load_params, read_yaml
from ratchet.registry.bundle_check import folder_md5
from ratchet.table_files import write_table
from ratchet.tables import PREDICTIONS, SPLIT
from ratchet.trust.audited_groups import Rules, audited_groups
from tests.support.films import PATTERNS, copy_task_files
from tests.support.linear_words import LinearWords
from tests.support.release_reports import gate_at
from tests.support.tiny import BLAME, PRAISE, reviews

ROOT = Path(__file__).parents[2]
RIGHT = {**dict.fromkeys(PRAISE, 0.2), **dict.fromkeys(BLAME, -0.2)}
HALF = {word: share for word, share in RIGHT.items() if word in (*PRAISE[:3], *BLAME[:3])}
MACHINE = {"cpu": "Imaginary 9000", "vector_units": ["avx2"]}


def _files(folder: Path) -> Path:
    """Params and rules of the release, small."""
    values = read_yaml(ROOT / "params.yaml")
    values["task"] |= {"n_bootstrap": 100}
    values["audit"] |= {"attributes": [], "intersections": [], "features": ["length"], "min_group_size": 10}
    against = {**gate_at(0.0, "primary", "baseline"), "rule": "interval"}
    values["promote"] = {"gates": [gate_at(0.6), against], "max_total_loss": 0.035}
    write_json(folder / "params.yaml", values)
    write_json(folder / judge.READS["length_edges"], {"edges": [5, 8]})
    copy_task_files(folder, "lexicons")
    return folder / "params.yaml"


def _released(folder: Path, shares: Mapping[str, float] = RIGHT) -> Released:
    """A release of a bundle beside a baseline, judged by the stage itself."""
    path, test = _files(folder), reviews(160, 1)
    params = load_params(judge.Params, "judge", path, length_edges=[5, 8])
    predictors: dict[str, Predictor] = {"baseline": LinearWords(HALF), "small": LinearWords(shares)}
    none = pd.DataFrame({"bundle": [], "label": [], "predicted": []}, dtype="str")
    texts = judge.Texts(test, none, reviews(40, 3))
    groups = audited_groups(test, Rules(verification_lexicon(folder), PATTERNS), params, "identity.yaml")
    judged, report = judge.run(predictors, {}, "small", texts, groups, params)
    evaluate: dict[str, Any] = {"bundles": {name: {"metrics": {}} for name in predictors}}
    reports = {"reports/evaluate.json": evaluate, "reports/judge.json": rounded(plain_value(report))}
    return Released("sentiment@v1.0.0", "small", judged, test, reports, path)


def verification_lexicon(folder: Path) -> Any:
    from ratchet.params import read_params
    from ratchet.trust.lexicons import Lexicon

    return read_params(Lexicon, folder / judge.READS["lexicon"])


def test_the_same_predictions_reproduce_every_figure(tmp_path: Path) -> None:
    found = score_again(_released(tmp_path), LinearWords(RIGHT))
    assert found == {
        "n_texts": 160,
        "n_other_class": 0,
        "largest_difference": 0.0,
        "moved": {},
        "failed": [],
        "reproduced": True,
    }
    assert sentences("v1", MACHINE, found)[0] == "reproduced: the verdict on v1, on Imaginary 9000 (avx2)"


def test_what_another_machine_answers_is_counted_and_judged_by_the_release_s_own_gates(tmp_path: Path) -> None:
    wrong = {word: -share for word, share in RIGHT.items()}
    found = score_again(_released(tmp_path), LinearWords(wrong))
    assert found["n_other_class"] > 100
    assert found["largest_difference"] > 0.1
    assert not found["reproduced"]
    assert [reason.split(" is ")[0] for reason in found["failed"]] == ["accuracy", "primary minus the baseline's"]
    before, after = found["moved"]["accuracy"]
    assert before > 0.9 > 0.1 > after
    told = sentences("v1", MACHINE, found)
    assert told[0].startswith("NOT reproduced")
    assert f"accuracy: {before:g} when released, {after:g} here" in told


def test_other_texts_than_those_that_were_judged_are_refused(tmp_path: Path) -> None:
    released = _released(tmp_path)
    other = Released(**{**released.__dict__, "test": reviews(160, 2)})
    with pytest.raises(ReleaseError, match="not those that were judged"):
        score_again(other, LinearWords(RIGHT))


def test_a_row_a_release_and_kind_of_cpu(tmp_path: Path) -> None:
    found = score_again(_released(tmp_path), LinearWords(RIGHT))
    enter(tmp_path, "sentiment@v1.0.0", MACHINE, {**found, "n_other_class": 3})
    enter(tmp_path, "sentiment@v1.0.0", MACHINE, found)
    enter(tmp_path, "sentiment@v1.0.0", {**MACHINE, "vector_units": ["avx2", "avx512f"]}, found)
    rows = read_json(tmp_path / CPU_KINDS)["rows"]
    assert sorted((row["cpu"], len(row["vector_units"]), row["n_other_class"]) for row in rows) == [
        ("Imaginary 9000", 1, 0),
        ("Imaginary 9000", 2, 0),
    ]


class _View:
    """A registry with one version, whose files lie in a folder."""

    def __init__(self, root: Path, record: Mapping[str, Any]) -> None:
        self.root, self._record, self.repository, self.now = root, record, self, None
        paths = {"params": "params.yaml", "evaluate": "reports/evaluate.json"}
        self.rules = type("Rules", (), {"policy": type("Policy", (), {"paths": type("Paths", (), paths)})})

    def record(self, _: object) -> Mapping[str, Any]:
        return self._record

    def file(self, _: str, path: str) -> bytes:
        return (self.root / path).read_bytes()


def test_data_that_the_release_does_not_bind_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    write_table(source / judge.READS["splits"] / "test.parquet", reviews(20, 1), SPLIT)
    write_table(source / judge.WRITES["predictions"], _released(tmp_path / "x").judged, PREDICTIONS)
    judged = (source / judge.WRITES["predictions"]).read_bytes()
    data = {
        judge.WRITES["predictions"]: hashlib.md5(judged, usedforsecurity=False).hexdigest(),
        judge.READS["splits"]: folder_md5(source / judge.READS["splits"]),
    }

    def get(_root: Path, _revision: str, path: str, into: Path) -> None:
        into.parent.mkdir(parents=True, exist_ok=True)
        if (source / path).is_dir():
            shutil.copytree(source / path, into)
        else:
            shutil.copy(source / path, into)

    monkeypatch.setattr(verification, "get", get)
    monkeypatch.setattr(verification, "fetch", lambda *_: None)
    monkeypatch.setattr(verification, "find_version", lambda *_: None)
    for path in data:
        view: Any = _View(tmp_path, {"revision": "a", "data": {**data, path: "0" * 32}})
        with pytest.raises(ReleaseError, match=f"not those of the release(?s:.*){path}"):
            verification.read_released(view, "1.0.0", tmp_path / json.dumps(path).strip('"').replace("/", "_"))
