"""Reading measured reports: one at a time, and the metrics of several merged by bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ratchet.errors import PipelineError
from ratchet.files import read_json
from ratchet.measure.estimate import Estimate, exact, undefined

Report = Mapping[str, Any]

DIFFERENCES = ("accuracy", "macro_f1")
"""Metrics that are compared with another bundle's by subtraction; all others by division."""


def read_report(path: Path) -> dict[str, Any]:
    """The report at `path`.

    Raises:
        PipelineError: the file is missing or holds no JSON object.
    """
    try:
        report = read_json(path)
    except FileNotFoundError:
        raise PipelineError("A report is missing.", where=path, fix="run the stage that writes it: dvc repro") from None
    except ValueError as error:
        raise PipelineError(
            "A report is damaged.", where=path, got=error, expected="JSON", fix="write it again: dvc repro --force"
        ) from None
    if not isinstance(report, dict):
        raise PipelineError("A report is damaged.", where=path, got=type(report).__name__, expected="a JSON object")
    return report


def merge_bundles(evaluate: Report, *others: Report) -> dict[str, dict[str, Any]]:
    """The bundles of `evaluate`, each with the metrics of the other reports added to its own.

    Bundles that only another report knows are left out: what was not evaluated is no candidate.

    Raises:
        PipelineError: the first report names no bundle.
    """
    if not evaluate.get("bundles"):
        raise PipelineError("The evaluation names no bundle.", expected="'bundles' with at least one", fix="dvc repro")
    merged = {}
    for name, bundle in evaluate["bundles"].items():
        metrics = dict(bundle.get("metrics", {}))
        for other in others:
            metrics.update(other.get("bundles", {}).get(name, {}).get("metrics", {}))
        merged[name] = {**bundle, "metrics": metrics}
    return merged


def metric_of(bundle: Report, metric: str) -> Estimate:
    """The bundle's metric; undefined, with the reason, where no report measures it."""
    found = bundle.get("metrics", {}).get(metric)
    return undefined("no report measures it for this bundle") if found is None else Estimate.from_json(found)


def against_of(name: str, bundle: Report, reference: str, metric: str) -> Estimate:
    """The bundle's metric minus the reference's (`DIFFERENCES`), or divided by it (all others).

    A bundle against itself is exactly 0, or 1.

    >>> against_of("teacher", {}, "teacher", "size_mb").value
    1.0
    """
    found = bundle.get("against", {}).get(reference, {}).get(metric)
    if found is not None:
        return Estimate.from_json(found)
    if name == reference:
        return exact(0.0 if metric in DIFFERENCES else 1.0)
    return undefined(f"no report compares it with the {reference}'s")
