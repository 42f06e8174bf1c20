"""All checks in one list: what `ratchet check` prints, and what a run begins with when a stage is stale."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.checks.backbones import check_backbones
from flows.checks.blocks import check_blocks, check_live
from flows.checks.cases import check_cases
from flows.checks.classes import check_classes
from flows.checks.finding import Finding, raised
from flows.checks.gates import check_gates
from flows.checks.labels import check_labels
from flows.checks.ladder import check_ladder
from flows.checks.languages import check_languages
from flows.checks.names import check_names
from flows.checks.personal_data import check_personal_data
from flows.checks.project import Project, read_project
from flows.checks.resources import check_resources
from flows.checks.source import check_source
from flows.checks.suites import check_suites
from flows.checks.wiring import check_wiring
from ratchet.errors import ParamsError

CHECKS: Sequence[Callable[[Project], list[Finding]]] = (
    check_blocks,  # first: it leaves the blocks that hold for the others
    check_live,
    check_wiring,
    check_ladder,
    check_source,
    check_classes,
    check_names,
    check_labels,
    check_backbones,
    check_languages,
    check_suites,
    check_cases,
    check_personal_data,
    check_gates,
    check_resources,
)
"""A new concern is a module and a line here. What one of them needs and does not find, it passes over: a pipeline of
other stages is checked as far as it goes."""
ORDER = ("error", "warning", "info")

_said: set[Finding] = set()  # a run checks twice, before and within its flow, and warns once


def find(root: Path) -> list[Finding]:
    """Every finding of every check, errors first; nothing is written, and no heavy library is loaded."""
    try:
        project = read_project(root)
    except ParamsError as problem:
        return [raised(problem, str(problem.where).removeprefix(f"{root}/"))]
    found = [finding for check in CHECKS for finding in check(project)]
    return sorted(dict.fromkeys(found), key=lambda item: ORDER.index(item.severity))


def require(root: Path) -> None:
    """Refuse to run what cannot end well; what is only odd is printed, once.

    Raises:
        ParamsError: with all errors.
    """
    found = find(root)
    if errors := [item for item in found if item.severity == "error"]:
        raise ParamsError(f"{listing(errors)}\n\nNo stage was run.")
    for item in found:
        if item.severity == "warning" and item not in _said:
            _said.add(item)
            print(item, file=sys.stderr)


def listing(found: Sequence[Finding]) -> str:
    """The findings as a text, and how many there are."""
    n = {severity: sum(item.severity == severity for item in found) for severity in ORDER}
    counts = [f"{count} {severity}{'s' if count != 1 else ''}" for severity, count in n.items() if severity != "info"]
    return "\n\n".join([*map(str, found), ", ".join(counts) + "."])
