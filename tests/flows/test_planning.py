"""`ratchet run --minutes`: counts instead of a clock, shown, written, and taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows import planning
from flows.checks import checklist
from flows.checks.blocks import PLAN
from ratchet.errors import ParamsError
from ratchet.params import read_yaml

ROOT = Path(__file__).parents[2]
SPEED = 1.5e11
"""Operations a second, so that no plan here depends on the machine."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The demo's params beside the code."""
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    for path in ROOT.iterdir():
        if path.name != "params.yaml" and not path.name.startswith("."):
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


def planned(root: Path, minutes: float) -> planning.Change:
    change = planning.plan_run(root, minutes, SPEED)
    (root / "params.yaml").write_bytes(change.content)
    return change


def test_a_plan_lowers_counts_alone_and_holds(root: Path) -> None:
    before = read_yaml(root / "params.yaml")
    change = planned(root, 3)
    after = read_yaml(root / "params.yaml")
    assert after["ladder"]["export"] == ["teacher-onnx-int8"]
    assert after["ladder"]["distil"] == []
    assert after["architect"]["n_steps"] == 0
    assert after["task"].pop("minutes") == 3
    for key, value in after.pop(PLAN)["set_aside"].items():
        block, name = key.split(".")
        assert before[block][name] == value != after[block][name]
        after[block][name] = value
    before["task"].pop("minutes")
    assert after == before, "nothing else changed"
    assert not [item for item in checklist.find(root) if item.severity == "error"]
    told = "\n".join(change.lines(3))
    assert "architect.n_steps: 60 → 0" in told
    assert "leave nothing out" in told


def test_more_minutes_give_back_what_was_set_aside_byte_for_byte(root: Path) -> None:
    before = (root / "params.yaml").read_bytes()
    planned(root, 3)
    planned(root, 10)
    assert read_yaml(root / "params.yaml")[PLAN]["set_aside"]
    assert "nothing is left out" in planned(root, 25).lines(25)[0]
    assert (root / "params.yaml").read_bytes() == before


def test_the_same_minutes_again_change_nothing(root: Path) -> None:
    planned(root, 8)
    before = (root / "params.yaml").read_bytes()
    assert planned(root, 8).content == before


def test_the_speed_is_measured_once_and_reaches_the_plan(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer has between a billion and 10^15 operations a second; a machine ten times as fast plans for more."""
    measured: list[float] = []
    real = planning.measured_speed

    def listened(*given: Any) -> float:
        measured.append(real(*given))
        return measured[-1]

    monkeypatch.setattr(planning, "measured_speed", listened)
    planning.apply(root, 3)
    (speed,) = measured
    assert 1e9 < speed < 1e15
    expected = planning.plan_run(root, 3, speed).plan.minutes
    assert planning.plan_run(root, 3, speed / 10).plan.minutes > expected


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_no_minutes_are_refused(root: Path, minutes: float) -> None:
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(ParamsError, match="takes some minutes"):
        planning.apply(root, minutes)
    assert (root / "params.yaml").read_bytes() == before


def test_a_backbone_that_is_not_here_is_told(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    start = text.index("    - {source:")
    (root / "params.yaml").write_text(
        f"{text[:start]}    - {{source: nobody/has-this, sha256: ''}}\n{text[text.index(chr(10), start) + 1 :]}"
    )
    with pytest.raises(ParamsError, match="without its backbone"):
        planning.plan_run(root, 3, SPEED)
