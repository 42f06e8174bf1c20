"""The high-water mark: the best bundle ever released, told by the tags and the records of the versions alone.

The first release is the mark. A later one becomes it where it is not worse than the mark on the same texts of the
sealed test, by the value that its record binds. So the mark is the best of all releases on those texts, and who is
shown to lose little against it loses little against each. A rollback moves the mark only from the version that is
withdrawn, or, to the present champion, where whoever may roll back says so: its bundle is lost.
"""

from __future__ import annotations

import json
from typing import Any

from ratchet.errors import ReleaseError
from ratchet.models.discovery import MARK
from ratchet.registry.names import Version, need_version
from ratchet.registry.view import View, role_statement


def mark_of(view: View, before: int | None = None) -> Version | None:
    """The high-water mark, or that before the role change of that number; None before the first release.

    Raises:
        ReleaseError: a tag or a version that says so fails verification.
    """
    mark = champion = None
    for change in view.changes():
        if change.role == "champion" and (before is None or change.number < before):
            statement = role_statement(view.tag(change.tag))
            version = need_version(statement.version)
            mark = next_mark(view, statement.action, version, mark, champion)
            champion = version
    return mark


def next_mark(
    view: View,
    action: str,
    version: Version,
    mark: Version | None,
    champion: Version | None,
) -> Version | None:
    """The mark once a version becomes champion.

    Args:
        view: the registry.
        action: `roll_back`, or `promote`.
        version: the version.
        mark: the mark before.
        champion: the champion before.
    """
    if action == "roll_back":
        return version if mark is not None and champion in (mark, version) else mark
    compared = view.record(version).get(MARK)
    if compared is None:  # released before there was a mark
        return mark
    return version if mark is None or (compared["gained"] is not None and compared["gained"] >= 0) else mark


def mark_pointer(view: View, mark: Version | None) -> bytes:
    """The content of the pointer to a mark."""
    if mark is None:
        return b'{\n  "bundle": null\n}\n'
    pointer = {
        "bundle": f"{view.rules.policy.paths.models}/{MARK}",
        "manifest_sha256": view.record(mark)["manifest_sha256"],
        "version": mark.tag,
    }
    return (json.dumps(pointer, indent=2, sort_keys=True) + "\n").encode()


def check_compared(view: View, version: Version, number: int) -> None:
    """Check that a version was compared with the mark that stood before the role change of that number.

    Raises:
        ReleaseError: it was not.
    """
    mark = mark_of(view, number)
    expected = view.record(mark)["manifest_sha256"] if mark else ""
    if (got := view.record(version).get(MARK, {}).get("manifest_sha256", "")) != expected:
        raise ReleaseError(
            "The version was not compared with the high-water mark.",
            where=version.tag,
            got=got or "none",
            expected=f"{expected}, of {mark.tag}" if mark else "none",
            fix="git pull, ratchet registry fetch high_water_mark, and run the pipeline again",
        )


def check_mark_pointer(view: View) -> None:
    """Check that the branch's pointer is on the mark that the tags give.

    Raises:
        ReleaseError: it is not.
    """
    path = view.rules.policy.paths.high_water_mark
    if not path:
        return
    mark = mark_of(view)
    expected = json.loads(mark_pointer(view, mark))
    if (got := _pointer(view, path)) != expected:
        raise ReleaseError(
            "The pointer to the high-water mark is not on the mark.",
            where=path,
            got=got.get("version") or got.get("bundle") or "none",
            expected=mark.tag if mark else "none",
            fix="promote or roll back, which moves it",
        )


def _pointer(view: View, path: str) -> dict[str, Any]:
    content = view.repository.file(view.main, path)
    if content is None:
        return {"bundle": None}
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ReleaseError("The pointer to the high-water mark is damaged.", where=path)
    return found
