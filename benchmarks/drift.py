"""False-alarm rate and power of the drift detectors under planted shifts, beside Evidently.

    python -m benchmarks.drift [--partitions N] [--windows N]

Two settings. *deployed*: the accepted bundle's own probabilities; each time its held-out texts are split anew into
a reference and windows. *fresh*: a TF-IDF model of 1,500 random texts, so that most of the domain is held out, the
reference has the size it has in production, and windows that follow each other share no text with it or each other.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_cost import processor_cost
from benchmarks.drift_material import Setting, deployed, fresh
from benchmarks.evidently_side import beside_evidently
from benchmarks.material import write_report
from benchmarks.shifts import SHIFTS, plant
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.estimate import Estimate
from ratchet.monitoring.drift import STATISTICS, Sample, calibrate, joined, judge
from ratchet.monitoring.performance_estimation import estimate_accuracy, fit_estimator

SIZES = {"deployed": (250, 500), "fresh": (250, 500, 1000)}
"""The bundle's own held-out texts are too few for a reference and windows of 1,000 that share no text."""
ALPHA = 0.03
N_SPLITS = 1000
SEED = 13
BARS = {"false_alarms": 0.05, "two_in_a_row": 0.005, "power": 0.95}
"""`power` is that over the shifts that must be found at n = 1,000."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--partitions", type=int, default=400, help="references that are drawn, in each setting (400)")
    parser.add_argument("--windows", type=int, default=20, help="windows a shift that Evidently judges, too (20)")
    arguments = parser.parse_args()
    began = time.process_time()
    makers = {"deployed": deployed, "fresh": fresh}
    settings = {name: maker(SEED) for name, maker in makers.items()}
    studies = {name: study(setting, SIZES[name], arguments.partitions) for name, setting in settings.items()}
    figures = {
        "alpha": ALPHA,
        "n_splits": N_SPLITS,
        "bars": BARS,
        "statistics": STATISTICS,
        "settings": studies,
        "estimates": estimate_errors(settings["deployed"], 100),
        "cost": processor_cost(settings["deployed"]),
        "evidently": _peer(settings["fresh"], arguments.windows),
        "cpu_s": time.process_time() - began,
    }
    options = f"--partitions {arguments.partitions} --windows {arguments.windows}"
    write_report("drift", figures, 1, options)
    print(markdown(figures))


def study(setting: Setting, sizes: Sequence[int], n_partitions: int) -> dict[str, Any]:
    """False alarms and power of each size of window, with their intervals."""
    return {str(size): _study_size(setting, size, n_partitions) for size in sizes}


def _study_size(setting: Setting, size: int, n_partitions: int) -> dict[str, Any]:
    alarms: dict[str, list[list[bool]]] = defaultdict(list)
    by_statistic: dict[str, dict[str, int]] = {shift.name: dict.fromkeys(STATISTICS, 0) for shift in SHIFTS}
    pairs: list[list[bool]] = []
    for number in range(n_partitions):
        rng = np.random.default_rng([SEED, size, number])
        reference, pool = partition(setting, rng)
        null = calibrate(reference, size, N_SPLITS, rng)
        n_quiet = len(pool) // size
        windows = np.split(pool[: n_quiet * size], n_quiet)
        quiet = [judge(reference, setting.material.clean.rows(rows), null).p <= ALPHA for rows in windows]
        alarms["none"].append(quiet)
        pairs.append([one and two for one, two in itertools.pairwise(quiet)])
        for shift in SHIFTS[1:]:
            batch, _ = plant(shift, setting.material, pool, size, rng)
            found = judge(reference, batch, null)
            alarms[shift.name].append([found.p <= ALPHA])
            for name, p in found.p_values.items():
                by_statistic[shift.name][name] += p <= ALPHA / len(STATISTICS)
    return {
        "shifts": {
            name: {
                "alarm_rate": clustered_rate(hits).to_json(),
                "found_by": {one: n / len(hits) for one, n in by_statistic[name].items()} if name != "none" else {},
            }
            for name, hits in alarms.items()
        },
        "two_in_a_row": clustered_rate(pairs).to_json(),
        "n_reference": setting.n_reference(),
    }


def partition(setting: Setting, rng: np.random.Generator) -> tuple[Sample, NDArray[np.int64]]:
    """A reference of the setting's size, and the rows that windows are drawn from, which it does not share."""
    held = rng.permutation(np.flatnonzero(setting.material.clean.held_out))
    n = setting.n_reference()
    reference = setting.material.clean.rows(held[:n])
    return (joined(reference, setting.learned) if setting.learned is not None else reference), held[n:]


def clustered_rate(hits: Sequence[Sequence[bool]]) -> Estimate:
    """The share of hits with Wilson's interval; those of one reference are alike, and count for fewer.

    Source: Kish 1965, Survey Sampling (design effect).
    """
    sizes, sums = np.array([len(part) for part in hits]), np.array([sum(part) for part in hits], dtype=np.float64)
    n = int(sizes.sum())
    if not 0 < sums.sum() < n:
        return proportion_estimate(int(sums.sum()), n)
    rate = sums.sum() / n
    variance = float(((sums - rate * sizes) ** 2).sum()) / n**2
    effect = max(1.0, variance / (rate * (1 - rate) / n))
    fewer = proportion_estimate(round(sums.sum() / effect), round(n / effect))
    return Estimate(rate, min(fewer.low, rate), max(fewer.high, rate), n)


def _peer(setting: Setting, n_windows: int) -> dict[str, Any]:
    """One reference of the fresh setting, and windows of 1,000."""
    rng = np.random.default_rng([SEED, 5])
    held = rng.permutation(len(setting.material.clean))
    inside, pool = held[: setting.n_reference()], held[setting.n_reference() :]
    reference = setting.material.clean.rows(inside)
    null = calibrate(reference, 1000, N_SPLITS, rng)
    return beside_evidently(setting, reference, inside, pool, null, n_windows, ALPHA, SEED)


def estimate_errors(setting: Setting, n_partitions: int, size: int = 500) -> dict[str, Any]:
    """How far each label-free estimate is from the true accuracy of the window, in points, and how often covered."""
    found: dict[str, dict[str, list[tuple[float, bool]]]] = {shift.name: defaultdict(list) for shift in SHIFTS}
    true: dict[str, list[float]] = defaultdict(list)
    for number in range(n_partitions):
        rng = np.random.default_rng([SEED, 7, number])
        held = rng.permutation(len(setting.material.clean))
        clean, y = setting.material.clean, setting.material.y_clean
        fitted = fit_estimator(clean.proba[held[:-1000]], y[held[:-1000]])
        for shift in SHIFTS:
            batch, y_batch = plant(shift, setting.material, held[-1000:], size, rng)
            accuracy = float((batch.proba.argmax(axis=1) == y_batch).mean())
            true[shift.name].append(accuracy)
            for name, item in estimate_accuracy(batch.proba, fitted).items():
                found[shift.name][name].append((abs(item.value - accuracy), item.low <= accuracy <= item.high))
    return {
        "n_window": size,
        "shifts": {
            shift: {
                "accuracy": float(np.mean(true[shift])),
                **{name: _errors(items) for name, items in by_name.items()},
            }
            for shift, by_name in found.items()
        },
    }


def _errors(items: list[tuple[float, bool]]) -> dict[str, float]:
    errors = [error for error, _ in items]
    return {
        "mean_error": float(np.mean(errors)),
        "error_p95": float(np.percentile(errors, 95)),
        "covered": float(np.mean([inside for _, inside in items])),
    }


def markdown(figures: dict[str, Any]) -> str:
    """The figures as tables."""
    lines = []
    for name, by_size in figures["settings"].items():
        lines += [
            f"**{name}**: share of windows that alarm",
            "",
            f"| shift | {' | '.join(by_size)} |",
            "|---|" + "---:|" * len(by_size),
        ]
        for shift in SHIFTS:
            cells = [_rate(item["shifts"][shift.name]["alarm_rate"]) for item in by_size.values()]
            lines.append(f"| {shift.name} | {' | '.join(cells)} |")
        twice = " | ".join(_rate(item["two_in_a_row"]) for item in by_size.values())
        lines += [f"| none, two in a row | {twice} |", ""]
    cost = figures["cost"]
    lines += [f"{cost['n_rows']:,} requests: {cost['cpu_s']['value']:.1f} CPU-seconds", ""]
    if "shifts" in figures["evidently"]:
        lines += ["| shift | here | Evidently: data set | Evidently: any column |", "|---|---:|---:|---:|"]
        for name, item in figures["evidently"]["shifts"].items():
            cells = [_rate(item[key]) for key in ("here", "evidently_data_set", "evidently_any_column")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rate(item: dict[str, Any]) -> str:
    if item["value"] != item["value"] or item["value"] is None:
        return "–"
    return f"{100 * item['value']:.1f} % [{100 * item['low']:.1f}, {100 * item['high']:.1f}]"


if __name__ == "__main__":
    main()
