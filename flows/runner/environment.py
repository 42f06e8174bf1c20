"""What Prefect and DVC find in the environment: no telemetry, a home inside the workspace, patience at the start."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from ratchet.entry import QUIET


def set_environment(environ: MutableMapping[str, str] = os.environ, root: Path | None = None) -> None:
    """Set what is not set yet. Must run before Prefect is imported: it reads its settings then."""
    root = root or Path.cwd()
    defaults = {
        **QUIET,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # 20 s by default; the first start takes that long
    }
    for name, value in defaults.items():
        environ.setdefault(name, value)


def stage_environment() -> dict[str, str]:
    """The environment of a stage: `python` is the interpreter of the flow, and output is not held back."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "120"}
