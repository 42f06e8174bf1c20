"""Reports as Git keeps them: rounded as their intervals allow, one figure a line, without what a machine measures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.files import read_json
from ratchet.gates.measured_reports import read_known, read_whole
from ratchet.measure.machine_figures import difference, drop, merge
from ratchet.measure.report_files import report_text, rounded, write_report

SCALARS = st.none() | st.booleans() | st.integers(-99, 99) | st.sampled_from(["x", "y"])
KEYS = st.sampled_from(["accuracy", "bundles", "cold_start_s", "costs", "gates", "seconds"])
REPORTS = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)),
    max_size=5,
)


@given(REPORTS)
def test_the_two_parts_of_a_report_are_the_report(report: dict[str, Any]) -> None:
    kept = drop(report)
    assert merge(kept, difference(report, kept)) == report
    assert "cold_start_s" not in json.dumps(kept)
    assert drop(kept) == kept


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e3))
def test_rounding_moves_no_figure_by_more_than_a_twentieth_of_its_half_width(value: float, half: float) -> None:
    found = rounded({"value": value, "low": value - half, "high": value + half, "n": 9})
    assert abs(found["value"] - value) <= 0.05 * half * (1 + 1e-6) + math.ulp(abs(value) + half)
    assert found["low"] <= found["value"] <= found["high"]


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        ((0.793456, 0.769, 0.817), (0.793, 0.769, 0.817)),  # half-width 0.024: three decimals
        ((1234.567, 1100.0, 1370.0), (1230.0, 1100.0, 1370.0)),
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ((39.8158163, 39.8158163, 39.8158163), (39.816, 39.816, 39.816)),  # without an interval: five digits
        ((-0.00001, -0.03, 0.03), (0.0, -0.03, 0.03)),  # and no minus before nothing
        ((None, None, None), (None, None, None)),
    ],
)
def test_figures_have_the_digits_that_their_intervals_support(
    estimate: tuple[float | None, ...], expected: tuple[float | None, ...]
) -> None:
    found = rounded(dict(zip(("value", "low", "high"), estimate, strict=True)) | {"n": 900})
    assert (found["value"], found["low"], found["high"]) == expected
    assert str(found["value"]) != "-0.0"


def test_a_figure_that_moves_changes_one_line() -> None:
    figures = {
        name: {"value": at, "low": at - 0.02, "high": at + 0.02, "n": 9} for name, at in (("a", 0.8), ("b", 0.7))
    }
    report = {"bundles": figures, "labels": ["yes", "no"]}
    before = report_text(report).splitlines()
    figures["b"]["value"] = 0.71
    after = report_text(report).splitlines()
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
    assert json.loads(report_text(report)) == rounded(report)


def test_what_the_machine_measured_is_put_back_where_it_is_at_hand(tmp_path: Path) -> None:
    report = {"accuracy": 0.8, "cold_start_s": 1.23456789}
    path, beside = tmp_path / "reports/evaluate.json", tmp_path / "measurements/evaluate.json"
    write_report(path, report, beside)
    assert read_json(path) == read_known(path, tmp_path / "nowhere.json") == {"accuracy": 0.8}
    assert read_whole(path, beside) == read_known(path, beside) == report
