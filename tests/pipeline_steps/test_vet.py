"""Suspicious labels: planted ones are found, twins give nothing away, nothing is changed, and it is repeatable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline_steps import vet
from ratchet.embeddings.table import write_embeddings
from ratchet.files import read_json, sha256_file
from ratchet.labels.label_noise import (
    DETECTION,
    Suspicion,
    detection,
    flip_labels,
    group_folds,
    out_of_fold_proba,
    suspicion,
)
from ratchet.table_files import read_table, write_table
from ratchet.tables import LABELED, SPLIT, SUSPECTS, check_table
from tests.support.bare_figures import bare_figures
from tests.support.params import write_params
from tests.support.tiny import reviews

VALUES: dict[str, Any] = {
    "parts": ["labeled", "validation"],
    "max_suspects": 20,
    "n_examples": 3,
    "n_folds": 4,
    "inverse_regularization": 50.0,
    "flip_rates": [0.1],
    "n_seeds": 2,
    "n_tried": 1000,
    "seed": 6,
}
PARAMS = vet.Params(**VALUES)


def separable(n: int, n_classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of unit length around one direction a class, and the classes."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n)
    rows = np.eye(8)[targets] + rng.normal(0, 0.25, (n, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), targets


def vetted(rows: np.ndarray, targets: np.ndarray, n_classes: int = 2) -> Suspicion:
    groups = [str(row) for row in range(len(rows))]
    return suspicion(targets, out_of_fold_proba(rows, targets, groups, n_classes, 5, 4.0, np.random.default_rng(1)))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_planted_flips_rank_first(n_classes: int) -> None:
    rows, truth = separable(600, n_classes)
    flipped, planted = flip_labels(truth, 0.05, n_classes, np.random.default_rng(2))
    found = vetted(rows, flipped, n_classes)
    measured = detection(found, planted, int(planted.sum()))
    assert measured["auroc"] > 0.98
    assert measured["precision_at_1pct"] == 1.0
    assert measured["precision_at_reviewed"] == measured["recall_at_reviewed"] > 0.8
    assert measured["recall_flagged"] > 0.8
    assert (found.suggested[planted] == truth[planted]).mean() > 0.9


def test_clean_labels_are_hardly_flagged_and_noise_alone_ranks_by_chance() -> None:
    rows, truth = separable(600)
    assert vetted(rows, truth).flagged.mean() < 0.02
    blind = np.random.default_rng(3).normal(size=rows.shape).astype(np.float32)
    flipped, planted = flip_labels(truth, 0.1, 2, np.random.default_rng(2))
    assert detection(vetted(blind, flipped), planted, 60)["auroc"] == pytest.approx(0.5, abs=0.12)


def test_a_twin_in_the_same_group_gives_no_label_away() -> None:
    """Every text is there twice with the same random label: only a model that saw the twin can know it."""
    rng = np.random.default_rng(4)
    rows, targets = rng.normal(size=(150, 300)).astype(np.float32), rng.integers(0, 2, 150)
    rows, targets, names = np.repeat(rows, 2, axis=0), np.repeat(targets, 2), np.repeat(np.arange(150), 2).astype(str)
    together = out_of_fold_proba(rows, targets, names.tolist(), 2, 5, 10.0, np.random.default_rng(0))
    apart = out_of_fold_proba(rows, targets, [str(row) for row in range(300)], 2, 5, 10.0, np.random.default_rng(0))
    assert np.mean(together.argmax(axis=1) == targets) < 0.62
    assert np.mean(apart.argmax(axis=1) == targets) > 0.8


def test_folds_keep_groups_whole_and_deal_each_class_to_all_of_them() -> None:
    sizes = [5, 7, 60, 300]
    of_group = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(0)
    member = rng.permutation(np.repeat(np.arange(len(of_group)), rng.integers(1, 4, len(of_group))))
    groups = [f"group {number}" for number in member]
    fold = group_folds(of_group[member], groups, 5, np.random.default_rng(1))
    fold_of = dict(zip(member.tolist(), fold.tolist(), strict=True))
    assert [fold_of[number] for number in member.tolist()] == fold.tolist()
    for number, size in enumerate(sizes):
        dealt = np.bincount([fold_of[group] for group in np.flatnonzero(of_group == number).tolist()], minlength=5)
        assert dealt.max() - dealt.min() <= 1, (number, size)


def test_many_classes_of_five_texts_are_vetted_each_by_a_model_that_knows_its_class() -> None:
    targets = np.repeat(np.arange(40), 5)
    rows = np.random.default_rng(0).normal(size=(40, 24))[targets]
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    found = vetted(rows, targets, 40)
    assert (found.score > 0).all()
    assert (found.suggested == targets).mean() > 0.95


def test_the_measures_of_detection_by_hand() -> None:
    found = Suspicion(np.array([0.1, 0.2, 0.3, 0.9]), np.zeros(4, dtype=np.int64), np.array([True, True, False, False]))
    measured = detection(found, np.array([True, False, True, False]), 2)
    assert measured == {
        "auroc": 0.75,
        "precision_at_1pct": 1.0,
        "precision_at_reviewed": 0.5,
        "recall_at_reviewed": 0.5,
        "precision_flagged": 0.5,
        "recall_flagged": 0.5,
    }
    assert set(measured) == set(DETECTION)
    assert all(np.isnan(value) for value in detection(found, np.zeros(4, dtype=bool), 2).values())


def labelled(n: int = 160) -> pd.DataFrame:
    """Two parts, in which the labels of rows 7 and 80 were swapped for the other class."""
    rows = pd.concat([reviews(n // 2, 1).assign(part="labeled"), reviews(n // 2, 2).assign(part="validation")])
    rows = rows.reset_index(drop=True)
    rows.loc[[7, 80], "label"] = ["negative", "positive"]
    return rows


def embedded(frame: pd.DataFrame) -> np.ndarray:
    words = ["superb", "moving", "funny", "bright", "tender", "gripping", "dull", "clumsy", "boring", "flat", "the"]
    return np.array([[text.split().count(word) + 0.05 for word in words] for text in frame["text"]], np.float32)


def test_it_lists_what_is_wrong_and_changes_nothing() -> None:
    rows = labelled()
    before = rows.copy()
    suspects, report = vet.run(rows, embedded(rows), PARAMS)
    check_table(suspects, SUSPECTS, "test")
    assert set(suspects["id"].head(2)) == {rows["id"][7], rows["id"][80]}
    assert (suspects["suggested"] != suspects["label"]).all()
    assert suspects["score"].is_monotonic_increasing
    assert suspects["rank"].tolist() == list(range(len(suspects)))
    assert len(suspects) <= 20
    assert report["parts"]["labeled"]["n_labels"] == report["parts"]["validation"]["n_labels"] == 80
    assert report["planted"]["0.1"]["auroc"]["value"] > 0.9
    assert report["planted"]["0.1"]["auroc"]["n"] == 2
    assert report["n_tried"] == 160
    some = PARAMS.model_copy(update={"n_tried": 100})
    assert vet.run(rows, embedded(rows), some).report["n_tried"] == 100
    pd.testing.assert_frame_equal(vet.run(rows, embedded(rows), some).suspects, suspects)  # all are vetted all the same
    assert report["agreement"]["low"] < report["agreement"]["value"] < 1
    assert bare_figures(report) == []
    assert report["examples"][0]["text"] == suspects["text"][0]
    pd.testing.assert_frame_equal(rows, before)


def test_few_labels_or_one_class_give_an_empty_list() -> None:
    for rows in (
        labelled().head(0),
        labelled().query("label == 'negative'").reset_index(drop=True),
        labelled().head(1),
    ):
        suspects, report = vet.run(rows, embedded(rows).reshape(len(rows), 11), PARAMS)
        check_table(suspects, SUSPECTS, "test")
        assert len(suspects) == report["n_flagged"] == 0


def test_main_reads_the_bought_labels_only_and_writes_the_same_bytes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(vet.Params, "vet", VALUES)
    train, validation = reviews(80, 1), reviews(40, 2)
    bought = train.head(50)[["id", "text", "label", "source"]].assign(round=0, query_strategy="random")
    write_table(Path(vet.READS["labeled"]), bought, LABELED)
    write_table(Path("data/splits/train.parquet"), train, SPLIT)
    write_table(Path("data/splits/validation.parquet"), validation, SPLIT)
    texts = pd.concat([train, validation])
    write_embeddings(Path(vet.READS["embeddings"]), [(texts["id"].tolist(), embedded(texts))], 11)
    vet.main()
    hashes = {path: sha256_file(Path(path)) for path in vet.WRITES.values()}
    assert read_json(Path(vet.WRITES["report"]))["parts"]["labeled"]["n_labels"] == 50
    assert set(read_table(Path(vet.WRITES["suspects"]), SUSPECTS)["part"]) <= {"labeled", "validation"}
    vet.main()
    assert {path: sha256_file(Path(path)) for path in vet.WRITES.values()} == hashes
