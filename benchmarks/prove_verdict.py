"""Error rates of the verdict itself: shortlist, sealed test and gates, decided again on resampled measurements.

    python -m benchmarks.prove_verdict                      the repository's own run
    python -m benchmarks.prove_verdict FOLDER [...]         the runs of other clones, beside it: NAME=FOLDER names one
    python -m benchmarks.prove_verdict --into docs/gates.md
    python -m benchmarks.prove_verdict --quick

The validation texts of a run, with every bundle's predictions, are the population, so that what is true of a bundle is
known. Each decision draws validation and test texts from it anew, in the sizes of the run; behaviour and explanations,
of which no row is kept, are drawn from their rates and intervals. A planted rung is the best bundle with one fault, and
the cheapest of all. A scenario that is in the report for the same code of gates and the same data is not run again.

Source: Clopper & Pearson 1934, https://doi.org/10.1093/biomet/26.4.404 (upper bound of an error rate).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material import REPORTS, write_report
from benchmarks.verdict.decisions import tried
from benchmarks.verdict.faults import DISCORDANT, GROUP_LOSS, LEAK_RATE, LOSS, TRIGGER_RATE, faults, group_of
from benchmarks.verdict.worlds import World, read_world
from ratchet.entry import entry
from ratchet.gates.measured_reports import read_report
from ratchet.measure.formats import markdown_table
from ratchet.reporting.marked_block import write_block

N_DECISIONS = 2000
"""Decisions a scenario."""
AT_MOST = 0.07
"""Bar of the upper 95 % bound of every error rate."""

ERRORS: Mapping[str, tuple[str, str, str]] = {
    "sound": ("a sound model, first release", "n_sound_refused", "refused"),
    "sound, next release": (
        f"a model as good as the mark, with other answers on {DISCORDANT:.0%} of the texts",
        "n_sound_refused",
        "refused",
    ),
    "loss": (f"a rung that loses {100 * LOSS:g} points", "n_planted_released", "released"),
    "loss to the mark": (f"rungs {100 * LOSS:g} points or more below the mark", "n_released", "released"),
    "group of 25%": (
        f"a group of about 25 % of the texts, harmed by {100 * GROUP_LOSS:g} points",
        "n_planted_released",
        "released",
    ),
    "group of 10%": (f"a group of about 10 %, harmed by {100 * GROUP_LOSS:g} points", "n_planted_released", "released"),
    "group of 5%": (f"a group of about 5 %, harmed by {100 * GROUP_LOSS:g} points", "n_planted_released", "released"),
    "trigger": (f"a word that turns {TRIGGER_RATE:.0%} of the texts", "n_planted_released", "released"),
    "leak": (f"{LEAK_RATE:.0%} of the test texts were trained on", "n_planted_released", "released"),
    "silent leak": ("all test texts known by heart, unsaid", "n_planted_released", "released"),
}
"""Scenario → what it is, the count that is the error, and its word."""


def upper_bound(k: int, n: int) -> float:
    """One-sided 95 % upper bound of a rate by Clopper and Pearson.

    >>> round(upper_bound(0, 2000), 4)
    0.0015
    """
    from scipy.stats import beta

    return 1.0 if k == n else float(beta.ppf(0.95, k + 1, n - k))


def table(report: Mapping[str, Any]) -> str:
    """The scenarios as a Markdown table, a column a run."""
    worlds = report["worlds"]
    rows = []
    for scenario, (words, count, verb) in ERRORS.items():
        cells = []
        for item in worlds.values():
            found = item["scenarios"].get(scenario)
            if found is None:
                cells.append("–")
                continue
            bound = upper_bound(found[count], found["n"])
            text = f"{found[count]:,} of {found['n']:,}, at most {bound:.1%}"
            cells.append(text if bound <= AT_MOST else f"**{text}**")
        rows.append([words, verb, *cells])
    heads = ["what", "error: it is", *worlds]
    notes = [
        f"{name}: {item['n_validation']:,} validation and {item['n_test']:,} test texts, {item['n_gates']} gates"
        + (f" ({item['n_left_out']} without a figure of this run left out)" if item["n_left_out"] else "")
        + "; planted groups "
        + ", ".join(f"{group} ({n:,} texts)" for group, n in item["groups"].items())
        for name, item in worlds.items()
    ]
    return "\n".join([*markdown_table(heads, rows), "", ". ".join(notes) + ". `make prove-verdict`"])


def prove(world: World, known: Mapping[str, Any], n_decisions: int, saved: Callable[[dict[str, Any]], None]) -> None:
    """Every scenario that is not known yet; `saved` is called after each."""
    planted = faults(world, np.random.default_rng(world.judge.seed))
    groups = [group_of(world, share) for share in (0.25, 0.1, 0.05)]
    same = known.get("key") == world.key and known.get("n_decisions") == n_decisions
    item: dict[str, Any] = {
        "key": world.key,
        "n_decisions": n_decisions,
        "n_validation": len(world.texts),
        "n_test": world.n_test,
        "n_gates": len(world.gates),
        "n_left_out": world.n_left_out,
        "groups": {name: int(inside.sum()) for name, inside in groups},
        "scenarios": dict(known["scenarios"]) if same else {},
    }
    for place, (name, fault) in enumerate(planted.items()):
        if name in item["scenarios"]:
            continue
        began = time.process_time()
        item["scenarios"][name] = tried(world, name, fault, n_decisions, world.judge.seed + place)
        print(f"{world.name}, {name}: {item['scenarios'][name]} in {time.process_time() - began:.0f} CPU-s", flush=True)
        saved(item)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prove_verdict", description="The verdict's errors.")
    parser.add_argument("runs", nargs="*", help="NAME=FOLDER of clones whose pipeline has run; by default this one")
    parser.add_argument("--n-decisions", type=int, default=N_DECISIONS, help="decisions a scenario")
    parser.add_argument("--into", type=Path, help="a Markdown file to put the table of the report into")
    parser.add_argument("--quick", action="store_true", help="three decisions a scenario, no report: whether it runs")
    options = parser.parse_args(arguments)
    path = REPORTS / "prove_verdict.json"
    if options.into is not None:
        write_block(options.into, "verdict", table(read_report(path)))
        return
    report = read_report(path) if path.is_file() and not options.quick else {"worlds": {}}
    for run in options.runs or ["films=."]:
        name, _, folder = run.partition("=")
        world = read_world(name, Path(folder or name))

        def save(item: dict[str, Any], name: str = name, n_threads: int = world.judge.n_threads) -> None:
            report["worlds"][name] = item
            if not options.quick:
                write_report("prove_verdict", {"worlds": report["worlds"]}, n_threads)

        prove(world, report["worlds"].get(name, {}), 3 if options.quick else options.n_decisions, save)
    print(table(report))


if __name__ == "__main__":
    entry(main)
