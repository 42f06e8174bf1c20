"""Figures over cells: each recipe's metric, its difference from one of them, and intervals over draws and texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.league.cells import unpacked
from benchmarks.league.figures import N_BOOTSTRAP, SEED, over_draws
from benchmarks.recipes.forms import Form
from ratchet.files import read_json
from ratchet.measure.bootstrap import weights
from ratchet.measure.estimate import Estimate
from ratchet.measure.machine import describe_machine
from ratchet.measure.primary import DRAWS, primary_metric

N_THREADS = 2


def cell_path(root: Path, data: str, n_labels: int, number: int, recipe: str) -> Path:
    """The file of a cell."""
    return root / data / str(n_labels) / str(number) / f"{recipe}.json"


def summary(form: Form, name: str, root: Path) -> dict[str, Any]:
    """The blocks (a set with a number of labels) that the folder has cells of, and what ran them."""
    cells = [read_json(path) for path in sorted(root.glob("*/*/*/*.json"))]
    keys = sorted({(cell["data"], cell["n_labels"]) for cell in cells})
    return {
        "command": f"python -m benchmarks.recipes {name} --data FOLDER",
        "machine": describe_machine(N_THREADS),
        "against": {recipe: form.reference(recipe) for recipe in form.recipes},
        "blocks": [_block(form, [c for c in cells if (c["data"], c["n_labels"]) == key]) for key in keys],
    }


def _block(form: Form, cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Each recipe on the draws that it has in common with the one it is compared with."""
    first = cells[0]
    metric, y_true = primary_metric(first["metric"], first["classes"]), unpacked(first["true"])
    w, one = weights(len(y_true), N_BOOTSTRAP, np.random.default_rng(SEED)), np.eye(len(first["classes"]))
    scores: dict[str, dict[int, tuple[float, Any]]] = {}
    for cell in cells:
        proba = one[unpacked(cell["predicted"])]
        resampled = DRAWS[metric.name](metric, y_true, proba, w)
        scores.setdefault(cell["recipe"], {})[cell["draw"]] = metric.value(y_true, proba), resampled
    rows = {}
    for recipe in (recipe for recipe in form.recipes if recipe in scores):
        own, reference = scores[recipe], scores.get(form.reference(recipe), {})
        common = sorted(set(own) & set(reference))
        rows[recipe] = {
            metric.name: _estimate([own[draw] for draw in sorted(own)]).to_json(),
            "cpu_s": float(np.median([cell["cpu_s"] for cell in cells if cell["recipe"] == recipe])),
        }
        if common and recipe != form.reference(recipe):
            pairs = [(own[d][0] - reference[d][0], own[d][1] - reference[d][1]) for d in common]
            rows[recipe]["difference"] = _estimate(pairs).to_json()
    return {
        "data": first["data"],
        "about": first["about"],
        "n_labels": first["n_labels"],
        "n_classes": len(first["classes"]),
        "metric": metric.name,
        "n_test": len(y_true),
        "n_draws": len({cell["draw"] for cell in cells}),
        "recipes": rows,
    }


def _estimate(draws: list[tuple[float, Any]]) -> Estimate:
    """The mean over draws, with its interval over draws and test texts."""
    return over_draws(np.array([value for value, _ in draws]), np.array([resampled for _, resampled in draws]))[0]


def markdown(form: Form, report: dict[str, Any]) -> str:
    """A table: a row a recipe, a column a block; differences in points with their interval, CPU-seconds behind."""
    blocks = report["blocks"]
    heads = [f"{b['data']}, {b['n_labels']} labels, {b['metric']}, draws: {b['n_draws']}" for b in blocks]
    heads += ["costs to own"] if form.owned else []
    lines = ["| recipe | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(blocks) + "---|" * bool(form.owned)]
    for recipe in form.recipes:
        cells = [_shown(block["recipes"].get(recipe), block["metric"]) for block in blocks]
        cells += [form.owned.get(recipe, "")] if form.owned else []
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shown(row: dict[str, Any] | None, metric: str) -> str:
    if row is None:
        return "–"
    value, spent = f"{row[metric]['value']:.3f}", f"{row['cpu_s']:.0f} s"
    if "difference" not in row:
        return f"{value}, {spent}"
    d = row["difference"]
    return f"{value} ({100 * d['value']:+.1f} [{100 * d['low']:+.1f}, {100 * d['high']:+.1f}]), {spent}"
