"""What a check reports: one contradiction, where it stands, what was found, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from ratchet.errors import RatchetError

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One line of the list. An error stops a run; a warning and an info do not."""

    severity: Severity
    what: str
    """What is wrong, a sentence."""
    where: str
    """File with line, and key; or the file alone."""
    got: str = ""
    expected: str = ""
    fix: str = ""

    def __str__(self) -> str:
        details = {"got": self.got, "expected": self.expected, "what to do": self.fix}
        lines = [f"    {name}: {value}" for name, value in details.items() if value]
        return "\n".join([f"{self.severity}: {self.where}", f"    {self.what}", *lines])


def error(what: str, where: object, *, got: object = "", expected: object = "", fix: str = "") -> Finding:
    """A contradiction on which a run would fail, or whose outcome would mean nothing."""
    return Finding("error", what, str(where), str(got), str(expected), fix)


def warning(what: str, where: object, *, got: object = "", expected: object = "", fix: str = "") -> Finding:
    """Something that a run survives, and that is hardly meant."""
    return Finding("warning", what, str(where), str(got), str(expected), fix)


def info(what: str, where: object, *, got: object = "") -> Finding:
    """Something to know before a run."""
    return Finding("info", what, str(where), str(got))


def raised(problem: RatchetError, where: object) -> Finding:
    """What a method refuses, as a finding: the check need not know the method's rules a second time."""
    return error(problem.what, where, got=problem.got, expected=problem.expected, fix=problem.fix or "correct it")


def refused(call: Callable[[], object], where: object) -> list[Finding]:
    """What a method that checks its input says of it; empty where it accepts."""
    try:
        call()
    except RatchetError as problem:
        return [raised(problem, where)]
    return []


def unknown(
    what: str, where: object, name: str, known: Collection[str], fix: str, severity: Severity = "error"
) -> Finding:
    """A name that is none of those there are; the fix proposes the one that is spelled most alike."""
    alike = get_close_matches(name, list(known), n=1)
    meant = f"did you mean '{alike[0]}'? else " if alike else ""
    return Finding(severity, what, str(where), name, f"one of {', '.join(known)}" if known else "none", meant + fix)
