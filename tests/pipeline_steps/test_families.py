"""Backbones of every family go through all stages: what one cannot have is left out and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratchet.files import read_json
from ratchet.models.discovery import discover
from tests.support.families import FAMILIES, MERGED, family_backbone
from tests.support.shapes import EXPORTS, SHAPES, SIMPLE, make_task, run_pipeline

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # transformers' DeBERTa asks it
SHAPE = "three classes, one of 2 %"


@pytest.mark.deep
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_ends_with_a_verdict_and_a_reason_for_every_rung_it_lacks(family: str, tmp_path: Path) -> None:
    make_task(tmp_path, SHAPES[SHAPE])
    for path in (tmp_path / "backbone").iterdir():
        path.unlink()
    family_backbone(tmp_path / "backbone", family, SHAPES[SHAPE].words)
    run_pipeline(tmp_path)
    built = set(discover(tmp_path / "models"))
    left_out = {path.parent.name: read_json(path)["left_out"] for path in tmp_path.glob("models/*/left_out.json")}
    assert {"baseline", "teacher"} <= built
    assert not built & set(left_out)
    asked = {"student", "pruned", "pruned-bnb-int8", "cascade-teacher-onnx-int8", *SIMPLE, *EXPORTS}
    assert asked <= built | set(left_out)
    assert all(left_out.values()), "each says why"
    distilled = family not in ("distilbert", "modernbert")
    assert ("student" in built) == ("pruned" in built) == distilled
    if distilled and family in MERGED:
        assert read_json(tmp_path / "reports/prune.json")["n_tokens_kept"] > 0
    decision = read_json(tmp_path / "reports/decision.json")
    assert decision["verdict"] in ("accepted", "rejected")
    assert (tmp_path / "reports/report.html").stat().st_size > 10_000
