"""Each block of params.yaml, live.yaml and policy.yaml against the model of its values: every error of every block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from flows.checks.finding import Finding, error, raised, unknown
from flows.checks.project import LIVE, PARAMS, POLICY, Project, step_module
from ratchet.errors import ParamsError
from ratchet.ladder import Ladder
from ratchet.params import At, Measured, Params, check_params, fields_elsewhere, params_of
from ratchet.task import Task

PLAN = "plan"
"""Block with what `ratchet run --minutes` set aside (`flows.planning`): no stage reads it, and often not there."""


def check_blocks(project: Project) -> list[Finding]:
    """Every error of the task and of the stages' blocks; what holds is left in the project for the other checks."""
    found: list[Finding] = []
    if "task" in project.params:  # a value of the task that does not hold is said there, not once a stage
        found += _errors(project, PARAMS, "task", Task, project.params)
        project.task = None if found else check_params(Task, "task", project.params["task"])
    if "ladder" in project.params:
        found += _errors(project, PARAMS, "ladder", Ladder, project.params)
    known = [*project.stages, "task", "ladder"]
    for name in project.params:
        if name not in (*known, PLAN):
            fix = f"delete it, or add the stage to {project.root / 'dvc.yaml'}"
            found.append(unknown("params.yaml has blocks of no stage.", project.param(name), name, known, fix))
    for stage in project.stages:
        model = getattr(step_module(stage), "Params", None)
        if model is not None:
            found += _check_stage(project, stage, model)
    return found


def check_live(project: Project) -> list[Finding]:
    """What runs in production, and who may release: the blocks of live.yaml, and policy.yaml."""
    found: list[Finding] = []
    if (project.root / LIVE).is_file():
        tree = _read(project, LIVE, found)
        for name, model in _live_models().items():
            if tree is not None:
                found += _errors(project, LIVE, name, model, tree)
    if (project.root / POLICY).is_file() and (tree := _read(project, POLICY, found)) is not None:
        from ratchet.registry.policy import Policy

        found += _errors(project, POLICY, "", Policy, {"": tree})
    return found


def _live_models() -> dict[str, type[Params]]:
    from ratchet.experiments.rollout import RolloutParams
    from ratchet.monitoring.settings import MonitorParams
    from ratchet.reporting.ownership import CostParams
    from ratchet.serving.settings import LogParams, ServeParams

    return {
        "log": LogParams,
        "rollout": RolloutParams,
        "cost": CostParams,
        "serve": ServeParams,
        "monitor": MonitorParams,
    }


def _read(project: Project, file: str, found: list[Finding]) -> dict[str, Any] | None:
    try:
        return project.yaml(file)
    except ParamsError as problem:
        found.append(raised(problem, file))
        return None


def _check_stage(project: Project, stage: str, model: type[Params]) -> list[Finding]:
    try:
        project.blocks[stage] = params_of(model, stage, project.params, **_examples(model))
    except ParamsError:
        return _errors(project, PARAMS, stage, model, project.params, project.task)
    return []


def _errors(
    project: Project, file: str, block: str, model: type[Params], tree: Mapping[str, Any], task: Task | None = None
) -> list[Finding]:
    """A finding for each error of a block's own keys; what stands elsewhere is reported there."""
    keys = (block,) if block else ()
    values = tree.get(block)
    if not isinstance(values, dict):
        fields = ", ".join(name for name in model.model_fields if name not in fields_elsewhere(model))
        what = f"The block '{block}' is missing." if block not in tree else f"The block '{block}' is no mapping."
        got = "nothing" if block not in tree else type(values).__name__
        expected = f"'{block}:' with the keys {fields}"
        return [error(what, project.at(file, *keys), got=got, expected=expected, fix=f"add the block to {file}")]
    elsewhere = fields_elsewhere(model)
    found = [
        error(
            "A value stands twice.",
            project.at(file, *keys, name),
            got=f"{block}.{name} beside {elsewhere[name].key}",
            expected="each value once",
            fix=f"delete it from the block '{block}'",
        )
        for name in elsewhere
        if name in values
    ]
    filled = {**values, **_examples(model), **_from_elsewhere(elsewhere, tree, task)}
    try:
        model.model_validate(filled)
    except pydantic.ValidationError as problem:
        faults = problem.errors(include_url=False, include_context=False)
        found += [
            _finding(project, file, keys, model, item)
            for item in faults
            if not ((item["loc"] and item["loc"][0] in elsewhere) or _is_measured(model, item["loc"]))
        ]
    return found


def _examples(model: type[Params]) -> dict[str, Any]:
    """Values for the fields that an earlier stage measures."""
    return {name: item.example for name, info in model.model_fields.items() for item in _measured(info.metadata)}


def _measured(metadata: list[Any]) -> list[Measured]:
    return [item for item in metadata if isinstance(item, Measured)]


def _is_measured(model: type[Params], loc: tuple[Any, ...]) -> bool:
    """Whether the path leads to a field of a block within the block that is measured."""
    info = model.model_fields.get(str(loc[0])) if loc else None
    if info is None:
        return False
    inner = info.annotation
    if len(loc) > 1 and isinstance(inner, type) and issubclass(inner, Params):
        return _is_measured(inner, loc[1:])
    return bool(_measured(info.metadata))


def _from_elsewhere(elsewhere: Mapping[str, At], tree: Mapping[str, Any], task: Task | None) -> dict[str, Any]:
    """The fields whose values stand in other blocks, as far as these hold."""
    found = {}
    for name, at in elsewhere.items():
        block, key = at.key.split(".")
        if at.block is Task:
            if task is not None:
                found[name] = at.view(getattr(task, key))
        elif isinstance(values := tree.get(block), dict) and key in values:
            found[name] = at.view(values[key])
    return found


def _finding(project: Project, file: str, keys: tuple[str, ...], model: type[Params], fault: Any) -> Finding:
    """One of pydantic's errors. A value that is a mapping is not printed: it may hold what must not be."""
    loc, message = tuple(fault["loc"]), str(fault["msg"]).removeprefix("Value error, ")
    meaning = f"what each key means and its range stand in {model.__module__}.{model.__qualname__}"
    if fault["type"] == "missing":
        name, described = str(loc[-1]), _meaning(model, loc)
        where = project.at(file, *keys, *loc)
        return error(f"{name} is missing.", where, got="nothing", expected=described, fix=f"add it; {meaning}")
    if fault["type"] == "extra_forbidden":
        where = project.at(file, *keys, *loc)
        fields = [name for name in model.model_fields if name not in fields_elsewhere(model)] if len(loc) == 1 else []
        what = f"{'.'.join(map(str, (*keys, *loc)))}: unknown key"
        return unknown(what, where, str(loc[-1]), fields, f"delete it; {meaning}")
    named, _, rest = message.partition(": ")
    if not loc and named in model.model_fields:  # a contradiction between keys names the key first
        loc, message = (named,), rest
        value = _value(project.params if file == PARAMS else {}, (*keys, *loc))
        return error(
            f"{named}: {message}.", project.at(file, *keys, *loc), got=value, expected="no contradiction", fix=meaning
        )
    got = "" if isinstance(fault["input"], dict) else repr(fault["input"])
    dotted = ".".join(map(str, (*keys, *loc)))
    what = f"{dotted} = {got} does not hold." if got else f"{message}."
    expected = message.removeprefix("Input should be ")
    return error(
        what, project.at(file, *keys, *loc), got=got or message, expected=expected, fix=f"correct it; {meaning}"
    )


def _value(tree: Any, keys: tuple[str | int, ...]) -> str:
    for key in keys:
        tree = tree.get(key, "") if isinstance(tree, dict) else ""
    return "" if isinstance(tree, dict) else str(tree) or "empty"


def _meaning(model: type[Params], loc: tuple[Any, ...]) -> str:
    """The first sentence of a field's docstring."""
    described = model.model_fields[loc[0]].description if len(loc) == 1 and loc[0] in model.model_fields else None
    return " ".join((described or "a value").split()).split(". ")[0].rstrip(".")
