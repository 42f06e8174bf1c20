"""Coverage of the prediction-powered intervals of the monitor, and how much narrower they are than the labels' own.

    python -m benchmarks.prediction_powered [--repetitions N] [--into PAGE]

A TF-IDF model of 1,500 texts; traffic is drawn from held-out texts, as they are and under shifts under which the model
is confidently wrong; of the traffic a few texts get their label. Drawn with replacement, so that the true value is that
of the texts the traffic is drawn from.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift_material import fresh
from benchmarks.material import REPORTS, write_report
from ratchet.files import read_json
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.prediction_powered import Predicted, powered_mean
from ratchet.models.predictor import softmax
from ratchet.monitoring.performance_estimation import fit_estimator
from ratchet.reporting.marked_block import write_block

N_TRAFFIC = 5000
N_LABELS = (30, 60, 120, 240)
SEED = 13
BARS = {"coverage": [0.93, 0.97]}
FIGURES = ("accuracy", "rate", "slice accuracy")


class Traffic(NamedTuple):
    """Texts that traffic is drawn from, n each."""

    right: NDArray[np.float64]
    """1 where the model is right."""
    calibrated: NDArray[np.float64]
    """Its calibrated confidence."""
    is_last: NDArray[np.float64]
    """1 for the last class."""
    predicted_last: NDArray[np.float64]
    in_slice: NDArray[np.bool_]
    """Whether the text is longer than the median."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2000, help="samples for each row (2000)")
    parser.add_argument("--into", type=Path, help="put the table of the last run into this page instead")
    arguments = parser.parse_args()
    if arguments.into:
        write_block(arguments.into, "ppi", markdown(read_json(REPORTS / "prediction_powered.json")))
        return
    rows = {
        name: {str(n): coverage(traffic, n, arguments.repetitions) for n in N_LABELS}
        for name, traffic in settings().items()
    }
    figures = {"bars": BARS, "n_traffic": N_TRAFFIC, "settings": rows}
    write_report("prediction_powered", figures, 1, f"--repetitions {arguments.repetitions}")
    print(markdown(figures))


def settings() -> dict[str, Traffic]:
    """Name → texts: this domain, with typos, another domain, and this one with a fifth of the labels turned over."""
    material = fresh(SEED).material
    rng = np.random.default_rng(SEED)
    n = len(material.clean) // 2
    fitted = fit_estimator(material.clean.proba[:n], material.y_clean[:n])
    turned = np.where(rng.random(len(material.y_clean)) < 0.2, 1 - material.y_clean, material.y_clean)
    sources = {
        "as trained": (material.clean, material.y_clean),
        "typos": (material.mistyped, material.y_clean),
        "other domain": (material.other, material.y_other),
        "confidently wrong": (material.clean, turned),
    }
    found = {}
    for name, (sample, y) in sources.items():
        rows = np.arange(0 if sample is material.other else n, len(sample))
        proba = sample.proba[rows]
        calibrated = softmax(np.log(np.maximum(proba, 1e-12)) / fitted.temperature).max(axis=1)
        predicted, words = proba.argmax(axis=1), sample.texts.n_words[rows]
        found[name] = Traffic(
            (predicted == y[rows]).astype(np.float64),
            calibrated,
            (y[rows] == 1).astype(np.float64),
            (predicted == 1).astype(np.float64),
            words > np.median(words),
        )
    return found


def coverage(traffic: Traffic, n: int, repetitions: int) -> dict[str, Any]:
    """Figure → share of intervals that hold the true value, and their mean width, beside the labels' own (Wilson)."""
    inside, n_all = traffic.in_slice, len(traffic.right)
    true = {
        "accuracy": traffic.right.mean(),
        "rate": traffic.is_last.mean(),
        "slice accuracy": traffic.right[inside].mean(),
    }
    hits: dict[str, list[bool]] = {name: [] for name in FIGURES}
    widths: dict[str, list[tuple[float, float]]] = {name: [] for name in FIGURES}
    for number in range(repetitions):
        rng = np.random.default_rng([SEED, n, number])
        rows = rng.integers(0, n_all, N_TRAFFIC)
        of_slice = np.flatnonzero(inside)[rng.integers(0, int(inside.sum()), N_TRAFFIC // 2)]
        parts = {
            "accuracy": (traffic.right[rows], traffic.calibrated[rows]),
            "rate": (traffic.is_last[rows], traffic.predicted_last[rows]),
            "slice accuracy": (traffic.right[of_slice], traffic.calibrated[of_slice]),
        }
        for name, (y, guess) in parts.items():
            found = powered_mean(y[:n], guess[:n], Predicted.of(guess[n:])).estimate
            own = proportion_estimate(int(y[:n].sum()), n)
            hits[name].append(bool(found.low <= true[name] <= found.high))
            widths[name].append((found.high - found.low, own.high - own.low))
    return {
        name: {
            "coverage": proportion_estimate(sum(hits[name]), repetitions).to_json(),
            "width": float(np.mean([powered for powered, _ in widths[name]])),
            "width_of_labels": float(np.mean([own for _, own in widths[name]])),
        }
        for name in FIGURES
    }


def markdown(figures: dict[str, Any]) -> str:
    """A row a setting and number of labels: coverage, and the width beside that of the labels alone."""
    lines = [f"| traffic | labels | {' | '.join(FIGURES)} |", "|---|---:|" + "---|" * len(FIGURES)]
    for name, by_n in figures["settings"].items():
        for n, found in by_n.items():
            cells = [
                f"{100 * item['coverage']['value']:.1f} %, ±{50 * item['width']:.1f} instead of "
                f"±{50 * item['width_of_labels']:.1f} points"
                for item in (found[figure] for figure in FIGURES)
            ]
            lines.append(f"| {name} | {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
