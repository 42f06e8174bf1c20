"""Twenty releases in simulation: how much of the best ever is lost, by the rule that releases are judged by.

    python -m benchmarks.release_chain
    python -m benchmarks.release_chain --into docs/decisions/high-water-mark.md
    python -m benchmarks.release_chain --quick

A candidate's true accuracy is the champion's and a change; whether it is right on a text of the sealed test depends on
the text, which all models share, and on the model. After `judge.max_openings` openings the test texts are others.
Source: correlated probit model of paired binary outcomes, Ashford & Sowden 1970, https://doi.org/10.2307/2529107
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.material import REPORTS, write_report
from pipeline_steps import judge, promote
from ratchet.entry import entry
from ratchet.gates.gates import LEVEL, MARK_LEVEL
from ratchet.gates.measured_reports import read_report
from ratchet.measure.formats import markdown_table
from ratchet.measure.significance import discordant, score_statistic
from ratchet.params import load_params
from ratchet.reporting.marked_block import write_block
from ratchet.trust.slices import LENGTH_EDGES, read_length_edges

N_RELEASES = 20
START, SHARED = 0.80, 0.90
"""True accuracy of the first release, and the correlation of two models' latent outcomes on a text."""
Right = NDArray[np.bool_]


@dataclass(frozen=True)
class Drift:
    """True change of a candidate's accuracy against the champion's: a normal distribution, in rates."""

    mean: float
    spread: float
    n_tries: int
    """Candidates for each release, before the champion stays."""


DRIFTS = {
    "no trend": Drift(0.0, 0.01, 3),
    "half a point worse on average": Drift(-0.005, 0.01, 3),
    "each 0.9 points worse": Drift(-0.009, 0.0, 1),
    "the same, three tries": Drift(-0.009, 0.0, 3),
}


@dataclass(frozen=True)
class State:
    """What a rule compares a candidate with, on the same texts."""

    champion: Right
    mark: Right
    best_figure: float
    """The best accuracy that any release ever measured, on whatever texts."""


Rule = Callable[[Right, State, float], bool]


def _quantile(level: float) -> float:
    from scipy.stats import norm

    return float(norm.isf(level))


Z, MARK_Z = _quantile(LEVEL), _quantile(MARK_LEVEL)


def _shown_above(own: Right, other: Right, bound: float, z: float) -> bool:
    return score_statistic(discordant(own, other), bound) >= z


def _not_shown_below(own: Right, other: Right, bound: float) -> bool:
    return score_statistic(discordant(own, other), bound) >= -Z


def _ratchet(own: Right, state: State, max_total_loss: float) -> bool:
    """The gates as they are: shown to lose little against the mark, not shown to be a point worse than the champion."""
    return _shown_above(own, state.mark, -max_total_loss, MARK_Z) and _not_shown_below(own, state.champion, -0.01)


def _champion_alone(own: Right, state: State, _: float) -> bool:
    """Shown to be less than a point worse than the champion."""
    return _shown_above(own, state.champion, -0.01, Z)


def _champion_harm(own: Right, state: State, _: float) -> bool:
    """Not shown to be a point worse than the champion."""
    return _not_shown_below(own, state.champion, -0.01)


def _figure(own: Right, state: State, _: float) -> bool:
    """At most a point below the best figure that was ever measured."""
    return float(own.mean()) >= state.best_figure - 0.01


RULES: Mapping[str, tuple[str, Rule]] = {
    "ratchet": ("high-water mark within {loss:g} points, and no shown harm to the champion", _ratchet),
    "champion": ("shown to be within 1 point of the champion", _champion_alone),
    "harm": ("not shown to be 1 point worse than the champion", _champion_harm),
    "figure": ("within 1 point of the best figure ever measured", _figure),
}


@dataclass(frozen=True)
class Chain:
    """One chain of releases."""

    worst_loss: float
    """The largest true loss of a release against the best release before it; a rate."""
    n_released: int
    n_sound: int
    """Candidates that were truly at least as good as the best release so far."""
    n_sound_refused: int


class Texts:
    """A sealed test: the texts' difficulty, which all models share."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self.difficulty = np.sqrt(SHARED) * rng.standard_normal(n)
        self.rng = rng

    def right(self, accuracy: float) -> Right:
        """Whether a model of that true accuracy is right on each of the texts, (n,)."""
        from scipy.stats import norm

        own = np.sqrt(1 - SHARED) * self.rng.standard_normal(len(self.difficulty))
        found: Right = self.difficulty + own < norm.ppf(accuracy)
        return found


def chain(rule: Rule, drift: Drift, n_test: int, max_openings: int, max_total_loss: float, seed: int) -> Chain:
    """Releases by one rule; models are scored again when the texts change, as bundles are."""
    rng = np.random.default_rng(seed)
    texts, n_opened = Texts(n_test, rng), 0
    champion = mark = best = START
    scored = {"champion": texts.right(START)}
    scored["mark"] = scored["champion"]
    figure, worst, released, sound, refused = float(scored["mark"].mean()), 0.0, 0, 0, 0
    for _ in range(N_RELEASES):
        for _ in range(drift.n_tries):
            if n_opened == max_openings:
                texts, n_opened = Texts(n_test, rng), 0
                scored = {"champion": texts.right(champion), "mark": texts.right(mark)}
            candidate = min(champion + rng.normal(drift.mean, drift.spread), 0.99)
            own, n_opened = texts.right(candidate), n_opened + 1
            passed = rule(own, State(scored["champion"], scored["mark"], figure), max_total_loss)
            sound += candidate >= best
            refused += candidate >= best and not passed
            if not passed:
                continue
            worst, best, released = max(worst, best - candidate), max(best, candidate), released + 1
            champion, scored["champion"], figure = candidate, own, max(figure, float(own.mean()))
            if own.sum() >= scored["mark"].sum():
                mark, scored["mark"] = candidate, own
            break
    return Chain(worst, released, sound, refused)


def simulate(n_chains: int, n_test: int, max_openings: int, max_total_loss: float) -> dict[str, Any]:
    """Rule → drift → counts over the chains."""
    found: dict[str, Any] = {}
    for name, (_, rule) in RULES.items():
        found[name] = {}
        for drift_name, drift in DRIFTS.items():
            chains = [chain(rule, drift, n_test, max_openings, max_total_loss, seed) for seed in range(n_chains)]
            losses = np.array([item.worst_loss for item in chains])
            found[name][drift_name] = {
                "n_kept": int((losses <= max_total_loss).sum()),
                "worst_loss_median": float(np.median(losses)),
                "worst_loss_95": float(np.quantile(losses, 0.95)),
                "n_released_mean": float(np.mean([item.n_released for item in chains])),
                "n_sound": sum(item.n_sound for item in chains),
                "n_sound_refused": sum(item.n_sound_refused for item in chains),
            }
            print(f"{name}, {drift_name}: {found[name][drift_name]}", flush=True)
    return found


def table(report: Mapping[str, Any]) -> str:
    """The rules as a Markdown table."""
    loss = 100 * report["max_total_loss"]
    heads = [
        "rule",
        "candidates against the champion",
        f"chains within {loss:g} points of the best ever",
        "loss, points: median, 95th percentile",
        "releases of 20",
        "sound candidates refused",
    ]
    rows = [
        [
            words.format(loss=loss),
            drift,
            f"{item['n_kept']} of {report['n_chains']}",
            f"{100 * item['worst_loss_median']:.1f}, {100 * item['worst_loss_95']:.1f}",
            f"{item['n_released_mean']:.1f}",
            f"{item['n_sound_refused'] / item['n_sound']:.1%}" if item["n_sound"] else "none came",
        ]
        for name, (words, _) in RULES.items()
        for drift, item in ((drift, report["rules"][name][drift]) for drift in DRIFTS)
    ]
    share = "{:.1%}".format(report["discordant_rate"])
    note = (
        f"{report['n_test']:,} test texts, others after {report['max_openings']} openings; models of equal accuracy "
        f"differ in {share} of them. Loss: the largest of a chain, true, of a release against the best before it. "
        "`python -m benchmarks.release_chain`"
    )
    return "\n".join([*markdown_table(heads, rows), "", note])


def _discordant_rate(n: int = 200_000) -> float:
    texts = Texts(n, np.random.default_rng(0))
    return float((texts.right(START) != texts.right(START)).mean())


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.release_chain", description="Twenty releases.")
    parser.add_argument("--n-chains", type=int, default=500, help="chains a rule and a drift")
    parser.add_argument("--n-test", type=int, default=1646, help="texts of the sealed test")
    parser.add_argument("--into", type=Path, help="a Markdown file to put the table of the report into")
    parser.add_argument("--quick", action="store_true", help="five chains, no report: whether it runs")
    options = parser.parse_args(arguments)
    if options.into is not None:
        write_block(options.into, "releases", table(read_report(REPORTS / "release_chain.json")))
        return
    judged = load_params(judge.Params, "judge", length_edges=read_length_edges(LENGTH_EDGES))
    max_total_loss = load_params(promote.Params, "promote").max_total_loss
    n_chains = 5 if options.quick else options.n_chains
    report = {
        "n_chains": n_chains,
        "n_test": options.n_test,
        "max_openings": judged.max_openings,
        "max_total_loss": max_total_loss,
        "discordant_rate": _discordant_rate(),
        "rules": simulate(n_chains, options.n_test, judged.max_openings, max_total_loss),
    }
    print(table(report))
    if not options.quick:
        write_report("release_chain", report, judged.n_threads)


if __name__ == "__main__":
    entry(main)
