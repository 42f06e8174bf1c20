"""Where the audit log of a workspace lies, and who acts in it."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ratchet.registry.audit_entry import Action, Head, Scalar
from ratchet.registry.audit_log import append

LOG = Path(".ratchet/audit.jsonl")


def log_path(root: Path) -> Path:
    """`$RATCHET_AUDIT_LOG`, for a log that several workspaces share; else the workspace's own."""
    return root / os.environ.get("RATCHET_AUDIT_LOG", LOG)


def actor() -> str:
    """`$RATCHET_WHO`, as a service sets it, or the user of this machine. What must hold is signed, not claimed."""
    return os.environ.get("RATCHET_WHO") or getpass.getuser()


def record(root: Path, action: Action, subject: str, details: Mapping[str, Scalar], why: str = "") -> Head:
    """Log what a flow did, with the revision it worked on. A stage never logs: DVC's run cache replays it unseen."""
    return append(
        log_path(root), who=actor(), action=action, subject=subject, why=why,
        details={**details, "revision": _revision(root)},
    )  # fmt: skip


def _revision(root: Path) -> str:
    """The commit that is checked out; `none` before the first."""
    done = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "none"
