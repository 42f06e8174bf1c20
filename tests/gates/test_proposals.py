"""Proposed gates: only what the data can answer, every metric known, and nothing lost in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flows.checks.gates import BY_SLICE, COMPARED, METRICS, QUALITY
from ratchet.gates.proposals import KINDS, Facts, not_asked, propose_gates
from ratchet.params import read_yaml

ROOT = Path(__file__).parents[2]
BARE = Facts(n_classes=77)
FULL = Facts(2, True, True, True, True, frozenset(KINDS))


def metrics(facts: Facts) -> set[str]:
    return {gate.metric for gate, _ in propose_gates(facts)}


@pytest.mark.parametrize("facts", [BARE, FULL])
def test_every_gate_asks_for_what_some_stage_measures_once(facts: Facts) -> None:
    gates = [gate for gate, _ in propose_gates(facts)]
    for gate in gates:
        known = {"absolute": METRICS, "majority": QUALITY}.get(gate.against, COMPARED)
        assert gate.metric in (BY_SLICE[gate.against] if gate.scope == "every_slice" else known)
    assert len({(gate.metric, gate.scope, gate.against) for gate in gates}) == len(gates)
    assert all(reason for _, reason in propose_gates(facts))


def test_a_task_without_cases_is_asked_for_none_and_the_others_are_named() -> None:
    assert not metrics(BARE) & set(not_asked(BARE))
    assert metrics(BARE) | set(not_asked(BARE)) == metrics(FULL)
    assert not_asked(FULL) == {}
    assert not_asked(BARE)["negation_failure_rate"] == "no negation cases"
    some = replace(BARE, behaviour_kinds={"invariance"}, has_people=True)
    assert {"invariance_failure_rate", "calibration_gap"} <= metrics(some)
    assert not_asked(some)["demographic_parity_ratio"] == "no class counts as selected"


def test_bounds_are_of_the_task_and_not_of_another() -> None:
    bounds = {(gate.metric, gate.against): gate.bound for gate, _ in propose_gates(BARE)}
    assert bounds["worst_slice_accuracy", "absolute"] == 0.01
    assert not {"size_mb", "latency_p95_ms", "cost_per_million_usd"} & metrics(FULL), "efficiency is the aim, no gate"


def test_few_texts_alone_refuse_no_model() -> None:
    """Gates on estimates ask whether harm is shown, but for the floor, which must be shown kept."""
    exact = {"test_leak_rate", "n_explained", "shap_difference", "trigger_flip_rate"}
    strict = {gate.metric for gate, _ in propose_gates(FULL) if gate.rule != "harm"}
    assert strict - exact == {"primary"}
    kept = [gate for gate, _ in propose_gates(FULL) if gate.metric == "primary" and gate.rule == "interval"]
    assert {gate.against for gate in kept} == {"majority"}, (
        "what serves is asked of shown harm, the mark by a gate of its own"
    )


def test_the_policys_required_gates_are_among_them() -> None:
    assert set(read_yaml(ROOT / "policy.yaml")["required_gates"]) <= metrics(BARE)
