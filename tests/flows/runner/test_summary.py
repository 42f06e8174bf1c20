"""The table at the end of a run says what the reports say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from flows.runner.execution import CACHED, FAILED, Outcome
from flows.runner.openings import OPENINGS, TEST, enter_opening, openings
from flows.runner.progress import Progress
from flows.runner.summary import print_summary
from ratchet.files import read_json, sha256_json, write_json
from ratchet.ladder import NOT_ASKED


def _estimate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value, "high": value, "n": 10}


def _metrics(accuracy: float, latency_ms: float, size_mb: float) -> dict[str, Any]:
    values = {"primary": accuracy, "latency_p95_ms": latency_ms, "size_mb": size_mb}
    return {"metrics": {name: _estimate(value) for name, value in values.items()} | {"cost_per_million_usd": None}}


BUNDLES = {
    "baseline": _metrics(0.75, 1, 2),
    "teacher": _metrics(0.84, 30, 91),
    "student": _metrics(0.82, 16, 60),
    "small": _metrics(0.821, 5.4, 17.9),
    "other": _metrics(0.1, 1, 1),
}


def _printed(root: Path) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    print_summary(root, console)
    return console.export_text()


def _decision(**changes: Any) -> dict[str, Any]:
    kept, harmful = ({"gates": [{"metric": "ece", "passed": passed}]} for passed in (True, False))
    decision = {
        "verdict": "accepted",
        "chosen": "small",
        "ranking": ["student", "small", "teacher"],
        "bundles": {"student": harmful, "small": kept, "teacher": kept},
        "over_limits": {"other": ["size_mb 1, limit 0.5"]},
        "near_the_best": ["student", "small", "teacher"],
        "undecided": {},
        "reasons": ["small is the first", "student fails ece"],
    }
    return decision | changes


def _write(root: Path, decision: dict[str, Any]) -> None:
    write_json(root / "reports/evaluate.json", {"bundles": BUNDLES, "primary_metric": "macro_f1"})
    judged = {"small": {"metrics": {"primary": {"value": 0.8, "low": 0.78, "high": 0.82, "n": 9}}}}
    write_json(root / "reports/judge.json", {"bundles": judged, "max_openings": 2})
    write_json(root / "reports/decision.json", decision)


def test_a_line_a_bundle_says_what_became_of_it(tmp_path: Path) -> None:
    _write(tmp_path, _decision())
    (tmp_path / "reports/report.html").touch()
    lines = [line.split() for line in _printed(tmp_path).splitlines() if line.strip()]
    assert lines.pop(0)[0] == "macro-F1:"
    assert [line[0] for line in lines[:6]] == ["bundle", "student", "small", "teacher", "baseline", "other"]
    assert lines[1] == ["student", "0.820", "–", "16.0", "60.0", "fails", "ece"]
    assert lines[2] == ["small", "0.821", "0.800", "±", "0.020", "5.4", "17.9", "chosen"]
    assert lines[3][-2:] == ["passes", "too"]
    assert lines[4][-3:] == ["loses", "too", "much"]
    assert lines[5][-3:] == ["beyond", "a", "limit"]
    assert lines[6] == ["Promotion:", "accepted", "—", "small"]
    assert lines[7] == ["·", "small", "is", "the", "first"]
    assert lines[8][:3] == ["·", "1", "more"]
    assert lines[-1] == ["Report:", "reports/report.html"]


def test_what_was_asked_for_and_not_built_says_why(tmp_path: Path) -> None:
    _write(tmp_path, _decision())
    report = read_json(tmp_path / "reports/evaluate.json")
    left_out = {"pruned": "TF-IDF is better", "cascade": "it does not pay", "int4": NOT_ASKED}
    write_json(tmp_path / "reports/evaluate.json", {**report, "left_out": {**left_out, "a": "TF-IDF is better"}})
    text = _printed(tmp_path)
    assert "Not built: a, pruned: TF-IDF is better\nNot built: cascade: it does not pay" in text
    assert "int4" not in text


def test_a_rejection_names_its_reasons(tmp_path: Path) -> None:
    reasons = ["does harm", "worse", "word " * 500]
    steps = ["Label more of a.", "Look at b."]
    _write(tmp_path, _decision(verdict="rejected", chosen=None, reasons=reasons, next_steps=steps))
    text = _printed(tmp_path)
    assert "Promotion: rejected\n  · does harm\n  · worse" in text
    assert text.count("word") < 100
    assert "the report has it whole" in " ".join(text.split())
    assert "chosen" not in text
    assert "→ Label more of a.\n  → Look at b." in text


def test_a_test_set_that_is_used_up_is_named_with_what_to_do(tmp_path: Path) -> None:
    _write(tmp_path, _decision())
    _test_texts(tmp_path, range(200))
    for n in range(3):
        assert "split.salt" not in _printed(tmp_path)
        write_json(tmp_path / "reports/shortlist.json", {"shortlist": ["small"]})
        write_json(tmp_path / "models/small/bundle.json", {"weights": n})
        assert enter_opening(tmp_path) == n + 1
        assert enter_opening(tmp_path) == n + 1, "the same bundles judged again are the same opening"
    assert "opened 3 times, 2 are allowed" in _printed(tmp_path)
    assert "split.salt" in _printed(tmp_path)
    _test_texts(tmp_path, range(200, 400))
    assert "split.salt" not in _printed(tmp_path)
    assert enter_opening(tmp_path) == 1
    assert len(openings(tmp_path)) == 4


def _test_texts(root: Path, numbers: range, note: str = "") -> None:
    """Test texts of these numbers; a note changes the file and none of its texts."""
    import pandas as pd

    (root / TEST).parent.mkdir(parents=True, exist_ok=True)
    ids = [sha256_json(number)[:16] for number in numbers]
    pd.DataFrame({"id": ids, "note": note}).to_parquet(root / TEST)


def test_a_test_set_that_was_opened_under_another_hash_counts_with_what_to_do(tmp_path: Path) -> None:
    _write(tmp_path, _decision())
    write_json(tmp_path / "reports/shortlist.json", {"shortlist": ["small"]})
    write_json(tmp_path / "models/small/bundle.json", {})
    _test_texts(tmp_path, range(200))
    assert enter_opening(tmp_path) == 1
    assert "another hash" not in _printed(tmp_path)
    _test_texts(tmp_path, range(200), "a column more")
    assert enter_opening(tmp_path) == 2
    assert enter_opening(tmp_path) == 2, "killed before the decision, the same command counts one opening"
    text = " ".join(_printed(tmp_path).split())
    assert "100% of the texts of a test set that was opened before under another hash are among these (1 of the" in text
    assert "split.salt" in text
    _test_texts(tmp_path, range(50, 250))  # three quarters of them
    assert enter_opening(tmp_path) == 3
    _test_texts(tmp_path, range(180, 380))  # a tenth
    assert enter_opening(tmp_path) == 1
    assert "another hash" not in _printed(tmp_path)


def test_an_opening_from_before_sketches_counts_by_its_hash(tmp_path: Path) -> None:
    _test_texts(tmp_path, range(50))
    write_json(tmp_path / "reports/shortlist.json", {"shortlist": []})
    write_json(tmp_path / OPENINGS, {"openings": [{"test": "a", "judged": "b"}]})
    assert enter_opening(tmp_path) == 1


def test_without_a_shortlist_nothing_is_opened(tmp_path: Path) -> None:
    assert enter_opening(tmp_path) == 0
    assert not (tmp_path / OPENINGS).exists()


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
