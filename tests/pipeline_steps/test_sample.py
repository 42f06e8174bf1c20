"""The step that buys labels: exactly the budget, never what nobody knows, and the same again with the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import sample
from ratchet.embeddings.table import write_embeddings
from ratchet.errors import TrainingError
from ratchet.files import read_json, sha256_file, write_json
from ratchet.labels.query_strategies import QUERY_STRATEGIES
from ratchet.labels.store import append, write_batch
from ratchet.models.bundle import MANIFEST, write_bundle
from ratchet.models.predictor import Predictor, Proba
from ratchet.models.tfidf import PACKAGES, fit_pipeline, save_pipeline
from ratchet.table_files import read_table, write_table
from ratchet.tables import HUMAN_LABELS, LABELED, SPLIT, UNLABELED, check_table
from tests.support.bundles import LABELS, manifest
from tests.support.params import write_params
from tests.support.tiny import ACCURACY, reviews

VALUES = {
    **ACCURACY,
    "query_strategy": "hybrid",
    "initial_strategy": "random",
    "budget": 40,
    "n_initial": 10,
    "n_rounds": 3,
    "n_curve_labels": 30,
    "n_curve_seeds": 2,
    "usd_per_annotator_hour": 20.0,
    "inverse_regularization": 2.0,
    "near_duplicate_threshold": 0.8,
    "champion_weight": 0.5,
    "balanced": False,
    "stopping": "budget",
    "stopping_threshold": 0.99,
    "stopping_patience": 2,
    "curve_strategies": ["margin", "hybrid"],
    "seed": 3,
}


def params(**changes: Any) -> sample.Params:
    return sample.Params.model_validate({**VALUES, **changes})


def embedded(frame: pd.DataFrame) -> np.ndarray:
    """Counts of a few words stand in for embeddings."""
    words = ["superb", "moving", "funny", "bright", "dull", "clumsy", "boring", "flat", "film", "the"]
    return np.array([[text.split().count(word) + 0.1 for word in words] for text in frame["text"]], np.float32)


def run(train: pd.DataFrame, **changes: Any) -> sample.Sampled:
    validation = reviews(60, 9)
    return sample.run(train, embedded(train), validation, embedded(validation), params(**changes))


@pytest.mark.parametrize("strategy", sorted(QUERY_STRATEGIES))
def test_it_buys_exactly_the_budget_and_keeps_the_rest_without_labels(strategy: str) -> None:
    train = reviews(150, 1)
    before = train.copy()
    sampled = run(train, query_strategy=strategy)
    check_table(sampled.labeled, LABELED, "test")
    check_table(sampled.unlabeled, UNLABELED, "test")
    assert len(sampled.labeled) == 40
    assert sorted([*sampled.labeled["id"], *sampled.unlabeled["id"]]) == sorted(train["id"])
    assert "label" not in sampled.unlabeled.columns
    truth = train.set_index("id")["label"]
    assert (truth[sampled.labeled["id"]].to_numpy() == sampled.labeled["label"].to_numpy()).all()
    assert sampled.labeled["round"].value_counts().sort_index().to_dict() == {0: 10, 1: 10, 2: 10, 3: 10}
    assert set(sampled.labeled.loc[sampled.labeled["round"] == 0, "query_strategy"]) == {"random"}
    assert set(sampled.labeled.loc[sampled.labeled["round"] > 0, "query_strategy"]) == {strategy}
    assert [item["n_labels"] for item in sampled.report["rounds"]] == [10, 20, 30, 40]
    pd.testing.assert_frame_equal(train, before)


def test_what_nobody_has_labelled_cannot_be_bought() -> None:
    train = reviews(60, 1)
    train.loc[::2, "label"] = None  # every second one, all negatives among them
    train.loc[[0, 2, 4, 6], "label"] = "negative"
    sampled = run(train, budget=1000)
    assert len(sampled.labeled) == 34
    assert sampled.labeled["label"].notna().all()
    assert len(sampled.unlabeled) == 26
    assert sampled.report["n_without_label"] == 26


def test_a_budget_beyond_the_pool_labels_everything() -> None:
    sampled = run(reviews(50, 1), budget=5000)
    assert len(sampled.labeled) == 50
    assert len(sampled.unlabeled) == 0
    check_table(sampled.unlabeled, UNLABELED, "test")


def test_the_same_seed_buys_the_same_labels_and_another_seed_others() -> None:
    first, second, other = (run(reviews(150, 1), seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.labeled, second.labeled)
    pd.testing.assert_frame_equal(first.curve, second.curve)
    assert first.report == second.report
    assert first.labeled["id"].tolist() != other.labeled["id"].tolist()


def test_the_curve_compares_every_strategy_up_to_the_same_number_of_labels() -> None:
    sampled = run(reviews(150, 1))
    assert set(sampled.curve["strategy"]) == {"random", "margin", "hybrid"}
    assert sampled.curve.groupby("strategy")["n_labels"].max().unique().tolist() == [30]
    efficiency = sampled.report["label_efficiency"]
    assert efficiency["hybrid"]["score_at_30"]["n"] == 2
    assert efficiency["random"]["labels_to_reach_random"]["value"] <= 30


def test_the_curve_and_the_rounds_are_by_the_primary_metric() -> None:
    by_accuracy = run(reviews(150, 1))
    by_cost = run(reviews(150, 1), primary_metric="expected_cost", cost_matrix=[[0.0, 4.0], [4.0, 0.0]])
    pd.testing.assert_frame_equal(by_accuracy.labeled, by_cost.labeled)  # what is bought does not hang on it
    assert by_cost.report["primary_metric"] == "expected_cost"
    assert by_cost.curve["score"].to_numpy() == pytest.approx(4 * (1 - by_accuracy.curve["score"].to_numpy()))
    pairs = zip(by_accuracy.report["rounds"], by_cost.report["rounds"], strict=True)
    for one, other in pairs:
        assert other["validation_expected_cost"] == pytest.approx(4 * (1 - one["validation_accuracy"]))
    gains = [item.report["gained_per_hundred_labels"]["value"] for item in (by_accuracy, by_cost)]
    assert gains[1] == pytest.approx(4 * gains[0])


def many_classes(n_classes: int, n_each: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Texts of many classes with embeddings that tell them apart, `n_each` of a class."""
    rng = np.random.default_rng(seed)
    labels = [f"class {number:02d}" for number in range(n_classes) for _ in range(n_each)]
    texts = [f"{label} text {row}" for row, label in enumerate(labels)]
    ids = [f"{seed:04x}{row:012x}" for row in range(len(labels))]
    centres = np.random.default_rng(0).normal(size=(n_classes, 16))
    vectors = np.repeat(centres, n_each, axis=0) + 0.1 * rng.normal(size=(len(labels), 16))
    frame = pd.DataFrame({"row": range(len(labels)), "id": ids, "text": texts, "label": labels, "source": "made"})
    return frame.assign(group=frame["id"]), vectors.astype(np.float32)


def test_all_labels_are_used_and_nothing_is_bought() -> None:
    train = reviews(60, 1)
    train.loc[::3, "label"] = None
    sampled = run(train, budget="all")
    check_table(sampled.labeled, LABELED, "test")
    assert sampled.labeled["id"].tolist() == train.loc[train["label"].notna(), "id"].tolist()
    assert set(sampled.labeled["query_strategy"]) == {"given"}
    assert sampled.unlabeled["id"].tolist() == train.loc[train["label"].isna(), "id"].tolist()
    assert sampled.curve.empty
    assert sampled.curve.columns.tolist() == ["strategy", "n_labels", "score", "low", "high"]
    report = sampled.report
    assert (report["budget"], report["query_strategy"], report["label_efficiency"]) == ("all", None, {})
    assert [item["n_labels"] for item in report["rounds"]] == [40]
    assert "not declared" in report["gained_per_hundred_labels"]["reason"]


def test_people_s_labels_win_over_those_of_the_data_where_all_are_used() -> None:
    train, validation = reviews(30, 1), reviews(60, 9)
    known = train.iloc[4]
    other = {"negative": "positive", "positive": "negative"}[known["label"]]
    people = human_labels([(known["id"], known["text"], other), ("f" * 16, "a superb film", "positive")])
    sampled = sample.run(train, embedded(train), validation, embedded(validation), params(budget="all"), people)
    said = sampled.labeled.set_index("id").loc[[known["id"], "f" * 16], ["label", "query_strategy"]]
    assert said.to_numpy().tolist() == [[other, "people"], ["positive", "people"]]
    assert len(sampled.labeled) == 31
    assert sampled.report["n_labeled_by_people"] == 2


@pytest.mark.parametrize(("budget", "strategy"), [("all", "hybrid"), (200, "hybrid"), (200, "bald")])
def test_more_classes_than_first_labels_are_no_obstacle(budget: Any, strategy: Any) -> None:
    (train, vectors), (validation, held_out) = many_classes(77, 5, 1), many_classes(77, 1, 2)
    values = params(budget=budget, query_strategy=strategy, initial_strategy="typiclust", n_initial=20, n_rounds=2)
    values = values.model_copy(update={"n_curve_labels": 60, "n_curve_seeds": 1, "curve_strategies": ["margin"]})
    sampled = sample.run(train, vectors, validation, held_out, values)
    assert len(sampled.labeled) == (385 if budget == "all" else 200)
    assert sampled.report["rounds"][-1]["validation_accuracy"] > 0.5


@pytest.mark.parametrize("budget", [1, 0, "every", None])
def test_another_budget_is_refused(budget: Any) -> None:
    with pytest.raises(ValueError, match="budget"):
        params(budget=budget)


def test_a_pool_without_labels_is_refused() -> None:
    with pytest.raises(TrainingError, match="no label to learn from"):
        run(reviews(20, 1).assign(label=None))


def test_a_class_that_validation_lacks_is_refused() -> None:
    train = reviews(20, 1)
    train.loc[3, "label"] = "mixed"
    with pytest.raises(TrainingError, match="none of the classes"):
        run(train)


def test_main_buys_and_writes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(sample.Params, "sample", VALUES)
    for name, n in (("train", 80), ("validation", 40)):
        write_table(Path(f"data/splits/{name}.parquet"), reviews(n, n), SPLIT)
    texts = pd.concat([reviews(80, 80), reviews(40, 40)])
    write_embeddings(Path(sample.READS["embeddings"]), [(texts["id"].tolist(), embedded(texts))], 10)
    write_json(Path(sample.READS["human_labels"]), {"batches": []})
    write_json(Path(sample.READS["champion"]), {"bundle": None})
    sample.main()
    hashes = {path: sha256_file(Path(path)) for path in sample.WRITES.values()}
    assert len(read_table(Path(sample.WRITES["labeled"]), LABELED)) == 40
    assert len(read_table(Path(sample.WRITES["unlabeled"]), UNLABELED)) == 40
    report = read_json(Path(sample.WRITES["report"]))
    assert report["command"] == "python -m pipeline_steps.sample"
    assert report["people"]["n_answers"] == 0
    assert report["people"]["seconds_per_label"] == {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "reason": "no person has labelled a text yet",
    }
    sample.main()
    assert {path: sha256_file(Path(path)) for path in sample.WRITES.values()} == hashes

    release_champion()
    sample.main()
    assert read_json(Path(sample.WRITES["report"]))["champion"] == "words"
    assert sha256_file(Path(sample.WRITES["labeled"])) != hashes[sample.WRITES["labeled"]]
    write_json(Path(sample.READS["champion"]), {"bundle": None})
    sample.main()
    assert {path: sha256_file(Path(path)) for path in sample.WRITES.values()} == hashes

    # a person contradicts the pool, another labels a text of no split, others one that is validated on
    train, validation = reviews(80, 80), reviews(40, 40)
    known, held_out = train.iloc[0], validation.iloc[0]
    other = {"negative": "positive", "positive": "negative"}[known["label"]]
    decisions = human_labels(
        [
            (known["id"], known["text"], other),
            ("f" * 16, "a superb film", "positive"),
            (held_out["id"], held_out["text"], "positive"),
            ("e" * 16, held_out["text"].upper() + " !", "positive"),
        ]
    )
    batch = write_batch(Path(sample.LABEL_STORE), decisions, HUMAN_LABELS)
    assert batch is not None
    append(Path(sample.READS["human_labels"]), [batch])
    sample.main()
    labeled = read_table(Path(sample.WRITES["labeled"]), LABELED).set_index("id")
    said = labeled.loc[[known["id"], "f" * 16], ["label", "query_strategy"]]
    assert said.to_numpy().tolist() == [[other, "people"], ["positive", "people"]]
    assert {held_out["id"], "e" * 16}.isdisjoint(labeled.index)
    report = read_json(Path(sample.WRITES["report"]))
    counts = [report["people"][name] for name in ("n_resolved", "n_held_out", "n_near_held_out")]
    assert counts == [4, 1, 1]
    assert report["n_labeled_by_people"] == 2


def release_champion() -> None:
    """A TF-IDF bundle, made and pinned as the champion."""
    texts, path = reviews(60, 7), Path("models/champion")
    targets = [LABELS.index(label) for label in texts["label"]]
    pipeline = fit_pipeline(texts["text"].tolist(), targets, max_ngram=1, inverse_regularization=4.0)
    write_bundle(path, manifest("words", kind="tfidf"), lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    pointer = {"bundle": path.as_posix(), "manifest_sha256": sha256_file(path / MANIFEST)}
    write_json(Path(sample.READS["champion"]), pointer)


class TornBy(Predictor):
    """Torn where a text has this word, and certain of the first class elsewhere."""

    def __init__(self, word: str) -> None:
        super().__init__(manifest("torn"))
        self._word = word

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        first = np.where([self._word in text.split() for text in texts], 0.5, 0.999)
        return np.stack([first, 1 - first], axis=1)


@pytest.mark.parametrize("without_label", [0, 40])
def test_the_champion_s_uncertainty_chooses_by_its_weight(without_label: int) -> None:
    train, validation = reviews(150, 1), reviews(60, 9)
    train.loc[train.index[:without_label], "label"] = None  # the pool is shorter than the table, and rows must match
    assert validation["label"].drop_duplicates().sort_values().tolist() == LABELS

    def bought(champion: Predictor | None, weight: float) -> pd.DataFrame:
        chosen = params(champion_weight=weight, query_strategy="margin", n_rounds=1, budget=20)
        return sample.run(train, embedded(train), validation, embedded(validation), chosen, champion=champion).labeled

    alone = bought(None, 0.5)
    asked = bought(TornBy("hero"), 1.0)
    later = asked[asked["round"] == 1]
    assert len(later) == 10
    assert later["text"].str.split().map(lambda words: "hero" in words).all()
    assert not alone.loc[alone["round"] == 1, "text"].str.split().map(lambda words: "hero" in words).all()
    pd.testing.assert_frame_equal(bought(TornBy("hero"), 0.0), alone)
    pd.testing.assert_frame_equal(asked[asked["round"] == 0], alone[alone["round"] == 0])


def human_labels(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["id", "text", "label"])
    return frame.assign(source="made", state="resolved", rule="unanimous", n_annotators=2, agreement=1.0)


def test_people_s_labels_come_first_win_and_count_as_bought() -> None:
    train = reviews(150, 1)
    asked = train.iloc[[3, 50, 120]]
    flipped = asked["label"].map({"negative": "positive", "positive": "negative"})
    people = human_labels(list(zip(asked["id"], asked["text"], flipped, strict=True)))
    validation = reviews(60, 9)
    sampled = sample.run(train, embedded(train), validation, embedded(validation), params(), people)
    assert len(sampled.labeled) == 40
    first = sampled.labeled.head(3)
    assert first["id"].tolist() == asked["id"].tolist()
    assert first["label"].tolist() == flipped.tolist()
    assert set(first["query_strategy"]) == {"people"}
    assert set(first["round"]) == {0}
    assert (sampled.labeled["query_strategy"] == "people").sum() == 3
    assert sampled.labeled["round"].value_counts().sort_index().to_dict() == {0: 10, 1: 10, 2: 10, 3: 10}
    assert sampled.labeled["id"].is_unique
    assert set(sampled.labeled["id"]).isdisjoint(sampled.unlabeled["id"])


def test_people_s_labels_are_all_kept_when_they_are_more_than_the_budget() -> None:
    train = reviews(60, 1).assign(label=None)
    truth = reviews(60, 1)
    people = human_labels(list(zip(truth["id"], truth["text"], truth["label"], strict=True)))
    sampled = sample.run(
        train, embedded(train), reviews(60, 9), embedded(reviews(60, 9)), params(budget=10), people.head(50)
    )
    assert sampled.labeled["id"].tolist() == truth["id"].head(50).tolist()
    assert len(sampled.unlabeled) == 10
