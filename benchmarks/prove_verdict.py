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
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.material import REPORTS, write_report
from pipeline_steps import judge, promote, shortlist
from ratchet.entry import entry
from ratchet.files import sha256_file, sha256_json
from ratchet.gates.gates import CHAMPION, MARK, OPTIONAL, Gate, check_gates
from ratchet.gates.measured_reports import merge_bundles, read_known, read_report, without_cases
from ratchet.measure.bootstrap import Weights, proportion_estimate, weights
from ratchet.measure.comparison import best_of
from ratchet.measure.estimate import Estimate, exact
from ratchet.measure.formats import markdown_table
from ratchet.measure.prediction_table import prediction_table
from ratchet.measure.primary import PrimaryMetric
from ratchet.params import load_params, read_params
from ratchet.reporting.marked_block import write_block
from ratchet.table_files import read_table
from ratchet.tables import PREDICTIONS, SPLIT
from ratchet.trust.audited_groups import AuditedGroups, Rules, audited_groups
from ratchet.trust.bundle_audit import fairness_figures
from ratchet.trust.leakage import better_on_test
from ratchet.trust.lexicons import Lexicon
from ratchet.trust.slices import PatternFeatures, read_length_edges

if TYPE_CHECKING:
    import pandas as pd

Proba = NDArray[np.float64]
PLANTED = "planted"
N_DECISIONS, N_DRAWS = 2000, 100
"""Decisions a scenario, and draws of the bootstrap in each: fewer than a run's, so that the proof takes an hour."""
DISCORDANT = 0.10
"""Share of the texts on which a released bundle and an equally good new one differ."""
LOSS, GROUP_LOSS, TRIGGER_RATE, LEAK_RATE = 0.03, 0.15, 0.95, 0.10
"""What is planted: points of all texts, points of a group's, texts that a word turns, test texts that were learned."""
AT_MOST = 0.07
"""Bar of the upper 95 % bound of every error rate."""


@dataclass(frozen=True)
class World:
    """A run: its bundles' predictions of the same texts, and what else the decision reads."""

    name: str
    labels: list[str]
    texts: pd.DataFrame
    proba: Mapping[str, Proba]
    """Deployable bundle → probabilities, (n, n_classes)."""
    groups: AuditedGroups
    evaluated: Mapping[str, Any]
    reports: Sequence[Mapping[str, Any]]
    n_test: int
    shortlist: shortlist.Params
    judge: judge.Params
    gates: list[Gate]
    n_left_out: int
    """Gates of metrics that the run has no figure of."""
    key: str
    """Hash of all this."""

    @cached_property
    def y_true(self) -> NDArray[np.int64]:
        """The true classes' indices, (n,)."""
        places = {label: index for index, label in enumerate(self.labels)}
        return np.array([places[label] for label in self.texts["label"]])

    @cached_property
    def gates_asked_first(self) -> list[Gate]:
        """Those that need no figure of fairness."""
        audited = {metric for item in self.reports[0]["bundles"].values() for metric in item["metrics"]}
        return [
            gate
            for gate in self.gates
            if gate.against != "absolute" or not (gate.scope == "every_slice" or gate.metric in audited)
        ]

    @cached_property
    def best(self) -> str:
        """The truly best bundle."""
        return best_of(self.proba, self.y_true, self.judge.metric_of(self.labels))

    def loss(self, name: str) -> float:
        """What a bundle truly loses against the best one."""
        primary, y_true = self.judge.metric_of(self.labels), self.y_true
        found = primary.value(y_true, self.proba[self.best]) - primary.value(y_true, self.proba[name])
        return found if primary.greater_is_better else -found


@dataclass(frozen=True)
class Fault:
    """What is planted: the rung's probabilities, on test texts too, and its figures of behaviour."""

    proba: Proba | None = None
    on_test: Proba | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    """Metric → the true rate, instead of the measured one."""
    released: Proba | None = None
    """Champion and high-water mark."""


@dataclass(frozen=True)
class Decision:
    """One decision: what came first on the shortlist, what was released, and which rungs were refused before it."""

    first: str
    chosen: str | None
    refused: Mapping[str, tuple[str, ...]]
    """Rung → the gates that it failed."""


def read_world(name: str, root: Path) -> World:
    """The run of a clone.

    Raises:
        PipelineError: a report is missing.
    """
    edges = read_length_edges(root / judge.READS["length_edges"])
    judged = load_params(judge.Params, "judge", root / "params.yaml", length_edges=edges)
    judged = judged.model_copy(update={"n_bootstrap": N_DRAWS})
    evaluated = read_known(root / promote.READS["evaluate"], root / promote.READS["measurements"])
    predictions = read_table(root / judge.READS["predictions"], PREDICTIONS)
    predictions = predictions[predictions["split"] == "validation"]
    texts = read_table(root / judge.READS["splits"] / "validation.parquet", SPLIT).dropna(subset="label")
    texts = texts.drop_duplicates("id").reset_index(drop=True)
    labels = list(evaluated["labels"])
    proba = {
        str(bundle): rows.set_index("id").loc[texts["id"], [f"proba_{label}" for label in labels]].to_numpy(np.float64)
        for bundle, rows in predictions.groupby("bundle")
        if evaluated["bundles"].get(bundle, {}).get("deployable")
    }
    rules = Rules(
        read_params(Lexicon, root / judge.READS["lexicon"]),
        read_params(PatternFeatures, root / judge.READS["features"]).patterns,
    )
    reports = [read_report(root / promote.REPORTS[part]) for part in ("audit", "behave", "explain", "judge")]
    declared = load_params(promote.Params, "promote", root / "params.yaml").all_gates
    figures = merge_bundles(evaluated, *reports)
    known = {metric for item in figures.values() for metric in item["metrics"]} | set(without_cases(*reports))
    gates = [gate for gate in declared if gate.scope == "every_slice" or gate.metric in known]
    return World(
        name,
        labels,
        texts,
        proba,
        audited_groups(texts, rules, judged, judge.READS["lexicon"]),
        evaluated,
        reports,
        int(reports[-1]["n_test"]),
        load_params(shortlist.Params, "shortlist", root / "params.yaml"),
        judged,
        gates,
        len(declared) - len(gates),
        sha256_json(
            {
                "gates": [gate.model_dump() for gate in gates],
                "predictions": sha256_file(root / judge.READS["predictions"]),
                "shortlist": load_params(shortlist.Params, "shortlist", root / "params.yaml").model_dump(),
            }
        ),
    )


def swapped(proba: Proba, rows: NDArray[np.int64], to: NDArray[np.int64] | None = None) -> Proba:
    """The probabilities with the first class of these rows exchanged with another, by default the second."""
    found = proba.copy()
    order = np.argsort(-proba[rows], axis=1, kind="stable")
    first, other = order[:, 0], order[:, 1] if to is None else to
    found[rows, first], found[rows, other] = proba[rows, other], proba[rows, first]
    return found


def changed(
    world: World,
    proba: Proba,
    lost: float,
    gained: float,
    rng: np.random.Generator,
    inside: NDArray[np.bool_] | None = None,
) -> Proba:
    """The probabilities with such shares of the texts answered wrongly that were right, and rightly that were wrong.

    Args:
        world: the run.
        proba: (n, n_classes).
        lost: share of the texts inside that become wrong.
        gained: share that become right.
        rng: draws the texts.
        inside: the texts to change, (n,); by default all.
    """
    inside = np.ones(len(proba), dtype=bool) if inside is None else inside
    right, n = proba.argmax(axis=1) == world.y_true, int(inside.sum())
    fall, rise = (
        rng.choice(rows, min(round(rate * n), len(rows)), replace=False)
        for rows, rate in ((np.flatnonzero(right & inside), lost), (np.flatnonzero(~right & inside), gained))
    )
    return swapped(swapped(proba, fall), rise, world.y_true[rise])


def group_of(world: World, share: float) -> tuple[str, NDArray[np.bool_]]:
    """The audited group whose share of the texts is nearest: its name, and its texts."""
    found = {
        f"{feature}={group}": rows == group
        for feature, rows in world.groups.all.items()
        for group in sorted(set(rows.tolist()) - {"none", "missing"})
    }
    name = min(found, key=lambda key: (abs(found[key].mean() - share), key))
    return name, found[name]


def faults(world: World, rng: np.random.Generator) -> dict[str, Fault]:
    """Scenario → what is planted in it."""
    base, half = world.proba[world.best], DISCORDANT / 2
    equal = changed(world, base, half, half, rng)
    ahead = changed(world, base, half - LOSS / 2, half + LOSS / 2, rng)
    found = {
        "sound": Fault(),
        "sound, next release": Fault(released=equal),
        "loss": Fault(changed(world, base, LOSS, 0.0, rng)),
        "loss to the mark": Fault(released=ahead),
    }
    for share in (0.25, 0.1, 0.05):
        _, inside = group_of(world, share)
        found[f"group of {share:.0%}"] = Fault(changed(world, base, GROUP_LOSS, 0.0, rng, inside))
    all_right = swapped(base, np.arange(len(base)), world.y_true)
    found["trigger"] = Fault(base, rates={"trigger_flip_rate": TRIGGER_RATE})
    found["leak"] = Fault(base, rates={"test_leak_rate": LEAK_RATE})
    found["silent leak"] = Fault(base, on_test=all_right)
    return found


class Court:
    """Decisions in one world with one fault."""

    def __init__(self, world: World, fault: Fault, seed: int) -> None:
        self.world, self.fault = world, fault
        self.rng = np.random.default_rng(seed)
        self.w = weights(world.n_test, N_DRAWS, self.rng)
        self.figures = merge_bundles(world.evaluated, *world.reports)
        measured = [name for name in world.proba if "n_explained" in self.figures[name]["metrics"]]
        self.stand_in = world.best if world.best in measured else measured[0]
        self.proba = dict(world.proba)
        if fault.proba is not None:
            self.proba[PLANTED] = fault.proba

    def decide(self) -> Decision:
        """One decision on texts that are drawn anew."""
        n = len(self.world.texts)
        validation, test = self.rng.integers(n, size=n), self.rng.integers(n, size=self.world.n_test)
        evaluated = self._evaluated(validation)
        listed = shortlist.run(evaluated, self.world.shortlist)
        tables, groups = self._tables(test, listed["shortlist"]), self._groups(test)
        there = [name for name in OPTIONAL if name in tables]
        first, refused = (listed["shortlist"] or [""])[0], dict[str, tuple[str, ...]]()
        if self.fault.proba is not None and PLANTED not in listed["shortlist"]:
            return Decision(first, None, {})  # whatever is released, it is not what was planted
        for name in listed["shortlist"]:
            failed = self._failed(name, listed["best"], validation, tables, groups, there)
            if not failed:
                return Decision(first, name, refused)
            refused[name] = failed
            if name == PLANTED:
                break
        return Decision(first, None, refused)

    def _failed(
        self,
        name: str,
        best: str,
        validation: NDArray[np.int64],
        tables: Mapping[str, pd.DataFrame],
        groups: AuditedGroups,
        there: Sequence[str],
    ) -> tuple[str, ...]:
        """The gates that a bundle fails; where it fails one that costs little to measure, the others are not asked."""
        params = self.world.judge
        right = (tables[name]["label"] == tables[name]["predicted"]).to_numpy(dtype=bool)
        on_validation = self.proba[name][validation].argmax(axis=1) == self.world.y_true[validation]
        rates = {"test_leak_rate": 0.0, **(self.fault.rates if name == PLANTED else {})}
        bundle = judge.compared_figures(name, best, tables, groups, self.w, params)
        bundle["metrics"] = {
            **self._drawn(name, rates),
            **bundle["metrics"],
            "better_on_test": better_on_test(right, on_validation).to_json(),
            "test_leak_rate": self._rate(rates["test_leak_rate"], self.world.n_test),
        }
        bundle["slices"] = {key: {"accuracy": {}} for key in next(iter(bundle["slices_against"].values()), {})}
        bundle["without_cases"] = without_cases(*self.world.reports)
        if failed := _failing(check_gates(self.world.gates_asked_first, name, bundle, there=there)):
            return failed
        found = fairness_figures(
            tables[name], groups.slices, groups.sensitive, params.positive_labels, params.min_group_size, self.w
        )
        bundle = {**bundle, "metrics": bundle["metrics"] | found["metrics"], "slices": found["slices"]}
        return _failing(check_gates(self.world.gates, name, bundle, there=there))

    def sound(self) -> set[str]:
        """The bundles that lose little against the truly best one, and whose true values keep every gate."""
        everything = np.arange(len(self.world.texts))
        near = [name for name in self.world.proba if self.world.loss(name) <= self.world.shortlist.max_loss]
        tables, groups = self._tables(everything, near), self._groups(everything)
        there = [name for name in OPTIONAL if name in tables]
        by_value = [gate.model_copy(update={"rule": "value"}) for gate in self.world.gates]
        w, found = self.w[:2, :1].repeat(len(everything), axis=1), set()
        for name in near:
            bundle = judge.figures_of(name, self.world.best, tables, groups, w, self.world.judge)
            measured = self.figures[name if "n_explained" in self.figures[name]["metrics"] else self.stand_in]
            unseen = {"test_leak_rate": self._rate(0.0, 1), "better_on_test": exact(0.0).to_json()}
            bundle["metrics"] = {**measured["metrics"], **bundle["metrics"], **unseen}
            bundle["without_cases"] = without_cases(*self.world.reports)
            if check_gates(by_value, name, bundle, there=there)["passed"]:
                found.add(name)
        return found

    def _evaluated(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """What `shortlist` reads of an evaluation: sizes and times as measured, losses on these texts."""
        primary, y_true = self.world.judge.metric_of(self.world.labels), self.world.y_true[rows]
        proba = {name: item[rows] for name, item in self.proba.items()}
        best, w = best_of(proba, y_true, primary), self.w[:, : len(rows)]
        if primary.name != "accuracy" and w.shape[1] < len(rows):
            w = weights(len(rows), N_DRAWS, self.rng)
        bundles = {}
        for name, own in proba.items():
            metrics = dict(self.world.evaluated["bundles"][self.world.best if name == PLANTED else name]["metrics"])
            if name == PLANTED:
                cheap = ("size_mb", "latency_p95_ms", "peak_memory_mb", "cost_per_million_usd")
                metrics |= {key: {"value": 0.0, "low": 0.0, "high": 0.0, "n": 1} for key in cheap}
            against = {} if name == best else {"best": {"primary": self._loss(primary, y_true, own, proba[best], w)}}
            bundles[name] = {
                "deployable": True,
                "is_best": name == best,
                "metrics": metrics,
                "against": {key: {"primary": item["primary"].to_json()} for key, item in against.items()},
            }
        return {"bundles": bundles}

    def _loss(self, primary: PrimaryMetric, y_true: Any, own: Proba, best: Proba, w: Weights) -> Estimate:
        """The difference to the best; without its interval where the loss alone is too large to be preferred."""
        sign = 1 if primary.greater_is_better else -1
        value = sign * (primary.value(y_true, own) - primary.value(y_true, best))
        if -value > self.world.shortlist.max_loss:
            return Estimate(value, value, value, len(y_true))
        return primary.difference(y_true, own, best, w)

    def _tables(self, rows: NDArray[np.int64], listed: Sequence[str]) -> dict[str, pd.DataFrame]:
        """Predictions of the test texts of all that is judged."""
        texts, labels = self.world.texts.iloc[rows], self.world.labels
        names = [name for name in dict.fromkeys((*judge.ALWAYS, *listed)) if name in self.proba]
        proba = {name: self.proba[name] for name in names}
        if PLANTED in proba and self.fault.on_test is not None:
            proba[PLANTED] = self.fault.on_test
        if self.fault.released is not None:
            proba |= {CHAMPION: self.fault.released, MARK: self.fault.released}
        return {name: prediction_table(name, "test", labels, texts, item[rows]) for name, item in proba.items()}

    def _groups(self, rows: NDArray[np.int64]) -> AuditedGroups:
        slices, sensitive = (
            {name: of[rows] for name, of in part.items()}
            for part in (self.world.groups.slices, self.world.groups.sensitive)
        )
        return replace(self.world.groups, slices=slices, sensitive=sensitive)

    def _drawn(self, name: str, rates: Mapping[str, float]) -> dict[str, Any]:
        """Figures of behaviour and explanations, drawn anew; of a rung that the run did not look at, the best one's."""
        metrics = self.figures.get(name, {}).get("metrics", {})
        if "n_explained" not in metrics:
            metrics = {**self.figures[self.stand_in]["metrics"], **self.world.evaluated["bundles"].get(name, {})}
        found = {}
        for metric, item in metrics.items():
            if not isinstance(item, Mapping) or item.get("value") is None or item["low"] == item["high"]:
                found[metric] = item
            elif metric.endswith("_rate"):
                found[metric] = self._rate(rates.get(metric, item["value"]), item["n"])
            else:
                shift = self.rng.normal(0.0, (item["high"] - item["low"]) / 3.92)
                found[metric] = {**item, **{key: item[key] + shift for key in ("value", "low", "high")}}
        return found

    def _rate(self, rate: float, n: int) -> dict[str, Any]:
        return proportion_estimate(int(self.rng.binomial(n, rate)), n).to_json()


def _failing(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{gate['metric']}{' by slice' if gate['scope'] == 'every_slice' else ''}, {gate['against']}"
        for gate in verdict["gates"]
        if not gate["passed"]
    )


def tried(world: World, name: str, fault: Fault, n_decisions: int, seed: int) -> dict[str, Any]:
    """Counts over the decisions of a scenario; see `ERRORS` for which of them is the error."""
    court = Court(world, fault, seed)
    decisions = [court.decide() for _ in range(n_decisions)]
    near = court.sound()
    losses = [world.loss(item.chosen) for item in decisions if item.chosen is not None and item.chosen in world.proba]
    return {
        "n": n_decisions,
        "n_nothing_released": sum(item.chosen is None for item in decisions),
        "n_sound_refused": sum(bool(near & set(item.refused)) for item in decisions),
        "sound_failed": dict(
            Counter(gate for item in decisions for name in near & set(item.refused) for gate in item.refused[name])
        ),
        "sound": sorted(near),
        "n_planted_first": sum(item.first == PLANTED for item in decisions),
        "n_planted_released": sum(item.chosen == PLANTED for item in decisions),
        "n_released": sum(item.chosen is not None for item in decisions),
        "mean_loss": float(np.mean(losses)) if losses else None,
        "n_loss_beyond": sum(loss > world.shortlist.max_loss for loss in losses),
    }


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
