"""The whole decision again: texts drawn, bundles listed, the test opened, the gates asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.verdict.faults import Fault
from benchmarks.verdict.worlds import N_DRAWS, Proba, World
from pipeline_steps import judge, shortlist
from ratchet.gates.gates import CHAMPION, MARK, OPTIONAL, check_gates
from ratchet.gates.measured_reports import merge_bundles, without_cases
from ratchet.measure.bootstrap import Weights, proportion_estimate, weights
from ratchet.measure.comparison import best_of
from ratchet.measure.estimate import Estimate, exact
from ratchet.measure.prediction_table import prediction_table
from ratchet.measure.primary import PrimaryMetric
from ratchet.trust.audited_groups import AuditedGroups
from ratchet.trust.bundle_audit import fairness_figures
from ratchet.trust.leakage import better_on_test

if TYPE_CHECKING:
    import pandas as pd

PLANTED = "planted"


@dataclass(frozen=True)
class Decision:
    """One decision: what came first on the shortlist, what was released, and which rungs were refused before it."""

    first: str
    chosen: str | None
    refused: Mapping[str, tuple[str, ...]]
    """Rung → the gates that it failed."""


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
