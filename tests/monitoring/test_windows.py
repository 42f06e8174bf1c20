"""Windows by time and by count; the traffic in them; slices; the whole inspection on a log with planted faults."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pytest
from scipy.stats import binomtest

from ratchet.errors import BundleError
from ratchet.monitoring.delayed_labels import LateLabels
from ratchet.monitoring.inspection import estimator_of, inspect_window, judge_late_labels
from ratchet.monitoring.moved import what_moved
from ratchet.monitoring.page import monitor_page
from ratchet.monitoring.reference import read_reference, write_reference
from ratchet.monitoring.settings import MonitorParams
from ratchet.monitoring.slices import judge_slices, production_groups
from ratchet.monitoring.traffic import find_anomalies
from ratchet.monitoring.windows import Window, answered, cut_windows, draw
from ratchet.trust.lexicons import Lexicon
from tests.support.production import LABELS, PARAMS, START, log_of, reference_of


def test_windows_end_by_count_or_by_time_and_lose_no_request() -> None:
    log = log_of(1000, seconds=6.0)  # 100 minutes
    later = START + timedelta(days=1)
    by_time = cut_windows(log, 30, 10_000, 50, later)
    assert [len(window.rows) for window in by_time] == [300, 300, 300, 100]
    by_count = cut_windows(log, 30, 120, 40, later)
    assert {len(window.rows) for window in by_count[:-1]} == {120}
    assert sum(len(window.rows) for window in by_count) == 1000
    assert all(one.end < two.start for one, two in itertools.pairwise(by_count))


def test_a_window_waits_for_its_time_and_for_enough_requests() -> None:
    log = log_of(100, seconds=6.0)
    assert cut_windows(log, 30, 10_000, 50, START + timedelta(minutes=20)) == []
    assert len(cut_windows(log, 30, 10_000, 50, START + timedelta(minutes=31))) == 1
    assert cut_windows(log, 30, 10_000, 200, START + timedelta(days=9)) == []
    assert cut_windows(log.slice(0, 0), 30, 10_000, 200, START) == []


def test_only_the_versions_own_answers_are_judged() -> None:
    log = log_of(10)
    changed = {
        "status": [429, *[200] * 9],
        "arm": ["champion", "shadow", *["champion"] * 8],
        "model_version": [*["m@1"] * 9, "m@2"],
    }
    for name, values in changed.items():
        log = log.set_column(log.schema.get_field_index(name), name, [values])
    assert answered(log, "m@1").column("request_id").to_pylist() == [f"r{i}" for i in range(2, 9)]
    assert len(draw(log, 4, np.random.default_rng(0))) == 4


@pytest.mark.parametrize(
    ("column", "value", "share", "name"),
    [
        ("latency_ms", 900.0, 0.3, "slow"),
        ("status", 500, 0.1, "errors"),
        ("status", 429, 0.3, "shed"),
        ("text", "   ", 0.2, "empty_texts"),
        ("text", "#### 1234 #### 5678 ####", 0.15, "odd_texts"),
        ("text", "the very same text again and again", 0.5, "same_text"),
        ("key_id", "busy", 0.9, "one_key"),
    ],
)
def test_each_anomaly_is_found_and_nothing_else(column: str, value: Any, share: float, name: str) -> None:
    log = log_of(400)
    values = log.column(column).to_pylist()
    for row in range(int(400 * share)):
        values[row] = f"{value} {row}" if name == "odd_texts" else value
    planted = log.set_column(
        log.schema.get_field_index(column), column, pyarrow.array(values, log.schema.field(column).type)
    )
    _, before = find_anomalies(log, 40.0, [], PARAMS)
    figures, after = find_anomalies(planted, 40.0, [], PARAMS)
    assert before == []
    assert [finding.name for finding in after] == [name]
    assert figures[name] >= share * 0.9


def test_an_unusual_rate_is_found_once_the_usual_one_is_known() -> None:
    log = log_of(300)
    assert find_anomalies(log, 30.0, [10.0] * 4, PARAMS)[1] == []
    for minutes, found in ((30.0, []), (3.0, ["rate"]), (300.0, ["rate"])):
        assert [item.name for item in find_anomalies(log, minutes, [10.0] * 6, PARAMS)[1]] == found


def test_a_changed_slice_is_named_and_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    reference = reference_of(rng)
    fitted = estimator_of(reference)

    def proba(n: int, positive: float) -> Any:
        p = np.where(rng.random(n) < positive, 0.9, 0.1)
        return np.stack([1 - p, p], axis=1)

    here = {"length": np.repeat(["short", "long"], 300)}
    there = {"length": np.repeat(["short", "long"], 500)}
    before = proba(1000, 0.5)
    changed = np.concatenate([proba(300, 0.5), proba(300, 0.75)])
    figures, found = judge_slices(changed, here, before, there, ["negative", "positive"], fitted, 50, 0.01)
    assert [item.name for item in found] == ["length=long.positive"]
    assert figures["gaps"]["length"]["selection_rate"] > 0.15
    quiet = [
        len(judge_slices(proba(600, 0.5), here, before, there, ["negative", "positive"], fitted, 50, 0.05)[1]) > 0
        for _ in range(100)
    ]
    assert np.mean(quiet) <= 0.13  # 0.05, and four standard errors


LEXICON = Lexicon(attributes={"gender": {"women": ["she"], "men": ["he"]}}, phrases=[], swaps={}, templates=[])


def test_people_are_watched_by_group_and_a_group_too_small_to_compare_is_listed_with_the_reason() -> None:
    """She is praised less than in the reference, he is hardly spoken of, and nobody else has changed."""
    rng = np.random.default_rng(4)
    fitted = estimator_of(reference_of(rng))
    params = PARAMS.model_copy(update={"slices": ["length"], "attributes": ["gender"]})
    texts = ["she sings"] * 300 + ["he sings"] * 19 + ["a song"] * 300
    before = ["she sings"] * 400 + ["he sings"] * 400 + ["a song"] * 400

    def groups(each: list[str], lexicon: Lexicon | None) -> dict[str, Any]:
        frame = pd.DataFrame({"text": each})
        return production_groups(frame, params.slices, params.length_edges, params.attributes, lexicon)

    here, there = groups(texts, LEXICON), groups(before, LEXICON)
    assert set(here) == {"length", "gender"}
    assert set(groups(texts, None)) == {"length"}

    def proba(rates: list[tuple[int, float]]) -> Any:
        p = np.concatenate([np.where(np.arange(n) < rate * n, 0.9, 0.1) for n, rate in rates])
        return np.stack([1 - p, p], axis=1)

    window, reference = proba([(300, 0.3), (19, 0.0), (300, 0.5)]), proba([(400, 0.5)] * 3)
    figures, found = judge_slices(window, here, reference, there, ["negative", "positive"], fitted, 20, 0.01)
    assert "gender=women.positive" in [item.name for item in found]
    assert not [item for item in found if "=men." in item.name or "=none." in item.name]
    women, men = figures["slices"]["gender=women"], figures["slices"]["gender=men"]
    exact = binomtest(90, 300).proportion_ci(method="wilson")
    assert women["selection_rate"]["positive"] == {"value": 0.3, "low": exact.low, "high": exact.high, "n": 300}
    assert (women["n"], women["n_reference"], men["n"], men["n_reference"]) == (300, 400, 19, 400)
    for few in (men["accuracy_estimate"], *men["selection_rate"].values()):
        assert np.isnan(few["value"])
        assert few["reason"] == "19 requests and 400 texts of the reference, of 20 needed"
    assert figures["gaps"]["gender"]["selection_rate"] == pytest.approx(0.2)  # women against texts that name nobody
    assert figures["not_in_reference"] == []
    del there["gender"]
    figures, _ = judge_slices(window, here, reference, there, ["negative", "positive"], fitted, 20, 0.01)
    assert figures["not_in_reference"] == ["gender"]
    assert not [name for name in figures["slices"] if name.startswith("gender")]


def test_the_page_shows_small_groups_and_what_the_reference_lacks() -> None:
    reference = reference_of(np.random.default_rng(2))
    params = PARAMS.model_copy(update={"attributes": ["gender"], "min_slice_size": 90})
    judged = inspect_window(_window(log_of(150, seed=3)), reference, None, [], params, LEXICON)
    page = monitor_page([{**judged.figures, "rules": [], "findings": []}])
    assert "Too small to say: length=long (" in page
    assert "the reference was made before they were watched: gender." in page


def test_a_reference_reads_back_as_it_was_in_the_same_bytes(tmp_path: Path) -> None:
    one = reference_of(np.random.default_rng(1))
    for name in ("a", "b"):
        write_reference(tmp_path / name, one)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    back = read_reference(tmp_path / "a")
    assert (back.version, back.labels, sorted(back.nulls)) == (one.version, one.labels, sorted(one.nulls))
    np.testing.assert_array_equal(back.groups["length"], one.groups["length"])
    np.testing.assert_array_equal(back.nulls[100].smallest, one.nulls[100].smallest)
    (tmp_path / "a").write_bytes(b"no safetensors")
    with pytest.raises(BundleError, match="cannot be read"):
        read_reference(tmp_path / "a")


def _window(log: pyarrow.Table) -> Window:
    times = log.column("timestamp")
    return Window(times[0].as_py(), times[-1].as_py(), log)


def test_a_quiet_window_is_quiet_and_a_drifted_one_alerts_the_second_time() -> None:
    reference = reference_of(np.random.default_rng(2))
    quiet = inspect_window(_window(log_of(150, seed=3)), reference, None, [], PARAMS)
    assert quiet.findings == []
    assert quiet.figures["drift"]["n"] == 100
    other = _window(log_of(150, seed=4, n_words=80))
    first = inspect_window(other, reference, None, [quiet.figures], PARAMS)
    second = inspect_window(other, reference, None, [quiet.figures, first.figures], PARAMS)
    assert [(item.kind, item.severity) for item in first.findings if item.kind == "drift"] == [("drift", "warning")]
    assert [(item.kind, item.severity) for item in second.findings if item.kind == "drift"] == [("drift", "alert")]
    assert second.findings[0].next_step


def test_the_order_of_windows_without_enough_requests_does_not_matter() -> None:
    """A window that cannot be judged neither confirms a drift nor clears it."""
    reference = reference_of(np.random.default_rng(2))
    first = inspect_window(_window(log_of(150, seed=4, n_words=80)), reference, None, [], PARAMS)
    small = inspect_window(_window(log_of(20, seed=5)), reference, None, [first.figures], PARAMS)
    assert small.figures["drift"] is None
    later = inspect_window(
        _window(log_of(150, seed=6, n_words=80)), reference, None, [first.figures, small.figures], PARAMS
    )
    assert later.figures["drift"]["again"]


def test_unsure_answers_are_decay() -> None:
    reference = reference_of(np.random.default_rng(7))
    found = inspect_window(_window(log_of(200, seed=8, sureness=0.1)), reference, None, [], PARAMS)
    assert "estimated_accuracy" in [item.name for item in found.findings]


def test_late_labels_alarm_when_errors_rise_and_say_nothing_of_a_few() -> None:
    reference = reference_of(np.random.default_rng(9))
    fitted = estimator_of(reference)
    rng = np.random.default_rng(10)

    def judged(rate: float, n: int = 400) -> Any:
        return judge_late_labels(LateLabels(rng.random(n) < rate, np.full(n, 0.8)), fitted, PARAMS)

    assert judged(1 - fitted.accuracy).findings == []
    assert judged(1 - fitted.accuracy + 0.3).findings[0].key == "decay.late_labels"
    assert judged(1.0, 5).figures["n"] == 5


def test_settings_are_strict() -> None:
    with pytest.raises(ValueError, match="alpha"):
        MonitorParams.model_validate({**PARAMS.model_dump(), "alpha": 0.5})
    assert datetime(2026, 1, 1, tzinfo=UTC) == START


def test_a_drift_names_what_moved_with_its_share_before_and_now() -> None:
    """Every second text holds a word that the reference never saw, and the texts are long."""
    reference = reference_of(np.random.default_rng(2))
    log = log_of(150, seed=4, n_words=80)
    texts = [f"zeppelin {text}" if row % 2 else text for row, text in enumerate(log.column("text").to_pylist())]
    log = log.set_column(log.schema.get_field_index("text"), "text", [texts])
    judged = inspect_window(_window(log), reference, None, [], PARAMS).figures["drift"]
    words = {row["name"]: row for row in judged["moved"] if row["kind"] == "word"}
    assert words["zeppelin"]["before"] == 0
    assert 0.3 < words["zeppelin"]["now"] < 0.7
    slices = {row["name"]: row for row in judged["moved"] if row["kind"] == "slice"}
    assert slices["length=long"]["now"] > slices["length=long"]["before"] + 0.5
    assert len(judged["newest"]) == 10
    assert all(item.keys() == {"request_id"} for item in judged["newest"])
    assert judged["accuracy_change"]["low"] < judged["accuracy_change"]["value"] < judged["accuracy_change"]["high"]
    shown = inspect_window(_window(log), reference, None, [], PARAMS.model_copy(update={"show_texts": True}))
    assert "zeppelin" in {word for item in shown.figures["drift"]["newest"] for word in item["text"].split()}
    page = monitor_page([{**shown.figures, "rules": [], "findings": []}])
    assert "share of texts that hold the word" in page
    assert "zeppelin" in page


def test_quiet_windows_list_nothing_as_moved() -> None:
    rng = np.random.default_rng(3)
    reference = reference_of(rng)
    held = reference.sample.proba.argmax(axis=1)
    found = []
    for seed in range(20):
        rows = log_of(150, seed=seed)
        texts = rows.column("text").to_pylist()
        groups = production_groups(rows.select(["text"]).to_pandas(), ["length"], [12, 25], [], None)
        answers = np.array([LABELS.index(label) for label in rows.column("predicted").to_pylist()])
        found.append(what_moved(texts, answers, groups, reference.words, held, reference.groups, LABELS))
    assert sum(map(bool, found)) <= 2
