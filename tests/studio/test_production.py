"""The studio's page of production: what the monitor judged, what was sent, what the rollout shows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.files import write_json
from ratchet.monitoring.inspection import inspect_window
from ratchet.params import read_yaml
from ratchet.reporting.templates import render_template
from ratchet.studio.production import production_view, window_page
from tests.monitoring.test_windows import LEXICON, _window
from tests.support.miniature import ROOT
from tests.support.production import PARAMS, log_of, reference_of

XSS = "<script>alert(1)</script>"


def page(root: Path) -> str:
    found = production_view(root, root / "reports")
    return render_template("studio_production.html", view="production", **found)


@pytest.fixture(scope="module")
def judged() -> dict[str, Any]:
    """A window as the monitor judges it."""
    reference = reference_of(np.random.default_rng(2))
    figures = inspect_window(_window(log_of(150, seed=3)), reference, None, [], PARAMS, LEXICON).figures
    finding = {
        "kind": "drift",
        "name": "requests",
        "severity": "alert",
        "message": XSS,
        "next_step": "",
        "evidence": {},
    }
    return {**figures, "rules": [], "findings": [finding]}


@pytest.fixture
def root(tmp_path: Path, judged: dict[str, Any]) -> Path:
    shutil.copyfile(ROOT / "live.yaml", tmp_path / "live.yaml")
    folder = tmp_path / "reports/monitor"
    folder.mkdir(parents=True)
    lines = [json.dumps(judged), json.dumps({**judged, "findings": []})]
    (folder / "windows.jsonl").write_text("".join(f"{line}\n" for line in lines))
    waiting = {
        "id": "1",
        "kind": "drift",
        "message": XSS,
        "next_step": "Look.",
        "runbook": "docs",
        "found_at": "2026-01-01T00:00",
    }
    write_json(folder / "outbox.json", [waiting])
    write_json(folder / "sent.json", {"m@1/drift.words": "2026-01-01T00:00:00+00:00"})
    return tmp_path


def test_it_lists_windows_alerts_and_leads_to_what_moved(root: Path) -> None:
    found = production_view(root, root / "reports")
    assert [(row["number"], row["n_alerts"]) for row in found["windows"]] == [(1, 0), (0, 1)]
    shown = page(root)
    assert "/production/windows/0" in shown
    assert "m@1/drift.words" in shown
    assert "Look." in shown
    assert "<script" not in shown
    first, last = (window_page(root / "reports", number) for number in (0, 1))
    assert first is not None
    assert last is not None
    assert "1 alert" in first
    assert "As usual" in last
    assert "<script" not in first
    for number in (-1, 2):
        assert window_page(root / "reports", number) is None


def test_it_shows_the_rollout_and_its_evidence_or_why_not(root: Path) -> None:
    state = root / read_yaml(root / "live.yaml")["rollout"]["state"]
    known = {"name": "int8", "bundle": "models/x", "manifest_sha256": "0" * 64, "version": "", "salt": "s", "n": 1}
    known |= {"status": "running", "step": "shadow", "since": "2026-01-01T00:00:00+00:00", "settled": True, "why": XSS}
    write_json(state, {**known, "evidence": {"accuracy": {"value": 0.01, "low": -0.01, "high": 0.03, "n": 400}}})
    shown = page(root)
    assert "step shadow since 2026-01-01 00:00" in shown
    assert "&lt;script&gt;" in shown
    state.write_text('{"name": 3}')
    assert "cannot be read" in page(root)


def test_a_workspace_without_production_says_how_to_begin(tmp_path: Path) -> None:
    shown = page(tmp_path)
    for command in ("ratchet monitor", "ratchet rollout start"):
        assert command in shown
