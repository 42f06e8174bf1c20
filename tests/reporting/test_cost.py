"""The cost of a month, against sums done by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratchet.commands.reports import cost
from ratchet.errors import PipelineError
from ratchet.measure.report_files import write_report
from ratchet.params import load_params
from ratchet.reporting.marked_block import replace_block
from ratchet.reporting.ownership import CostParams, Prices, cost_report
from ratchet.serving.settings import LIVE_FILE
from tests.support.miniature import ROOT

PARAMS = CostParams(
    requests_per_month=36_000_000,
    peak_factor=2.0,
    max_utilisation=0.5,
    min_cores=1,
    overhead_cpu_ms=1.0,
    monitoring_cpu_s=10.0,
    retrainings_per_month=2.0,
    labels_per_retraining=90,
    assumed_seconds_per_label=20.0,
)
PRICES = Prices(core_hour=0.04, annotator_hour=20.0, train_threads=2)


def estimate(value: float | None, spread: float = 0.1) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value * (1 - spread), value * (1 + spread))
    return {"value": value, "low": low, "high": high, "n": 8}


def bundle(cpu_ms: float, parent: str = "") -> dict[str, Any]:
    return {"parent": parent, "metrics": {"cost_per_million_usd": estimate(cpu_ms * 1000 * 0.04 / 3600)}}


EVALUATE = {"bundles": {"teacher": bundle(19.0), "student": bundle(9.0, "teacher"), "small": bundle(1.0, "student")}}
TRAINED = {"train": {"seconds": 900.0}, "distil": {"seconds": 450.0}, "prune": {"seconds": 900.0}}
UNTIMED = {"people": {"seconds_per_label": estimate(None)}}


def report(**changes: Any) -> dict[str, Any]:
    arguments = {
        "evaluate": EVALUATE,
        "trained": TRAINED,
        "sample": UNTIMED,
        "chosen": "small",
        "params": PARAMS,
        "prices": PRICES,
        **changes,
    }
    return cost_report(**arguments)


def test_what_a_request_costs_beyond_the_model_is_what_was_measured_rounded_up() -> None:
    measured = json.loads((ROOT / "reports/bench/serving.json").read_text())["bars"]["overhead_cpu_ms"]["value"]
    assumed = load_params(CostParams, "cost", ROOT / LIVE_FILE).overhead_cpu_ms
    assert measured <= assumed <= 2 * measured


def test_each_part_of_a_month_is_what_a_sum_by_hand_gives() -> None:
    found = report()
    # 36 million × (1 + 1 ms) = 72,000 s = 20 core-hours
    assert found["optimizations"][-1]["used_usd"]["value"] == pytest.approx(20 * 0.04)
    assert found["optimizations"][-1]["cpu_ms_per_text"]["value"] == pytest.approx(1.0)
    # 2 × (2 × 900 + 2 × 450 + 900) s = 2 core-hours
    assert found["usd_per_month"]["training"]["value"] == pytest.approx(2 * 2 * 2250 / 3600 * 0.04)
    # 180 labels × 20 s = 1 hour
    assert found["usd_per_month"]["labelling"]["value"] == pytest.approx(20.0)
    assert found["labels"]["measured"] is False
    # 360 × 10 s = 1 core-hour
    assert found["usd_per_month"]["monitoring"]["value"] == pytest.approx(0.04)
    parts = ("labelling", "training", "serving", "monitoring")
    for end in ("value", "low", "high"):
        assert found["usd_per_month"]["total"][end] == pytest.approx(sum(found["usd_per_month"][p][end] for p in parts))


def test_cores_are_those_of_the_busiest_hour_and_never_fewer_than_stay_up() -> None:
    rows = report()["optimizations"]
    # 36 million in 730 h are 13.7 a second; × 2 ÷ 0.5 = 54.8; × 20, 10, 2 ms = 1.1, 0.55, 0.11 cores
    assert [row["cores"] for row in rows] == [2, 1, 1]
    assert [row["reserved_usd"]["value"] for row in rows] == pytest.approx([2 * 29.2, 29.2, 29.2])
    assert [row["reserved_usd_saved"] for row in rows] == pytest.approx([0.0, 29.2, 0.0])
    assert rows[0]["requests_on_fewest_cores"] == pytest.approx(36_000_000 / 1.0959, rel=1e-3)


def test_savings_are_listed_step_by_step_from_the_first_ancestor() -> None:
    rows = report()["optimizations"]
    assert [row["bundle"] for row in rows] == ["teacher", "student", "small"]
    assert sum(row["used_usd_saved"] for row in rows) == pytest.approx(200 * 0.04 - 20 * 0.04)
    assert rows[-1]["times_cheaper_than_first"] == pytest.approx(10.0)


def test_measured_seconds_take_the_place_of_the_assumed_ones() -> None:
    found = report(sample={"people": {"seconds_per_label": estimate(40.0)}})
    assert found["labels"]["measured"] is True
    assert found["usd_per_month"]["labelling"]["value"] == pytest.approx(40.0)
    assert found["usd_per_month"]["labelling"]["high"] == pytest.approx(44.0)


def test_a_lineage_that_was_not_evaluated_is_named() -> None:
    with pytest.raises(PipelineError, match="not evaluated"):
        report(evaluate={"bundles": {"small": bundle(1.0, "absent")}})


def test_the_command_writes_the_report_and_the_table(tmp_path: Path) -> None:
    for name, content in {**TRAINED, "sample": UNTIMED, "evaluate": EVALUATE, "decision": {"chosen": "small"}}.items():
        write_report(tmp_path / "reports" / f"{name}.json", content, tmp_path / "measurements" / f"{name}.json")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- cost:start -->\nold\n<!-- cost:end -->\nafter\n")
    cost(readme, tmp_path, ROOT / LIVE_FILE, ROOT / "params.yaml")
    assert readme.read_text().startswith("before\n<!-- cost:start -->\n")
    assert "| small |" in readme.read_text()
    assert "an assumption" in readme.read_text()
    assert "old" not in readme.read_text()
    once = readme.read_bytes()
    cost(readme, tmp_path, ROOT / LIVE_FILE, ROOT / "params.yaml")
    assert readme.read_bytes() == once
    with pytest.raises(PipelineError, match="no block"):
        replace_block("nothing", "cost", "table")
    (tmp_path / "reports" / "decision.json").write_text('{"chosen": null}')
    with pytest.raises(PipelineError, match="No bundle was chosen"):
        cost(None, tmp_path, ROOT / LIVE_FILE, ROOT / "params.yaml")


def test_the_load_of_the_repository_holds() -> None:
    assert load_params(CostParams, "cost", ROOT / LIVE_FILE).requests_per_month > 0
