"""One HTML page with the verdict and everything it rests on; offline, without scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ratchet.gates.measured_reports import Report, against_of, metric_of
from ratchet.ladder import not_built
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import humanise, interval, metric_name, number
from ratchet.reporting import bundle_tables
from ratchet.reporting.cost_section import cost_section
from ratchet.reporting.figures import Point, curves, forest, scatter
from ratchet.reporting.label_worth import label_worth
from ratchet.reporting.outline import outline
from ratchet.reporting.results_table import described_bundle, ordered_names
from ratchet.reporting.templates import render_template
from ratchet.reporting.trust_section import trust_section
from ratchet.reporting.words_chart import words_chart

SECTIONS = {
    "labels": {"sample": "Which labels are trained on", "vet": "Labels that look wrong"},
    "data": {
        "ingest": "Source",
        "validate": "Validation and quarantine",
        "split": "Splits",
        "challenge": "Challenge set",
    },
    "architecture": {"architect": "What was compared"},
    "explanations": {"counterfactuals": "Counterfactuals and concepts"},
    "training": {
        "embed": "Backbone and languages",
        "baseline": "Baseline",
        "train": "Teacher",
        "distil": "Student",
        "prune": "Pruning",
    },
}
"""Section → report → its title; each is shown in whatever form it has."""
CHEAPER = {"size_mb": ("smaller", "larger"), "latency_p95_ms": ("faster", "slower")}
"""Metric → the words for less and for more of it; others are cheaper and dearer."""


@dataclass(frozen=True)
class Material:
    """Input of the page. `evaluate` and `decision` are needed; the page names what else is missing."""

    reports: Mapping[str, Report]
    """Reports by the name of their step; `decision` is promote's."""
    curve: Mapping[str, Sequence[tuple[float, Estimate]]] = field(default_factory=dict)
    """Query strategy → (number of labels, primary metric), see `label_series`."""
    links: Sequence[str] = ()
    """Further pages, relative to where this one is put."""


def render_page(material: Material, title: str, description: str) -> str:
    """The page as HTML; the same material gives the same bytes."""
    return render_template("report.html", title=title, description=description, **_view(material))


def _view(material: Material) -> dict[str, Any]:
    """Context of templates/report.html."""
    reports = material.reports
    decision = reports["decision"]
    primary = metric_name(reports.get("sample", {}).get("primary_metric", "primary"))
    commands = {name: str(report.get("command", "")) for name, report in reports.items()}
    described = described_bundle(decision)
    return {
        **{key: decision[key] for key in ("verdict", "chosen", "reasons", "rule")},
        "next_steps": decision.get("next_steps", []),
        "described": described,
        **_bundles(reports, described),
        "trust": trust_section(reports, described),
        "links": [{"href": link, "title": _title(link)} for link in material.links],
        "curve": curves(material.curve, "labels bought", primary),
        "label_worth": outline(label_worth(reports.get("sample"))),
        "no_curve": _no_curve(reports.get("sample")),
        "curve_caption": f"The {primary} by number of labels bought and query strategy; bands are over the seeds.",
        "parts": {
            section: [_part(title, reports.get(name)) for name, title in parts.items()]
            for section, parts in SECTIONS.items()
        },
        "cost": cost_section(reports.get("cost")),
        "machine": outline(reports["evaluate"].get("machine", {})),
        "commands": {
            name: commands.get(name, "") for name in ("evaluate", "decision", "audit", "behave", "explain", "sample")
        },
        "all_commands": [(name, command) for name, command in commands.items() if command],
    }


def _no_curve(sample: Report | None) -> str:
    """Why the page shows no label-efficiency curve."""
    if (sample or {}).get("budget") == "all":
        return (
            "Every label there is was used. What fewer would do, the label-efficiency curve, is an experiment that is "
            "declared by a number as sample.budget."
        )
    return "No label-efficiency curve is available."


def _bundles(reports: Mapping[str, Report], described: str | None) -> dict[str, Any]:
    """Figures, tables and charts that compare the bundles."""
    evaluate, decision = reports["evaluate"], reports["decision"]
    bundles, names = evaluate["bundles"], ordered_names(evaluate, decision)
    points = [
        Point(name, metric_of(bundles[name], "latency_p95_ms").value, metric_of(bundles[name], "accuracy"))
        for name in names
    ]
    return {
        "figures": _figures(described, bundles),
        "n_validation": f"{evaluate.get('n_validation', 0):,}",
        "n_test": f"{evaluate.get('n_test', 0):,}",
        "results": bundle_tables.results(bundles, names, decision),
        "not_built": not_built(evaluate.get("left_out", {})),
        "scatter": scatter(points, decision["chosen"], "p95 latency, ms (one text at a time)", "accuracy"),
        "gates": bundle_tables.gates(decision),
        "gate_reasons": bundle_tables.gate_reasons(decision),
        "challenge": bundle_tables.challenge(evaluate, names, described),
        "slices_svg": _slices(bundles.get(described, {})),
        **{
            step: bundle_tables.step_metrics(reports.get(step), names, described)
            for step in ("audit", "behave", "explain")
        },
        "words": {
            name: words_chart(bundle["words"], evaluate.get("labels", []))
            for name, bundle in reports.get("explain", {}).get("bundles", {}).items()
        },
    }


def _figures(name: str | None, bundles: Mapping[str, Report]) -> list[dict[str, Any]]:
    """The four figures that a reader wants first, each with its interval and how it compares with the teacher's."""
    if name is None or name not in bundles:
        return []
    figures = []
    for metric in ("test_accuracy", "latency_p95_ms", "size_mb", "cost_per_million_usd"):
        estimate = metric_of(bundles[name], metric)
        compared = compare_words(metric, against_of(name, bundles[name], "teacher", metric))
        notes = [interval(estimate), compared]
        figures.append({"name": metric_name(metric), "value": number(estimate.value), "notes": notes})
    return figures


def compare_words(metric: str, compared: Estimate) -> str:
    """A difference or ratio to the teacher in words, with its interval in points, or times in the same direction.

    >>> compare_words("test_accuracy", Estimate(-0.0123, -0.02, 0.001, 9))
    '1.2 points below the teacher [−2.0, 0.1]'
    >>> compare_words("size_mb", Estimate(0.25, 0.25, 0.25, 1))
    '4.0× smaller than the teacher'
    >>> compare_words("latency_p95_ms", Estimate(0.1, 0.08, 0.2, 9))
    '10.0× faster than the teacher [5.0, 12.5]'
    """
    value, low, high = compared.value, compared.low, compared.high
    if math.isnan(value):
        return ""
    if metric == "test_accuracy":
        side = "above" if value > 0 else "below"
        points = f"{abs(value) * 100:.1f} points {side} the teacher" if round(value, 3) else "as the teacher"
        return points + _ends(low * 100, high * 100)
    less, more = CHEAPER.get(metric, ("cheaper", "dearer"))
    if low <= 0 or round(value, 2) == 1:
        return "as the teacher"
    if value < 1:
        return f"{1 / value:.1f}× {less} than the teacher" + _ends(1 / high, 1 / low)
    return f"{value:.1f}× {more} than the teacher" + _ends(low, high)


def _ends(low: float, high: float) -> str:
    """An interval to one digit, after a space; empty for an exact or undefined figure."""
    return f" [{low:z.1f}, {high:z.1f}]".replace("-", "−") if low < high else ""


def _slices(bundle: Report) -> str:
    slices = {
        humanise(name): Estimate.from_json(metrics["accuracy"])
        for name, metrics in bundle.get("slices", {}).items()
        if "accuracy" in metrics
    }
    return forest(slices, metric_of(bundle, "accuracy"), "accuracy")


def _part(title: str, report: Report | None) -> dict[str, Any]:
    return {
        "title": title,
        "outline": outline(report) if report else None,
        "command": str(report.get("command", "")) if report else "",
    }


def _title(name: str) -> str:
    """A file name as a title: `a/local-plots.html` → `local plots`."""
    return PurePosixPath(name).stem.replace("_", " ").replace("-", " ")
