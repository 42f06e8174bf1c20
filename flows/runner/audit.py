"""Audit log entries of flows."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from ratchet.registry.audit_entry import Action, Head, Scalar
from ratchet.registry.audit_log import actor, append, log_path


def record(root: Path, action: Action, subject: str, details: Mapping[str, Scalar], why: str = "") -> Head:
    """Log what a flow did, with the revision it worked on. A stage never logs: DVC's run cache replays it unseen."""
    return append(
        log_path(root),
        who=actor(),
        action=action,
        subject=subject,
        why=why,
        details={**details, "revision": _revision(root)},
    )


def _revision(root: Path) -> str:
    """The commit that is checked out; `none` before the first."""
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "none"
