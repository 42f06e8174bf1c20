"""An outcome that was bet on stays as it was; what was not known may become known; another step begins with none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ratchet.experiments.frozen import freeze, read_held, write_held

NONE = pd.DataFrame({"request_id": pd.Series([], dtype="str")})
OF = ("first", "half", "sentiment@v1")


def rows(**outcomes: float) -> pd.DataFrame:
    """Request → whether its answer was good; nothing else happened."""
    frame = pd.DataFrame({"request_id": list(outcomes), "text": "t", "good": list(outcomes.values())})
    return frame.assign(failed=0.0, slow=0.0, complained=1.0 - frame["good"], approved=np.nan)


def test_a_late_complaint_moves_no_bet_and_what_was_open_is_bet_on_once_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.parquet"
    kept, held = freeze(rows(a=1.0, b=np.nan), read_held(path, OF))
    assert kept["good"].tolist()[0] == 1.0
    write_held(path, OF, held)
    kept, held = freeze(rows(a=0.0, b=0.0, c=1.0), read_held(path, OF))
    assert kept["good"].tolist() == [1.0, 0.0, 1.0]
    assert kept["complained"].tolist() == [0.0, 1.0, 0.0]
    assert kept["text"].tolist() == ["t"] * 3
    write_held(path, OF, held)
    kept, again = freeze(rows(a=0.0, b=1.0, c=0.0), read_held(path, OF))
    assert kept["good"].tolist() == [1.0, 0.0, 1.0]
    assert again.sort_values("request_id", ignore_index=True).equals(held.sort_values("request_id", ignore_index=True))
    assert "text" not in again.columns


def test_an_outcome_whose_row_is_gone_is_still_held(tmp_path: Path) -> None:
    _, held = freeze(rows(a=1.0, b=0.0), NONE)
    _, held = freeze(rows(b=0.0), held)
    kept, _ = freeze(rows(a=0.0, b=1.0), held)
    assert kept["good"].tolist() == [1.0, 0.0]


def test_another_step_experiment_or_champion_begins_with_none(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.parquet"
    write_held(path, OF, freeze(rows(a=1.0), NONE)[1])
    assert len(read_held(path, OF)) == 1
    for other in (("first", "small", OF[2]), ("second", *OF[1:]), (*OF[:2], "sentiment@v2")):
        assert len(read_held(path, other)) == 0
