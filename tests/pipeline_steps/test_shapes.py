"""The whole pipeline on tasks of other shapes: each ends with a verdict, loses no row and asks for no case it lacks."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ratchet.data.splits import EXCLUDED, SIDES
from ratchet.files import read_json
from ratchet.models.discovery import discover
from ratchet.params import read_yaml
from tests.support.shapes import EXPORTS, SHAPES, STAGES, TAUGHT, make_task, run_pipeline

ROOT = Path(__file__).parents[2]
SMOKE = ("Chinese",)
"""Shapes of the usual run; `make test-deep` takes them all."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Name of a shape → the repository in which its pipeline has run, once."""

    @cache
    def of(name: str) -> Path:
        root = tmp_path_factory.mktemp("shape")
        make_task(root, SHAPES[name])
        run_pipeline(root)
        return root

    return of


@pytest.fixture(params=[name if name in SMOKE else pytest.param(name, marks=pytest.mark.deep) for name in SHAPES])
def task(request: pytest.FixtureRequest, ran: Any) -> tuple[str, Path]:
    """A shape's name, and its repository after the run."""
    return request.param, ran(request.param)


def tables(root: Path) -> dict[str, pd.DataFrame]:
    return {side: pd.read_parquet(root / f"data/splits/{side}.parquet") for side in (*SIDES, EXCLUDED)}


def test_it_ends_with_a_verdict_that_asks_for_no_case_the_task_lacks(task: tuple[str, Path]) -> None:
    _, root = task
    decision = read_json(root / "reports/decision.json")
    assert decision["verdict"] in ("accepted", "rejected")
    assert {"minimum_failure_rate", "contrast_accuracy", "demographic_parity_ratio", "transfer_accuracy"} <= set(
        decision["not_asked"]
    )
    assert any(reason.startswith("Not asked, because the task has no cases") for reason in decision["reasons"])
    shortlisted = read_json(root / "reports/shortlist.json")["shortlist"]
    assert decision["ranking"] == shortlisted
    failed = [
        gate["reason"] for name in shortlisted for gate in decision["bundles"][name]["gates"] if not gate["passed"]
    ]
    assert [reason for reason in failed if "not known" in reason] == []  # every figure that is asked for is there
    assert (root / "reports/report.html").stat().st_size > 10_000


def test_every_row_is_somewhere_and_every_class_on_every_side(task: tuple[str, Path]) -> None:
    name, root = task
    shape, sides = SHAPES[name], tables(root)
    n_bad = len(pd.read_parquet(root / "data/quarantine.parquet"))
    assert sum(len(table) for table in sides.values()) + n_bad == sum(shape.counts.values())
    for side in ("train", "validation", "test"):
        assert set(sides[side]["label"]) == set(shape.counts)
    labeled = pd.read_parquet(root / "data/labeled.parquet")
    assert len(labeled) == len(sides["train"])  # every label is used
    bundles = discover(root / "models")
    assert set(bundles) == {"baseline", "teacher", *TAUGHT, *EXPORTS}
    predictions = pd.read_parquet(root / "data/predictions.parquet")
    assert Counter(predictions["bundle"]) == dict.fromkeys(bundles, len(sides["validation"]))


def test_texts_have_words_in_every_script(task: tuple[str, Path]) -> None:
    name, root = task
    words = read_json(root / "reports/explain.json")["bundles"]
    known = set(SHAPES[name].words)
    for told in words.values():
        assert len(told["words"]) >= 10
        assert {row["word"] for row in told["words"]} <= known


@pytest.mark.deep
def test_where_tf_idf_is_best_nothing_is_distilled_and_a_verdict_comes_all_the_same(tmp_path: Path) -> None:
    make_task(tmp_path, SHAPES["Chinese"])
    run_pipeline(tmp_path, simple=True)
    assert set(discover(tmp_path / "models")) == {"baseline", "teacher", "teacher-onnx-int8"}
    assert read_json(tmp_path / "reports/train.json")["method"] == "head"
    for left_out in (*TAUGHT, "pruned-onnx-int8"):
        assert "TF-IDF" in read_json(tmp_path / "models" / left_out / "left_out.json")["left_out"]
    assert read_json(tmp_path / "reports/decision.json")["verdict"] in ("accepted", "rejected")


@pytest.mark.deep
def test_a_group_stays_on_one_side(ran: Any) -> None:
    sides = tables(ran("a group column"))
    where = pd.concat([table.assign(side=side) for side, table in sides.items() if side != EXCLUDED])
    assert where.groupby("author")["side"].nunique().max() == 1


@pytest.mark.deep
def test_the_test_texts_are_the_latest(ran: Any) -> None:
    sides = tables(ran("a time column"))
    times = [sides[side]["timestamp"] for side in ("train", "validation", "test")]
    assert times[0].max() <= times[1].min()
    assert times[1].max() <= times[2].min()


def test_the_stages_are_those_of_dvc_in_an_order_that_dvc_allows() -> None:
    stages = read_yaml(ROOT / "dvc.yaml")["stages"]
    assert list(dict.fromkeys(stage.split()[0] for stage in STAGES)) == list(stages)
