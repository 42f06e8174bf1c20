"""One HTML page that tells the verdict and everything it rests on; offline, without scripts."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ratchet.gates.measured_reports import DIFFERENCES, Report, against_of, metric_of
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import bound_text, humanise, interval, metric_name, number
from ratchet.reporting.architecture_section import architecture_section
from ratchet.reporting.cost_section import cost_section
from ratchet.reporting.figures import Point, curves, forest, scatter
from ratchet.reporting.label_worth import label_worth
from ratchet.reporting.outline import outline
from ratchet.reporting.page_style import STYLE
from ratchet.reporting.page_template import PAGE
from ratchet.reporting.results_table import described_bundle, gates_text, ordered_names
from ratchet.reporting.trust_section import trust_section

RESULT_COLUMNS = (
    "accuracy",
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
SECTIONS = {
    "labels": {"sample": "Which labels were bought", "vet": "Labels that look wrong"},
    "data": {
        "ingest": "Source",
        "validate": "Validation and quarantine",
        "split": "Splits",
        "challenge": "Challenge set",
    },
    "explanations": {"counterfactuals": "Counterfactuals and concepts"},
    "training": {"baseline": "Baseline", "train": "Teacher", "distil": "Student", "prune": "Pruning"},
}
"""Section → report → its title; each is shown in whatever form it has."""
SYMBOLS = {"at_least": "≥", "at_most": "≤"}


@dataclass(frozen=True)
class Material:
    """All that is known when the page is made. `evaluate` and `decision` are needed, the rest is said to be missing."""

    reports: Mapping[str, Report]
    """Reports by the name of their step; `decision` is promote's."""
    curve: Mapping[str, Sequence[tuple[float, Estimate]]] = field(default_factory=dict)
    """Query strategy → (number of labels, primary metric), see `label_series`."""
    images: Mapping[str, bytes] = field(default_factory=dict)
    """File name → PNG bytes, in the order they are shown."""
    links: Sequence[str] = ()
    """Further pages, relative to where this one is put."""


def render_page(material: Material, title: str, description: str) -> str:
    """The page as HTML; the same material gives the same bytes."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(PAGE).render(_context(material), title=title, description=description, style=STYLE)


def _context(material: Material) -> dict[str, Any]:
    reports, evaluate, decision = material.reports, material.reports["evaluate"], material.reports["decision"]
    described, chosen = described_bundle(decision), decision["chosen"]
    bundles, names = evaluate["bundles"], ordered_names(evaluate, decision)
    primary = metric_name(reports.get("sample", {}).get("primary_metric", "primary"))
    commands = {name: str(report.get("command", "")) for name, report in reports.items()}
    points = [
        Point(name, metric_of(bundles[name], "latency_p95_ms").value, metric_of(bundles[name], "accuracy"))
        for name in names
    ]
    return {
        "verdict": decision["verdict"],
        "chosen": chosen,
        "described": described,
        "reasons": decision["reasons"],
        "rule": decision["rule"],
        "tiles": _tiles(described, bundles),
        "n_test": f"{evaluate.get('n_test', 0):,}",
        "result_head": [metric_name(metric) for metric in RESULT_COLUMNS],
        "results": [
            {
                **_row(name, bundles[name], RESULT_COLUMNS),
                "engine": _engine(bundles[name]),
                "gates": gates_text(decision, name),
            }
            for name in names
        ],
        "scatter": scatter(points, chosen, "p95 latency, ms (one text at a time)", "accuracy"),
        "gate_head": _gate_head(decision),
        "gates": [_gate_row(decision, name) for name in decision["ranking"]],
        "challenge": _challenge(evaluate, names, described),
        "slices_svg": _slices(bundles.get(described, {})),
        "audit": _metric_table(reports.get("audit"), names, described),
        "behave": _metric_table(reports.get("behave"), names, described),
        "trust": trust_section(reports, described),
        "explain": _metric_table(reports.get("explain"), names, described),
        "images": [
            {"title": _title(name), "data": base64.b64encode(data).decode()} for name, data in material.images.items()
        ],
        "links": [{"href": link, "title": _title(link)} for link in material.links],
        "curve": curves(material.curve, "labels bought", primary),
        "label_worth": outline(label_worth(reports.get("sample"))),
        "curve_caption": f"The {primary} by number of labels bought and query strategy; bands are over the seeds.",
        "parts": {
            section: [_part(title, reports.get(name)) for name, title in parts.items()]
            for section, parts in SECTIONS.items()
        },
        "architectures": architecture_section(
            reports.get("architectures"), reports.get("train", {}).get("data_sha256", "")
        ),
        "cost": cost_section(reports.get("cost")),
        "machine": outline(evaluate.get("machine", {})),
        "commands": {
            name: commands.get(name, "") for name in ("evaluate", "decision", "audit", "behave", "explain", "sample")
        },
        "all_commands": [(name, command) for name, command in commands.items() if command],
    }


def _tiles(name: str | None, bundles: Mapping[str, Report]) -> list[dict[str, str]]:
    """The four figures that a reader wants first, each with how it compares with the teacher's."""
    if name is None or name not in bundles:
        return []
    tiles = []
    for metric in ("accuracy", "latency_p95_ms", "size_mb", "cost_per_million_usd"):
        estimate = metric_of(bundles[name], metric)
        compared = against_of(name, bundles[name], "teacher", metric)
        tiles.append(
            {
                "name": metric_name(metric),
                "value": number(estimate.value),
                "ci": interval(estimate),
                "note": compare_words(metric, compared),
            }
        )
    return tiles


def compare_words(metric: str, compared: Estimate) -> str:
    """A difference or ratio to the teacher in words, with its interval in points, or times in the same direction.

    >>> compare_words("accuracy", Estimate(-0.0123, -0.02, 0.001, 9))
    '1.2 points below the teacher [−2.0, 0.1]'
    >>> compare_words("size_mb", Estimate(0.25, 0.25, 0.25, 1))
    '4.0× smaller than the teacher'
    >>> compare_words("latency_p95_ms", Estimate(0.1, 0.08, 0.2, 9))
    '10.0× faster than the teacher [5.0, 12.5]'
    """
    value, low, high = compared.value, compared.low, compared.high
    if math.isnan(value):
        return ""
    if metric == "accuracy":
        side = "above" if value > 0 else "below"
        told = f"{abs(value) * 100:.1f} points {side} the teacher" if round(value, 3) else "as the teacher"
        return told + _ends(low * 100, high * 100)
    less, more = {"size_mb": ("smaller", "larger"), "latency_p95_ms": ("faster", "slower")}.get(
        metric, ("cheaper", "dearer")
    )
    if low <= 0 or round(value, 2) == 1:
        return "as the teacher"
    if value < 1:
        return f"{1 / value:.1f}× {less} than the teacher" + _ends(1 / high, 1 / low)
    return f"{value:.1f}× {more} than the teacher" + _ends(low, high)


def _ends(low: float, high: float) -> str:
    """An interval to one digit, after a space; empty for an exact or undefined figure."""
    return f" [{low:z.1f}, {high:z.1f}]".replace("-", "−") if low < high else ""


def _row(name: str, bundle: Report, columns: Sequence[str]) -> dict[str, Any]:
    estimates = [metric_of(bundle, metric) for metric in columns]
    return {"name": name, "cells": [{"value": number(e.value), "ci": interval(e)} for e in estimates]}


def _engine(bundle: Report) -> str:
    return " ".join(str(bundle[key]) for key in ("kind", "precision") if bundle.get(key))


def _gate_head(decision: Report) -> list[str]:
    """A short name a gate, e.g. `size ÷ teacher’s ≤ 0.25`."""
    first: Report = next(iter(decision["bundles"].values()), {})
    heads = []
    for gate in first.get("gates", []):
        sign = "−" if gate["metric"] in DIFFERENCES else "÷"
        against = "" if gate["against"] == "absolute" else f" {sign} {gate['against']}’s"
        name = metric_name(gate["metric"]).split(",")[0] + ("" if gate["scope"] == "bundle" else ", every slice")
        heads.append(f"{name}{against} {SYMBOLS[gate['comparison']]} {bound_text(gate['bound'])}")
    return heads


def _gate_row(decision: Report, name: str) -> dict[str, Any]:
    cells = []
    for gate in decision["bundles"][name]["gates"]:
        idle, waived = not gate["applies"], gate["waived"] == [gate["metric"]]
        state = "idle" if idle or waived else "pass" if gate["passed"] else "fail"
        mark = {"idle": "?" if waived else "○", "pass": "✓", "fail": "✕"}[state]
        cells.append(
            {"state": state, "mark": mark, "value": number(gate["value"]), "reason": gate["reason"], "see": gate["see"]}
        )
    return {"name": name, "cells": cells, "outcome": gates_text(decision, name)}


def _challenge(evaluate: Report, names: Sequence[str], described: str | None) -> dict[str, Any] | None:
    """The figures of every bundle on the random test set and on harder ones, the described one's part by part."""
    bundles = evaluate["bundles"]
    if not evaluate.get("n_challenge"):
        return None
    parts = [
        {"part": f"{kind}: {MEASURES[kind]}", "slice or edit": name, "value": value, "texts": value["n"]}
        for kind, names_of_kind in bundles.get(described, {}).get("challenge", {}).items()
        for name, value in names_of_kind.items()
    ]
    shown = [
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
        "head": [metric_name(metric) for metric in CHALLENGE_COLUMNS],
        "rows": [_row(name, bundles[name], CHALLENGE_COLUMNS) for name in names],
        "details": outline(parts) if parts else None,
        "failures": outline(shown) if shown else None,
    }


def _slices(bundle: Report) -> str:
    slices = {
        humanise(name): Estimate.from_json(metrics["accuracy"])
        for name, metrics in bundle.get("slices", {}).items()
        if "accuracy" in metrics
    }
    return forest(slices, metric_of(bundle, "accuracy"), "accuracy")


def _metric_table(report: Report | None, names: Sequence[str], described: str | None) -> dict[str, Any] | None:
    """The metrics of a report by bundle, and all else it tells of the described one."""
    if not report or not report.get("bundles"):
        return None
    bundles = report["bundles"]
    columns = list(dict.fromkeys(metric for bundle in bundles.values() for metric in bundle.get("metrics", {})))
    rest = {key: value for key, value in bundles.get(described, {}).items() if key != "metrics"}
    return {
        "head": [metric_name(metric) for metric in columns],
        "rows": [_row(name, bundles[name], columns) for name in names if name in bundles],
        "details": outline(rest) if rest else None,
    }


def _part(title: str, report: Report | None) -> dict[str, Any]:
    return {
        "title": title,
        "outline": outline(report) if report else None,
        "command": str(report.get("command", "")) if report else "",
    }


def _title(name: str) -> str:
    """A file name as a title: `a/global-words.png` → `global words`."""
    return PurePosixPath(name).stem.replace("_", " ").replace("-", " ")
