"""What every test starts from: no telemetry, no run of Ratchet around it."""

from __future__ import annotations

import pytest

from ratchet.entry import QUIET


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that every step and flow sets for itself."""
    for name, value in {**QUIET, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}.items():
        monkeypatch.setenv(name, value)
