"""What every test starts from: no telemetry, no run of Ratchet around it."""

from __future__ import annotations

import os

import pytest

from ratchet.entry import QUIET

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # read when shap is imported, which compiles for longer than tests take


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that every step and flow sets for itself."""
    for name, value in {**QUIET, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}.items():
        monkeypatch.setenv(name, value)
