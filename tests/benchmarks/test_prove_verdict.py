"""The verdict is made again on resampled measurements of a run, and what is planted is what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import prove_choosing, prove_verdict
from benchmarks.material import REPORTS
from benchmarks.prove_verdict import table
from benchmarks.verdict.decisions import PLANTED, Court, tried
from benchmarks.verdict.faults import LOSS, Fault, changed, faults, group_of, swapped
from benchmarks.verdict.worlds import read_world
from pipeline_steps import judge, promote
from ratchet.files import write_json
from ratchet.measure.prediction_table import prediction_table
from ratchet.models.predictor import Predictor
from ratchet.params import read_yaml
from ratchet.table_files import write_table
from ratchet.tables import PREDICTIONS, SPLIT
from tests.support.films import copy_task_files
from tests.support.linear_words import LinearWords
from tests.support.release_reports import behave_report, bundle, explain_report, gate_at
from tests.support.tiny import BLAME, PRAISE, reviews

ROOT = Path(__file__).parents[2]
RIGHT = {**dict.fromkeys(PRAISE, 0.2), **dict.fromkeys(BLAME, -0.2)}
HALF = {word: share for word, share in RIGHT.items() if word in (*PRAISE[:3], *BLAME[:3])}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves of three bundles: a teacher, an equally good smaller one, and a baseline."""
    root = tmp_path_factory.mktemp("verdict")
    values = read_yaml(ROOT / "params.yaml")
    values["audit"] |= {"attributes": [], "intersections": [], "features": ["length"], "min_group_size": 30}
    harm = {**gate_at(-0.03, "primary", "best"), "rule": "harm"}
    slices = {**gate_at(-0.1, "accuracy", "teacher"), "rule": "harm", "scope": "every_slice"}
    trigger = gate_at(0.7, "trigger_flip_rate", comparison="at_most")
    leak, silent = gate_at(0.0, "test_leak_rate", comparison="at_most"), gate_at(0.05, "better_on_test")
    silent |= {"comparison": "at_most", "rule": "harm"}
    values["promote"] = {"gates": [gate_at(0.6), harm, slices, trigger, leak, silent], "max_total_loss": 0.035}
    write_json(root / "params.yaml", values)
    write_json(root / judge.READS["length_edges"], {"edges": [5, 8]})
    copy_task_files(root, "lexicons")
    texts = reviews(400, 2)
    write_table(root / judge.READS["splits"] / "validation.parquet", texts, SPLIT)
    predictors: dict[str, Predictor] = {
        "baseline": LinearWords(HALF),
        "teacher": LinearWords(RIGHT),
        "small-int8": LinearWords(RIGHT),
    }
    tables = []
    for name, item in predictors.items():
        proba = item.predict_proba(texts["text"].tolist())
        rows = np.random.default_rng(1).choice(len(texts), 40 if name == "teacher" else 44, replace=False)
        tables.append(prediction_table(name, "validation", item.labels, texts, swapped(proba, rows)))
    write_table(root / judge.READS["predictions"], pd.concat(tables, ignore_index=True), PREDICTIONS)
    sizes = {"baseline": (0.7, 0.5, 2.0), "teacher": (0.9, 20.0, 100.0), "small-int8": (0.89, 2.0, 8.0)}
    evaluate = {"labels": ["negative", "positive"], "bundles": {name: bundle(*of) for name, of in sizes.items()}}
    reports = {"evaluate": evaluate, "behave": behave_report(), "explain": explain_report()}
    reports |= {"audit": {"bundles": {}}, "judge": {"bundles": {}, "n_test": 500}}
    for name, report in reports.items():
        write_json(root / promote.REPORTS[name], report)
    return root


def test_what_is_planted_is_what_the_table_says(run: Path) -> None:
    world = read_world("miniature", run)
    base = world.proba[world.best]
    rng = np.random.default_rng(0)

    def accuracy(proba: Any, rows: Any = slice(None)) -> float:
        return float((proba.argmax(axis=1) == world.y_true)[rows].mean())

    assert accuracy(changed(world, base, LOSS, 0.0, rng)) == pytest.approx(accuracy(base) - LOSS)
    assert accuracy(changed(world, base, 0.0, LOSS, rng)) == pytest.approx(accuracy(base) + LOSS)
    planted = faults(world, rng)
    equal = planted["sound, next release"].released
    assert equal is not None
    assert accuracy(equal) == pytest.approx(accuracy(base))
    assert (equal.argmax(axis=1) != base.argmax(axis=1)).mean() == pytest.approx(0.1)
    name, inside = group_of(world, 0.25)
    harmed = planted["group of 25%"].proba
    assert harmed is not None
    assert name.startswith("length=")
    assert accuracy(harmed, inside) == pytest.approx(accuracy(base, inside) - 0.15, abs=0.01)
    assert accuracy(harmed, ~inside) == accuracy(base, ~inside)


def test_faults_are_refused_and_sound_models_are_released(run: Path) -> None:
    world = read_world("miniature", run)
    planted = faults(world, np.random.default_rng(0))
    for name in ("trigger", "leak", "silent leak"):
        found = tried(world, name, planted[name], 10, 0)
        assert found["n_planted_first"] > 5
        assert found["n_planted_released"] == 0, name
    sound = tried(world, "sound", planted["sound"], 10, 0)
    assert (sound["n_released"], sound["n_sound_refused"]) == (10, 0)
    free = Court(world, Fault(world.proba[world.best]), 0)
    assert PLANTED in {free.decide().chosen for _ in range(5)}, "without a fault the planted bundle is the cheapest"


def test_quick_prints_a_row_a_scenario_and_writes_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run)
    prove_verdict.main(["--quick"])
    assert capsys.readouterr().out.count(" of 3, at most ") == len(prove_verdict.ERRORS)
    assert not REPORTS.exists()


def test_a_run_that_was_stopped_carries_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, saved = read_world("miniature", run), list[dict[str, Any]]()
    done = {key: {"n": 1} for key in list(prove_verdict.ERRORS)[:-1]}
    known = {"key": world.key, "n_decisions": 1, "scenarios": done}
    prove_verdict.prove(world, known, 1, saved.append)
    assert [set(item["scenarios"]) for item in saved] == [set(prove_verdict.ERRORS)]
    prove_verdict.prove(world, {**known, "key": "of other gates"}, 1, saved.append)
    assert len(saved) == 1 + len(prove_verdict.ERRORS)


def test_what_is_best_by_luck_makes_other_losses_larger_and_cross_fitted_it_does_not() -> None:
    rng = np.random.default_rng(0)
    draws = [(rng.random((200, 12)) < 0.8).astype(np.float64) for _ in range(30)]  # none is better than another
    plain, crossed = (
        float(np.mean([gains(equal, rng) for equal in draws]))
        for gains in (prove_choosing.plain_gains, prove_choosing.cross_fitted_gains)
    )
    assert plain < -0.03
    assert abs(crossed) < abs(plain) / 2
    clear = np.stack([np.ones(200), draws[0][:, 0]], axis=1)
    assert prove_choosing.cross_fitted_gains(clear, rng) == pytest.approx(prove_choosing.plain_gains(clear, rng))


def test_choosing_is_redrawn_and_a_quick_run_writes_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run)
    prove_choosing.main(["--quick"])
    printed = capsys.readouterr().out
    assert printed.count("| films | 100 |") == len(prove_choosing.RULES)
    assert not REPORTS.exists()


def test_an_error_beyond_the_bar_is_bold() -> None:
    item = {"n": 100, "n_sound_refused": 0, "n_planted_released": 0, "n_released": 30}
    world = {
        "n_validation": 10,
        "n_test": 20,
        "n_gates": 3,
        "n_left_out": 0,
        "groups": {"length=short": 4},
        "scenarios": dict.fromkeys(prove_verdict.ERRORS, item),
    }
    told = table({"worlds": {"films": world}})
    assert told.count("**30 of 100, at most 38.") == 1
    assert told.count("| 0 of 100, at most 3.0% |") == len(prove_verdict.ERRORS) - 1
