"""The task: each contradiction is refused with its reason, and a stage gets the single values that it names."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from ratchet.errors import ParamsError
from ratchet.params import Params, check_params, fields_elsewhere, load_params, params_of, read_yaml
from ratchet.task import Labels, LengthEdges, Seed, Task

ROOT = Path(__file__).parents[1]
TASK: dict[str, Any] = {
    **read_yaml(ROOT / "params.yaml")["task"],
    "classes": [{"name": name, "values": [name]} for name in ("bug", "praise", "other")],
    "selected": ["bug"],
}


class Step(Params):
    """A step's params."""

    seed: Seed
    labels: Labels
    length_edges: LengthEdges
    own: int


def test_a_step_gets_the_values_of_its_block_of_the_task_and_of_what_was_measured() -> None:
    params = params_of(Step, "step", {"task": TASK, "step": {"own": 1}}, length_edges=[3, 9])
    assert (params.seed, params.labels, params.own) == (TASK["seed"], ["bug", "praise", "other"], 1)
    assert params.length_edges == [3, 9]
    assert {name: at.key for name, at in fields_elsewhere(Step).items()} == {
        "seed": "task.seed",
        "labels": "task.classes",
    }


def test_a_value_that_stands_twice_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"step\.seed beside task\.seed"):
        params_of(Step, "step", {"task": TASK, "step": {"own": 1, "seed": 4}}, length_edges=[3, 9])


def test_what_was_not_measured_is_missing() -> None:
    with pytest.raises(ParamsError, match="length_edges: is missing"):
        params_of(Step, "step", {"task": TASK, "step": {"own": 1}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": TASK["classes"][:1]}, "at least 2"),
        ({"classes": [{"name": "a", "values": [1]}, {"name": "a", "values": [2]}]}, "two bear the name a"),
        ({"classes": [{"name": "a", "values": [1]}, {"name": "b", "values": [True]}]}, "1 would mean two classes"),
        ({"classes": [{"name": "a", "values": []}, {"name": "b", "values": [2]}]}, "classes.0.values"),
        ({"ignored_labels": ["unsure", "bug "]}, "bug would mean a class and none"),
        ({"selected": ["urgent"]}, "urgent is no class"),
        ({"selected": ["bug", "praise", "other"]}, "holds every class"),
        ({"primary_metric": "average_precision"}, "average_precision needs one"),
        ({"rare_class": "bug"}, "no other metric takes one"),
        ({"primary_metric": "average_precision", "rare_class": "urgent"}, "urgent is no class"),
        ({"primary_metric": "expected_cost"}, "expected_cost needs one"),
        ({"primary_metric": "expected_cost", "cost_matrix": [[0, 1], [1, 0]]}, "3 rows of 3 costs"),
        ({"primary_metric": "expected_cost", "cost_matrix": [[0, -1, 1]] * 3}, "negative"),
        ({"length_quantiles": [0.7, 0.3]}, "not in order"),
        ({"label_column": "text"}, "text is named twice"),
        ({"train_threads": 0}, "train_threads"),
        ({"aim": "fame"}, "task.aim"),
        ({"kind": "multi_label"}, "task.kind"),
        ({"extra": 1}, "unknown key"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_params(Task, "task", {**deepcopy(TASK), **change})


def test_the_task_of_this_repository_holds() -> None:
    task = load_params(Task, "task", ROOT / "params.yaml")
    assert len(task.labels) >= 2
