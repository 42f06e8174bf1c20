"""Assignment: sticky, uniform, independent between salts, and moved one way only by a rising share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, kstest

from ratchet.errors import ParamsError
from ratchet.experiments.assignment import OFF, Experiment, assign, read_experiment, unit_fraction, write_experiment

SPLIT = Experiment(
    name="first",
    step="small",
    mode="split",
    share=0.05,
    salt="a salt of the test",
    bundle="models/b",
    manifest_sha256="0" * 64,
)
UNITS = [f"user-{index}" for index in range(20_000)]


@given(unit=st.text(max_size=50), low=st.floats(0.01, 0.95), more=st.floats(0.0, 0.9))
@settings(max_examples=50, deadline=None)
def test_a_unit_keeps_its_arm_and_a_rising_share_sends_none_back(unit: str, low: float, more: float) -> None:
    few = SPLIT.model_copy(update={"share": low})
    many = SPLIT.model_copy(update={"step": "next", "share": min(0.95, low + more)})
    assert assign(unit, few) == assign(unit, Experiment.model_validate_json(few.model_dump_json()))
    if assign(unit, few) == "challenger":
        assert assign(unit, many) == "challenger"


def test_places_are_uniform_and_the_share_is_kept() -> None:
    places = np.array([unit_fraction(unit, SPLIT) for unit in UNITS])
    assert kstest(places, "uniform").pvalue > 0.001
    share = np.mean([assign(unit, SPLIT) == "challenger" for unit in UNITS])
    assert abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / len(UNITS))


@pytest.mark.parametrize("change", [{"salt": "another salt of the test"}, {"name": "second"}])
def test_another_salt_or_name_is_an_independent_assignment(change: dict[str, str]) -> None:
    half = SPLIT.model_copy(update={"share": 0.5})
    other = half.model_copy(update=change)
    ours = np.array([assign(unit, half) == "challenger" for unit in UNITS])
    theirs = np.array([assign(unit, other) == "challenger" for unit in UNITS])
    table = np.array(
        [[np.sum(ours & theirs), np.sum(ours & ~theirs)], [np.sum(~ours & theirs), np.sum(~ours & ~theirs)]]
    )
    assert chi2_contingency(table).pvalue > 0.001


def test_names_and_units_are_kept_apart() -> None:
    one, other = SPLIT.model_copy(update={"name": "a"}), SPLIT.model_copy(update={"name": "ab"})
    assert unit_fraction("bc", one) != unit_fraction("c", other)


def test_what_is_logged_tells_units_apart_and_names_none() -> None:
    logged = [SPLIT.logged(unit) for unit in ("ann", "bob", "ann")]
    assert logged[0] == logged[2] != logged[1]
    assert all(text.startswith("first:small#") and "ann" not in text for text in logged)
    assert SPLIT.model_copy(update={"salt": "another salt of the test"}).logged("ann") != logged[0]
    assert OFF.logged("ann") == ""


def test_nobody_sees_the_challenger_without_a_split() -> None:
    shadow = SPLIT.model_copy(update={"mode": "shadow", "share": 0.0})
    for experiment in (OFF, shadow):
        assert {assign(unit, experiment) for unit in UNITS[:500]} == {"champion"}


@pytest.mark.parametrize(
    "invalid",
    [
        {"share": 0.0},
        {"share": 0.96},
        {"share": float("nan")},
        {"mode": "shadow"},
        {"mode": "off"},
        {"bundle": ""},
        {"manifest_sha256": "12"},
        {"salt": "short"},
        {"name": "Not a name"},
        {"step": "a:b"},
        {"shares": 1},
    ],
)
def test_an_experiment_that_contradicts_itself_is_refused(invalid: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Experiment.model_validate({**SPLIT.model_dump(), **invalid})


def test_the_servers_file_goes_round_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "experiment.json"
    assert read_experiment(path) == OFF
    write_experiment(path, SPLIT)
    assert read_experiment(path) == SPLIT
    path.write_text('{"name": "x"')
    with pytest.raises(ParamsError, match="no experiment"):
        read_experiment(path)
    path.write_text('{"name": "x"}')
    with pytest.raises(ParamsError, match="no experiment"):
        read_experiment(path)
