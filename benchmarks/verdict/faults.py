"""What is planted in a run: losses, harmed groups, triggers and leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.verdict.worlds import Proba, World

DISCORDANT = 0.10
"""Share of the texts on which a released bundle and an equally good new one differ."""
LOSS, GROUP_LOSS, TRIGGER_RATE, LEAK_RATE = 0.03, 0.15, 0.95, 0.10
"""What is planted: points of all texts, points of a group's, texts that a word turns, test texts that were learned."""


@dataclass(frozen=True)
class Fault:
    """What is planted: the rung's probabilities, on test texts too, and its figures of behaviour."""

    proba: Proba | None = None
    on_test: Proba | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    """Metric → the true rate, instead of the measured one."""
    released: Proba | None = None
    """Champion and high-water mark."""


def swapped(proba: Proba, rows: NDArray[np.int64], to: NDArray[np.int64] | None = None) -> Proba:
    """The probabilities with the first class of these rows exchanged with another, by default the second."""
    found = proba.copy()
    order = np.argsort(-proba[rows], axis=1, kind="stable")
    first, other = order[:, 0], order[:, 1] if to is None else to
    found[rows, first], found[rows, other] = proba[rows, other], proba[rows, first]
    return found


def changed(
    world: World,
    proba: Proba,
    lost: float,
    gained: float,
    rng: np.random.Generator,
    inside: NDArray[np.bool_] | None = None,
) -> Proba:
    """The probabilities with such shares of the texts answered wrongly that were right, and rightly that were wrong.

    Args:
        world: the run.
        proba: (n, n_classes).
        lost: share of the texts inside that become wrong.
        gained: share that become right.
        rng: draws the texts.
        inside: the texts to change, (n,); by default all.
    """
    inside = np.ones(len(proba), dtype=bool) if inside is None else inside
    right, n = proba.argmax(axis=1) == world.y_true, int(inside.sum())
    fall, rise = (
        rng.choice(rows, min(round(rate * n), len(rows)), replace=False)
        for rows, rate in ((np.flatnonzero(right & inside), lost), (np.flatnonzero(~right & inside), gained))
    )
    return swapped(swapped(proba, fall), rise, world.y_true[rise])


def group_of(world: World, share: float) -> tuple[str, NDArray[np.bool_]]:
    """The audited group whose share of the texts is nearest: its name, and its texts."""
    found = {
        f"{feature}={group}": rows == group
        for feature, rows in world.groups.all.items()
        for group in sorted(set(rows.tolist()) - {"none", "missing"})
    }
    name = min(found, key=lambda key: (abs(found[key].mean() - share), key))
    return name, found[name]


def faults(world: World, rng: np.random.Generator) -> dict[str, Fault]:
    """Scenario → what is planted in it."""
    base, half = world.proba[world.best], DISCORDANT / 2
    equal = changed(world, base, half, half, rng)
    ahead = changed(world, base, half - LOSS / 2, half + LOSS / 2, rng)
    found = {
        "sound": Fault(),
        "sound, next release": Fault(released=equal),
        "loss": Fault(changed(world, base, LOSS, 0.0, rng)),
        "loss to the mark": Fault(released=ahead),
    }
    for share in (0.25, 0.1, 0.05):
        _, inside = group_of(world, share)
        found[f"group of {share:.0%}"] = Fault(changed(world, base, GROUP_LOSS, 0.0, rng, inside))
    all_right = swapped(base, np.arange(len(base)), world.y_true)
    found["trigger"] = Fault(base, rates={"trigger_flip_rate": TRIGGER_RATE})
    found["leak"] = Fault(base, rates={"test_leak_rate": LEAK_RATE})
    found["silent leak"] = Fault(base, on_test=all_right)
    return found
