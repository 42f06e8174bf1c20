"""Figures of the label benchmark: each strategy against random choice, paired by seed, with confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.labels.label_efficiency import Curves, labels_to_reach
from ratchet.measure.estimate import Estimate
from ratchet.measure.primary import primary_metric

METRIC = {"balanced": "accuracy", "10 % positives": "average_precision"}
"""Metric of each data set: with a rare class, average precision instead of accuracy."""
CLASSES = ("common", "rare")

Runs = dict[str, dict[str, list[dict[str, Any]]]]


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number: the chance of one false alarm among them stays at the level.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure, https://www.jstor.org/stable/4615733.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    scaled = np.maximum.accumulate([p_values[row] * (len(order) - rank) for rank, row in enumerate(order)])
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(scaled, 1.0)
    return [float(p) for p in corrected]


def paired(values: NDArray[np.float64], reference: NDArray[np.float64]) -> tuple[Estimate, float]:
    """The mean difference over seeds (n_seeds,) with Student's t interval, and its two-sided p-value."""
    from scipy.stats import t, ttest_rel

    difference = values - reference
    mean, n = float(difference.mean()), len(difference)
    half = float(t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    p = float(ttest_rel(values, reference).pvalue) if n > 1 and difference.std() > 0 else 1.0
    return Estimate(mean, mean - half, mean + half, n), p


def summary(runs: Runs, speed: dict[str, dict[str, list[float]]], sizes: Sequence[int]) -> dict[str, Any]:
    """Figures by data set and strategy, and the speed beside the peer."""
    n_labels = np.cumsum(sizes).tolist()
    found = {data: _data_set(by_strategy, METRIC[data], n_labels) for data, by_strategy in runs.items()}
    seconds = {}
    for name, times in speed.items():
        ratios = np.array(times["peer"]) / np.maximum(times["ours"], 1e-6)
        middle = {who: float(np.median(values)) for who, values in times.items()}
        seconds[name] = {**middle, "times_faster": float(np.median(ratios))}
    return {"data_sets": found, "query_cpu_s": seconds}


def _data_set(by_strategy: dict[str, list[dict[str, Any]]], metric: str, n_labels: list[int]) -> dict[str, Any]:
    curves = {name: np.array([run[metric] for run in runs]) for name, runs in by_strategy.items()}
    random = curves["random"]
    ours = [name for name in curves if not name.startswith("scikit-activeml") and name != "random"]
    tests = {name: paired(curves[name].mean(axis=1), random.mean(axis=1)) for name in ours}
    corrected = dict(zip(ours, holm([tests[name][1] for name in ours]), strict=True))
    found: dict[str, Any] = {}
    for name, values in curves.items():
        same_seeds = random[: len(values)]
        compared = Curves(n_labels, {"random": same_seeds, name: values}, primary_metric(metric, CLASSES, CLASSES[1]))
        reached = labels_to_reach(compared, 0)[name]
        found[name] = {
            f"{metric}_at_{n_labels[-1]}": float(values[:, -1].mean()),
            "gain_at_the_end": paired(values[:, -1], same_seeds[:, -1])[0].to_json(),
            "mean_gain": paired(values.mean(axis=1), same_seeds.mean(axis=1))[0].to_json(),
            "labels_to_reach_random": reached.to_json(),
            "balanced_accuracy_at_the_end": float(np.mean([run["balanced_accuracy"][-1] for run in by_strategy[name]])),
        }
        if name in corrected:
            found[name] |= {"p": tests[name][1], "p_holm": corrected[name]}
        if f"scikit-activeml {name}" in curves:
            peer = curves[f"scikit-activeml {name}"]
            found[name]["mean_gain_over_peer"] = paired(values[: len(peer)].mean(axis=1), peer.mean(axis=1))[
                0
            ].to_json()
    return {"metric": metric, "strategies": found}


def markdown(report: dict[str, Any]) -> str:
    """The report as tables: our strategies, each beside random choice and beside scikit-activeml's."""
    lines: list[str] = []
    last = sum(report["sizes"])
    fewer = "".join(f", {n} of its {name}" for name, n in report.get("most_peer_seeds", {}).items())
    for data, block in report["data_sets"].items():
        seeds = f"{report['n_seeds']} seeds ({report['n_peer_seeds']} of scikit-activeml{fewer})"
        lines += [
            f"**{data}**, {block['metric'].replace('_', ' ')}, {seeds}:",
            "",
            f"| strategy | at {last} labels | gain over random, points | p (Holm) | labels for random's {last} "
            "| gain over scikit-activeml's, points |",
            "|---|---:|---:|---:|---:|---:|",
        ]
        for name, item in block["strategies"].items():
            if name.startswith("scikit-activeml"):
                continue
            reached, at_last = item["labels_to_reach_random"], item[f"{block['metric']}_at_{last}"]
            labels = "not reached" if _none(reached["value"]) else f"{reached['value']:.0f} {_interval(reached, 1, 0)}"
            cells = [
                name,
                f"{at_last:.3f}",
                _points(item["mean_gain"]) if "p" in item else "",
                f"{item['p_holm']:.3f}" if "p_holm" in item else "",
                labels,
                _points(item.get("mean_gain_over_peer")),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += [
        "CPU milliseconds of one query, 45 of the balanced pool's texts with 275 labels:",
        "",
        "| strategy | here | scikit-activeml | times faster |",
        "|---|---:|---:|---:|",
    ]
    for name, item in report["query_cpu_s"].items():
        lines.append(f"| {name} | {1000 * item['ours']:.1f} | {1000 * item['peer']:.1f} | {item['times_faster']:.1f} |")
    return "\n".join(lines)


def _points(item: dict[str, Any] | None) -> str:
    return f"{100 * item['value']:+.1f} {_interval(item, 100, 1)}" if item else ""


def _interval(item: dict[str, Any], scale: float, digits: int) -> str:
    if _none(item["low"]):
        return ""
    return f"[{scale * item['low']:.{digits}f}, {scale * item['high']:.{digits}f}]"


def _none(value: float | None) -> bool:
    return value is None or value != value
