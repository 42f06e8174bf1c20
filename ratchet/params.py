"""Strict parameters: values live in params.yaml, their meaning and range in a model beside the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

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

    borrowed: ClassVar[Mapping[str, type[Params]]] = {}
    """Block → the base class whose fields are read from it: what another stage declares is not said again."""


ParamsT = TypeVar("ParamsT", bound=Params)


@dataclass(frozen=True)
class At:
    """Marks a field whose value is read from another block of params.yaml, by its dotted key."""

    key: str
    """Such as `task.seed`, or `evaluate.n_bins`."""
    block: type[Params] | None = None
    """Model of the block that has it: the whole block must be valid before a value of it is used."""
    view: Callable[[Any], Any] = field(default=lambda value: value)
    """Function of that value which gives the field's."""


@dataclass(frozen=True)
class Measured:
    """Marks a field whose value an earlier stage measured: the caller of `load_params` passes it."""

    example: Any
    """A value of that kind, with which the rest of the block can be checked before anything was measured."""


Marker = TypeVar("Marker", At, Measured)


def load_params(model: type[ParamsT], block: str, path: Path = PARAMS_FILE, **measured: Any) -> ParamsT:
    """The named block of a params file, checked against its model, with the values that stand elsewhere.

    Args:
        model: of the block.
        block: its name; empty: all values of the model stand in other blocks.
        path: the file.
        measured: the values of the fields that are `Measured`.

    Raises:
        ParamsError: the file or block is missing, a key is unknown or absent, a value is out of range.
    """
    return params_of(model, block, read_yaml(path), path, **measured)


def params_of(
    model: type[ParamsT], block: str, tree: Mapping[str, Any], path: Path = PARAMS_FILE, **measured: Any
) -> ParamsT:
    """As `load_params`, from the parsed params file."""
    values = tree.get(block) if block else {}
    if isinstance(values, dict):
        elsewhere = fields_elsewhere(model)
        if twice := sorted(name for name in elsewhere if name in values):
            raise ParamsError(
                "A value is given twice.",
                where=f"{path}, block '{block}'",
                got=", ".join(f"{block}.{name} beside {elsewhere[name].key}" for name in twice),
                fix=f"delete it from the block '{block}'",
            )
        values = {**values, **measured}
        values |= {name: _value_at(tree, at, path) for name, at in elsewhere.items()}
    return check_params(model, block, values, path)


def check_block(model: type[Params], block: str, tree: Mapping[str, Any], path: Path = PARAMS_FILE) -> None:
    """Check a block before anything was measured: what is `Measured` is filled with examples.

    Raises:
        ParamsError: as `load_params`.
    """
    params_of(model, block, tree, path, **{name: item.example for name, item in _marked(model, Measured).items()})


def fields_elsewhere(model: type[Params]) -> dict[str, At]:
    """Field → the key it is read from, of the fields that are read from other blocks."""
    borrowed = {name: At(f"{block}.{name}") for block, base in model.borrowed.items() for name in base.model_fields}
    return borrowed | _marked(model, At)


def _marked(model: type[Params], kind: type[Marker]) -> dict[str, Marker]:
    fields = model.model_fields.items()
    return {name: item for name, info in fields for item in info.metadata if isinstance(item, kind)}


def _value_at(tree: Mapping[str, Any], at: At, path: Path) -> Any:
    name, key = at.key.split(".")
    values = tree.get(name)
    if at.block is not None:
        return at.view(getattr(check_params(at.block, name, values, path), key))
    if not isinstance(values, dict) or key not in values:
        raise ParamsError("A value is missing.", where=path, got="nothing", expected=at.key, fix=f"add {at.key}")
    return at.view(values[key])


def read_params(model: type[ParamsT], path: Path) -> ParamsT:
    """A whole YAML file, such as a lexicon, checked against its model.

    Raises:
        ParamsError: the file is missing, a key is unknown or absent, a value is out of range.
    """
    return check_params(model, path.stem, read_yaml(path), path)


def check_params(model: type[ParamsT], block: str, values: Any, path: Path = PARAMS_FILE) -> ParamsT:
    """The values as an instance of the model.

    Raises:
        ParamsError: some are invalid; one message names all of them.
    """
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
        lines = [_error_line(block, item) for item in error.errors(include_url=False)]
        raise ParamsError(
            f"{path.name} has invalid or missing values.",
            where=f"{path}, block '{block}'",
            got="; ".join(lines),
            expected=f"the fields of {model.__module__}.{model.__qualname__}",
            fix="correct the values; that class has each field's meaning and range",
        ) from None


UNREADABLE = (YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""Errors with which ruamel ends on what is no YAML, such as a mapping as a key."""


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as plain values, read with ruamel as DVC reads it (so `1e-4` is a number)."""
    try:
        loaded = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(
            "The file is missing.", where=path, fix="run from the repository's root, or restore the file with git"
        ) from None
    except UNREADABLE as error:
        raise ParamsError("The file is not valid YAML.", where=path, got=error, fix="correct the syntax") from None
    if not isinstance(loaded, dict):
        raise ParamsError("The file is not a mapping.", where=path, got=type(loaded).__name__, expected="a mapping")
    return loaded


def _error_line(block: str, item: Any) -> str:
    where = ".".join(str(part) for part in (block, *item["loc"]))
    if item["type"] == "missing":
        return f"{where}: is missing"
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown key"
    # an error of a whole block is reported without its values: they may hold what must not be printed
    return (
        f"{where}: {item['msg']}" if isinstance(item["input"], dict) else f"{where} = {item['input']!r}: {item['msg']}"
    )
