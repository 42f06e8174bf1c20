"""Evidence on a challenger from the log, and the guardrails that stop it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ratchet.errors import ParamsError
from ratchet.experiments.evidence import (
    ShadowEvidence,
    SplitEvidence,
    shadow_evidence,
    split_evidence,
    unlabeled_disagreements,
)
from ratchet.experiments.guardrails import GuardrailParams, guards, open_groups, stopping_guards
from ratchet.experiments.rollout import RolloutParams, Step, judge
from ratchet.trust.lexicons import Lexicon
from tests.support.films import PATTERNS

NOON = pd.Timestamp("2026-01-01T12:00:00Z")
PARAMS = GuardrailParams(
    alpha=0.05,
    slow_ms=100.0,
    max_failed_increase=0.01,
    max_slow_increase=0.05,
    max_complaint_increase=0.03,
    features=["length", "negation"],
    attributes=[],
    length_edges=[3, 6],
    max_group_loss=0.1,
)
EMPTY = pd.DataFrame(columns=["request_id", "timestamp", "kind", "value", "label"])


def row(request: int, arm: str, predicted: str | None = "a", **changes: Any) -> dict[str, Any]:
    return {
        "timestamp": NOON + pd.Timedelta(seconds=request),
        "request_id": f"r{request}",
        "text": "a film",
        "predicted": predicted,
        "latency_ms": 5.0,
        "status": 200,
        "arm": arm,
        "experiment": "x:y",
        **changes,
    }


def both(request: int, champion: str, challenger: str | None, **changes: Any) -> list[dict[str, Any]]:
    return [row(request, "champion", champion), row(request, "shadow", challenger, **changes)]


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def test_pairs_are_of_requests_that_both_answered() -> None:
    log = frame(
        *both(0, "a", "a"),
        *both(1, "a", "b"),
        *both(2, "a", "b"),
        *both(3, "a", "b"),
        *both(4, "b", "b"),
        row(5, "champion"),
        row(6, "shadow"),
        row(7, "champion", None, status=429),
        *both(8, "a", "c"),
    )
    seen = shadow_evidence(log, {"r1": "b", "r2": "a", "r3": "c", "r8": "c"}, 100.0).frame
    assert seen["request_id"].tolist() == ["r0", "r1", "r2", "r3", "r4", "r8"]
    assert seen["good"].tolist() == [0.0, 1.0, -1.0, 0.0, 0.0, 1.0]


def test_disagreements_that_still_wait_for_judges_are_not_looked_at() -> None:
    log = frame(*both(0, "a", "a"), *both(1, "a", "b"), *both(2, "a", "b"), *both(3, "a", "a"), *both(4, "a", "b"))
    seen = shadow_evidence(log, {"r2": "b"}, 100.0).frame
    assert seen["request_id"].tolist() == ["r0", "r1", "r2"]
    np.testing.assert_array_equal(seen["good"], [0.0, np.nan, 1.0])
    assert shadow_evidence(log, {}, 100.0).frame.empty
    assert len(shadow_evidence(log.iloc[:2], {}, 100.0).frame) == 1  # agreement needs no judge


def test_people_are_asked_about_disagreements_that_nobody_judged_each_text_once() -> None:
    log = frame(
        *both(0, "a", "a"),
        *both(3, "a", "b"),
        *both(1, "a", "b"),
        *both(2, "b", "a"),
        *both(4, "a", "b"),
        *both(5, "a", None, status=500),
    )
    log["text"] = log["request_id"].map({"r0": "0", "r1": "1", "r2": "2", "r3": "3", "r4": "3", "r5": None})
    assert unlabeled_disagreements(log, {"r2": "a"})["text"].tolist() == ["1", "3"]


def test_a_shadow_that_fails_or_is_slow_counts_against_it() -> None:
    log = frame(
        *both(0, "a", None, status=500),
        *both(1, "a", "a", latency_ms=300.0),
        row(2, "champion", None, status=500),
        row(2, "shadow", "a"),
    )
    seen = shadow_evidence(log, {"r0": "a", "r2": "a"}, 100.0).frame
    assert seen["failed"].tolist() == [1.0, 0.0, -1.0]
    assert seen["slow"].tolist() == [0.0, 1.0, 0.0]
    assert seen["good"].tolist() == [-1.0, 0.0, 1.0]


def test_a_split_counts_the_first_answer_of_each_unit_once_users_had_time_to_complain() -> None:
    log = frame(
        row(0, "champion"),
        row(1, "challenger"),
        row(2, "challenger", None, status=500),
        row(3, "challenger", latency_ms=300.0),
        row(4, "champion", None, status=429),
        row(60, "champion"),
    )
    feedback = pd.DataFrame([{"request_id": "r1", "timestamp": NOON, "kind": "thumb", "value": 0.0, "label": None}])
    evidence = split_evidence(log, feedback, 0.5, 100.0, delay_s=30.0)
    seen, arms = evidence.frame, evidence.satisfaction()
    assert [arms[arm]["complaint_rate"]["value"] for arm in ("champion", "challenger")] == [0.0, 1 / 3]
    assert [arms[arm]["n_with_feedback"] for arm in ("champion", "challenger")] == [0, 1]
    assert seen["request_id"].tolist() == ["r0", "r1", "r2", "r3"]
    assert seen["challenger"].tolist() == [False, True, True, True]
    assert seen["good"].tolist() == [1.0, 0.0, 0.0, 1.0]
    assert seen["failed"].tolist() == [0.0, 0.0, 1.0, 0.0]
    assert seen["slow"].tolist() == [0.0, 0.0, 0.0, 1.0]
    users = log.assign(experiment=[f"x:y#{unit}" for unit in ("ann", "bob", "ann", "bob", "cleo", "ann")])
    assert split_evidence(users, EMPTY, 0.5, 100.0, 0.0).frame["request_id"].tolist() == ["r0", "r1"]


def test_a_request_that_the_champion_answered_in_the_challengers_place_is_the_challengers() -> None:
    log = frame(row(1, "champion"), row(1, "challenger", None, status=500), row(2, "champion"))
    seen = split_evidence(log, EMPTY, 0.5, 100.0, 0.0).frame
    assert seen["challenger"].tolist() == [True, False]
    assert seen["good"].tolist() == [0.0, 1.0]


def _shadow(rng: np.random.Generator, n: int, **changes: Any) -> ShadowEvidence:
    texts = np.where(rng.random(n) < 0.5, "a film", "not a film that one has to see twice")
    columns = {"text": texts, "good": np.zeros(n), "failed": np.zeros(n), "slow": np.zeros(n), **changes}
    return ShadowEvidence(pd.DataFrame(columns))


def test_each_guard_stops_what_it_guards_and_a_harmless_challenger_passes_all() -> None:
    rng = np.random.default_rng(0)
    assert stopping_guards(guards(_shadow(rng, 3000), PARAMS, None, PATTERNS)) == []
    failing = (rng.random(3000) < 0.05).astype(float)
    assert stopping_guards(guards(_shadow(rng, 3000, failed=failing), PARAMS, None, PATTERNS)) == ["failed answers"]
    slow = (rng.random(3000) < 0.15).astype(float)
    assert stopping_guards(guards(_shadow(rng, 3000, slow=slow), PARAMS, None, PATTERNS)) == ["slow answers"]
    seen = _shadow(rng, 3000)
    hurt = seen.frame["text"].str.startswith("not") & (rng.random(3000) < 0.25)
    unfair = ShadowEvidence(seen.frame.assign(good=np.where(hurt, -1.0, 0.0)))
    assert stopping_guards(guards(unfair, PARAMS, None, PATTERNS)) == [
        "good answers, length=long",
        "good answers, negation=yes",
    ]


@pytest.mark.parametrize(("rate", "stopped"), [(0.02, []), (0.12, ["complaints"])])
def test_users_who_complain_more_of_the_challenger_stop_it_though_its_answers_come_and_are_fast(
    rate: float, stopped: list[str]
) -> None:
    rng = np.random.default_rng(5)
    log = frame(*(row(n, "challenger" if n % 2 else "champion") for n in range(6000)))
    unhappy = rng.random(6000) < np.where(np.arange(6000) % 2, rate, 0.02)
    thumbs = [
        {"request_id": f"r{n}", "timestamp": NOON, "kind": "thumb", "value": -1.0, "label": None}
        for n in np.flatnonzero(unhappy)
    ]
    seen = split_evidence(log, pd.DataFrame(thumbs), 0.5, 100.0, 0.0)
    params = PARAMS.model_copy(update={"features": [], "max_group_loss": 1.0})
    assert stopping_guards(guards(seen, params, None, PATTERNS)) == stopped
    assert "complaints" not in [guard.name for guard in guards(_shadow(rng, 50), params, None, PATTERNS)]


def test_harm_at_its_limit_is_seldom_stopped_however_often_one_looks() -> None:
    rng = np.random.default_rng(1)
    n_stopped = 0
    for _ in range(40):
        seen = _shadow(
            rng, 1000, failed=(rng.random(1000) < 0.01).astype(float), slow=(rng.random(1000) < 0.05).astype(float)
        )
        looks = [ShadowEvidence(seen.frame.iloc[:n]) for n in range(200, 1001, 200)]
        n_stopped += any(stopping_guards(guards(look, PARAMS, None, PATTERNS)) for look in looks)
    assert n_stopped <= 5


def test_nothing_seen_stops_nothing_and_says_so() -> None:
    columns = ("text", "challenger", "good", "failed", "slow", "complained")
    empty = SplitEvidence(pd.DataFrame({name: [] for name in columns}), 0.5)
    found = guards(empty, PARAMS, None, PATTERNS)
    assert [guard.name for guard in found] == ["failed answers", "slow answers", "complaints"]
    assert stopping_guards(found) == []
    step = Step(name="half", share=0.5, margin=0.05, min_units=1, max_units=10)
    params = RolloutParams(experiment="e", state="s", alpha=0.05, feedback_delay_s=0.0, steps=[step], guardrails=PARAMS)
    assert judge(step, empty, params, None, PATTERNS).why == "undecided so far: an arm has answered nobody yet"


LEXICON = Lexicon(
    attributes={"gender": {"women": ["she"], "men": ["he"]}, "origin": {"foreign": ["french"]}},
    phrases=[],
    swaps={},
    templates=[],
)
PEOPLE = PARAMS.model_copy(update={"features": [], "attributes": ["gender", "origin"]})


def _of_people(rng: np.random.Generator, n: int, n_foreign: int, **lost: float) -> ShadowEvidence:
    """Texts of each gender's groups in equal parts, lost by the challenger at the rates given by their first word."""
    first = np.resize(["she", "he", "it", "both"], n)
    texts = np.where(first == "both", "he and she", np.char.add(first, " sings"))
    texts = np.where(np.arange(n) < n_foreign, "it is french", texts)
    rates = np.array([lost.get(word, 0.0) for word in first])
    good = np.where(rng.random(n) < rates, -1.0, 0.0)
    return ShadowEvidence(pd.DataFrame({"text": texts, "good": good, "failed": np.zeros(n), "slow": np.zeros(n)}))


def test_a_challenger_is_stopped_by_the_people_it_serves_worse_and_by_no_others() -> None:
    rng = np.random.default_rng(4)
    assert stopping_guards(guards(_of_people(rng, 2400, 600), PEOPLE, LEXICON)) == []
    found = guards(_of_people(rng, 2400, 600, she=0.3), PEOPLE, LEXICON)
    assert stopping_guards(found) == ["good answers, gender=women"]
    assert {guard.name: guard.to_json()["state"] for guard in found}["good answers, gender=men"] == "kept"
    with pytest.raises(ParamsError, match="lexicon"):
        guards(_of_people(rng, 4, 0), PEOPLE, None)


def test_people_of_whom_too_little_was_seen_stop_nothing_and_are_not_taken_for_served_well() -> None:
    """Nobody is foreign at first, and the few later ones, all lost, do not give certainty yet; 40 do."""
    rng = np.random.default_rng(5)
    step = Step(name="shadow", share=0.0, margin=0.05, min_units=100, max_units=10_000)
    params = RolloutParams(experiment="e", state="s", alpha=0.05, feedback_delay_s=0.0, steps=[step], guardrails=PEOPLE)
    unseen = next(guard for guard in guards(_of_people(rng, 2400, 0), PEOPLE, LEXICON) if "foreign" in guard.name)
    assert (np.isnan(unseen.harm.value), unseen.harm.reason) == (True, "no text was seen by both models")
    verdict = judge(step, _of_people(rng, 2400, 0), params, LEXICON, PATTERNS)
    assert verdict.decision == "advance"
    assert verdict.why.endswith("; still open, by group (texts): origin=foreign (0)")
    few, many = _of_people(rng, 2400, 4), _of_people(rng, 2400, 40)
    for seen, n in ((few, 4), (many, 40)):
        seen.frame.loc[seen.frame.index < n, "good"] = -1.0
    assert open_groups(guards(few, PEOPLE, LEXICON)) == ["origin=foreign (4)"]
    assert stopping_guards(guards(many, PEOPLE, LEXICON)) == ["good answers, origin=foreign"]


@pytest.mark.parametrize(("gain", "decision"), [(0.0, "advance"), (-0.2, "roll_back"), (-0.05, "stay")])
def test_a_step_decides_by_which_side_of_the_margin_the_interval_lies(gain: float, decision: str) -> None:
    step = Step(name="shadow", share=0.0, margin=0.05, min_units=100, max_units=10_000)
    params = RolloutParams(
        experiment="e",
        state="s",
        alpha=0.05,
        feedback_delay_s=0.0,
        steps=[step],
        guardrails=PARAMS.model_copy(update={"max_group_loss": 1.0}),
    )
    rng = np.random.default_rng(2)
    good = np.where(rng.random(1000) < abs(gain), np.sign(gain), 0.0)
    assert judge(step, _shadow(rng, 1000, good=good), params, None, PATTERNS).decision == decision
    # the same evidence before enough was seen, and after all that may be seen
    assert judge(
        step.model_copy(update={"min_units": 2000}), _shadow(rng, 1000, good=good), params, None, PATTERNS
    ).decision in (
        "stay",
        "roll_back" if decision == "roll_back" else "stay",
    )
    last = step.model_copy(update={"max_units": 1000})
    undecided = judge(last, _shadow(rng, 1000, good=good), params, None, PATTERNS)
    assert undecided.decision == ("advance" if decision == "advance" else "roll_back")
    assert judge(last, _shadow(rng, 1000, good=good), params, None, PATTERNS, proved=True).decision == decision
