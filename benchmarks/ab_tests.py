"""Benchmark of the rollout tests: false claims under peeking, and requests needed to detect a difference.

    python -m benchmarks.ab_tests            # reports/bench/ab_tests.json
    python -m benchmarks.ab_tests --table docs/experiments.md

Every simulated experiment is looked at after each request. Real predictions are those of the test texts, drawn with
replacement, with their real labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta, norm

from benchmarks.ab_streams import (
    NEVER,
    Values,
    arms_stream,
    by_asymptotic_sequence,
    by_betting,
    by_peeking,
    paired_stream,
    stopping_times,
)
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.experiments.sequential_tests import Outcomes, effect_bound, effects
from ratchet.files import read_json, write_json
from ratchet.measure.estimate import Estimate
from ratchet.reporting.marked_block import write_block

REPORT, PREDICTIONS = Path("reports/bench/ab_tests.json"), Path("data/predictions.parquet")
N_NULL, N_NULL_REQUESTS, N_POWER = 1500, 2000, 200
EFFECTS = (0.02, 0.03, 0.05, 0.10)
DISAGREEMENT, RATE = 0.15, 0.8
N_MOST = {"paired": 20_000, "half": 60_000, "small": 100_000}
SHARES = {"half": 0.5, "small": 0.05}
PAIRS = [("teacher", "pruned-onnx-int8"), ("baseline", "pruned-onnx-int8"), ("pruned-onnx-int8", "baseline")]
"""Champion and challenger; the last one is a bad challenger."""
TESTS = ("betting", "asymptotic", "peeked fixed level")
SEED = 13
Draw = Callable[[np.random.Generator], Values]


def false_claims() -> dict[str, Any]:
    """The share of experiments without a difference in which each test ever claims one."""
    draws: dict[str, tuple[Draw, float]] = {
        f"paired, {disagreement:.0%} disagree": (partial(paired_stream, N_NULL_REQUESTS, disagreement, 0.0), 1.0)
        for disagreement in (0.05, 0.15, 0.3)
    }
    arms = {f"arms, share {share:.0%}": (RATE, share) for share in SHARES.values()} | {
        "guardrail, 2 % fail": (0.02, 0.5)
    }
    for name, (rate, share) in arms.items():
        draw = _arms_draw(partial(arms_stream, N_NULL_REQUESTS, rate, 0.0, share))
        draws[name] = draw, effect_bound(share)
    return {
        name: {
            test: _rate(int((stopping_times(draw, run, N_NULL, SEED) < NEVER).sum()), N_NULL).to_json()
            for test, run in _tests(bound).items()
        }
        for name, (draw, bound) in draws.items()
    }


def requests_needed() -> dict[str, Any]:
    """By design and difference: requests after which 80 % and 95 % of experiments have claimed the difference."""
    found: dict[str, Any] = {}
    for effect in EFFECTS:
        paired = stopping_times(
            partial(paired_stream, N_MOST["paired"], DISAGREEMENT, effect),
            partial(by_betting, bound=1.0),
            N_POWER,
            SEED,
        )
        row = {"paired": _needed(paired) | {"fixed_80": _fixed_n(DISAGREEMENT - effect**2, effect)}}
        for name, share in SHARES.items():
            variance = RATE * (1 - RATE) / (1 - share) + (RATE + effect) * (1 - RATE - effect) / share
            n_most = min(N_MOST[name], 8 * _fixed_n(variance, effect))
            draw = _arms_draw(partial(arms_stream, n_most, RATE, effect, share))
            seen = stopping_times(draw, partial(by_betting, bound=effect_bound(share)), N_POWER // 2, SEED)
            row[f"arms, share {share:.0%}"] = _needed(seen) | {"fixed_80": _fixed_n(variance, effect)}
        found[f"{effect:.2f}"] = row
    return found


def real_predictions(predictions: pd.DataFrame) -> dict[str, Any]:
    """The same with the bundles' answers to the validation texts, drawn with replacement."""
    rows = predictions[predictions["split"] == "validation"]
    right = rows.assign(right=rows["predicted"] == rows["label"]).pivot(index="id", columns="bundle", values="right")
    found: dict[str, Any] = {}
    for champion, challenger in PAIRS:
        ours, theirs = right[challenger].to_numpy(dtype=np.float64), right[champion].to_numpy(dtype=np.float64)
        paired = stopping_times(
            partial(_drawn_pairs, ours - theirs, N_MOST["paired"]), partial(by_betting, bound=1.0), N_POWER, SEED
        )
        both = partial(_drawn_arms, ours, theirs, N_MOST["paired"])
        arms = stopping_times(both, partial(by_betting, bound=effect_bound(0.5)), N_POWER // 2, SEED)
        passed = stopping_times(
            partial(_drawn_pairs, ours - theirs, N_MOST["paired"]), partial(_passes, margin=0.02), N_POWER, SEED
        )
        found[f"{challenger} against {champion}"] = {
            "difference": float((ours - theirs).mean()),
            "disagreement": float((ours != theirs).mean()),
            "paired": _needed(paired),
            "arms, share 50%": _needed(arms),
            "passes_shadow_at_margin_0.02": _rate(int((passed < NEVER).sum()), N_POWER).to_json(),
        }
    return found


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"`{report['command']}`:", "", f"| no difference | {' | '.join(TESTS)} |", "|---|---:|---:|---:|"]
    for name, tests in report["false_claims"].items():
        lines.append(f"| {name} | {' | '.join(_percent(tests[test]) for test in TESTS)} |")
    designs = list(next(iter(report["requests_needed"].values())))
    lines += ["", f"| difference | {' | '.join(designs)} |", "|---:" * (len(designs) + 1) + "|"]
    for effect, row in report["requests_needed"].items():
        lines.append(f"| {effect} | {' | '.join(_three(row[design]) for design in designs)} |")
    lines += [
        "",
        "| real predictions | difference | disagree | paired | arms, share 50% | passes shadow |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in report["real_predictions"].items():
        figures = [
            f"{row['difference']:+.3f}",
            f"{row['disagreement']:.3f}",
            _three(row["paired"]),
            _three(row["arms, share 50%"]),
            _percent(row["passes_shadow_at_margin_0.02"]),
        ]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _tests(bound: float) -> dict[str, Callable[[Values], int]]:
    return dict(zip(TESTS, (partial(by_betting, bound=bound), by_asymptotic_sequence, by_peeking), strict=True))


def _arms_draw(draw: Callable[[np.random.Generator], Outcomes]) -> Draw:
    return lambda rng: effects(draw(rng))


def _drawn_pairs(differences: Values, n: int, rng: np.random.Generator) -> Values:
    return differences[rng.integers(0, len(differences), n)]


def _drawn_arms(ours: Values, theirs: Values, n: int, rng: np.random.Generator) -> Values:
    rows, mine = rng.integers(0, len(ours), n), rng.random(n) < 0.5
    return effects(Outcomes(mine, np.where(mine, ours[rows], theirs[rows]), 0.5))


def _passes(scores: Values, margin: float) -> int:
    """When the interval first lies above −margin, unless it lay below before."""
    first = by_betting(scores, 1.0, -margin)
    return first if first < NEVER and scores[:first].mean() > -margin else int(NEVER)


def _needed(seen: NDArray[np.int64]) -> dict[str, Any]:
    """Requests by which so many experiments were decided; None where fewer were at the end."""
    quantiles = {f"n_{level}": int(np.quantile(seen, level / 100, method="higher")) for level in (50, 80, 95)}
    return {name: value if value < NEVER else None for name, value in quantiles.items()} | {"n_experiments": len(seen)}


def _fixed_n(variance: float, effect: float) -> int:
    """Requests of a two-sided test at 5 % that is looked at once, for 80 % power."""
    return int(np.ceil((norm.ppf(0.975) + norm.ppf(0.8)) ** 2 * variance / effect**2))


def _rate(n_of: int, n: int) -> Estimate:
    """A rate with its Clopper-Pearson interval."""
    low = float(beta.ppf(0.025, n_of, n - n_of + 1)) if n_of else 0.0
    high = float(beta.ppf(0.975, n_of + 1, n - n_of)) if n_of < n else 1.0
    return Estimate(n_of / n, low, high, n)


def _percent(item: dict[str, Any]) -> str:
    return f"{100 * item['value']:.1f} % [{100 * item['low']:.1f}, {100 * item['high']:.1f}]"


def _three(item: dict[str, Any]) -> str:
    shown = [f"{item[name]:,}" if item[name] is not None else "more" for name in ("n_80", "n_95")]
    once = f" ({item['fixed_80']:,})" if "fixed_80" in item else ""
    return f"{shown[0]} / {shown[1]}{once}"


def main() -> None:
    """Measure and write the report, or put its tables into a Markdown file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ab_tests", description=__doc__.split("\n")[0])
    parser.add_argument("--table", type=Path, help="a Markdown file whose marked block is replaced by the report")
    options = parser.parse_args()
    if options.table:
        write_block(options.table, "ab", table(read_json(REPORT)))
        return
    if not PREDICTIONS.is_file():
        raise PipelineError(
            "There are no predictions to draw from.", where=PREDICTIONS, fix="make run, or dvc checkout"
        )
    report = {
        "command": "python -m benchmarks.ab_tests",
        "alpha": 0.05,
        "n_experiments": N_NULL,
        "n_requests": N_NULL_REQUESTS,
        "false_claims": false_claims(),
        "requests_needed": requests_needed(),
        "real_predictions": real_predictions(pd.read_parquet(PREDICTIONS)),
    }
    write_json(REPORT, report)
    print(table(report))


if __name__ == "__main__":
    entry(main)
