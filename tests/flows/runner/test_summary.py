"""The table at the end of a run says what the reports say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.runner.execution import CACHED, FAILED, Outcome
from flows.runner.progress import Progress
from flows.runner.summary import print_summary
from ratchet.files import write_json


def _estimate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value, "high": value, "n": 10}


def _metrics(accuracy: float, latency_ms: float, size_mb: float) -> dict[str, Any]:
    values = {"accuracy": accuracy, "latency_p95_ms": latency_ms, "size_mb": size_mb}
    return {"metrics": {name: _estimate(value) for name, value in values.items()} | {"cost_per_million_usd": None}}


BUNDLES = {
    "baseline": _metrics(0.75, 1, 2),
    "teacher": _metrics(0.84, 30, 91),
    "student": _metrics(0.82, 16, 60),
    "small": _metrics(0.821, 5.4, 17.9),
    "other": _metrics(0.1, 1, 1),
}


def _printed(root: Path) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    print_summary(root, console)
    return console.export_text()


def test_the_chosen_bundle_comes_last_and_others_not_at_all(tmp_path: Path) -> None:
    write_json(tmp_path / "reports/evaluate.json", {"bundles": BUNDLES})
    write_json(
        tmp_path / "reports/decision.json",
        {"verdict": "accepted", "chosen": "small", "reasons": ["small passed 7 of 7 gates"]},
    )
    (tmp_path / "reports/report.html").touch()
    lines = [line.split() for line in _printed(tmp_path).splitlines() if line.strip()]
    assert [line[0] for line in lines] == [
        "model",
        "baseline",
        "teacher",
        "student",
        "chosen:",
        "Promotion:",
        "·",
        "Report:",
    ]
    assert lines[4] == ["chosen:", "small", "0.821", "5.4", "17.9", "–"]
    assert lines[5] == ["Promotion:", "accepted", "—", "small"]
    assert lines[7] == ["Report:", "reports/report.html"]


def test_a_rejection_names_its_reasons(tmp_path: Path) -> None:
    write_json(tmp_path / "reports/evaluate.json", {"bundles": BUNDLES})
    reasons = ["too slow", "too large", "word " * 500]
    write_json(tmp_path / "reports/decision.json", {"verdict": "rejected", "chosen": None, "reasons": reasons})
    text = _printed(tmp_path)
    assert "Promotion: rejected\n  · too slow\n  · too large" in text
    assert text.count("word") < 100
    assert "full text in the report" in text
    assert "chosen" not in text


def test_without_reports_it_is_silent(tmp_path: Path) -> None:
    assert _printed(tmp_path) == ""


def test_progress_counts_what_is_done() -> None:
    console = Console(width=100, record=True, file=io.StringIO(), force_terminal=False)
    with Progress(2, console=console, verbose=True) as progress:
        progress.finished("one", Outcome(CACHED, 0.1))
        progress.started("two")
        progress.printed("two", "half way")
        progress.finished("two", Outcome(FAILED, 75.2, "why"))
        progress.not_run(["three"], ["two"])
    assert console.export_text().splitlines() == [
        "[1/2] one — cached",
        "      two — running",
        "two │ half way",
        "[2/2] two — failed 1 min 15 s",
        "not run, because two failed: three",
    ]
