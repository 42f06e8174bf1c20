"""With personal data masked in the texts: whether it comes back by another way, in cases or by the prediction log."""

from __future__ import annotations

from typing import Any

from flows.checks.finding import Finding, error
from flows.checks.project import LIVE, Project

CASES = ("data/behaviour", "data/challenge", "data/concepts", "data/lexicons")
"""Folders with texts that people write, which are in Git and in reports."""


def check_personal_data(project: Project) -> list[Finding]:
    """Where `validate.personal_data` is mask: cases with personal data, and a log that keeps texts as they come."""
    validate: Any = project.blocks.get("validate")
    if validate is None or validate.personal_data != "mask":
        return []
    return [*_cases(project, validate.regions), *_log(project)]


def _cases(project: Project, regions: list[str]) -> list[Finding]:
    from ratchet.data.personal_data import find_personal_data

    paths = [path for folder in CASES for path in sorted((project.root / folder).rglob("*")) if path.is_file()]
    lines = [
        (f"{path.relative_to(project.root).as_posix()}:{number}", find_personal_data(line, regions))
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
    ]
    return [
        error(
            "A case holds personal data, which is masked in the texts.",
            where,
            got=", ".join(sorted({item.kind for item in found})).replace("_", " "),
            expected="texts without any, as those that models see",
            fix="write [EMAIL], [PHONE], [CARD], [IBAN] or [NATIONAL_NUMBER] in its place",
        )
        for where, found in lines
        if found
    ]


def _log(project: Project) -> list[Finding]:
    log = project.yaml(LIVE).get("log") if (project.root / LIVE).is_file() else None
    if not isinstance(log, dict) or log.get("personal_data") != "off":
        return []
    return [
        error(
            "The prediction log keeps personal data, which is masked in the texts.",
            project.at(LIVE, "log", "personal_data"),
            got="log.personal_data: off, validate.personal_data: mask",
            expected="mask in both: texts of the log come back as texts to label",
            fix="set log.personal_data: mask",
        )
    ]
