"""What choosing loses over redraws of the validation texts, plain and cross-fitted.

    python -m benchmarks.prove_choosing                     the repository's own run
    python -m benchmarks.prove_choosing NAME=FOLDER [...]   the runs of other clones
    python -m benchmarks.prove_choosing --into docs/decisions/choose-then-judge.md
    python -m benchmarks.prove_choosing --quick

The population is a run's validation texts with the predictions of every deployable bundle, so that the accuracy of each
is known. Validation sets of several sizes are drawn from it, the bundle is chosen by the params of `shortlist`, and its
loss against the truly best one counted. Cross-fitted, the best bundle is sought on one half of the texts and the losses
against it are measured on the other, over many halvings: what is best by luck on the texts then makes no loss larger.

Source: Chernozhukov et al. 2018, Double/debiased machine learning, https://doi.org/10.1111/ectj.12097 (cross-fitting).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.material import REPORTS, write_report
from benchmarks.verdict.worlds import World, read_world
from ratchet.entry import entry
from ratchet.gates.measured_reports import read_report
from ratchet.gates.ranking import candidates_in_order
from ratchet.measure.formats import markdown_table
from ratchet.reporting.marked_block import write_block

N_REDRAWS, N_HALVINGS = 500, 10
SIZES = (100, 200, 400, 800)
"""Validation texts."""
RULES = {"plain": "all texts", "cross-fitted": "cross-fitted"}
Right = NDArray[np.float64]
"""Whether each bundle is right on each text, 0 or 1, (n_texts, n_bundles)."""


def plain_gains(right: Right, _: np.random.Generator) -> Right:
    """By how much each bundle is better than the best of them, text by text, (n_texts, n_bundles)."""
    return right - right[:, [int(right.mean(axis=0).argmax())]]


def cross_fitted_gains(right: Right, rng: np.random.Generator) -> Right:
    """The same against the bundle that is the best on the other half of the texts, mean over the halvings."""
    gains, n = np.zeros_like(right), len(right)
    for _ in range(N_HALVINGS):
        order = rng.permutation(n)
        for own, other in ((order[: n // 2], order[n // 2 :]), (order[n // 2 :], order[: n // 2])):
            gains[own] += right[own] - right[own][:, [int(right[other].mean(axis=0).argmax())]]
    mean: Right = gains / N_HALVINGS
    return mean


def choose(world: World, names: list[str], gains: Right) -> str:
    """The first of the ranking, from the gains of these texts."""
    bundles: dict[str, Any] = {}
    for name, own in zip(names, gains.T, strict=True):
        value, half = float(own.mean()), 1.96 * float(own.std(ddof=1)) / np.sqrt(len(own))
        figure = {"value": value, "low": value - half, "high": value + half, "n": len(own)}
        metrics = world.evaluated["bundles"][name]["metrics"]
        bundles[name] = {"metrics": metrics, "against": {"best": {"primary": figure}}}
    params = world.shortlist
    return candidates_in_order(bundles, params.max_loss, params.confidence, params.aim, params.ties).ranking[0]


def redraw(world: World, sizes: tuple[int, ...], n_redraws: int) -> dict[str, Any]:
    """Size → rule → the losses over the redraws."""
    names = sorted(world.proba)
    right = np.stack([world.proba[name].argmax(axis=1) == world.y_true for name in names], axis=1).astype(np.float64)
    truth = right.mean(axis=0)
    found: dict[str, Any] = {}
    for size in sizes:
        rng = np.random.default_rng(world.judge.seed)
        chosen: dict[str, list[str]] = {rule: [] for rule in RULES}
        for _ in range(n_redraws):
            drawn = right[rng.integers(len(right), size=size)]
            chosen["plain"].append(choose(world, names, plain_gains(drawn, rng)))
            chosen["cross-fitted"].append(choose(world, names, cross_fitted_gains(drawn, rng)))
        found[str(size)] = {rule: _counts(world, names, truth, picked) for rule, picked in chosen.items()}
        print(f"{world.name}, {size} texts: {found[str(size)]}", flush=True)
    return found


def _counts(world: World, names: list[str], truth: Right, picked: list[str]) -> dict[str, Any]:
    losses = np.array([truth.max() - truth[names.index(name)] for name in picked])
    sizes = [world.evaluated["bundles"][name]["metrics"]["size_mb"]["value"] for name in picked]
    return {
        "n": len(picked),
        "mean_loss": float(losses.mean()),
        "n_beyond": int((losses > world.shortlist.max_loss + 1e-12).sum()),
        "median_size_mb": float(np.median(sizes)),
    }


def table(report: Mapping[str, Any]) -> str:
    """A row a run, size and rule."""
    rows = [
        [
            name,
            size,
            RULES[rule],
            f"{100 * item['mean_loss']:.2f}",
            f"{item['n_beyond'] / item['n']:.1%}",
            f"{item['median_size_mb']:.3g}",
        ]
        for name, sizes in report["worlds"].items()
        for size, rules in sizes.items()
        for rule, item in rules.items()
    ]
    heads = ["run", "validation texts", "losses by", "mean loss, points", "lost more than allowed", "MB, median"]
    note = f"{report['n_redraws']:,} redraws each; `python -m benchmarks.prove_choosing`"
    return "\n".join([*markdown_table(heads, rows), "", note])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prove_choosing", description="What choosing loses.")
    parser.add_argument("runs", nargs="*", help="NAME=FOLDER of clones whose pipeline has run; by default this one")
    parser.add_argument("--into", type=Path, help="a Markdown file to put the table of the report into")
    parser.add_argument("--quick", action="store_true", help="three redraws of one size, no report: whether it runs")
    options = parser.parse_args(arguments)
    if options.into is not None:
        write_block(options.into, "choosing", table(read_report(REPORTS / "prove_choosing.json")))
        return
    sizes, n_redraws = (SIZES[:1], 3) if options.quick else (SIZES, N_REDRAWS)
    worlds = [
        read_world(name, Path(folder or name))
        for name, _, folder in (run.partition("=") for run in options.runs or ["films=."])
    ]
    report = {"n_redraws": n_redraws, "worlds": {world.name: redraw(world, sizes, n_redraws) for world in worlds}}
    print(table(report))
    if not options.quick:
        write_report("prove_choosing", report, worlds[0].judge.n_threads)


if __name__ == "__main__":
    entry(main)
