"""The simulated rule is the gate that decides, and losses are counted against the best release so far."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.release_chain import RULES, Drift, State, Texts, chain, table
from ratchet.gates.gates import check_gate, mark_gate
from ratchet.measure.significance import discordant, paired_difference

NEVER_WORSE = Drift(0.0, 0.0, 1)


def test_the_rule_is_the_gate_of_the_high_water_mark() -> None:
    texts, passed = Texts(400, np.random.default_rng(0)), []
    mark = texts.right(0.8)
    for accuracy in np.linspace(0.7, 0.9, 21):
        own = texts.right(accuracy)
        figure = paired_difference(discordant(own, mark)).to_json()
        gate = check_gate(
            mark_gate(0.06), "a", {"against": {"high_water_mark": {"primary": figure}}}, there={"high_water_mark"}
        )
        by_rule = RULES["ratchet"][1](own, State(own, mark, 0.8), 0.06)  # against itself as champion nothing is harm
        passed.append((gate.passed, by_rule))
    agreeing = [a == b for a, b in passed]
    assert sum(agreeing) >= 20, (
        "the gate stretches the 95 % interval, the rule takes the score test at the level itself"
    )
    assert {True, False} == {gate for gate, _ in passed}


def test_equal_candidates_lose_nothing_and_without_a_rule_small_losses_add_up() -> None:
    kept = chain(RULES["ratchet"][1], NEVER_WORSE, 300, 20, 0.035, 0)
    assert kept.worst_loss == 0
    lost = chain(lambda *_: True, Drift(-0.005, 0.0, 1), 300, 20, 0.035, 0)
    assert lost.n_released == 20
    assert lost.worst_loss == pytest.approx(0.1)
    assert kept.n_sound >= 1


def test_the_table_has_a_row_a_rule_and_a_trend() -> None:
    item = {
        "n_kept": 2,
        "worst_loss_median": 0.01,
        "worst_loss_95": 0.02,
        "n_released_mean": 19.5,
        "n_sound": 0,
        "n_sound_refused": 0,
    }
    from benchmarks.release_chain import DRIFTS

    rules = {name: dict.fromkeys(DRIFTS, item) for name in RULES}
    told = table(
        {
            "max_total_loss": 0.035,
            "n_chains": 2,
            "n_test": 300,
            "max_openings": 20,
            "discordant_rate": 0.1,
            "rules": rules,
        }
    )
    assert told.count("| 2 of 2 | 1.0, 2.0 | 19.5 | none came |") == len(RULES) * len(DRIFTS)
