"""The corpus of planted faults: as many as asked for, named, and the same every time; and nothing of it gets lost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.data_quality import STAGES, audit, prepare, run_stage
from benchmarks.planted_faults import FAULTS, SOUND, write_corpus


def test_a_corpus_has_the_faults_it_says(tmp_path: Path) -> None:
    counts = write_corpus(tmp_path / "a.parquet", 3000, 50, seed=1)
    write_corpus(tmp_path / "b.parquet", 3000, 50, seed=1)
    frame = pd.read_parquet(tmp_path / "a.parquet")
    assert len(frame) == 3000
    assert frame["planted"][frame["planted"] != SOUND].value_counts().to_dict() == counts
    assert {*counts} == {*FAULTS}
    assert counts["e-mail"] == 50
    assert counts["6,000 words"] == 1
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.slow
def test_every_planted_fault_is_caught_and_no_row_is_lost(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    prepare(tmp_path)
    planted = write_corpus(tmp_path / "source.parquet", 5000, 50, seed=2)
    for name in STAGES:
        assert run_stage(name, tmp_path)["cpu_s"] > 0
    found = audit(tmp_path, planted, 5000)
    assert {kind: of["caught"] for kind, of in found["kinds"].items()} == planted
    assert (found["n_lost"], found["n_doubled"], found["near_duplicates_on_two_sides"]) == (0, 0, 0)
    assert found["n_out"] + found["n_quarantined"] == 5000
    assert set(found["sound_rows_quarantined_by_rule"]) == {"exact_duplicate"}
