"""Figures over cells: the metric with intervals over draws and test texts, ranks, and Ratchet against each contestant.

A block is one set with one number of labels. Its draws share the test texts, so there are two sources of noise: which
labels were drawn, and which texts were tested. Both are resampled: the texts by Poisson weights that all contestants
and draws of a block share, the draws by Rao and Wu's rescaled weights, which keep the variance where draws are few.

Source: Demšar 2006, Statistical comparisons of classifiers over multiple data sets, JMLR 7, pages 1-30 (average ranks,
Friedman's test with Iman and Davenport's correction, Nemenyi's critical difference, Wilcoxon's test with Holm's
correction); Rao & Wu 1988, Resampling inference with complex survey data, https://doi.org/10.1080/01621459.1988.10478591.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_figures import holm
from benchmarks.league.cells import Cell, read_cells, read_sets, unpacked
from benchmarks.league.contestants import CONTESTANTS, OURS
from ratchet.files import read_json
from ratchet.measure.bootstrap import interval_estimate, weights
from ratchet.measure.estimate import Estimate
from ratchet.measure.primary import DRAWS, primary_metric

N_BOOTSTRAP, SEED, ALPHA = 2000, 13, 0.05
MARGIN = 0.01
"""What a contestant has to be better by, beyond noise, for it to count as a loss."""
COSTS = ("cpu_s", "p95_ms", "size_mb")


@dataclass(frozen=True)
class Scores:
    """A contestant in a block."""

    draws: tuple[int, ...]
    values: NDArray[np.float64]
    """The metric in each draw, (n_draws,)."""
    resampled: NDArray[np.float64]
    """The same under each resample of the test texts, (n_draws, N_BOOTSTRAP)."""
    costs: dict[str, float]
    """Medians over draws of `COSTS`."""

    def of(self, draws: Sequence[int]) -> Scores:
        """Some draws alone."""
        rows = [self.draws.index(number) for number in draws]
        return Scores(tuple(draws), self.values[rows], self.resampled[rows], self.costs)


Blocks = dict[tuple[str, str], dict[str, Scores]]


def summary(root: Path) -> dict[str, Any]:
    """All figures of the cells in a folder."""
    cells, sets = read_cells(root), read_sets(root)
    current = [c for c in cells if c.key.data in sets and c.report["test_sha256"] == sets[c.key.data]["test_sha256"]]
    blocks = scored([cell for cell in current if not cell.failed], sets)
    compared = comparisons(blocks)
    return {
        "sets": {name: {k: v for k, v in item.items() if k != "test_classes"} for name, item in sets.items()},
        "blocks": [_block(key, blocks[key], compared.get(key, {})) for key in in_order(blocks)],
        "ranks": ranks(blocks),
        "behind": behind(blocks, compared),
        "failed": [{**cell.key.__dict__, "reason": cell.failed} for cell in current if cell.failed],
        "not_installed": {path.stem: read_json(path)["reason"] for path in sorted(root.glob("environments/*.json"))},
        "machines": sorted({cell.report["machine"]["cpu"] for cell in current}),
        "commits": sorted({cell.report["commit"] for cell in current}),
        "n_threads": max((cell.report["machine"]["n_threads"] for cell in current), default=0),
        "n_cells": len(current),
        "hours": sum(cell.report.get("wall_s", 0.0) for cell in current) / 3600,
    }


def in_order(blocks: Blocks) -> list[tuple[str, str]]:
    """Blocks by set, and within it by number of labels; all labels last."""
    return sorted(blocks, key=lambda key: (key[0], key[1] == "all", int(key[1]) if key[1] != "all" else 0))


def scored(cells: Sequence[Cell], sets: Mapping[str, Any]) -> Blocks:
    """The scores of every contestant in every block."""
    grouped: dict[tuple[str, str], dict[str, list[Cell]]] = {}
    for cell in cells:
        grouped.setdefault((cell.key.data, cell.key.n_labels), {}).setdefault(cell.key.contestant, []).append(cell)
    blocks: Blocks = {}
    for (data, n_labels), of in grouped.items():
        classes, y_true = sets[data]["classes"], unpacked(sets[data]["test_classes"])
        metric = primary_metric(sets[data]["metric"], classes)
        w, one = weights(len(y_true), N_BOOTSTRAP, np.random.default_rng(SEED)), np.eye(len(classes))
        blocks[data, n_labels] = {
            name: Scores(
                tuple(cell.key.draw for cell in found),
                np.array([metric.value(y_true, one[cell.predicted]) for cell in found]),
                np.array([DRAWS[metric.name](metric, y_true, one[cell.predicted], w) for cell in found]),
                {cost: float(np.median([cell.report[cost] for cell in found])) for cost in COSTS},
            )
            for name, found in of.items()
        }
    return blocks


def over_draws(values: NDArray[np.float64], resampled: NDArray[np.float64]) -> tuple[Estimate, float]:
    """The mean over draws with its interval over draws and test texts, and its standard error.

    Args:
        values: (n_draws,).
        resampled: the same under each resample of the test texts, (n_draws, n_bootstrap). One draw says nothing of
            other draws: its interval is over test texts alone.
    """
    n = len(values)
    share = np.full((resampled.shape[1], n), 1 / n)
    if n > 1:
        drawn = np.random.default_rng(SEED).multinomial(n, share[0], size=len(share)) / n
        share += np.sqrt(n / (n - 1)) * (drawn - share)
    means = (share * resampled.T).sum(axis=1)  # (n_bootstrap,)
    return interval_estimate(float(values.mean()), means, n), float(means.std(ddof=1))


def comparisons(blocks: Blocks) -> dict[tuple[str, str], dict[str, Estimate]]:
    """Ratchet's metric minus each contestant's, in the draws that both have: intervals corrected by Holm's steps.

    The comparison with the i-th smallest p-value of m has an interval of level 1 − 0.05 ÷ (m − i + 1).
    """
    from scipy.stats import norm

    found: list[tuple[tuple[str, str], str, Estimate, float]] = []
    for key, block in blocks.items():
        for name, theirs in block.items():
            common = sorted(set(block[OURS].draws) & set(theirs.draws)) if OURS in block and name != OURS else []
            if common:
                a, b = block[OURS].of(common), theirs.of(common)
                found.append((key, name, *over_draws(a.values - b.values, a.resampled - b.resampled)))
    p = [_p_value(estimate.value, error) for _, _, estimate, error in found]
    made: dict[tuple[str, str], dict[str, Estimate]] = {}
    for rank, at in enumerate(np.argsort(p, kind="stable")):
        key, name, estimate, error = found[at]
        half = float(norm.isf(ALPHA / (len(found) - rank) / 2)) * error
        made.setdefault(key, {})[name] = Estimate(
            estimate.value, estimate.value - half, estimate.value + half, estimate.n
        )
    return made


def _p_value(difference: float, error: float) -> float:
    from scipy.stats import norm

    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * norm.sf(abs(difference) / error))


def behind(blocks: Blocks, compared: Mapping[tuple[str, str], Mapping[str, Estimate]]) -> list[dict[str, Any]]:
    """Where Ratchet is below a contestant beyond noise, the worst first.

    `counts` where the interval lies wholly more than a point below, and the contestant takes no more CPU.
    """
    rows = [
        {
            "data": key[0],
            "n_labels": key[1],
            "contestant": name,
            "difference": estimate.to_json(),
            "counts": estimate.high < -MARGIN and blocks[key][name].costs["cpu_s"] <= blocks[key][OURS].costs["cpu_s"],
        }
        for key, row in compared.items()
        for name, estimate in row.items()
        if estimate.high < 0
    ]
    return sorted(rows, key=lambda row: row["difference"]["value"])


def ranks(blocks: Blocks) -> dict[str, Any]:
    """Average rank of the contestants that are in every block, 1 being best, and the tests; fewer than three: empty.

    A contestant's value in a block is its mean over the draws that all of them have there. Blocks of one set share
    texts, so that they are not independent, and the tests are somewhat too sure.
    """
    from scipy.stats import f, friedmanchisquare, rankdata, wilcoxon

    names = [name for name in CONTESTANTS if blocks and all(name in block for block in blocks.values())]
    if len(names) < 3:
        return {}
    rows = []
    for key in in_order(blocks):
        common = sorted(set.intersection(*(set(blocks[key][name].draws) for name in names)))
        if common:
            rows.append([float(blocks[key][name].of(common).values.mean()) for name in names])
    values = np.array(rows).reshape(-1, len(names))  # (n_blocks, n_contestants)
    n, k = values.shape
    if n < 2:
        return {}
    average = rankdata(-values, axis=1).mean(axis=0)
    corrected = iman_davenport(float(friedmanchisquare(*values.T).statistic), n, k)
    found: dict[str, Any] = {
        "n_blocks": n,
        "average": dict(zip(names, map(float, average), strict=True)),
        "left_out": sorted({name for block in blocks.values() for name in block} - set(names)),
        "friedman_p": float(f.sf(corrected, k - 1, (k - 1) * (n - 1))),
        "critical_difference": critical_difference(n, k),
    }
    if OURS in names:
        others = [name for name in names if name != OURS]
        ours = values[:, names.index(OURS)]
        differences = [ours - values[:, names.index(name)] for name in others]
        p = [float(wilcoxon(item).pvalue) if item.any() else 1.0 for item in differences]
        found["wilcoxon_holm_p"] = dict(zip(others, holm(p), strict=True))
    return found


def iman_davenport(chi2: float, n_blocks: int, n_contestants: int) -> float:
    """Friedman's statistic corrected, which follows F with k − 1 and (k − 1)(n − 1) degrees of freedom.

    >>> round(iman_davenport(9.28, 14, 4), 2)  # Demšar's example
    3.69
    """
    return (n_blocks - 1) * chi2 / max(n_blocks * (n_contestants - 1) - chi2, 1e-12)


def critical_difference(n_blocks: int, n_contestants: int) -> float:
    """Nemenyi's: average ranks that are closer are no different at the 5 % level.

    >>> round(critical_difference(14, 4), 2)  # Demšar's example
    1.25
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - ALPHA, n_contestants, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(n_contestants * (n_contestants + 1) / (6 * n_blocks)))


def _block(key: tuple[str, str], block: dict[str, Scores], compared: Mapping[str, Estimate]) -> dict[str, Any]:
    rows = {}
    for name in (name for name in CONTESTANTS if name in block):
        estimate, _ = over_draws(block[name].values, block[name].resampled)
        rows[name] = {"metric": estimate.to_json(), "n_draws": len(block[name].draws), **block[name].costs}
        if name in compared:
            rows[name]["ratchet_minus_it"] = compared[name].to_json()
    return {"data": key[0], "n_labels": key[1], "contestants": rows}
