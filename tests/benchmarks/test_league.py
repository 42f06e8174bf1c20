"""The league: its draws, its tables from cells of known figures, and a run that is killed and carried on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.league import environments, sets
from benchmarks.league.cells import Key, packed, read_cells
from benchmarks.league.contestants import CONTESTANTS, OURS, Entry
from benchmarks.league.draws import draw, sides
from benchmarks.league.figures import N_BOOTSTRAP, over_draws, summary
from benchmarks.league.forms import FORMS, keys
from benchmarks.league.sets import Labelled
from benchmarks.league.tables import details, overview
from ratchet.data.cleaning import text_id
from ratchet.data.splits import hashed_side
from ratchet.files import write_json
from tests.support.tiny import reviews

ROOT = Path(__file__).parents[2]
N_TEST = 400


def labelled(counts: dict[str, int]) -> Labelled:
    """A set with so many texts of each class, in which every second text is a near-duplicate of the one before."""
    rows = [(f"{label} {number}", label) for label, n in counts.items() for number in range(n)]
    ids = [text_id(text) for text, _ in rows]
    groups = [ids[at - at % 2] for at in range(len(ids))]
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    return Labelled("made", ids, texts, labels, groups, sorted(counts), "accuracy", "made up")


def test_near_duplicates_are_on_one_side() -> None:
    data = labelled({"a": 300, "b": 100})
    pool, test = sides(data)
    assert not {data.groups[row] for row in pool} & {data.groups[row] for row in test}
    assert len(test) == pytest.approx(100, abs=30)


def test_every_class_is_drawn_twice_at_least_and_in_its_share() -> None:
    data = labelled({"common": 900, "middle": 280, "rare": 20})
    drawn = draw(data, "100", 0)
    assert drawn is not None
    counts = np.bincount(drawn.targets)
    assert counts.sum() == 100
    assert counts[2] >= 2
    assert counts[0] == pytest.approx(75, abs=8)
    other = draw(data, "100", 1)
    assert other is not None
    assert set(other.texts) != set(drawn.texts)
    assert other.test_sha256 == drawn.test_sha256
    again = draw(data, "100", 0)
    assert again is not None
    assert (again.sha256, again.texts) == (drawn.sha256, drawn.texts)


def test_too_few_labels_are_no_cell() -> None:
    data = labelled({f"class {number}": 20 for number in range(60)})
    assert draw(data, "100", 0) is None
    assert draw(data, "500", 0) is not None
    assert draw(data, "5000", 0) is None


def test_what_promote_may_open_is_left_out() -> None:
    split = sets._demo_params()["split"]
    rates = split["validation_rate"], split["test_rate"]

    def side(text: str) -> str:
        return hashed_side(text_id(text), split["salt"], *rates)

    def numbered(wanted: str, ending: str) -> str:
        """A text of that side; the endings make near-duplicates of each other where the number is the same."""
        return next(text for n in range(1000) if side(text := f"{words} x{n}{ending}") == wanted)

    words = " ".join(f"w{n}" for n in range(60))
    tested = numbered("test", " end")
    twin = next(text for n in range(1000) if side(text := tested.replace(" end", f" other{n}")) == "train")
    alone = next(text for n in range(1000) if side(text := f"nothing of the kind {n} at all") == "train")
    texts = [tested, twin, alone, *(f"of another domain {n} by far" for n in range(2000))]
    sources = [split["train_sources"][0]] * 3 + ["elsewhere"] * 2000
    frame = pd.DataFrame({"text": texts, "source": sources, "label": ["a", "b"] * 1001 + ["a"]})
    frame["id"] = [text_id(text) for text in texts]
    opened = sets.opened_by_promote(frame)
    assert opened[:3].tolist() == [True, True, False]
    assert opened[3:].sum() == 4 * split["n_transfer"]


def test_the_full_form_keeps_to_what_was_agreed() -> None:
    made = keys(FORMS["full"], FORMS["full"].sets)
    draws = {n: {key.draw for key in made if key.n_labels == n} for n in FORMS["full"].n_draws}
    assert {n: len(found) for n, found in draws.items()} == {"100": 10, "500": 5, "1500": 5, "all": 2}
    assert not any(key.data == "imdb" and key.n_labels == "all" for key in made)
    assert len(set(made)) == len(made)
    first = [key.contestant for key in made if (key.data, key.n_labels, key.draw) == ("films", "100", 0)]
    assert first.index(OURS) < first.index("setfit_same_cpu"), "it takes Ratchet's CPU time"
    short = keys(FORMS["short"], FORMS["short"].sets)
    assert len({key.contestant for key in short}) == 5
    assert len(short) == 2 * 2 * 2 * 5


def write_cells(root: Path, accuracy: dict[str, float], cpu_s: dict[str, float], n_draws: int = 3) -> None:
    """Cells of one set whose contestants are right on so large a share of the test texts, other texts in each draw."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, N_TEST)
    write_json(
        root / "made" / "set.json",
        {
            "about": "made up",
            "classes": ["a", "b", "c"],
            "metric": "accuracy",
            "test_sha256": "t",
            "test_classes": packed(truth),
        },
    )
    for n_labels in ("100", "500"):
        for number in range(n_draws):
            for name, share in accuracy.items():
                wrong = rng.permutation(N_TEST) >= round(share * N_TEST)
                cell = {
                    "predicted": packed(np.where(wrong, (truth + 1) % 3, truth)),
                    "test_sha256": "t",
                    "cpu_s": cpu_s[name],
                    "wall_s": 3600.0,
                    "p95_ms": 5.0,
                    "size_mb": 90.0,
                    "machine": {"cpu": "a processor", "n_threads": 2},
                    "commit": "abc",
                }
                write_json(Key("made", n_labels, number, name).path(root), cell)


ACCURACY = {"tfidf": 0.5, "frozen_probe": 0.7, OURS: 0.8, "setfit": 0.95}
CPU_S = {"tfidf": 1.0, "frozen_probe": 5.0, OURS: 60.0, "setfit": 50.0}


def test_figures_are_those_of_the_cells(tmp_path: Path) -> None:
    write_cells(tmp_path, ACCURACY, CPU_S)
    found = summary(tmp_path)
    assert [(block["data"], block["n_labels"]) for block in found["blocks"]] == [("made", "100"), ("made", "500")]
    rows = found["blocks"][0]["contestants"]
    for name, share in ACCURACY.items():
        assert rows[name]["metric"]["value"] == pytest.approx(share)
        assert rows[name]["metric"]["low"] < share < rows[name]["metric"]["high"]
    assert rows["tfidf"]["ratchet_minus_it"]["value"] == pytest.approx(0.3)
    assert found["ranks"]["average"] == {"tfidf": 4.0, "frozen_probe": 3.0, OURS: 2.0, "setfit": 1.0}
    assert found["hours"] == pytest.approx(24.0)


def test_a_loss_counts_where_it_costs_no_more(tmp_path: Path) -> None:
    write_cells(tmp_path, ACCURACY, CPU_S)
    assert [(row["contestant"], row["counts"]) for row in summary(tmp_path)["behind"]] == [("setfit", True)] * 2
    write_cells(tmp_path, ACCURACY, {**CPU_S, "setfit": 61.0})
    assert [row["counts"] for row in summary(tmp_path)["behind"]] == [False, False]


def test_intervals_are_wider_for_many_comparisons(tmp_path: Path) -> None:
    def half(root: Path, accuracy: dict[str, float]) -> float:
        write_cells(root, accuracy, dict.fromkeys(CONTESTANTS, 1.0))
        # the smallest difference is the last of Holm's steps, the largest the first
        value = summary(root)["blocks"][0]["contestants"]["tfidf"]["ratchet_minus_it"]
        return float(value["high"] - value["low"])

    alone = half(tmp_path / "a", {"tfidf": 0.5, OURS: 0.8})
    among = half(tmp_path / "b", {"tfidf": 0.5, OURS: 0.8, "setfit": 0.79, "frozen_probe": 0.78, "trainer": 0.77})
    assert among > 1.15 * alone


def test_the_error_over_draws_is_that_of_their_mean() -> None:
    values = np.random.default_rng(0).normal(size=4)
    _, error = over_draws(values, np.repeat(values[:, None], N_BOOTSTRAP, axis=1))
    assert error == pytest.approx(values.std(ddof=1) / 2, rel=0.1)  # plain resampling would give 0.87 of it


def test_cells_of_other_test_texts_are_left_out(tmp_path: Path) -> None:
    write_cells(tmp_path, ACCURACY, CPU_S)
    path = Key("made", "100", 0, "tfidf").path(tmp_path)
    write_json(path, {**read_cells(tmp_path)[0].report, "test_sha256": "another"})
    assert summary(tmp_path)["n_cells"] == 2 * 3 * len(ACCURACY) - 1


def test_tables_show_losses_and_what_is_lacking(tmp_path: Path) -> None:
    write_cells(tmp_path, ACCURACY, CPU_S)
    write_json(Key("made", "100", 0, "trainer").path(tmp_path), failed_cell("exit code 1: no | memory"))
    write_json(tmp_path / "environments" / "autogluon.json", {"reason": "no matching distribution"})
    found = summary(tmp_path)
    text = overview(found)
    assert "| made, 100 (accuracy) | 0.500 | 0.700 | 0.800 | **0.950** |" in text
    assert "against SetFit −15.0 [" in text
    assert "transformers.Trainer in 1: exit code 1: no \\| memory" in text
    assert "autogluon: no matching distribution" in text
    assert "| TF-IDF, logistic regression | 0.500 [" in details(found)
    assert overview(summary(tmp_path / "nothing")) == "No cell has been run."


def failed_cell(reason: str) -> dict[str, Any]:
    return {
        "failed": reason,
        "test_sha256": "t",
        "machine": {"cpu": "a processor", "n_threads": 2},
        "commit": "abc",
    }


def test_what_cannot_be_installed_is_kept_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def refuse(_requirements: Path, folder: Path) -> str:
        tried.append(folder)
        return "no wheel for this Python"

    def make(_requirements: Path, folder: Path) -> str:
        folder.mkdir(parents=True)
        return ""

    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "environments")
    monkeypatch.setattr(environments, "install", refuse)
    entry = Entry("a contestant", "none", "fasttext")
    for _ in range(2):
        assert environments.environment(entry, tmp_path).reason == "no wheel for this Python"
    assert len(tried) == 1, "a failure is not tried twice"
    monkeypatch.setattr(environments, "install", make)
    assert environments.environment(entry, tmp_path, again=True).reason == ""
    assert not list(tmp_path.glob("environments/*.json"))


def test_every_contestant_has_a_module_and_pinned_requirements() -> None:
    for entry in CONTESTANTS.values():
        assert (ROOT / "benchmarks/league/contestants" / f"{entry.module}.py").is_file()
        if entry.requirements:
            lines = (environments.REQUIREMENTS / f"{entry.requirements}.txt").read_text().split()
            assert all("==" in line for line in lines), entry.requirements


@pytest.mark.slow
def test_a_killed_run_is_carried_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    reviews(300, 0)[["text", "label"]].to_csv(data / "made.csv", index=False)
    cells = tmp_path / "cells"
    command = [sys.executable, "-m", "benchmarks.league", "short", "--data", str(data), "--reports", str(cells)]
    process = subprocess.Popen(
        [*command, "--contestants", "tfidf"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    first, second = (Key("made", "100", number, "tfidf").path(cells) for number in range(2))
    try:
        wait_for(lambda: first.is_file())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not second.exists(), "the run was over before it was killed"
    written = first.stat().st_mtime_ns
    done = subprocess.run(
        [*command, "--contestants", "tfidf"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "every cell is there" in done.stdout
    assert first.stat().st_mtime_ns == written, "a finished cell is not run again"
    [one, two] = read_cells(cells)
    assert not one.failed, one.failed
    assert two.report["value"] > 0.9
    assert two.report["cpu_s"] > 0
    assert two.report["size_mb"] > 0
    assert two.report["versions"]["scikit-learn"]
    assert "made, 100 (accuracy)" in done.stdout


def wait_for(condition: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
