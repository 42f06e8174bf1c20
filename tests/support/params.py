"""Params files for steps under test: flat values of a step's fields, put where the file keeps each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from ratchet.params import Measured, Params, fields_elsewhere, read_yaml
from ratchet.trust.slices import LENGTH_EDGES

FILMS = Path(__file__).parents[2] / "examples/films"
CLEANING: dict[str, Any] = {"repairs": ["whitespace"], "personal_data": "flag", "regions": ["US"]}
"""Values of `CleaningParams`."""


def params_tree(model: type[Params], block: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The blocks of a params file that give `model` these values; of the task, what is not named is the demo's."""
    tree: dict[str, Any] = {"task": deepcopy(read_yaml(FILMS / "params.yaml")["task"]), block: dict(values)}
    measured = {
        name for name, info in model.model_fields.items() for item in info.metadata if isinstance(item, Measured)
    }
    for name in measured & {*values}:
        del tree[block][name]
    for name, at in fields_elsewhere(model).items():
        if name in values:
            other, key = at.key.split(".")
            tree.setdefault(other, {})[key] = _stored(at.key, tree[block].pop(name))
    task = tree["task"]
    names = [item["name"] for item in task["classes"]]
    task["selected"] = [name for name in task["selected"] if name in names]
    return tree


def write_params(model: type[Params], block: str, values: Mapping[str, Any], folder: Path = Path()) -> None:
    """Write params.yaml, and the report of `split` where the length edges are among the values."""
    (folder / "params.yaml").write_text(json.dumps(params_tree(model, block, values)), encoding="utf-8")
    if "length_edges" in values:
        (folder / LENGTH_EDGES).parent.mkdir(exist_ok=True)
        (folder / LENGTH_EDGES).write_text(json.dumps({"edges": values["length_edges"]}), encoding="utf-8")


def _stored(key: str, value: Any) -> Any:
    """The value as the file holds it: classes by name are classes with themselves as raw values."""
    if key == "task.classes" and value and isinstance(value[0], str):
        return [{"name": name, "values": [name]} for name in value]
    return value
