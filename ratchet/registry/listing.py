"""The versions of a registry as rows, with their roles; one that fails verification is a row that says why."""

from __future__ import annotations

from typing import Any

from ratchet.errors import RatchetError
from ratchet.registry.high_water_mark import mark_of
from ratchet.registry.names import Version
from ratchet.registry.statements import RoleGiven
from ratchet.registry.view import View


def list_versions(view: View) -> list[dict[str, Any]]:
    """A row a version, the newest first: version, roles, bundle, released, accuracy, error.

    Raises:
        ReleaseError: a tag that gives a role fails verification.
    """
    mark = mark_of(view)
    rows = [_row(view, version) for version in reversed(view.versions())]
    for row in rows:
        row["roles"] += ["high-water mark"] if mark and row["version"] == mark.tag else []
    return rows


def roles_of(view: View, version: Version) -> list[str]:
    """The role tags that currently assign a role to the version."""
    found = []
    for role in ("challenger", "champion", "archived"):
        for change in reversed(view.changes()):
            statement = view.tag(change.tag).statement
            if change.role == role and isinstance(statement, RoleGiven):
                found += [change.tag] if statement.version == version.tag else []
                break
    return found


def _row(view: View, version: Version) -> dict[str, Any]:
    row: dict[str, Any] = {
        "version": version.tag,
        "roles": roles_of(view, version),
        "bundle": "",
        "released": "",
        "accuracy": None,
        "error": "",
    }
    try:
        tag, record = view.tag(version.tag), view.record(version)
    except RatchetError as error:
        return row | {"error": f"FAILS VERIFICATION: {str(error).splitlines()[0]}"}
    accuracy = record["metrics"].get("accuracy", {}).get("value")
    return row | {"bundle": record["bundle"], "released": tag.time.date().isoformat(), "accuracy": accuracy}
