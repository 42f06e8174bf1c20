"""Reading measured reports: one at a time, and the metrics of several merged by bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ratchet.errors import PipelineError
from ratchet.files import read_json
from ratchet.measure.estimate import Estimate, exact, undefined
from ratchet.measure.formats import is_estimate
from ratchet.measure.machine_figures import merge

Report = Mapping[str, Any]

JUDGED = ("primary", "accuracy", "macro_f1", "ece")
"""Metrics of quality that are measured on the validation texts, and again on the sealed test."""
BY_NAME = ("slices", "slices_against", "against")
DIFFERENCES = ("primary", "accuracy", "macro_f1", "test_primary", "test_accuracy", "test_macro_f1")
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


def read_whole(path: Path, measurements: Path) -> dict[str, Any]:
    """The report at `path` with what the machine measured of it.

    Raises:
        PipelineError: one of the files is missing or damaged.
    """
    return dict(merge(read_report(path), read_report(measurements)))


def read_known(path: Path, measurements: Path) -> dict[str, Any]:
    """`read_whole`, or the report alone where nobody has pulled or made the measurements."""
    return read_whole(path, measurements) if measurements.is_file() else read_report(path)


def with_details(report: Report, details: Report) -> dict[str, Any]:
    """The report with what another file holds of its bundles; bundles that the report lacks are left out.

    >>> with_details({"n": 1, "bundles": {"a": {"x": 1}}}, {"bundles": {"a": {"y": 2}, "b": {"y": 3}}})
    {'n': 1, 'bundles': {'a': {'x': 1, 'y': 2}}}
    """
    more = details.get("bundles", {})
    return {**report, "bundles": {name: {**part, **more.get(name, {})} for name, part in report["bundles"].items()}}


def with_judgement(evaluate: Report, judge: Report) -> dict[str, Any]:
    """The evaluation, with what the sealed test showed of the bundles that were judged.

    Each quality metric of theirs stands beside that on the validation texts, as `test_accuracy` and so on, in `metrics`
    and in the comparisons with other bundles.
    """
    bundles = {}
    for name, bundle in evaluate["bundles"].items():
        found = judge.get("bundles", {}).get(name, {})
        against = {
            other: {**bundle.get("against", {}).get(other, {}), **_on_test(figures)}
            for other, figures in found.get("against", {}).items()
        }
        bundles[name] = {
            **bundle,
            "metrics": {**bundle["metrics"], **_on_test(found.get("metrics", {}))},
            "against": {**bundle.get("against", {}), **against},
        }
    return {**evaluate, "n_test": judge.get("n_test", 0), "bundles": bundles}


def _on_test(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {f"test_{metric}": figures[metric] for metric in JUDGED if metric in figures}


def merge_bundles(evaluate: Report, *others: Report, paths: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """The bundles of `evaluate`, each with what the other reports measured of it added to its own.

    Metrics, slices and comparisons with other bundles are merged by name, a later report's over an earlier's. `see`
    says for each metric where to look: the file of examples that the report names, or else the report itself.
    `without_cases` is the same for all: metric → why the task has no cases to measure it on, as the reports say.
    Bundles that only another report knows are left out: what was not evaluated is no candidate.

    Args:
        evaluate: the report that names the candidates.
        others: further reports with metrics by bundle.
        paths: the files of all of them in this order, for `see`; without, only files of examples are named.

    Raises:
        PipelineError: the first report names no bundle.
    """
    if not evaluate.get("bundles"):
        raise PipelineError("The evaluation names no bundle.", expected="'bundles' with at least one", fix="dvc repro")
    merged, no_cases = {}, without_cases(evaluate, *others)
    for name, bundle in evaluate["bundles"].items():
        parts = [report.get("bundles", {}).get(name, {}) for report in (evaluate, *others)]
        found: dict[str, dict[str, Any]] = {key: {} for key in ("metrics", *BY_NAME, "see")}
        for part, path in zip(parts, [*paths, *[""] * (len(parts) - len(paths))], strict=True):
            found["metrics"] |= part.get("metrics", {})
            for group in BY_NAME:
                for key, values in part.get(group, {}).items():
                    found[group][key] = _joined(found[group].get(key, {}), values)
            measured = [*part.get("metrics", {}), *_sliced(part)]
            found["see"] |= {key: path for key in measured if path} | part.get("examples", {})
        merged[name] = {**bundle, **found, "without_cases": no_cases}
    return merged


def without_cases(*reports: Report) -> dict[str, str]:
    """Metric → why the task has no cases to measure it on, as any of the reports says."""
    return {metric: why for report in reports for metric, why in report.get("without_cases", {}).items()}


def metric_of(bundle: Report, metric: str) -> Estimate:
    """The bundle's metric; undefined, with the reason, where no report measures it."""
    found = bundle.get("metrics", {}).get(metric)
    return undefined("no report measures it for this bundle") if found is None else Estimate.from_json(found)


def slices_of(name: str, bundle: Report, reference: str, metric: str) -> dict[str, Estimate]:
    """Slice → the metric there, or with a reference than 'absolute' its difference to that bundle's there.

    A bundle against itself is exactly 0 everywhere. Slices of which no report tells the metric are left out.
    """
    if reference == "absolute":
        found = bundle.get("slices", {})
    elif name == reference or (reference == "best" and bundle.get("is_best")):
        return {key: exact(0.0) for key, values in bundle.get("slices", {}).items() if metric in values}
    else:
        found = bundle.get("slices_against", {}).get(reference, {})
    return {key: Estimate.from_json(values[metric]) for key, values in found.items() if metric in values}


def against_of(name: str, bundle: Report, reference: str, metric: str) -> Estimate:
    """The bundle's metric minus the reference's (`DIFFERENCES`), or divided by it (all others).

    A bundle against itself is exactly 0, or 1.

    >>> against_of("teacher", {}, "teacher", "size_mb").value
    1.0
    """
    found = bundle.get("against", {}).get(reference, {}).get(metric)
    if found is not None:
        return Estimate.from_json(found)
    if name == reference or (reference == "best" and bundle.get("is_best")):
        return exact(0.0 if metric in DIFFERENCES else 1.0)
    return undefined(f"no report compares it with the {reference}'s")


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both, figure by figure, the other's where both have one: a slice's metrics, a reference's metrics or slices."""
    both = {
        key: {**one[key], **item}
        for key, item in other.items()
        if isinstance(one.get(key), Mapping) and isinstance(item, Mapping) and not is_estimate(item)
    }
    return {**one, **other, **both}


def _sliced(part: Report) -> set[str]:
    """The metrics that a report measures by slice, as `see` names them."""
    groups = [part.get("slices", {}), *part.get("slices_against", {}).values()]
    return {f"{metric} by slice" for slices in groups for values in slices.values() for metric in values}
