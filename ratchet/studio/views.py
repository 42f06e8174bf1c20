"""What each view shows, as plain values for its template."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from ratchet.gates.measured_reports import metric_of
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import humanise, interval, metric_name, number
from ratchet.reporting import bundle_tables
from ratchet.reporting.figures import Point, scatter
from ratchet.reporting.results_table import described_bundle, gates_text, ordered_names
from ratchet.studio.texts import Asked
from ratchet.studio.workspace import Workspace

LADDER = ("accuracy", "test_accuracy", "latency_p95_ms", "size_mb", "cost_per_million_usd")
SOURCES = {"accuracy": "evaluate", "test_accuracy": "judge"}
"""Metric → the report that holds it; all others are the evaluation's."""
MAX_PAIRS = 60
_DRAWING = threading.Lock()
"""matplotlib's settings are of the whole process."""


def default_bundle(workspace: Workspace) -> str:
    """The bundle whose answers are shown unless another is asked for: the chosen one, or the nearest to it."""
    decision = workspace.report("decision")
    return (described_bundle(decision) if decision else None) or ""


def run_view(workspace: Workspace) -> dict[str, Any] | None:
    """Verdict, ladder, front and gates; None before the first run."""
    decision, evaluate = workspace.report("decision"), workspace.evaluation()
    if not decision or not evaluate:
        return None
    bundles, names = evaluate["bundles"], ordered_names(evaluate, decision)
    points = [
        Point(name, metric_of(bundles[name], "latency_p95_ms").value, metric_of(bundles[name], "accuracy"))
        for name in names
    ]
    with _DRAWING:
        front = scatter(points, decision["chosen"], "p95 latency, ms (one text at a time)", "accuracy")
    return {
        "decision": decision,
        "front": front,
        "head": [metric_name(metric) for metric in LADDER],
        "ladder": [_rung(name, bundles[name], decision) for name in names],
        "gates": bundle_tables.gate_reasons(decision),
        "n_validation": evaluate.get("n_validation", 0),
        "n_test": evaluate.get("n_test", 0),
        "commands": {name: workspace.report(name).get("command", "") for name in ("evaluate", "judge", "decision")},
    }


def errors_view(workspace: Workspace, bundle: str, against: str) -> dict[str, Any]:
    """Confusions, worst slices, and where two bundles part, on the validation texts; each row with its texts."""
    on_validation = "FROM texts t JOIN answers a USING (id) WHERE t.part = 'validation' AND a.bundle = $bundle"
    values = {"bundle": bundle}
    totals = workspace.query(
        f"SELECT count(*) AS n, count(*) FILTER (NOT a.correct) AS n_wrong {on_validation}", values
    )[0]
    pairs = workspace.query(
        f"""SELECT t.label, a.predicted, count(*) AS n, avg(a.confidence) AS confidence,
        n / sum(count(*)) OVER () AS share {on_validation} AND NOT a.correct
        GROUP BY ALL ORDER BY n DESC, t.label, a.predicted LIMIT {MAX_PAIRS}""",
        values,
    )
    asked = Asked(part="validation", bundle=bundle)
    for pair in pairs:
        pair["href"] = asked.address(label=pair["label"], predicted=pair["predicted"])
    return {
        **totals,
        "pairs": pairs,
        "left_out": totals["n_wrong"] - sum(pair["n"] for pair in pairs),
        "all_wrong": asked.address(outcome="wrong"),
        "sure": asked.address(outcome="wrong", order="confidence", down="1"),
        "slices": _worst_slices(workspace.evaluation(), bundle),
        "parting": _parting(workspace, bundle, against),
        "suspects": Asked(suspect="1", order="suspicion", bundle=bundle).address(),
        "n_suspects": workspace.query("SELECT count(*) AS n FROM texts WHERE rank IS NOT NULL")[0]["n"],
    }


def _rung(name: str, bundle: Mapping[str, Any], decision: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the ladder, each figure with what it links to: its rows, or the report that holds it."""
    wrong = Asked(part="validation", bundle=name, outcome="wrong").address()
    cells = []
    for metric in LADDER:
        estimate = metric_of(bundle, metric)
        href = wrong if metric == "accuracy" else f"/reports/{SOURCES.get(metric, 'evaluate')}"
        shown = number(estimate.value)
        cells.append({"text": shown, "interval": interval(estimate), "href": href if shown.strip("–") else ""})
    return {
        "name": name,
        "chosen": name == decision.get("chosen"),
        "cells": cells,
        "gates": gates_text(decision, name),
        "judged": name in decision.get("bundles", {}),
    }


def _worst_slices(evaluate: Mapping[str, Any], bundle: str) -> list[dict[str, Any]]:
    """Slices of the validation texts by accuracy, the worst first."""
    slices = evaluate.get("bundles", {}).get(bundle, {}).get("slices", {})
    found = []
    for name, metrics in slices.items():
        if "accuracy" in metrics:
            estimate = Estimate.from_json(metrics["accuracy"])
            found.append((estimate.value, humanise(name), number(estimate.value), interval(estimate), estimate.n))
    keys = ("name", "accuracy", "interval", "n")
    return [dict(zip(keys, row[1:], strict=True)) for row in sorted(found) if row[0] == row[0]]


def _parting(workspace: Workspace, bundle: str, against: str) -> list[dict[str, Any]]:
    """How often each of two bundles is right where they answer differently, on the validation texts."""
    if not against or against == bundle:
        return []
    rows = workspace.query(
        """SELECT a.correct AS one, b.correct AS other, count(*) AS n
        FROM texts t JOIN answers a USING (id) JOIN answers b USING (id)
        WHERE t.part = 'validation' AND a.bundle = $bundle AND b.bundle = $against AND a.predicted <> b.predicted
        GROUP BY ALL""",
        {"bundle": bundle, "against": against},
    )
    counts = {(row["one"], row["other"]): row["n"] for row in rows}
    asked = Asked(part="validation", bundle=bundle, against=against)
    return [
        {"what": f"only {bundle} is right", "n": counts.get((True, False), 0), "href": asked.address(outcome="right")},
        {
            "what": f"{bundle} is wrong, {against} answers otherwise",
            "n": counts.get((False, True), 0) + counts.get((False, False), 0),
            "href": asked.address(outcome="wrong"),
        },
    ]
