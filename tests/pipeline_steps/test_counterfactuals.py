"""The counterfactuals step: what it reports of a bundle with torch weights, of one without, and of none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline_steps import baseline, counterfactuals
from ratchet.files import read_json, write_json
from ratchet.models.bundle import write_bundle
from ratchet.models.tfidf import PACKAGES, save_pipeline
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from tests.support.architecture import BASELINE, TFIDF
from tests.support.bare_figures import bare_figures
from tests.support.bundles import manifest, torch_bundle
from tests.support.films import copy_task_files
from tests.support.params import write_params
from tests.support.tiny import reviews

VALUES: dict[str, Any] = {
    "n_texts": 6,
    "max_edits": 3,
    "n_neighbours": 2,
    "n_weakness_texts": 40,
    "n_examples": 2,
    "layer": 2,
    "n_concept_texts": 10,
    "n_random": 5,
    "alpha": 0.05,
    "n_bootstrap": 100,
    "n_threads": 1,
    "seed": 2,
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_params(counterfactuals.Params, "counterfactuals", VALUES)
    write_table(Path("data/splits/validation.parquet"), reviews(60, 3), SPLIT)
    copy_task_files(tmp_path, "challenge", "lexicons")
    Path("data/concepts").mkdir()
    Path("data/concepts/praise.txt").write_text("\n".join(f"a superb film with {i}" for i in range(8)))
    return tmp_path


def shortlisted(*names: str) -> None:
    write_json(Path("reports/shortlist.json"), {"shortlist": list(names)})


def test_a_torch_bundle_gets_exchanges_and_concepts(workspace: Path) -> None:
    torch_bundle(Path("models"))
    shortlisted("teacher")
    counterfactuals.main()
    told = read_json(Path("reports/counterfactuals.json"))["bundles"]["teacher"]
    for way in ("deletion", "exchange"):
        assert told[way]["search"]["success_rate"]["n"] == 6
        assert told[way]["search"]["success_rate"]["value"] >= told[way]["random"]["success_rate"]["value"]
    assert told["harmless"]["n_texts"] == 40
    assert told["concepts"]["bundle"] == "teacher"
    assert {label: set(of_class) for label, of_class in told["concepts"]["classes"].items()} == {
        "negative": {"praise"},
        "positive": {"praise"},
    }
    assert told["concepts"]["n_texts"] == {"negative": 10, "positive": 10}
    assert "cpu_s_per_text" not in told["deletion"]["search"]
    times = read_json(Path("measurements/counterfactuals.json"))["bundles"]["teacher"]
    assert times["deletion"]["search"]["cpu_s_per_text"]["n"] == 6
    assert bare_figures(told) == []


def test_a_bundle_without_torch_weights_gets_deletions_alone(workspace: Path) -> None:
    pipeline, _ = baseline.run(reviews(120, 1), reviews(20, 2), TFIDF, BASELINE)
    described = manifest("baseline", kind="tfidf", max_tokens=0)
    write_bundle(Path("models/baseline"), described, lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    shortlisted("baseline")
    counterfactuals.main()
    told = read_json(Path("reports/counterfactuals.json"))["bundles"]["baseline"]
    assert set(told) == {"deletion", "harmless"}
    assert told["deletion"]["search"]["success_rate"]["value"] > 0


def test_a_task_without_concepts_harmless_words_and_opposites_is_turned_all_the_same(workspace: Path) -> None:
    torch_bundle(Path("models"))
    shortlisted("teacher")
    shutil.rmtree("data/concepts")
    write_json(Path(counterfactuals.READS["harmless"]), {"words": []})
    nothing = {"max_cues": 2, "max_words": 25, "blockers": [], "unpaired": {}, "swaps": {}, "rewrites": {}}
    write_json(Path(counterfactuals.READS["lexicon"]), nothing)
    counterfactuals.main()
    told = read_json(Path("reports/counterfactuals.json"))["bundles"]["teacher"]
    assert told["exchange"]["search"]["success_rate"]["n"] == 6
    assert told["concepts"] == {"bundle": "teacher", "not_tested": "data/concepts holds none"}
    assert told["harmless"]["texts_that_turn"]["n"] == 0


def test_classes_of_few_texts_leave_others_for_the_random_sets() -> None:
    test = reviews(40, 3)
    explained, pool = counterfactuals._concept_texts(test, 60)
    assert explained["label"].value_counts().to_dict() == {"negative": 10, "positive": 10}
    assert len(pool) == 20
    assert not set(explained["id"]) & set(pool["id"])
    assert counterfactuals._untestable({"length": ["a text"]}, pool) == ""
    assert "fewer than 8" in counterfactuals._untestable({"length": ["a text"]}, pool.head(7))


def test_without_a_candidate_the_report_is_empty(workspace: Path) -> None:
    shortlisted()
    counterfactuals.main()
    assert read_json(Path("reports/counterfactuals.json"))["bundles"] == {}
