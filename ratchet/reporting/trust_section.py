"""Behaviour, fairness and confidence of one bundle, as the report page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ratchet.gates.measured_reports import Report
from ratchet.measure.estimate import Estimate, exact
from ratchet.measure.formats import metric_name
from ratchet.reporting.figures import curves
from ratchet.reporting.outline import outline_rows


def trust_section(reports: Mapping[str, Report], described: str | None) -> dict[str, Any]:
    """Outlines and figures by name; what no report measured is None, or empty text for a figure."""
    audit, behave = (reports.get(name) or {} for name in ("audit", "behave"))
    audited, behaved = (report.get("bundles", {}).get(described, {}) for report in (audit, behave))
    confidence = audited.get("confidence", {})
    return {
        "tests": _tests(behaved),
        "failures": _failures(behaved),
        "swaps": _swaps(behaved),
        "triggers": outline_rows(behaved.get("triggers", {}).get("words", [])),
        "people": _people(audited, audit.get("sensitive_features", [])),
        "matches": _matches(audit),
        "reliability": reliability(confidence.get("calibration", {})),
        "selective": curves(
            {
                "kept": [
                    (point["coverage"], Estimate.from_json(point["accuracy"]))
                    for point in confidence.get("selective", [])
                ]
            },
            "share of texts it answers, the surest first",
            "accuracy",
        ),
        "ece": outline_rows(
            [
                {"ECE": name, "value": confidence["calibration"][key]}
                for name, key in (("as served", "ece"), ("without its temperature", "ece_before"))
            ]
            if confidence
            else []
        ),
        "elsewhere": _elsewhere(audit, confidence, described),
        "thresholds": _thresholds(audited),
    }


def _elsewhere(audit: Report, confidence: Report, described: str | None) -> dict[str, Any] | None:
    """A row a way to flag texts of the other domain."""
    flags = {**audit.get("other_domain", {}), f"low confidence of {described}": confidence.get("other_domain", {})}
    rows = [
        {
            "flag": name,
            "AUROC": flag["auroc"],
            "of the other domain flagged": flag["detection_rate"],
            "of its own flagged": flag["false_alarm_rate"],
        }
        for name, flag in flags.items()
        if flag
    ]
    return outline_rows(rows)


def _thresholds(audited: Report) -> dict[str, Any] | None:
    """A row a figure, before and after thresholds by group; None where they are off."""
    thresholds = audited.get("thresholds", {})
    rows = [
        {"figure": metric_name(name), "before": before, "after": thresholds["after"][name]}
        for name, before in thresholds.get("before", {}).items()
    ]
    return outline_rows(rows)


def reliability(calibration: Mapping[str, Any]) -> str:
    """Accuracy against confidence, with and without the temperature, beside the diagonal; empty without bins."""
    series = {
        name: [(item["confidence"], Estimate.from_json(item["accuracy"])) for item in calibration.get(key, [])]
        for name, key in (("as served", "bins"), ("before scaling", "bins_before"))
    }
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    ends = [at for points in series.values() for at, _ in points]
    series["calibrated"] = [(at, exact(at)) for at in (min(ends), max(ends))]
    return curves(series, "mean confidence", "accuracy")


def _tests(behaved: Report) -> dict[str, Any] | None:
    rows = [
        {
            "test": test["test"],
            "kind": test["kind"],
            "failures": test["failure_rate"],
            "cases": test["failure_rate"]["n"],
        }
        for test in behaved.get("tests", [])
    ]
    return outline_rows(rows)


def _failures(behaved: Report) -> dict[str, Any] | None:
    rows = [
        {"test": test["test"], "observed": item["told"], "before": item["before"], "text": item["text"]}
        for test in behaved.get("tests", [])
        for item in test["examples"]
    ]
    return outline_rows(rows)


def _swaps(behaved: Report) -> dict[str, Any] | None:
    rows = [
        {
            "attribute": attribute,
            "before": item["before"],
            "after": item["after"],
            "change": item["change"],
            "turned": item["flipped"],
        }
        for attribute, part in behaved.get("swaps", {}).items()
        for item in part["examples"]
    ]
    return outline_rows(rows)


def _people(audited: Report, sensitive: list[str]) -> dict[str, Any] | None:
    """A row a group of people: its texts and every rate; a dash where the group is too small."""
    rows = [
        {
            "group": name.replace("=", " = ", 1),
            "texts": rates["n"],
            **{measure: rate for measure, rate in rates.items() if measure != "n"},
        }
        for name, rates in audited.get("slices", {}).items()
        if name.partition("=")[0] in sensitive
    ]
    return outline_rows(rows)


def _matches(audit: Report) -> dict[str, Any] | None:
    rows = [
        {
            "group": f"{attribute} = {group}",
            "texts": part["n_texts"],
            "terms": ", ".join(f"{term} {n}" for term, n in list(part["terms"].items())[:8]),
            "examples": " · ".join(part["examples"]),
        }
        for attribute, groups in audit.get("matches", {}).items()
        for group, part in groups.items()
    ]
    return outline_rows(rows)
