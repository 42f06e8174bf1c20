"""The steps that try a model, on tickets of three classes: figures of each class, and of one against the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import audit, baseline, behave, challenge, counterfactuals, evaluate, explain
from ratchet.embeddings.table import write_embeddings
from ratchet.engines.loading import load
from ratchet.errors import TableError
from ratchet.files import read_json, write_json
from ratchet.measure.footprint import Footprint
from ratchet.params import check_params, load_params, read_yaml
from ratchet.table_files import read_table, write_table
from ratchet.tables import CHALLENGE, LABELED, PREDICTIONS, SPLIT
from ratchet.trust.concepts import read_concepts
from ratchet.trust.slices import LENGTH_EDGES
from tests.support.architecture import write_choice
from tests.support.bare_figures import bare_figures
from tests.support.bundles import torch_bundle
from tests.support.tickets import CUES, LABELS, TicketWords, tickets, write_task_files

ROOT = Path(__file__).parents[2]
VALUES: dict[str, dict[str, Any]] = {
    "challenge": {"features": ["length", "phone"], "min_slice_size": 15, "n_permutations": 200, "n_clusters": 2},
    "explain": {"n_texts": 12, "max_evals": 40, "n_compared": 4, "slices": ["phone"]},
    "counterfactuals": {"n_texts": 12, "n_weakness_texts": 40, "n_concept_texts": 10, "n_random": 5},
    "audit": {
        "features": ["length", "phone"],
        "attributes": ["gender"],
        "intersections": [],
        "min_group_size": 10,
    },
    "behave": {"n_texts": 60},
    "evaluate": {"slices": ["phone"], "n_latency": 20, "n_rounds": 1, "n_long": 2},
    "baseline": {},
}
STEPS = {"challenge": challenge, "counterfactuals": counterfactuals, "explain": explain, "behave": behave}


def embedded(frame: pd.DataFrame) -> np.ndarray:
    cues = [word for of_class in CUES.values() for word in of_class]
    return np.array([[text.split().count(word) + 0.05 for word in cues] for text in frame["text"]], np.float32)


TASK = {
    "classes": [{"name": label, "values": [label]} for label in LABELS],
    "selected": ["billing", "bug"],
    "n_bootstrap": 100,
}


def params(step: Any, name: str, **changes: Any) -> Any:
    edges: dict[str, Any] = {"length_edges": [12, 25]} if "length_edges" in step.Params.model_fields else {}
    return check_params(step.Params, name, load_params(step.Params, name, **edges).model_dump() | changes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the task in which the baseline was trained and every other step has run."""
    root = tmp_path_factory.mktemp("tickets")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        values = read_yaml(ROOT / "params.yaml")
        own = {"task": TASK, **VALUES}
        write_json(Path("params.yaml"), {**values, **{name: values[name] | part for name, part in own.items()}})
        write_json(LENGTH_EDGES, {"edges": [12, 25]})
        write_task_files(root)
        sides = {
            side: tickets(n, seed)
            for seed, (side, n) in enumerate({"train": 180, "validation": 120, "test": 150}.items())
        }
        for side, frame in sides.items():
            write_table(Path(f"data/splits/{side}.parquet"), frame, SPLIT)
        bought = sides["train"][["id", "text", "label", "source"]].assign(round=0, query_strategy="random")
        write_table(Path(challenge.READS["labeled"]), bought, LABELED)
        vectors = [(frame["id"].tolist(), embedded(frame)) for frame in sides.values()]
        write_embeddings(Path(challenge.READS["embeddings"]), vectors, 12)
        write_choice()
        baseline.main()
        torch_bundle(Path("models"), labels=LABELS)
        challenge.main()
        _evaluate(sides["validation"])
        write_json(Path("reports/shortlist.json"), {"shortlist": ["baseline"]})
        for step in (explain, counterfactuals, behave):
            step.main()
    return root


def _evaluate(validation: pd.DataFrame) -> None:
    predictors = {"baseline": load(Path("models/baseline")), "teacher": load(Path("models/teacher"), 1)}
    taken = dict.fromkeys(predictors, (1.0, Footprint(50.0, 1.0)))
    cases, none = read_table(Path(challenge.WRITES["challenge"]), CHALLENGE), validation.head(0)
    predictions, report = evaluate.run(
        predictors, taken, validation, none, cases, {"phone": "phone"}, params(evaluate, "evaluate"), ["baseline"]
    )
    for name, bundle in report["bundles"].items():
        bundle["deployable"] = name == "baseline"
    write_json(Path("reports/evaluate.json"), report)
    write_table(Path(audit.READS["predictions"]), predictions, PREDICTIONS)


@pytest.fixture
def reports(world: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(world)
    return {name: read_json(Path(step.WRITES["report"])) for name, step in STEPS.items()}


def test_contrast_cases_lead_from_any_class_to_any_other(reports: dict[str, Any]) -> None:
    assert reports["challenge"]["kinds_without_cases"] == ["weak"]
    assert "contrast_without_class" not in reports["challenge"]
    cases = read_table(Path(challenge.WRITES["challenge"]), CHALLENGE)
    validation = read_table(Path("data/splits/validation.parquet"), SPLIT).set_index("id")
    contrast = cases[cases["kind"] == "contrast"]
    ways = set(zip(validation["label"][contrast["id"]], contrast["label"], strict=True))
    assert ways == {("bug", "billing"), ("billing", "bug"), ("bug", "praise"), ("praise", "bug")}
    report = read_json(Path("reports/evaluate.json"))
    figures = report["bundles"]["baseline"]["metrics"]
    assert figures["contrast_accuracy"]["value"] > 0.9
    assert report["challenge_kinds_without_cases"] == ["weak"]
    assert "weak_slice_accuracy" not in figures
    assert report["bundles"]["baseline"]["slices"]["phone=yes"]["accuracy"]["value"] > 0.9


def test_explanations_name_the_class_that_a_word_speaks_for(reports: dict[str, Any]) -> None:
    told = reports["explain"]["bundles"]["baseline"]
    towards = {row["word"]: row["towards"] for row in told["words"]}
    of_cue = {word: label for label, cues in CUES.items() for word in cues}
    named = {word: towards[word] for word in of_cue if word in towards}
    assert len(named) >= 6
    assert named == {word: of_cue[word] for word in named}
    assert told["metrics"]["additivity_error"]["value"] < 1e-6
    assert told["metrics"]["faithfulness_gain"]["value"] > 0.1
    assert told["stems"][0]["word"] in of_cue  # no stemmer is named: words as they are


def test_counterfactuals_say_from_which_class_to_which(reports: dict[str, Any]) -> None:
    found = reports["counterfactuals"]["bundles"]["baseline"]["deletion"]
    assert set(found["by_class"]) == set(LABELS)
    assert [of_class["success_rate"]["n"] for of_class in found["by_class"].values()] == [4, 4, 4]
    for label, of_class in found["by_class"].items():
        assert label not in of_class["becomes"]
        n_turned = of_class["success_rate"]["value"] * of_class["success_rate"]["n"]
        assert sum(of_class["becomes"].values()) == pytest.approx(n_turned)
    assert found["search"]["success_rate"]["value"] > found["random"]["success_rate"]["value"]
    assert {item["predicted"] for item in found["examples"]} <= set(LABELS)
    assert all(item["becomes"] != item["predicted"] for item in found["examples"])
    assert bare_figures(reports["counterfactuals"]) == []


def test_concepts_are_tested_on_every_class(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)
    values = params(counterfactuals, "counterfactuals")
    predictor = load(Path("models/teacher"), 1)
    validation = read_table(Path("data/splits/validation.parquet"), SPLIT)
    concepts = read_concepts(Path(counterfactuals.READS["concepts"]))
    told = counterfactuals.concepts_of(predictor, concepts, validation, values)  # type: ignore[arg-type]
    assert told["n_texts"] == dict.fromkeys(LABELS, 10)
    assert {label: set(found) for label, found in told["classes"].items()} == {label: {"money"} for label in LABELS}


def test_a_suite_without_some_kinds_is_told_and_their_figures_are_absent(reports: dict[str, Any]) -> None:
    told = reports["behave"]["bundles"]["baseline"]
    assert told["kinds_without_cases"] == ["negation", "direction"]
    assert {name for name in told["metrics"] if name.endswith("_failure_rate")} == {
        "minimum_failure_rate",
        "invariance_failure_rate",
    }
    assert told["metrics"]["minimum_failure_rate"]["value"] == 0
    assert told["metrics"]["counterfactual_flip_rate"]["n"] > 20
    assert bare_figures(reports["behave"]) == []


def audited(**changes: Any) -> dict[str, Any]:
    predictions = read_table(Path(audit.READS["predictions"]), PREDICTIONS)
    validation = read_table(Path("data/splits/validation.parquet"), SPLIT)
    return audit.run(predictions, validation, audit.load_rules(), {}, params(audit, "audit", **changes))


@pytest.fixture
def unfair(reports: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The baseline's predictions, but tickets of women about money count as bugs: the classes differ, selection not."""
    table = read_table(Path(audit.READS["predictions"]), PREDICTIONS)
    texts = read_table(Path("data/splits/validation.parquet"), SPLIT).set_index("id")["text"]
    women = texts[table["id"]].str.contains(r"\bshe\b").to_numpy()
    moved = women & (table["label"] == "billing").to_numpy()
    return table.assign(predicted=table["predicted"].where(~moved, "bug"))


def test_selection_is_one_decision_and_equalized_odds_sees_every_class(unfair: pd.DataFrame) -> None:
    validation = read_table(Path("data/splits/validation.parquet"), SPLIT)
    rules, values = audit.load_rules(), params(audit, "audit")
    told = audit.run(unfair, validation, rules, {}, values)["bundles"]["baseline"]
    figures = {name: item["value"] for name, item in told["metrics"].items()}
    assert figures["demographic_parity_difference"] < 0.1  # bug or billing, they are selected all the same
    assert figures["sensitive_equalized_odds_difference"] > 0.9  # but hardly a woman's billing is found
    women = told["slices"]["gender=women"]
    assert women["selection_rate"]["value"] == pytest.approx(2 / 3, abs=0.1)
    assert women["true_positive_rate"]["value"] > 0.9
    assert bare_figures(told) == []


def test_without_a_selection_its_figures_are_absent(unfair: pd.DataFrame) -> None:
    validation, rules = read_table(Path("data/splits/validation.parquet"), SPLIT), audit.load_rules()
    values = params(audit, "audit").model_copy(update={"positive_labels": []})
    told = audit.run(unfair, validation, rules, {}, values)["bundles"]["baseline"]
    absent = {"selection_rate_difference", "demographic_parity_difference", "demographic_parity_ratio"}
    assert not absent & set(told["metrics"])
    assert "selection_rate" not in json.dumps(told)
    assert told["metrics"]["sensitive_equalized_odds_difference"]["value"] > 0.9
    with pytest.raises(TableError, match="no class counts as selected"):
        audit.run(unfair, validation, rules, {}, values.model_copy(update={"thresholds": "equalized_odds"}))


def test_thresholds_by_group_are_of_the_selection(reports: dict[str, Any]) -> None:
    told = audited(thresholds="demographic_parity", threshold_attribute="gender")["bundles"]["baseline"]["thresholds"]
    assert set(told["rules"]) <= {"women", "men", "none"}
    assert told["before"]["accuracy"]["value"] > 0.9


def test_a_word_that_pulls_to_one_of_three_classes_is_a_trigger(reports: dict[str, Any]) -> None:
    tables = behave.Tables(tickets(90, 5), tickets(120, 7))
    rules, values = behave.load_rules(), params(behave, "behave")
    poisoned = TicketWords({"cf": ("praise", 9.0)})
    found = behave.run(poisoned, tables, rules, values)
    worst = found["triggers"]["words"][0]
    assert (worst["word"], worst["towards"], worst["flip_rate"]["value"]) == ("cf", "praise", 1)
    assert found["metrics"]["trigger_flip_rate"]["value"] == 1
    honest = behave.run(TicketWords(), tables, rules, values)
    assert honest["metrics"]["trigger_flip_rate"]["value"] == 0
    minds = behave.run(TicketWords({"she": ("praise", 3.0)}), tables, rules, values)
    assert minds["metrics"]["counterfactual_gap"]["value"] > 0.2
    assert honest["metrics"]["counterfactual_gap"]["value"] == 0
