"""What was released, by whom, and who may do what: read from signed tags, policy and audit log, never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ratchet.errors import RatchetError
from ratchet.registry.audit_log import entries, log_path
from ratchet.registry.clone import Clone
from ratchet.registry.listing import list_versions
from ratchet.registry.policy import POLICY, RightName, read_policy

RIGHTS: tuple[RightName, ...] = ("release", "promote", "roll_back", "change_policy")
N_ENTRIES = 100
"""Entries of the audit log that are shown, the newest first; `ratchet audit show` has all."""


def releases_view(root: Path) -> dict[str, Any]:
    """Versions with their roles, rights, required gates, and the end of the audit log; what fails verification says so.

    Everything is verified anew on each call, as `ratchet registry list` and `ratchet audit show` do.
    """
    versions, registry_error = _or_error(lambda: list_versions(Clone(root).view()))
    log, log_error = _or_error(lambda: entries(log_path(root)))
    policy = read_policy((root / POLICY).read_bytes()) if (root / POLICY).is_file() else None
    return {
        "versions": versions,
        "registry_error": registry_error,
        "rights": {name: policy.right(name) for name in RIGHTS} if policy else {},
        "protected": policy.protected_paths() if policy else [],
        "required_gates": policy.required_gates if policy else [],
        "entries": log[::-1][:N_ENTRIES],
        "n_entries": len(log),
        "log_error": log_error,
    }


def _or_error(read: Any) -> tuple[list[Any], str]:
    """What is read; or nothing, and why."""
    try:
        return list(read()), ""
    except (RatchetError, OSError) as error:
        return [], str(error)
