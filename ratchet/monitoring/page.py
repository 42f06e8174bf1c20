"""The monitoring page: one HTML file, readable offline, without any text of the log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ratchet.measure.estimate import Estimate, exact, undefined
from ratchet.measure.formats import MISSING, humanise, interval, number
from ratchet.monitoring.drift import STATISTICS
from ratchet.reporting.before_after import before_after
from ratchet.reporting.cells import FIGURE, Cell, Row, Table, estimate_cell, head
from ratchet.reporting.figures import curves
from ratchet.reporting.templates import render_template

N_SHOWN = 48
CHART_HEIGHT = 220
MOVED = (
    ("class", "requests", "share of each class that is answered"),
    ("slice", "requests", "share of each slice"),
    ("word", "texts", "share of texts that hold the word"),
)
"""Kind of what moved → what it is a share of, and its picture's caption."""
NO_RATE = ("per_minute", "latency_p95_ms")
"""Keys of a window's traffic that are no rates."""


def monitor_page(windows: Sequence[dict[str, Any]]) -> str:
    """The page of the windows that were judged, the latest last; there is at least one."""
    latest, shown = windows[-1], windows[-N_SHOWN:]
    findings = latest["findings"]
    n_alerts = sum(item["severity"] == "alert" for item in findings)
    return render_template(
        "monitor.html",
        **{key: latest[key] for key in ("model_version", "start", "end", "findings")},
        n_before=len(shown) - 1,
        state="rejected" if n_alerts else "accepted",
        answer=f"{n_alerts} alert{'s' * (n_alerts > 1)}"
        if n_alerts
        else "Nothing alarming"
        if findings
        else "As usual",
        figures=_figures(latest),
        drift=_drift(latest["drift"]),
        charts=_charts(shown),
        slices=_slices(latest.get("slices") or {}),
        sample=_sample(latest.get("late_labels") or {}),
        left_out=_left_out(latest),
        traffic={humanise(name): _percent(value) for name, value in latest["traffic"].items() if name not in NO_RATE},
        broken_rules=[
            {"rule": item["rule"], "observed": f"{item['observed']:g}"}
            for item in latest.get("rules") or []
            if not item["success"]
        ],
    )


def _figures(latest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures that a reader wants first, each with what it rests on."""
    traffic, late, given = latest["traffic"], latest.get("late_labels") or {}, latest.get("corrections") or {}
    reference = f"{number(latest['reference_accuracy'])} on the reference"
    figures = [
        _figure("requests", f"{latest['n_requests']:,}", f"{traffic['per_minute']:.1f} a minute"),
        _estimate("accuracy, estimated without labels", latest["accuracy_estimates"]["cbpe"], reference),
    ]
    if "accuracy" in late:
        figures.append(_estimate("accuracy, random sample", late["accuracy"], f"{late['n']} labels by people"))
    if "ece" in late:
        figures.append(_estimate("calibration error, random sample", late["ece"]))
    if given.get("n"):
        corrected = f"{given['n_wrong']} say another class; no random sample, so not judged"
        figures.append(_figure("corrections volunteered", f"{given['n']:,}", corrected))
    if "latency_p95_ms" in traffic:
        figures.append(_figure("p95 latency", f"{traffic['latency_p95_ms']:.0f} ms"))
    return figures


def _sample(late: Mapping[str, Any]) -> dict[str, Any]:
    """What the random sample says of each slice, and how many more labels would settle it."""
    rows = [
        Row(
            name,
            [
                Cell(f"{item['n_labels']:,}", classes=FIGURE),
                estimate_cell(item["accuracy"]),
                Cell(_still_needed(item)),
            ],
        )
        for name, item in late.get("slices", {}).items()
    ]
    return {
        "table": Table(head("slice", ["labels", "accuracy", "to settle it"]), rows) if rows else None,
        "reason": late.get("reason", ""),
    }


def _still_needed(item: Mapping[str, Any]) -> str:
    if item["settled"]:
        return "settled"
    return "more traffic" if item["n_more"] is None else f"{item['n_more']:,} more labels"


def _left_out(latest: Mapping[str, Any]) -> list[str]:
    """Sentences on what was excluded by rule, set aside, or answered by too few requests of another model."""
    taken, aside = latest.get("excluded") or {"n": 0}, latest.get("set_aside") or {"n": 0}
    lines = []
    if taken["n"]:
        lines.append(
            f"{taken['n']:,} requests are excluded by rule: {taken['by_key']:,} by key, {taken['by_text']:,} by text."
        )
    if aside["n"]:
        lines.append(f"{aside['n']:,} requests repeat {len(aside['texts'])} texts, and are set aside.")
    for version, n in (latest.get("too_few_of") or {}).items():
        lines.append(f"{version} answered {n:,} requests of this window, too few to be judged.")
    return lines


def _figure(name: str, value: str, *notes: str) -> dict[str, Any]:
    return {"name": name, "value": value, "notes": notes}


def _estimate(name: str, item: Mapping[str, Any], *notes: str) -> dict[str, Any]:
    estimate = Estimate.from_json(dict(item))
    return _figure(name, number(estimate.value), interval(estimate), *notes)


def _drift(drift: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The test of the window, and a row a statistic; those that drifted alone are marked."""
    if not drift:
        return None
    bound = drift["alpha"] / len(STATISTICS)
    change = Estimate.from_json(dict(drift["accuracy_change"])) if drift.get("accuracy_change") else None
    rows = [
        Row(
            name,
            [
                Cell(STATISTICS[name]),
                Cell(number(item["value"]), classes=FIGURE),
                Cell(f"{item['p']:.4f}", classes=f"{FIGURE} fail" if item["p"] <= bound else FIGURE),
            ],
        )
        for name, item in drift["statistics"].items()
    ]
    return {
        "n": drift["n"],
        "alpha": f"{100 * drift['alpha']:g} %",
        "p": f"{drift['p']:.4f}",
        "outcome": "drifted, as the one before" if drift["again"] else "drifted" if drift["drifted"] else "as usual",
        "table": Table([Cell("what"), Cell("statistic"), *head("value", ["p"])], rows),
        "change": f"{100 * change.value:+.1f} points, {interval(change)} as shares"
        if change and not change.reason
        else "",
        "moved": [
            {
                "svg": before_after({row["name"]: (row["before"], row["now"]) for row in mine}, f"share of {what}"),
                "caption": f"Before (open) and now (full): {caption}.",
            }
            for kind, what, caption in MOVED
            if (mine := [row for row in drift.get("moved", []) if row["kind"] == kind])
        ],
        "newest": drift.get("newest", []),
    }


def _charts(windows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Estimated accuracy and the p-value of drift, a point a window; one that was not judged is a gap."""
    estimates = [Estimate.from_json(item["accuracy_estimates"]["cbpe"]) for item in windows]
    p_values = [exact(item["drift"]["p"]) if item["drift"] else undefined("not judged") for item in windows]
    accuracy = windows[-1]["reference_accuracy"]
    alpha = (windows[-1]["drift"] or {}).get("alpha")
    shown = (
        ("accuracy, estimated without labels", "estimate", estimates, accuracy, "the reference's"),
        ("p-value of drift", "p-value", p_values, alpha, "the threshold"),
    )
    return [
        {
            "svg": curves({name: list(enumerate(values, start=1))}, "window", title.split(",")[0], mark, CHART_HEIGHT),
            "caption": f"{title.capitalize()}, a point a window"
            + (f"; dashed: {marked}." if mark is not None else "."),
        }
        for title, name, values, mark, marked in shown
    ]


def _slices(judged: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row a slice, the gaps between slices, and what cannot be compared; None where no slice is watched."""
    if not (found := judged.get("slices", {})):
        return None
    labels = list(next(iter(found.values()))["selection_rate"])
    rows = [
        Row(
            name,
            [
                Cell(f"{item['n']:,}", classes=FIGURE),
                estimate_cell(item["accuracy_estimate"]),
                *(estimate_cell(item["selection_rate"][label]) for label in labels),
            ],
        )
        for name, item in found.items()
    ]
    reasons = {name: item["accuracy_estimate"].get("reason", "") for name, item in found.items()}
    return {
        "table": Table(head("slice", ["requests", "estimated accuracy", *labels]), rows),
        "gaps": "; ".join(
            f"{feature}: {100 * gap['selection_rate']:.0f} points of selection, "
            f"{100 * gap['accuracy_estimate']:.0f} of estimated accuracy"
            for feature, gap in judged["gaps"].items()
        ),
        "small": "; ".join(f"{name} ({reason})" for name, reason in reasons.items() if reason),
        "unknown": ", ".join(judged.get("not_in_reference") or []),
    }


def _percent(value: float | None) -> str:
    return MISSING if value is None or math.isnan(value) else f"{100 * value:.1f} %"
