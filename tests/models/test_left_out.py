"""What is left out: the reason stands where the bundle would, and every stage behind it passes it on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline_steps import distil, export, prune, quantize, simplify, teach
from ratchet.files import read_json, write_json
from ratchet.models.bundle import MANIFEST
from ratchet.models.discovery import discover
from ratchet.models.left_out import leave_out, reason_left_out
from ratchet.table_files import read_table, write_table
from ratchet.tables import SOFT_LABELS, SPLIT, empty_table
from tests.support.tiny import reviews

ROOT = Path(__file__).parents[2]
REASON = "TF-IDF is as good"


def test_the_reason_stands_in_place_of_the_bundle(tmp_path: Path) -> None:
    assert leave_out(tmp_path / "student", REASON) == {"left_out": REASON}
    assert reason_left_out(tmp_path / "student") == REASON
    assert reason_left_out(tmp_path / "elsewhere") == ""
    assert discover(tmp_path) == {}, "nothing that could be measured"


def test_every_stage_behind_a_teacher_that_is_not_better_passes_the_reason_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    write_json(Path(teach.READS["teaching"]), {"left_out": REASON})
    for side in ("train", "validation"):
        texts = reviews(20, 1)
        table = empty_table(SPLIT).reindex(range(len(texts))).assign(row=range(len(texts)), source="web", group="1")
        write_table(Path(f"data/splits/{side}.parquet"), table.assign(**texts[["id", "text", "label"]]), SPLIT)
    for step, *arguments in (
        (teach,),
        (distil,),
        (prune,),
        (simplify, "static"),
        (quantize, "pruned", "bnb-int8"),
        (export, "pruned", "onnx-int8"),
    ):
        monkeypatch.setattr(sys, "argv", ["step", *arguments])
        step.main()
    assert read_table(Path(teach.WRITES["soft_labels"]), SOFT_LABELS).empty
    for report in ("distil", "prune", "simplify/static", "quantize/pruned-bnb-int8", "export/pruned-onnx-int8"):
        assert read_json(Path(f"reports/{report}.json"))["left_out"] == REASON
    for bundle in ("student", "pruned", "static", "pruned-bnb-int8", "pruned-onnx-int8"):
        assert reason_left_out(Path("models") / bundle) == REASON
        assert not (Path("models") / bundle / MANIFEST).exists()
