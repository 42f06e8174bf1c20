"""How often the forecast of what a hundred labels bring holds what they bring.

    python -m benchmarks.label_forecast --data FOLDER
    python -m benchmarks.label_forecast --quick                       two draws of the films; no report
    python -m benchmarks.label_forecast --into docs/labelling.md

From each set so many labels are drawn at random, the gain of a hundred more is forecast (`ratchet.labels.forecast`), a
hundred more are drawn, and the probe that learns from all of them is compared with the first on the test texts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.label_choice import Parted, parted
from benchmarks.league.sets import Labelled, folder_sets, packaged
from benchmarks.material import write_report
from ratchet.entry import entry
from ratchet.files import read_json
from ratchet.labels.forecast import LEAST_PER_CLASS, REGULARIZATION, forecast
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_text, markdown_table
from ratchet.models.predictor import softmax
from ratchet.models.probe import fit_probe
from ratchet.reporting.marked_block import write_block

REPORT = Path("reports/bench/label_forecast.json")
SIZES, N_MORE, N_DRAWS = (100, 200, 400), 100, 20


def one_draw(of: Parted, n: int, number: int) -> dict[str, float]:
    """A forecast from n labels, and what came."""
    rows = np.random.default_rng([number, n]).permutation(len(of.targets))
    told = forecast(of.vectors[rows[:n]], of.targets[rows[:n]], of.metric, N_MORE, number)
    values = []
    for part in (rows[:n], rows[: n + N_MORE]):
        probe = fit_probe(of.vectors[part], of.targets[part], len(of.data.classes), REGULARIZATION)
        values.append(of.metric.value(of.test_targets, softmax(probe.logits(of.test_vectors))))
    return {"low": told.gain.low, "value": told.gain.value, "high": told.gain.high, "came": values[1] - values[0]}


def summary(draws: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Coverage with its interval, and the means."""
    held = [draw["low"] <= draw["came"] <= draw["high"] for draw in draws]
    means = {name: float(np.mean([draw[name] for draw in draws])) for name in ("value", "came")}
    width = float(np.mean([draw["high"] - draw["low"] for draw in draws]))
    return {"coverage": proportion_estimate(sum(held), len(held)).to_json(), **means, "width": width}


def markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    rows = [
        [
            data,
            n,
            f"{found['value']:+.3f}",
            f"{found['came']:+.3f}",
            f"{found['width'] / 2:.3f}",
            estimate_text(Estimate.from_json(found["coverage"])),
        ]
        for data, sizes in report["sets"].items()
        for n, found in sizes.items()
    ]
    titles = ["set", "labels so far", "forecast", "what came", "± of the forecast", "share of draws it held"]
    return "\n".join(markdown_table(titles, rows, 2))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_forecast", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder whose data files are sets beside the films")
    parser.add_argument("--sets", nargs="+", default=[], help="these sets alone")
    parser.add_argument("--quick", action="store_true", help="two draws of the films")
    parser.add_argument("--into", type=Path, help="a Markdown file whose block `label-forecast` gets the table")
    given = parser.parse_args(arguments)
    if given.into:
        write_block(given.into, "label-forecast", markdown(read_json(REPORT)))
        return
    found = [packaged("films")]
    found += [item for item in folder_sets(given.data) if isinstance(item, Labelled)] if given.data else []
    sets: dict[str, Any] = {}
    for data in found if not given.sets else [item for item in found if item.name in given.sets]:
        of = parted(data)
        for n in [n for n in SIZES if n >= LEAST_PER_CLASS * len(data.classes)][: 1 if given.quick else None]:
            draws = [one_draw(of, n, number) for number in range(2 if given.quick else N_DRAWS)]
            sets.setdefault(data.name, {})[str(n)] = summary(draws)
            print(f"{data.name}, {n} labels: {sets[data.name][str(n)]}", flush=True)
    if not given.quick:
        write_report(
            "label_forecast", {"command": "python -m benchmarks.label_forecast --data FOLDER", "sets": sets}, 2
        )


if __name__ == "__main__":
    entry(main)
