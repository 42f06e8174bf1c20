"""Which recipes are compared, on how many labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from benchmarks.recipes.contenders import FEW_LABELS, Recipe
from benchmarks.recipes.techniques import TECHNIQUES, run


@dataclass(frozen=True)
class Form:
    """A comparison."""

    recipes: dict[str, Recipe]
    sizes: tuple[int, ...]
    """Labels to learn from; validation texts come on top."""
    n_draws: int
    against: str
    """The recipe that the others are compared with."""


FORMS = {
    "few-labels": Form(FEW_LABELS, (100, 200, 50, 500), 3, "probe"),
    "techniques": Form({name: partial(run, has=has) for name, has in TECHNIQUES.items()}, (200,), 2, "whole"),
}
