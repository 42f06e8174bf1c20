"""The stage `shortlist`: the ranking by the aim, hard limits with their figures, and who is looked at closely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline_steps import shortlist
from ratchet.errors import ParamsError
from ratchet.files import read_json
from ratchet.measure.report_files import write_report
from ratchet.params import check_params
from tests.support.params import write_params
from tests.support.release_reports import SHORTLIST


def bundle(size: float, latency: float, memory: float, loss: float, *, deployable: bool = True) -> dict[str, Any]:
    values = {"size_mb": size, "latency_p95_ms": latency, "peak_memory_mb": memory}
    metrics: dict[str, Any] = {name: {"value": value} for name, value in values.items()}
    metrics["cost_per_million_usd"] = {"value": latency / 10}
    against = {"best": {"primary": {"value": -loss, "low": -loss - 0.001, "high": -loss + 0.001}}}
    return {"deployable": deployable, "is_best": not loss, "metrics": metrics, "against": against}


EVALUATED = {
    "bundles": {
        "teacher": bundle(90, 20, 500, 0.0),
        "small": bundle(7, 3, 200, 0.01),
        "fast": bundle(20, 1, 150, 0.012),
        "poor": bundle(1, 0.5, 100, 0.1),
        "champion": bundle(7, 3, 200, 0.001, deployable=False),
    }
}


@pytest.mark.parametrize(
    ("aim", "first"),
    [("size", "small"), ("latency", "fast"), ("memory", "fast"), ("cost", "fast"), ("quality", "teacher")],
)
def test_the_aim_orders_those_that_lose_little(aim: str, first: str) -> None:
    report = shortlist.run(EVALUATED, SHORTLIST.model_copy(update={"aim": aim}))
    assert report["shortlist"][0] == first
    assert {first, "teacher"} <= set(report["shortlist"]) <= {"fast", "small", "teacher"}
    assert sorted(report["ranking"]) == ["fast", "poor", "small", "teacher"]
    assert "poor" not in report["near_the_best"]


def test_the_best_is_on_the_shortlist_as_the_last_resort() -> None:
    shortlists = [shortlist.run(EVALUATED, SHORTLIST.model_copy(update={"n_candidates": n})) for n in (1, 2, 3)]
    expected = [["small", "teacher"], ["small", "fast", "teacher"], ["small", "fast", "teacher"]]
    assert [report["shortlist"] for report in shortlists] == expected


def test_a_bundle_beyond_a_limit_is_left_out_with_its_figure() -> None:
    params = SHORTLIST.model_copy(update={"max_memory_mb": 180.0, "max_p95_ms": 15.0})
    report = shortlist.run(EVALUATED, params)
    assert report["over_limits"] == {
        "small": ["peak_memory_mb 200, limit 180"],
        "teacher": ["latency_p95_ms 20, limit 15", "peak_memory_mb 500, limit 180"],
    }
    assert report["shortlist"] == ["fast", "poor"], "and the most accurate of the others"


def test_a_figure_that_was_not_measured_keeps_no_limit() -> None:
    unmeasured = {"bundles": {"a": {"deployable": True, "metrics": {}}}}
    report = shortlist.run(unmeasured, SHORTLIST.model_copy(update={"max_size_mb": 5.0}))
    assert report["over_limits"] == {"a": ["size_mb is not measured, limit 5"]}
    assert report["ranking"] == report["shortlist"] == []


def test_main_writes_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(shortlist.Params, "shortlist", SHORTLIST.model_dump())
    write_report(Path("reports/evaluate.json"), EVALUATED, Path("measurements/evaluate.json"))
    shortlist.main()
    assert read_json(Path("reports/shortlist.json"))["shortlist"] == ["small", "fast", "teacher"]


def test_a_limit_itself_is_kept() -> None:
    report = shortlist.run(EVALUATED, SHORTLIST.model_copy(update={"max_size_mb": 20.0, "max_p95_ms": 3.0}))
    assert report["over_limits"] == {"teacher": ["size_mb 90, limit 20", "latency_p95_ms 20, limit 3"]}


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("n_candidates", [1, 5], [0]),
        ("max_loss", [0.0, 1.0], [-0.01, 1.01]),
        ("confidence", [0.5, 0.99], [0.49, 1.0]),
        ("size_tie", [0.0, 1.0], [-0.01, 1.01]),
        ("latency_tie", [0.0, 1.0], [-0.01, 1.01]),
        ("quality_tie", [0.0, 1.0], [-0.01, 1.01]),
    ],
)
def test_each_param_has_its_range(name: str, allowed: list[float], refused: list[float]) -> None:
    for value in allowed:
        check_params(shortlist.Params, "shortlist", {**SHORTLIST.model_dump(), name: value})
    for value in refused:
        with pytest.raises(ParamsError, match=name):
            check_params(shortlist.Params, "shortlist", {**SHORTLIST.model_dump(), name: value})
