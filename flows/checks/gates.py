"""The gates of `promote`: metrics that nobody measures, gates that no data can fill or that exclude each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from flows.checks.cases import read_suites
from flows.checks.finding import Finding, error, unknown, warning
from flows.checks.names import LEXICON
from flows.checks.project import POLICY, Project

Need = Callable[[Project], str]
"""Why the project has nothing that the metric could be measured on; empty: it has."""


def check_gates(project: Project) -> list[Finding]:
    """Every contradiction of every gate."""
    promote: Any = project.blocks.get("promote")
    if promote is None:
        return []
    found: list[Finding] = []
    for place, gate in enumerate(promote.gates):
        where = project.param("promote", "gates", place)
        found += _unknown_metric(gate, where) or _out_of_range(gate, where) + _unfilled(project, gate, where)
    return found + _twice(project, promote.gates) + _required(project, promote.gates)


def _nothing(_: Project) -> str:
    return ""


def _selected(project: Project) -> str:
    return "" if project.task is None or project.task.selected else "task.selected names no class"


def _people(project: Project) -> str:
    audit: Any = project.blocks.get("audit")
    if audit is None or audit.columns or audit.attributes:
        return ""
    return "audit.columns and audit.attributes name nobody whose groups could be compared"


def _selected_people(project: Project) -> str:
    return _selected(project) or _people(project)


def _swaps(project: Project) -> str:
    lexicon = project.yaml(LEXICON) if (project.root / LEXICON).is_file() else {}
    return "" if lexicon.get("swaps") or lexicon.get("templates") else f"{LEXICON} has neither swaps nor templates"


def _transfer(project: Project) -> str:
    split: Any = project.blocks.get("split")
    if split is None or (split.train_sources and split.n_transfer):
        return ""
    return "no text of another domain is kept: split.train_sources is empty, or split.n_transfer is 0"


def _cases_of(kind: str) -> Need:
    def need(project: Project) -> str:
        tests = [test for suite in read_suites(project, []).values() for test in suite.tests.values()]
        fitting = [test for test in tests if test.kind == kind and (not test.label or test.label in project.classes)]
        return "" if fitting or not project.classes else f"data/behaviour has no test of kind {kind} for these classes"

    return need


def _challenge(key: str) -> Need:
    def need(project: Project) -> str:
        challenge: Any = project.blocks.get("challenge")
        return "" if challenge is None or getattr(challenge, key) else f"challenge.{key} is 0"

    return need


EVALUATE: Mapping[str, Need] = {
    **dict.fromkeys(("primary", "accuracy", "macro_f1", "ece"), _nothing),
    **dict.fromkeys(("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"), _nothing),
    **dict.fromkeys(("latency_long_p50_ms", "latency_long_p95_ms", "throughput_per_s", "cold_start_s"), _nothing),
    **dict.fromkeys(("size_mb", "peak_memory_mb", "cost_per_million_usd"), _nothing),
    **dict.fromkeys(("energy_per_thousand_j", "energy_estimate_per_thousand_j"), _nothing),
    "transfer_accuracy": _transfer,
    "weak_slice_accuracy": _nothing,
    "contrast_accuracy": _challenge("max_contrast"),
    "contrast_consistency": _challenge("max_contrast"),
    "invariance_violation_rate": _challenge("max_invariance"),
}
AUDIT: Mapping[str, Need] = {
    **dict.fromkeys(("worst_slice_accuracy", "accuracy_gap", "accuracy_at_80_coverage"), _nothing),
    "selection_rate_difference": _selected,
    "equalized_odds_difference": _nothing,
    **dict.fromkeys(("demographic_parity_difference", "demographic_parity_ratio"), _selected_people),
    "sensitive_equalized_odds_difference": _people,
    "sensitive_accuracy_gap": _people,
    "calibration_gap": _people,
    "other_domain_auroc": _transfer,
}
BEHAVE: Mapping[str, Need] = {
    **{f"{kind}_failure_rate": _cases_of(kind) for kind in ("minimum", "negation", "invariance", "direction")},
    "counterfactual_flip_rate": _swaps,
    "counterfactual_gap": _swaps,
    "trigger_flip_rate": _nothing,
}
JUDGE: Mapping[str, Need] = dict.fromkeys(("test_leak_rate", "better_on_test"), _nothing)
"""Beside quality and fairness, which it measures as `evaluate` and `audit` do."""
EXPLAIN: Mapping[str, Need] = dict.fromkeys(
    (
        "n_explained",
        "additivity_error",
        "shap_difference",
        "faithfulness_gain",
        "sufficiency_gain",
        "attribution_agreement",
        "attribution_stability",
        "gradient_agreement",
        "gradient_faithfulness_gain",
        "gradient_convergence_delta",
    ),
    _nothing,
)
METRICS: Mapping[str, Need] = {**EVALUATE, **AUDIT, **BEHAVE, **EXPLAIN, **JUDGE}
"""Every metric that a report holds of a bundle → what it needs. A new one is a line here; a test holds the reports
against it."""
COMPARED = (
    "primary",
    "accuracy",
    "mcnemar_p",
    "macro_f1",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_long_p95_ms",
    "cost_per_million_usd",
    "size_mb",
    "peak_memory_mb",
)
"""Metrics that `evaluate` compares with another bundle's."""
QUALITY = ("primary", "accuracy", "mcnemar_p", "macro_f1")
"""Those that it compares with a constant answer, which takes no time and no space."""
BY_SLICE = {
    "absolute": ("primary", "accuracy", "overconfidence"),
    **dict.fromkeys(("baseline", "teacher", "champion", "high_water_mark", "best"), ("accuracy",)),
}
"""Reference → metrics that are known of every slice, beside the rates of selected classes."""
WITHIN = {
    name: (0.0, 1.0)
    for name in METRICS
    if name.endswith(("accuracy", "_rate", "_f1", "_difference", "_ratio", "_consistency", "auroc")) or name == "ece"
}
"""Metric → what no figure of it is below or above."""


def _unknown_metric(gate: Any, where: object) -> list[Finding]:
    """The metric is one that some stage measures of what the gate is about."""
    if gate.scope == "every_slice":
        known = BY_SLICE.get(gate.against, ())
        rates = ("selection_rate_", "true_positive_rate_", "false_positive_rate_")
        if gate.metric in known or (gate.against == "absolute" and gate.metric.startswith(rates)):
            return []
        what = f"No stage measures this metric of every slice against {gate.against}: no data can fill the gate."
        return [unknown(what, where, gate.metric, known, "name another metric, reference or scope")]
    if gate.against != "absolute":
        known = QUALITY if gate.against == "majority" else COMPARED
        if gate.metric in known:
            return []
        what = f"No stage compares this metric with the {gate.against}'s: no data can fill the gate."
        return [unknown(what, where, gate.metric, known, "name another metric, or set against: absolute")]
    if gate.metric in METRICS:
        return []
    what = "No stage measures this metric: no data can fill the gate."
    return [unknown(what, where, gate.metric, METRICS, "name another metric, or delete the gate")]


def _out_of_range(gate: Any, where: object) -> list[Finding]:
    """A bound that no figure can keep."""
    low, high = WITHIN.get(gate.metric, (-math.inf, math.inf)) if gate.against == "absolute" else (-math.inf, math.inf)
    beyond = gate.bound > high if gate.comparison == "at_least" else gate.bound < low
    if not beyond:
        return []
    return [
        error(
            f"No figure of {gate.metric} can keep this bound.",
            where,
            got=f"{gate.comparison} {gate.bound:g}",
            expected=f"a bound between {low:g} and {high:g}",
            fix="correct the bound",
        )
    ]


def _unfilled(project: Project, gate: Any, where: object) -> list[Finding]:
    """A gate whose metric this project has nothing to measure on. A gate that waives would never judge anything."""
    reason = METRICS.get(gate.metric, _nothing)(project)
    if not reason:
        return []
    waived = gate.when_undefined == "waive" and gate.scope == "bundle"
    return [
        (warning if waived else error)(
            f"No data can fill the gate on {gate.metric}" + (": it will be waived in every run." if waived else "."),
            where,
            got=reason,
            expected="something to measure the metric on",
            fix="add what is missing, or delete the gate",
        )
    ]


def _twice(project: Project, gates: list[Any]) -> list[Finding]:
    """Two gates that ask the same thing, of which one can never decide anything; or opposite things."""
    found = []
    same = Counter((item.metric, item.scope, item.against, item.comparison, item.rule) for item in gates)
    bounds: dict[tuple[str, str, str, str], float] = {}
    for place, gate in enumerate(gates):
        where, key = project.param("promote", "gates", place), (gate.metric, gate.scope, gate.against)
        if same[(*key, gate.comparison, gate.rule)] > 1:
            what, fix = "Two gates ask the same of the same metric.", "keep the one that is meant"
            told = f"{gate.metric}, {gate.scope}, {gate.against}, {gate.comparison} {gate.bound:g}"
            found.append(error(what, where, got=told, expected="each gate once", fix=fix))
        bounds[(*key, gate.comparison)] = gate.bound
        low, high = bounds.get((*key, "at_least")), bounds.get((*key, "at_most"))
        if low is not None and high is not None and low > high:
            what = f"No bundle can pass both gates on {gate.metric}."
            told = f"at_least {low:g} and at_most {high:g}"
            found.append(error(what, where, got=told, expected="bounds with something between them", fix="correct one"))
    return found


def _required(project: Project, gates: list[Any]) -> list[Finding]:
    """What policy.yaml requires to be gated is gated."""
    gated = {gate.metric for gate in gates}
    required = project.yaml(POLICY).get("required_gates", []) if (project.root / POLICY).is_file() else []
    return [
        error(
            "The policy requires a gate that promote does not have: no release would hold.",
            project.at(POLICY, "required_gates", place),
            got=name,
            expected=f"one of the gated metrics: {', '.join(sorted(gated))}",
            fix="add the gate to promote.gates, or change the policy",
        )
        for place, name in enumerate(required if isinstance(required, list) else [])
        if name not in gated
    ]
