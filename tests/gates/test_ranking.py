"""The ranking: smallest, then fastest, then by name; what is within a tie is not told apart by its size or speed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ratchet.gates.ranking import Ties, candidates_in_order, rank, rule_sentence, texts_needed, upper_loss
from ratchet.measure.bootstrap import weights
from ratchet.measure.primary import primary_metric

SIZE_TIE, LATENCY_TIE = 0.1, 0.25
TIES = Ties(SIZE_TIE, LATENCY_TIE, 0.005)
Figures = dict[str, tuple[float | None, float | None]]

figures = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.tuples(st.none() | st.floats(0.1, 1000), st.none() | st.floats(0.1, 1000)),
    max_size=8,
)


def bundles(measured: Figures) -> dict[str, dict[str, Any]]:
    return {
        name: {"metrics": {"size_mb": {"value": size}, "latency_p95_ms": {"value": latency}}}
        for name, (size, latency) in measured.items()
    }


def ranked(measured: Figures) -> list[str]:
    return rank(bundles(measured), "size", TIES)


@given(figures, st.randoms())
def test_order_of_the_input_does_not_matter(measured: Figures, random: Any) -> None:
    items = list(measured.items())
    random.shuffle(items)
    assert ranked(dict(items)) == ranked(measured)


@given(figures)
def test_every_bundle_is_ranked_once(measured: Figures) -> None:
    assert sorted(ranked(measured)) == sorted(measured)


@given(figures)
def test_a_bundle_clearly_smaller_comes_first(measured: Figures) -> None:
    sized = {name: item for name, item in measured.items() if item[0] is not None}
    order = ranked(sized)
    smallest = min((item[0] for item in sized.values() if item[0] is not None), default=0.0)
    for name in order[:1]:
        assert (sized[name][0] or 0.0) <= smallest * (1 + SIZE_TIE)


@given(st.lists(st.floats(0.5, 2.0), min_size=4, max_size=4))
def test_speed_does_not_matter_where_sizes_differ_by_more_than_the_tie(noise: list[float]) -> None:
    latencies = dict(zip("dcba", noise, strict=True))
    sizes = {"d": 10.0, "c": 11.5, "b": 13.0, "a": 40.0}
    assert ranked({name: (sizes[name], latencies[name]) for name in "abcd"}) == ["d", "c", "b", "a"]


@given(st.lists(st.floats(0.9, 1.1), min_size=4, max_size=4))
def test_noise_below_the_tie_changes_nothing(noise: list[float]) -> None:
    true: Figures = {"d": (10.0, 4.0), "c": (10.5, 4.0), "b": (10.9, 8.0), "a": (30.0, 1.0)}
    noisy: Figures = {
        name: (size, (latency or 0.0) * factor)
        for (name, (size, latency)), factor in zip(true.items(), noise, strict=True)
    }
    assert ranked(noisy) == ranked(true) == ["c", "d", "b", "a"]


def test_ties_reach_from_the_smallest_remaining_and_do_not_chain() -> None:
    assert ranked({"c": (10.0, 9.0), "b": (10.9, 5.0), "a": (11.8, 1.0)}) == ["b", "c", "a"]
    assert ranked({"c": (10.0, 4.0), "b": (10.0, 4.9), "a": (10.0, 6.0)}) == ["b", "c", "a"]


def test_the_unmeasured_come_last() -> None:
    assert ranked({"a": (None, 1.0), "b": (5.0, None), "c": (5.0, 9.0), "d": (90.0, 90.0)}) == ["c", "b", "d", "a"]
    assert rank({"a": {}, "b": bundles({"b": (1.0, 1.0)})["b"]}, "size", TIES) == ["b", "a"]


def test_the_sentence_names_both_ties() -> None:
    told = rule_sentence("size", Ties(0.07, 0.3, 0.0), 0.02, 0.8)
    assert "at most 7% larger" in told
    assert "at most 30% slower" in told
    assert "lose at most 0.02 of the primary metric against the best one, at 80% confidence" in told
    assert "at most 0.5 points behind" in rule_sentence("quality", TIES, 0.02, 0.8)


def evaluated(size_mb: float, latency: float, loss: float | None, half: float = 0.0) -> dict[str, Any]:
    """A bundle that loses so much against the best one; None: it is the best."""
    difference = {} if loss is None else {"value": -loss, "low": -loss - half, "high": -loss + half}
    return {
        "is_best": loss is None,
        "against": {"best": {"primary": difference}} if difference else {},
        "metrics": {"size_mb": {"value": size_mb}, "latency_p95_ms": {"value": latency}},
    }


EVALUATED = {
    "teacher": evaluated(90, 30, None),
    "baseline": evaluated(1, 1, 0.10),
    "pruned-onnx-int8": evaluated(15, 4, 0.01),
    "pruned-openvino-int8": evaluated(15.5, 9, 0.01),
    "pruned-bnb-nf4": evaluated(14, 60, math.nan),
    "student": evaluated(60, 12, 0.0),
}


def test_those_that_lose_little_come_first_and_then_the_most_accurate() -> None:
    near = ["pruned-onnx-int8", "pruned-openvino-int8", "student", "teacher"]
    found = candidates_in_order(EVALUATED, 0.015, 0.8, "size", TIES)
    assert found.near == near
    assert found.ranking == [*near, "baseline", "pruned-bnb-nf4"], "what was not measured comes last"
    none_lost = candidates_in_order(EVALUATED, 0.0, 0.8, "size", TIES)
    assert none_lost.near == ["student", "teacher"]
    assert none_lost.ranking[2:4] == near[:2]
    assert candidates_in_order(EVALUATED, 0.5, 0.8, "size", TIES).near == ["baseline", *near]


def test_where_nothing_within_the_limits_is_near_the_best_the_most_accurate_comes_first() -> None:
    within = {name: EVALUATED[name] for name in ("baseline", "pruned-openvino-int8")}
    found = candidates_in_order(within, 0.005, 0.8, "size", TIES)
    assert (found.near, found.ranking) == ([], ["pruned-openvino-int8", "baseline"])


def test_a_loss_that_rests_on_few_texts_is_not_shown_to_be_small() -> None:
    """The bound is on the upper end, so that a lucky draw of validation texts does not make a cheap bundle near."""
    sure, unsure = (evaluated(5, 5, 0.005, half) for half in (0.01, 0.04))
    assert [upper_loss(item, 0.8) <= 0.015 for item in (sure, unsure)] == [True, False]
    assert upper_loss(unsure, 0.5) == 0.005, "at even odds the loss itself"
    found = {"teacher": EVALUATED["teacher"], "sure": sure, "unsure": unsure}
    assert candidates_in_order(found, 0.015, 0.8, "size", TIES).near == ["sure", "teacher"]


def test_by_expected_cost_another_bundle_is_near_the_best_than_by_accuracy() -> None:
    y_true = np.arange(1000) // 900  # a hundred urgent texts
    missing, alarming = y_true.copy(), y_true.copy()
    missing[950:] = 0  # fifty urgent texts are missed,
    alarming[:80] = 1  # or eighty others are called urgent
    proba = {"teacher": np.eye(2)[y_true], "missing": np.eye(2)[missing], "alarming": np.eye(2)[alarming]}
    w = weights(1000, 50, np.random.default_rng(0))

    def near(name: str, max_loss: float) -> list[str]:
        metric = primary_metric(name, ["calm", "urgent"], cost_matrix=[[0, 1], [20, 0]])
        found = {item: evaluated(10, 5, None if item == "teacher" else 0.0) for item in proba}
        for item in ("missing", "alarming"):
            difference = metric.difference(y_true, proba[item], proba["teacher"], w)
            found[item]["against"] = {"best": {"primary": difference.to_json()}}
        return candidates_in_order(found, max_loss, 0.8, "size", TIES).near

    assert near("accuracy", 0.06) == ["missing", "teacher"]
    assert near("expected_cost", 0.5) == ["alarming", "teacher"]


def test_no_number_of_texts_shows_a_loss_that_is_the_bound_itself_or_not_known() -> None:
    at_the_bound, unknown = evaluated(5, 5, 0.015, 0.01), evaluated(5, 5, math.nan)
    assert texts_needed(at_the_bound, 0.015, 0.8) is None
    assert texts_needed(unknown, 0.015, 0.8) is None
    for item in (nearly := evaluated(5, 5, 0.005, 0.04)), (surely := evaluated(5, 5, 0.005, 0.001)):
        item["against"]["best"]["primary"]["n"] = 100
    assert texts_needed(surely, 0.015, 0.8) is None
    needed = texts_needed(nearly, 0.015, 0.8)
    assert needed is not None
    narrower = evaluated(5, 5, 0.005, 0.04 * (100 / needed) ** 0.5)
    assert upper_loss(narrower, 0.8) <= 0.015
