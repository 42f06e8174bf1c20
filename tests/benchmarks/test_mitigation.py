"""Mitigations and thresholds side by side, in miniature: what is trained, reported, kept, and put into a page."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import group_thresholds, mitigation
from benchmarks.material import REPORTS
from pipeline_steps import audit, behave, train
from ratchet.files import read_json, write_json
from ratchet.params import load_params, read_yaml
from ratchet.table_files import write_table
from ratchet.tables import LABELED, PREDICTIONS, SPLIT
from ratchet.trust.slices import LENGTH_EDGES
from tests.support.architecture import write_choice
from tests.support.bundles import torch_bundle
from tests.support.films import FILMS, copy_task_files
from tests.support.params import params_tree
from tests.support.tiny import FIT, reviews, tiny_backbone

MARKS = "<!-- {0}:start -->\nold\n<!-- {0}:end -->\n"


def told_of_people(n: int, seed: int) -> pd.DataFrame:
    """Reviews, a quarter of them of a woman and a quarter of a man."""
    frame, at = reviews(n, seed), np.arange(n) // 2 % 4
    who = np.where(at == 0, "she ", np.where(at == 1, "he ", ""))
    return frame.assign(text=who + frame["text"].str.replace("hero", "music"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    copy_task_files(tmp_path, "lexicons", "behaviour", "challenge")
    values = read_yaml(FILMS / "params.yaml")
    write_choice(str(tiny_backbone(tmp_path / "backbone")), "full")
    tuned = {**FIT, "n_epochs": 1}
    trained = params_tree(train.Params, "train", {**values["train"], **tuned})
    judged = {**values["audit"], "min_group_size": 10}
    write_json(Path("params.yaml"), {**values, **trained, "audit": judged})
    write_json(LENGTH_EDGES, {"edges": [12, 25]})
    bought = told_of_people(80, 1)[["id", "text", "label", "source"]].assign(round=0, query_strategy="random")
    write_table(Path(behave.READS["labeled"]), bought, LABELED)
    for seed, name in enumerate(("validation", "test"), start=2):
        write_table(Path(f"data/splits/{name}.parquet"), told_of_people(160, seed), SPLIT)
    torch_bundle(Path("models"))
    return tmp_path


def test_each_mitigation_is_trained_once_told_and_put_into_a_page(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mitigation.main([])
    report = read_json(REPORTS / "mitigation.json")
    assert set(report["models"]) == {"TF-IDF", "teacher"}
    ways = {
        "none",
        "reweighing",
        "augmentation",
        "thresholds by group, demographic parity",
        "thresholds by group, equalized odds",
    }
    for model, rows in report["models"].items():
        assert set(rows) == ways, model
        assert all(set(figures) == set(mitigation.SHOWN) for figures in rows.values())
        assert rows["none"]["accuracy_change"]["value"] == 0
    assert report["models"]["TF-IDF"]["none"]["accuracy"]["value"] > 0.9
    assert (report["n_texts"], report["n_swaps"]) == ({"men": 40, "none": 80, "women": 40}, 80)
    printed = capsys.readouterr().out
    assert printed.count("training with mitigation") == 3
    assert "| teacher | none |" in printed

    def never(*_: Any) -> None:
        raise AssertionError("it was trained already")

    monkeypatch.setattr(train, "run", never)
    mitigation.main([])
    assert read_json(REPORTS / "mitigation.json")["models"] == report["models"]
    page = Path("page.md")
    page.write_text(f"before\n{MARKS.format('mitigation')}after\n", encoding="utf-8")
    mitigation.main(["--into", "page.md"])
    text = page.read_text(encoding="utf-8")
    assert "\nold\n" not in text
    assert text.count("| teacher |") == len(ways)
    assert "test texts by gender: men 40, none 80, women 40." in text


def test_what_was_trained_on_other_labels_or_as_the_pipeline_trains_is_kept_apart(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ratchet.models.bundle import read_manifest

    values = load_params(train.Params, "train", length_edges=[12, 25])
    tables = {"labeled": told_of_people(80, 1), "validation": told_of_people(40, 2)}
    rules = train.load_rules()
    folder = workspace / "trained"
    made = mitigation._trained(values, rules, tables, folder)
    assert made == folder / "teacher"
    assert read_manifest(made).data_sha256 == train.labels_sha256(tables["labeled"])
    began: list[int] = []
    fit = train.run

    def trained(*given: Any) -> Any:
        began.append(len(given[0]))
        return fit(*given)

    monkeypatch.setattr(train, "run", trained)
    mitigation._trained(values, rules, tables, folder)
    assert began == []
    mitigation._trained(values, rules, {**tables, "labeled": told_of_people(60, 1)}, folder)
    assert began == [60]
    shutil.rmtree("models/teacher")
    shutil.copytree(made, "models/teacher")
    of_line = {**tables, "labeled": told_of_people(60, 1)}
    assert mitigation._trained(values, rules, of_line, workspace / "elsewhere") == Path(train.WRITES["teacher"])


def test_groups_that_are_too_small_keep_one_threshold(workspace: Path) -> None:
    tables = {name: reviews(60, seed) for seed, name in enumerate(("labeled", "validation", "test"))}
    measure = mitigation.Measure(tables, train.load_rules(), "religion")
    proba = np.linspace(0, 1, 60)
    assert np.array_equal(measure._under("demographic_parity", proba, proba), proba >= 0.5)


def test_thresholds_of_the_released_bundle_are_the_audits(workspace: Path) -> None:
    texts = told_of_people(160, 2)
    positive, women = (texts["label"] == "positive").to_numpy(), texts["text"].str.startswith("she ").to_numpy()
    proba = np.where(positive, 0.75, 0.25) - 0.3 * women + 0.05 * np.random.default_rng(0).standard_normal(160)
    table = pd.DataFrame(
        {
            "id": texts["id"],
            "split": "validation",
            "bundle": "small",
            "label": texts["label"],
            "predicted": np.where(proba >= 0.5, "positive", "negative"),
            "confidence": np.maximum(proba, 1 - proba),
            "proba_negative": 1 - proba,
            "proba_positive": proba,
        }
    )
    other = table.assign(bundle="other", predicted="positive")
    write_table(Path(audit.READS["predictions"]), pd.concat([table, other], ignore_index=True), PREDICTIONS)
    write_json(Path("reports/decision.json"), {"chosen": "small", "ranking": ["other", "small"], "bundles": {}})
    group_thresholds.main([])
    report = read_json(REPORTS / "group_thresholds.json")
    thresholds = report["thresholds"]
    assert (report["bundle"], report["n_texts"]) == ("small", 160)
    assert list(thresholds) == ["before", "demographic_parity", "equalized_odds", "true_positive_rate_parity"]
    assert thresholds["before"]["demographic_parity_difference"]["value"] > 0.3
    assert thresholds["demographic_parity"]["demographic_parity_difference"]["value"] < 0.15
    params = load_params(audit.Params, "audit", length_edges=[12, 25]).model_copy(
        update={"thresholds": "equalized_odds"}
    )
    audited = audit.run(table, texts, audit.load_rules(), {}, params)["bundles"]["small"]["thresholds"]
    assert thresholds["equalized_odds"] == audited["after"]
    page = Path("page.md")
    page.write_text(MARKS.format("thresholds"), encoding="utf-8")
    group_thresholds.main(["--into", "page.md"])
    assert "| small | before | demographic parity |" in page.read_text(encoding="utf-8")
