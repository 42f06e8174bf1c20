"""The sealed test: what is judged is measured on it alone, a leak is found, and nothing before reads its labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from pipeline_steps import judge
from ratchet.files import read_json, sha256_json, write_json
from ratchet.gates.gates import MAX_OPENINGS
from ratchet.measure.prediction_table import prediction_table
from ratchet.models.bundle import Manifest
from ratchet.models.predictor import Predictor
from ratchet.models.training_data import taught_data
from ratchet.params import load_params, read_yaml
from ratchet.table_files import read_table, write_table
from ratchet.tables import LABELED, PREDICTIONS, SOFT_LABELS, SPLIT, check_table
from ratchet.trust.audited_groups import Rules, audited_groups
from ratchet.trust.lexicons import Lexicon
from tests.support.bare_figures import bare_figures
from tests.support.bundles import manifest, torch_bundle
from tests.support.films import PATTERNS, copy_task_files
from tests.support.linear_words import LinearWords
from tests.support.tiny import BLAME, PRAISE, reviews

ROOT = Path(__file__).parents[2]
RIGHT = {**dict.fromkeys(PRAISE, 0.2), **dict.fromkeys(BLAME, -0.2)}
HALF = {word: share for word, share in RIGHT.items() if word in (*PRAISE[:3], *BLAME[:3])}
NO_PEOPLE = Lexicon(attributes={}, phrases=[], swaps={}, templates=[])
SMALL = {"n_bootstrap": 100, "attributes": [], "intersections": [], "features": ["length"], "min_group_size": 10}


def params(**changes: Any) -> judge.Params:
    found = load_params(judge.Params, "judge", ROOT / "params.yaml", length_edges=[5, 8])
    return found.model_copy(update={**SMALL, **changes})


def on_validation(predictors: Mapping[str, Predictor], validation: pd.DataFrame) -> pd.DataFrame:
    tables = [
        prediction_table(name, "validation", item.labels, validation, item.predict_proba(validation["text"].tolist()))
        for name, item in predictors.items()
    ]
    return pd.concat(tables, ignore_index=True)


def judged(
    test: pd.DataFrame,
    labeled: pd.DataFrame,
    validation: pd.DataFrame,
    lineage: list[Manifest] | None = None,
    taught: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    predictors = {"baseline": LinearWords(HALF), "small": LinearWords(RIGHT)}
    known = [manifest("small", data_sha256=sha256_json(labeled[["id", "label"]].to_numpy()))]
    texts = judge.Texts(test, on_validation(predictors, validation), labeled, taught)
    groups = audited_groups(test, Rules(NO_PEOPLE, PATTERNS), params(), "identity.yaml")
    return judge.run(predictors, dict.fromkeys(predictors, lineage or known), "small", texts, groups, params())


def test_the_figures_are_those_of_the_test_texts() -> None:
    test = reviews(160, 1)
    predictions, report = judged(test, reviews(120, 3), reviews(120, 2))
    check_table(predictions, PREDICTIONS, "judged")
    assert set(predictions["split"]) == {"test"}
    for name, bundle in report["bundles"].items():
        rows = predictions[predictions["bundle"] == name]
        assert rows["id"].tolist() == test["id"].tolist()
        assert bundle["metrics"]["accuracy"]["value"] == pytest.approx(accuracy_score(test["label"], rows["predicted"]))
        assert bundle["metrics"]["accuracy"]["n"] == report["n_test"] == 160
    small, baseline = (report["bundles"][name] for name in ("small", "baseline"))
    gained = small["metrics"]["accuracy"]["value"] - baseline["metrics"]["accuracy"]["value"]
    assert small["against"]["baseline"]["accuracy"]["value"] == pytest.approx(gained) != 0
    assert small["is_best"]
    assert set(small["against"]) == {"baseline", "majority"}, "the best is compared with no best"
    assert baseline["against"]["best"]["primary"]["value"] == pytest.approx(-gained)
    by_length = [item["accuracy"] for item in small["slices"].values()]
    assert sum(item["n"] for item in by_length) == 160
    assert set(small["slices_against"]["baseline"]) == set(small["slices"])
    by_slice = small["slices_against"]["baseline"]
    shares = [item["accuracy"]["value"] * small["slices"][key]["accuracy"]["n"] / 160 for key, item in by_slice.items()]
    assert sum(shares) == pytest.approx(gained), "the slices by length are all texts"
    assert predictions.index.tolist() == list(range(320))
    right = {name: rows["label"] == rows["predicted"] for name, rows in predictions.groupby("bundle")}
    for name, words in (("small", RIGHT), ("baseline", HALF)):
        better = right[name].mean() - np.mean(_right(LinearWords(words), reviews(120, 2)))
        assert report["bundles"][name]["metrics"]["better_on_test"]["value"] == pytest.approx(better)
    assert set(baseline["slices_against"]) == {"best"}
    assert bare_figures(report) == []


def _right(model: Predictor, texts: pd.DataFrame) -> Any:
    predicted = np.array(model.labels)[model.predict_proba(texts["text"].tolist()).argmax(axis=1)]
    return predicted == texts["label"].to_numpy()


def test_released_bundles_are_scored_on_the_same_texts_in_whatever_order_they_name_the_classes() -> None:
    test, labeled, validation = reviews(160, 1), reviews(120, 3), reviews(120, 2)
    predictors: dict[str, Predictor] = {"small": LinearWords(RIGHT), "high_water_mark": _Reversed(RIGHT)}
    texts = judge.Texts(test, on_validation({"small": predictors["small"]}, validation), labeled)
    groups = audited_groups(test, Rules(NO_PEOPLE, PATTERNS), params(), "identity.yaml")
    known = [manifest("small", data_sha256=sha256_json(labeled[["id", "label"]].to_numpy()))]
    report = judge.run(predictors, {"small": known}, "small", texts, groups, params())[1]
    against = report["bundles"]["small"]["against"]["high_water_mark"]["primary"]
    assert (against["value"], against["n"]) == (0, 160)
    assert set(report["bundles"]["small"]["slices_against"]) == {"high_water_mark"}


class _Reversed(LinearWords):
    """The same, with its classes in the other order."""

    @property
    def labels(self) -> list[str]:
        return list(reversed(super().labels))

    def predict_proba(self, texts: Sequence[str]) -> Any:
        return super().predict_proba(texts)[:, ::-1]


def test_where_no_bundle_is_within_the_limits_what_they_are_compared_with_is_judged_all_the_same() -> None:
    test = reviews(160, 1)
    groups = audited_groups(test, Rules(NO_PEOPLE, PATTERNS), params(), "identity.yaml")
    texts = judge.Texts(test, test.head(0), reviews(120, 3))
    report = judge.run({"baseline": LinearWords(HALF)}, {}, "", texts, groups, params())[1]
    assert set(report["bundles"]["baseline"]["against"]) == {"majority"}
    assert not report["bundles"]["baseline"]["is_best"]


def test_a_leak_is_found_in_the_table_and_an_unknown_table_is_not_believed() -> None:
    test, labeled = reviews(160, 1), reviews(120, 3)
    clean = judged(test, labeled, reviews(120, 2))[1]
    assert clean["bundles"]["small"]["metrics"]["test_leak_rate"]["value"] == 0
    assert clean["leaked"] == []
    leaky = judged(test, pd.concat([labeled, test.head(16)], ignore_index=True), reviews(120, 2))[1]
    assert leaky["bundles"]["small"]["metrics"]["test_leak_rate"]["value"] == pytest.approx(0.1)
    assert leaky["leaked"]
    other = [manifest("small", data_sha256="9" * 64)]
    unknown = judged(test, labeled, reviews(120, 2), other)[1]["bundles"]["small"]["metrics"]["test_leak_rate"]
    assert np.isnan(unknown["value"])
    assert "other data" in unknown["reason"]


def test_a_clean_teacher_says_nothing_of_what_its_student_learned_from() -> None:
    test, labeled, pool = reviews(160, 1), reviews(120, 3), reviews(80, 4)
    teacher = manifest("teacher", data_sha256=sha256_json(labeled[["id", "label"]].to_numpy()))

    def leak(learned: pd.DataFrame, shown: pd.DataFrame) -> dict[str, Any]:
        student = manifest("small", data_sha256=taught_data(teacher.data_sha256, learned["id"]))
        report = judged(test, labeled, reviews(120, 2), [student, teacher], shown)[1]
        return dict(report["bundles"]["small"]["metrics"]["test_leak_rate"])

    assert leak(pool, pool)["value"] == 0
    on_test = pd.concat([pool, test.head(16)], ignore_index=True)
    assert leak(on_test, on_test)["value"] == pytest.approx(0.1)
    hidden = leak(test, pool)  # distilled from a clean teacher, but on the test texts
    assert np.isnan(hidden["value"])
    assert "other data" in hidden["reason"]


def test_a_model_that_knows_the_test_texts_by_heart_is_far_better_on_them() -> None:
    test, validation = reviews(160, 1), reviews(120, 2)
    honest = judged(test, reviews(120, 3), validation)[1]["bundles"]["small"]["metrics"]["better_on_test"]
    assert honest["value"] == pytest.approx(0, abs=0.05)
    validation["label"] = validation["label"].map({"positive": "negative", "negative": "positive"})
    by_heart = judged(test, reviews(120, 3), validation)[1]["bundles"]["small"]["metrics"]["better_on_test"]
    assert by_heart["value"] == pytest.approx(1, abs=0.1)


def test_main_judges_the_shortlist_and_what_it_is_compared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = read_yaml(ROOT / "params.yaml")
    values["task"] |= {"n_bootstrap": 100, "inference_threads": 1}
    values["audit"] |= {"attributes": [], "intersections": [], "features": ["length"]}
    write_json(Path("params.yaml"), values)
    copy_task_files(tmp_path, "lexicons")
    write_json(Path(judge.READS["length_edges"]), {"edges": [5, 8]})
    for name in ("teacher", "small", "unwanted"):
        torch_bundle(Path("models"), name=name, n_layers=1)
    test, labeled = reviews(60, 1), reviews(40, 3)
    write_table(Path("data/splits/test.parquet"), test, SPLIT)
    write_table(Path(judge.READS["soft_labels"]), reviews(40, 4)[["id", "text", "label"]], SOFT_LABELS)
    write_table(Path(judge.READS["labeled"]), labeled.assign(round=0, query_strategy="random"), LABELED)
    predictors = {"small": LinearWords(RIGHT), "teacher": LinearWords(RIGHT)}
    write_table(Path(judge.READS["predictions"]), on_validation(predictors, reviews(50, 2)), PREDICTIONS)
    write_json(Path(judge.READS["shortlist"]), {"shortlist": ["small"], "best": "small"})
    write_json(Path(judge.READS["champion"]), {"bundle": None})
    write_json(Path(judge.READS["high_water_mark"]), {"bundle": None})
    judge.main()
    report = read_json(Path(judge.WRITES["report"]))
    assert set(report["bundles"]) == {"teacher", "small"}
    assert (report["n_test"], report["max_openings"]) == (60, values["judge"]["max_openings"])
    assert len(read_table(Path(judge.WRITES["predictions"]), PREDICTIONS)) == 120


def test_the_gate_of_the_high_water_mark_counts_on_no_more_openings_than_are_allowed() -> None:
    with pytest.raises(ValueError, match="max_openings"):
        judge.Params.model_validate({**params().model_dump(), "max_openings": MAX_OPENINGS + 1})
    judge.Params.model_validate({**params().model_dump(), "max_openings": MAX_OPENINGS})


def test_no_other_stage_names_the_test_split_but_those_that_make_it_or_need_no_label() -> None:
    """The miniatures run without the labels of the test texts up to `judge`; this names who touches the file at all."""
    found = {
        path.stem
        for path in (ROOT / "pipeline_steps").glob("*.py")
        if re.search(r"""["']test(\.parquet)?["']""", path.read_text(encoding="utf-8"))
    }
    assert found == {"judge", "split", "audit"}
    audit = (ROOT / "pipeline_steps/audit.py").read_text(encoding="utf-8")
    assert re.search(r"""\["id"\] if name == "test" else None""", audit), "the audit takes ids alone, for embeddings"
