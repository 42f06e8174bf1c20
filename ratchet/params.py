"""Strict parameters: values live in params.yaml, their meaning and range in a model beside the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ratchet.errors import ParamsError

PARAMS_FILE = Path("params.yaml")


class Params(pydantic.BaseModel):
    """A block of params.yaml: typed, frozen, no defaults, unknown keys refused."""

    model_config = pydantic.ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


ParamsT = TypeVar("ParamsT", bound=Params)


def load_params(model: type[ParamsT], block: str, path: Path = PARAMS_FILE) -> ParamsT:
    """The named block of a params file, checked against its model.

    Raises:
        ParamsError: the file or block is missing, a key is unknown or absent, a value is out of range.
    """
    return check_params(model, block, read_yaml(path).get(block), path)


def read_params(model: type[ParamsT], path: Path) -> ParamsT:
    """A whole YAML file, such as a lexicon, checked against its model.

    Raises:
        ParamsError: the file is missing, a key is unknown or absent, a value is out of range.
    """
    return check_params(model, path.stem, read_yaml(path), path)


def check_params(model: type[ParamsT], block: str, values: Any, path: Path = PARAMS_FILE) -> ParamsT:
    """The values as the model; every fault in them is named in one message."""
    if not isinstance(values, dict):
        raise ParamsError(
            f"The block '{block}' is missing.",
            where=path,
            got=type(values).__name__,
            expected=f"'{block}:' with the keys {', '.join(model.model_fields)}",
            fix=f"add the block to {path}",
        )
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        faults = [_fault(block, fault) for fault in error.errors(include_url=False)]
        raise ParamsError(
            f"{path.name} does not hold what is needed.",
            where=f"{path}, block '{block}'",
            got="; ".join(faults),
            expected=f"the fields of {model.__module__}.{model.__qualname__}",
            fix="correct the values; each field's meaning and range stands in that class",
        ) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as plain values, read with ruamel as DVC reads it (so `1e-4` is a number)."""
    try:
        loaded = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(
            "The file is missing.", where=path, fix="run from the repository's root, or restore the file with git"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError("The file is not valid YAML.", where=path, got=error, fix="correct the syntax") from None
    if not isinstance(loaded, dict):
        raise ParamsError("The file is not a mapping.", where=path, got=type(loaded).__name__, expected="a mapping")
    return loaded


def _fault(block: str, fault: Any) -> str:
    where = ".".join(str(part) for part in (block, *fault["loc"]))
    if fault["type"] == "missing":
        return f"{where}: is missing"
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    # a fault of a whole block is told without the block: it may hold what must not be printed
    return (
        f"{where}: {fault['msg']}"
        if isinstance(fault["input"], dict)
        else f"{where} = {fault['input']!r}: {fault['msg']}"
    )
