"""The counterfactuals step: what it reports of a bundle with torch weights, of one without, and of none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline_steps import baseline, counterfactuals
from ratchet.files import read_json
from ratchet.measure.report_files import write_report
from ratchet.models.bundle import write_bundle
from ratchet.models.tfidf import save_pipeline
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from tests.support.bare_figures import bare_figures
from tests.support.bundles import manifest, torch_bundle
from tests.support.tiny import reviews

VALUES: dict[str, Any] = {
    "max_accuracy_loss": 0.015,
    "size_tie": 0.1,
    "latency_tie": 0.25,
    "n_texts": 6,
    "max_edits": 3,
    "n_neighbours": 2,
    "harmless_words": ["the", "film"],
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
    block = "\n".join(f"  {name}: {value}" for name, value in VALUES.items())
    Path("params.yaml").write_text(f"counterfactuals:\n{block}\n")
    write_table(Path("data/splits/test.parquet"), reviews(60, 3), SPLIT)
    Path("data/challenge").mkdir()
    Path("data/challenge/contrast.yaml").write_text("swaps:\n  - [dull, superb]\n")
    Path("data/concepts").mkdir()
    Path("data/concepts/praise.txt").write_text("\n".join(f"a superb film with {i}" for i in range(8)))
    return tmp_path


def evaluated(name: str, deployable: bool = True) -> None:
    item = {
        "deployable": deployable,
        "metrics": {"size_mb": {"value": 1}, "latency_p95_ms": {"value": 1}},
        "against": {"teacher": {"accuracy": {"value": 0.0}}},
    }
    write_report(Path("reports/evaluate.json"), {"bundles": {name: item}}, Path("measurements/evaluate.json"))


def test_a_torch_bundle_gets_exchanges_and_concepts(workspace: Path) -> None:
    torch_bundle(Path("models"))
    evaluated("teacher")
    counterfactuals.main()
    told = read_json(Path("reports/counterfactuals.json"))["bundles"]["teacher"]
    for way in ("deletion", "exchange"):
        assert told[way]["search"]["success_rate"]["n"] == 6
        assert told[way]["search"]["success_rate"]["value"] >= told[way]["random"]["success_rate"]["value"]
    assert told["harmless"]["n_texts"] == 40
    assert told["concepts"]["bundle"] == "teacher"
    assert set(told["concepts"]["concepts"]) == {"praise"}
    assert "cpu_s_per_text" not in told["deletion"]["search"]
    times = read_json(Path("measurements/counterfactuals.json"))["bundles"]["teacher"]
    assert times["deletion"]["search"]["cpu_s_per_text"]["n"] == 6
    assert bare_figures(told) == []


def test_a_bundle_without_torch_weights_gets_deletions_alone(workspace: Path) -> None:
    pipeline, _ = baseline.run(
        reviews(120, 1), reviews(20, 2), baseline.Params(max_ngram=2, inverse_regularization=4.0)
    )
    described = manifest("baseline", kind="tfidf", max_tokens=0)
    write_bundle(Path("models/baseline"), described, lambda folder: save_pipeline(pipeline, folder))
    evaluated("baseline")
    counterfactuals.main()
    told = read_json(Path("reports/counterfactuals.json"))["bundles"]["baseline"]
    assert set(told) == {"deletion", "harmless"}
    assert told["deletion"]["search"]["success_rate"]["value"] > 0


def test_without_a_candidate_the_report_is_empty(workspace: Path) -> None:
    evaluated("baseline", deployable=False)
    counterfactuals.main()
    assert read_json(Path("reports/counterfactuals.json"))["bundles"] == {}
