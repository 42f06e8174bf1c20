"""Tables of the report page that have a row a bundle: results, gates, the challenge, any step's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ratchet.gates.measured_reports import DIFFERENCES, Report, metric_of
from ratchet.measure.formats import bound_text, metric_name, number
from ratchet.reporting.cells import Cell, Row, Table, estimate_cell, head
from ratchet.reporting.outline import outline, outline_rows
from ratchet.reporting.results_table import gates_text

RESULT_COLUMNS = (
    "accuracy",
    "test_accuracy",
    "macro_f1",
    "ece",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_long_p95_ms",
    "throughput_per_s",
    "cold_start_s",
    "size_mb",
    "peak_memory_mb",
    "cost_per_million_usd",
)
CHALLENGE_COLUMNS = (
    "accuracy",
    "transfer_accuracy",
    "weak_slice_accuracy",
    "contrast_accuracy",
    "contrast_consistency",
    "invariance_violation_rate",
)
MEASURES = {"weak": "accuracy", "contrast": "consistency", "invariance": "violations"}
SYMBOLS = {"at_least": "≥", "at_most": "≤"}
MARKS = {"pass": "✓", "fail": "✕", "idle": "○", "waived": "?"}


def results(bundles: Mapping[str, Report], names: Sequence[str], decision: Report) -> Table:
    """Quality and cost of every bundle, with how many gates it failed."""
    rows = []
    for name in names:
        gates = gates_text(decision, name)
        verdict = Cell(gates, classes="pass" if gates == "passed" else "idle")
        engine = " ".join(str(bundles[name][key]) for key in ("kind", "precision") if bundles[name].get(key))
        rows.append(Row(name, [verdict, *_figures(bundles[name], RESULT_COLUMNS)], engine))
    first, *columns = head("Bundle", map(metric_name, RESULT_COLUMNS))
    return Table([first, Cell("Gates"), *columns], rows)


def metrics(bundles: Mapping[str, Report], names: Sequence[str], columns: Sequence[str]) -> Table:
    """The named metrics of the named bundles."""
    rows = [Row(name, _figures(bundles[name], columns)) for name in names if name in bundles]
    return Table(head("Bundle", map(metric_name, columns)), rows)


def step_metrics(report: Report | None, names: Sequence[str], described: str | None) -> dict[str, Any] | None:
    """All metrics of a step's report by bundle, and in `details` the rest of its entry for the described one."""
    if not report or not report.get("bundles"):
        return None
    bundles = report["bundles"]
    columns = list(dict.fromkeys(metric for bundle in bundles.values() for metric in bundle.get("metrics", {})))
    rest = {key: value for key, value in bundles.get(described, {}).items() if key != "metrics"}
    return {"table": metrics(bundles, names, columns), "details": outline(rest) if rest else None}


def challenge(evaluate: Report, names: Sequence[str], described: str | None) -> dict[str, Any] | None:
    """Figures on the random test set and on harder ones; those of the described bundle part by part."""
    bundles = evaluate["bundles"]
    if not evaluate.get("n_challenge"):
        return None
    parts = [
        {"part": f"{kind}: {MEASURES[kind]}", "slice or edit": name, "value": value, "texts": value["n"]}
        for kind, names_of_kind in bundles.get(described, {}).get("challenge", {}).items()
        for name, value in names_of_kind.items()
    ]
    failures = [
        {
            "failed by": item["n_failed"],
            "edit": f"{item['kind']}: {item['edit']}",
            "text": item["text"],
            "edited": item["edited"],
            "expected": item["expected"],
        }
        for item in evaluate.get("challenge_failures", [])
    ]
    return {
        "table": metrics(bundles, names, CHALLENGE_COLUMNS),
        "details": outline_rows(parts),
        "failures": outline_rows(failures),
    }


def gates(decision: Report) -> Table:
    """A mark and a figure a gate, a row a candidate in the order of the ranking."""
    rows = []
    for name in decision["ranking"]:
        cells = []
        for gate in decision["bundles"][name]["gates"]:
            state = _state(gate)
            cells.append(Cell(MARKS[state], number(gate["value"]), f"center {state}", gate["reason"]))
        rows.append(Row(name, cells))
    first: Report = next(iter(decision["bundles"].values()), {})
    return Table(head("Candidate, in order", map(_gate_name, first.get("gates", [])), "gate center"), rows)


def gate_reasons(decision: Report) -> list[dict[str, Any]]:
    """Reason of every gate for every candidate, with the file to look at."""
    return [
        {
            "name": name,
            "outcome": gates_text(decision, name),
            "gates": [
                {"state": _state(gate), "reason": gate["reason"], "see": gate["see"]}
                for gate in decision["bundles"][name]["gates"]
            ],
        }
        for name in decision["ranking"]
    ]


def _figures(bundle: Report, columns: Sequence[str]) -> list[Cell]:
    return [estimate_cell(metric_of(bundle, metric)) for metric in columns]


def _state(gate: Report) -> str:
    if gate["waived"] == [gate["metric"]]:
        return "waived"
    return "idle" if not gate["applies"] else "pass" if gate["passed"] else "fail"


def _gate_name(gate: Report) -> str:
    """A short name, e.g. `size ÷ teacher’s ≤ 0.25`."""
    sign = "−" if gate["metric"] in DIFFERENCES else "÷"
    against = "" if gate["against"] == "absolute" else f" {sign} {gate['against']}’s"
    name = metric_name(gate["metric"]).split(",")[0] + ("" if gate["scope"] == "bundle" else ", every slice")
    return f"{name}{against} {SYMBOLS[gate['comparison']]} {bound_text(gate['bound'])}"
