"""The explain step: which bundles, which texts, honest figures, and pages written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import baseline, explain
from ratchet.errors import BundleError
from ratchet.files import read_json, sha256_file, write_json
from ratchet.measure.report_files import write_report
from ratchet.models.bundle import write_bundle
from ratchet.models.lineage import torch_parent
from ratchet.models.tfidf import PACKAGES, save_pipeline
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from ratchet.trust.explanation_tables import read_explained, read_explanation
from ratchet.trust.lockstep import cached_score
from ratchet.trust.second_opinions import NO_PARENT, Others
from tests.support.architecture import BASELINE, TFIDF
from tests.support.bare_figures import bare_figures
from tests.support.bundles import manifest, torch_bundle
from tests.support.films import LANGUAGE, PATTERNS, copy_task_files
from tests.support.linear_words import LinearWords
from tests.support.params import write_params
from tests.support.tiny import BLAME, PRAISE, reviews

VALUES = {
    "n_texts": 8,
    "wrong_rate": 0.25,
    "max_evals": 40,
    "n_random_orders": 4,
    "n_compared": 6,
    "n_gradient_steps": 20,
    "slices": ["length"],
    "length_edges": [4, 8],
    "n_bootstrap": 100,
    "n_threads": 1,
    "seed": 2,
}

SHARES = {**dict.fromkeys(PRAISE, 0.2), **dict.fromkeys(BLAME, -0.2)}


NOBODY = Others(None, None, None)
RULES = explain.Rules(PATTERNS, LANGUAGE.stemmer)


def params(**changes: Any) -> explain.Params:
    return explain.Params.model_validate({**VALUES, **changes})


def test_texts_are_balanced_hold_mistakes_and_do_not_depend_on_order() -> None:
    test = reviews(200, 1)
    mislabelled = np.arange(200) % 10 < 2
    test.loc[mislabelled, "label"] = test.loc[mislabelled, "label"].map(
        {"positive": "negative", "negative": "positive"}
    )
    predictor = LinearWords(SHARES)
    chosen = explain.choose_texts(predictor, test, params())
    assert len(chosen) == len(set(chosen["id"])) == 8
    predicted = np.array(predictor.labels)[predictor.predict_proba(chosen["text"].tolist()).argmax(axis=1)]
    assert (predicted != chosen["label"].to_numpy()).sum() == 2
    assert chosen["label"].value_counts().to_dict() == {"negative": 4, "positive": 4}
    again = explain.choose_texts(predictor, test.sample(frac=1, random_state=1), params())
    assert set(again["id"]) == set(chosen["id"])
    assert set(explain.choose_texts(predictor, test, params(seed=5))["id"]) != set(chosen["id"])


def test_a_rare_class_is_explained_too_and_many_classes_are_drawn_not_taken_by_name() -> None:
    common = reviews(400, 1).assign(label="positive")
    rare = reviews(2, 9).assign(label="negative")
    chosen = explain.choose_texts(LinearWords(SHARES), pd.concat([common, rare], ignore_index=True), params())
    assert set(chosen["label"]) == {"negative", "positive"}
    names = [f"class {index:02}" for index in range(40)]
    many = reviews(400, 1).assign(label=[names[index % 40] for index in range(400)])
    found = set(explain.choose_texts(LinearWords(SHARES), many, params())["label"])
    assert len(found) == 8
    assert found != set(names[:8])


def test_what_is_compared_holds_right_and_wrong_texts_of_each_class() -> None:
    test = reviews(200, 1)
    turned = np.arange(200) % 3 == 0
    test.loc[turned, "label"] = test.loc[turned, "label"].map({"positive": "negative", "negative": "positive"})
    predictor = LinearWords(SHARES)
    chosen = explain.choose_texts(predictor, test, params(n_texts=24))
    labels = np.array(predictor.labels)[predictor.predict_proba(chosen["text"].tolist()).argmax(axis=1)]
    kinds = list(zip(chosen["label"], chosen["label"] == labels, strict=True))
    compared = explain.evenly_spaced(kinds, 8)
    assert {label for label, _ in compared} == {"negative", "positive"}
    assert sum(not right for _, right in compared) == 2  # a quarter, as of all


def test_too_few_mistakes_are_filled_with_right_ones_and_the_other_way_round() -> None:
    test = reviews(40, 1)
    right = LinearWords(SHARES)
    assert len(explain.choose_texts(right, test, params())) == 8
    wrong = LinearWords({word: -share for word, share in right.shares.items()})
    assert len(explain.choose_texts(wrong, test, params(wrong_rate=0.0))) == 8
    assert len(explain.choose_texts(right, test, params(n_texts=100))) == 40


def test_metrics_of_a_predictor_whose_words_are_known() -> None:
    test = reviews(60, 3).assign(text=lambda frame: frame["text"].str.replace("the", "flat", n=1))
    explained = explain.run(LinearWords(), test, RULES, params(), NOBODY)
    metrics = explained.report["metrics"]
    assert metrics["n_explained"]["value"] == 8
    assert metrics["additivity_error"]["value"] < 1e-9
    assert metrics["shap_difference"] == {**metrics["shap_difference"], "n": 2}
    assert metrics["shap_difference"]["value"] < 1e-9
    assert metrics["faithfulness_gain"]["n"] == 8
    interval = metrics["faithfulness_gain"]["high"] - metrics["faithfulness_gain"]["low"]
    assert explained.report["power"]["faithfulness_gain"] == pytest.approx(
        0.5 * interval * (1 + 0.8416 / 1.96), rel=1e-3
    )
    assert "n_explained" not in explained.report["power"]
    deleted = explained.report["curves"][0]["deleted"]
    assert deleted["low"] < deleted["value"] < deleted["high"]
    assert metrics["faithfulness_gain"]["value"] > 0
    assert explained.report["words"][0]["word"] in ("superb", "moving", "dull", "flat")


def test_texts_without_words_are_passed_over_and_none_is_undefined() -> None:
    test = reviews(4, 1).assign(text="?!")
    metrics = explain.run(LinearWords(), test, RULES, params(), NOBODY).report["metrics"]
    assert metrics["n_explained"]["value"] == 0
    assert np.isnan(metrics["additivity_error"]["value"])
    assert metrics["additivity_error"]["reason"]
    assert np.isnan(metrics["shap_difference"]["value"])
    assert np.isnan(metrics["faithfulness_gain"]["value"])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_params(explain.Params, "explain", VALUES)
    copy_task_files(tmp_path, "lexicons")
    write_table(Path("data/splits/validation.parquet"), reviews(60, 3), SPLIT)
    labeled = reviews(120, 1)
    pipeline, _ = baseline.run(labeled, reviews(20, 2), TFIDF, BASELINE)
    write_bundle(
        Path("models/baseline"),
        manifest("baseline", kind="tfidf", max_tokens=0),
        lambda folder: save_pipeline(pipeline, folder),
        PACKAGES,
    )
    torch_bundle(Path("models"))
    write_json(Path("reports/shortlist.json"), {"shortlist": ["baseline"]})
    return tmp_path


def evaluated(baseline: dict[str, Any]) -> None:
    report = {"bundles": {"baseline": baseline}}
    write_report(Path("reports/evaluate.json"), report, Path("measurements/evaluate.json"))


def test_main_writes_pages_figures_and_a_report_and_the_same_again(workspace: Path) -> None:
    explain.main()
    report = read_json(Path("reports/explain.json"))
    assert report["command"] == "python -m pipeline_steps.explain"
    item = report["bundles"]["baseline"]
    assert set(item["metrics"]) == {
        "n_explained",
        "additivity_error",
        "shap_difference",
        "faithfulness_gain",
        "sufficiency_gain",
        "attribution_agreement",
        "attribution_stability",
        "gradient_agreement",
        "gradient_faithfulness_gain",
        "gradient_convergence_delta",
    }
    assert item["metrics"]["attribution_agreement"]["n"] > 0
    assert bare_figures(report) == []
    assert item["parent"] is None
    assert item["metrics"]["gradient_agreement"]["reason"] == NO_PARENT
    assert item["metrics"]["additivity_error"]["value"] < 1e-6
    assert item["metrics"]["faithfulness_gain"]["value"] > 0.02
    assert "superb" in Path(item["page"]).read_text()
    files = sorted(Path("reports/explain").iterdir())
    assert [file.name for file in files] == [
        "baseline-texts.parquet",
        "baseline-words.parquet",
        "baseline.html",
        "contents.txt",
    ]
    stored = read_explanation(Path("reports/explain"), "baseline")
    assert {item.unit for _, _, item in read_explained(Path("reports/explain"), "baseline")[0]} == {"log-odds"}
    assert "the log-odds of the predicted class" in Path(item["page"]).read_text()
    assert len(stored) == item["metrics"]["n_explained"]["value"]
    assert stored.values[0].shape == (len(stored.feature_names[0]), 2)
    praised = {row["word"]: row["towards"] for row in item["words"]}
    assert {praised.get(word, "positive") for word in ("superb", "moving", "funny")} == {"positive"}
    assert {praised.get(word, "negative") for word in ("dull", "clumsy", "boring")} == {"negative"}
    hashes = [sha256_file(file) for file in [*files, Path("reports/explain.json")]]
    explain.main()
    assert [sha256_file(file) for file in [*files, Path("reports/explain.json")]] == hashes


def test_without_a_candidate_the_report_is_empty_and_says_so(workspace: Path) -> None:
    write_json(Path("reports/shortlist.json"), {"shortlist": []})
    explain.main()
    assert read_json(Path("reports/explain.json"))["bundles"] == {}
    assert "No bundle" in Path("reports/explain/contents.txt").read_text()


def test_a_corrupted_bundle_stops_it_and_leaves_the_old_pages(workspace: Path) -> None:
    explain.main()
    before = sha256_file(Path("reports/explain/baseline.html"))
    with Path("models/baseline/weights.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match="corrupted"):
        explain.main()
    assert sha256_file(Path("reports/explain/baseline.html")) == before
    assert not list(Path("reports").glob(".*"))


def test_rows_without_a_label_are_not_explained() -> None:
    test = reviews(30, 1)
    test.loc[::2, "label"] = None
    chosen = explain.choose_texts(LinearWords(), pd.DataFrame(test), params())
    assert chosen["label"].notna().all()


def test_a_bundle_of_torch_weights_agrees_with_itself_and_its_gradients_add_up(
    workspace: Path,
) -> None:
    teacher = torch_parent("teacher", {"teacher": Path("models/teacher")}, 1)
    assert teacher is not None
    others = Others(teacher, cached_score(teacher), teacher)
    metrics = explain.run(teacher, reviews(60, 3), RULES, params(n_gradient_steps=64), others).report["metrics"]
    assert metrics["attribution_agreement"]["value"] == pytest.approx(1)
    assert metrics["gradient_convergence_delta"]["value"] < 0.05
    assert metrics["gradient_agreement"]["n"] == 6
