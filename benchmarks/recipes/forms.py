"""Which recipes are compared, on how many labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from benchmarks.recipes.contenders import FEW_LABELS, Recipe
from benchmarks.recipes.techniques import OWNED, REFERENCES, TECHNIQUES, run


@dataclass(frozen=True)
class Form:
    """A comparison."""

    recipes: dict[str, Recipe]
    sizes: tuple[int, ...]
    """Labels to learn from; validation texts come on top."""
    n_draws: int
    against: str
    """The recipe that the others are compared with."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Recipes that are compared with another one."""
    owned: Mapping[str, str] = field(default_factory=dict)
    """What it costs to own a technique: its code, stages and dependencies."""

    def reference(self, recipe: str) -> str:
        """What a recipe is compared with."""
        return self.references.get(recipe, self.against)


FORMS = {
    "few-labels": Form(FEW_LABELS, (100, 200, 50, 500), 3, "probe"),
    "techniques": Form(
        {name: partial(run, has=has) for name, has in TECHNIQUES.items()}, (200,), 2, "whole", REFERENCES, OWNED
    ),
}
