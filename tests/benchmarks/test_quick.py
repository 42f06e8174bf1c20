"""`--quick` of the benchmarks, on miniature bundles: everything is measured once, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from benchmarks import efficiency, engines
from benchmarks.material import REPORTS
from ratchet.compress.compilers import Engine, export
from ratchet.files import write_json
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import read_manifest
from ratchet.params import read_yaml
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from ratchet.trust.slices import LENGTH_EDGES
from tests.support.bundles import torch_bundle
from tests.support.tiny import reviews, word_pieces

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A teacher, a student, a pruned model and its compiled ones, with texts to measure them on."""
    monkeypatch.chdir(tmp_path)
    write_json(Path("params.yaml"), read_yaml(ROOT / "params.yaml"))
    write_json(LENGTH_EDGES, {"edges": [12, 25]})
    write_json(Path("reports/decision.json"), {"chosen": "pruned-onnx-int8"})
    for name, seed in (("test", 1), ("transfer", 2)):
        frame = reviews(40, seed)
        n_words = 20 if name == "test" else 60
        long = frame["text"].map(lambda text, n=n_words: " ".join((f"{text} " * n).split()[:n]))
        write_table(Path(f"data/splits/{name}.parquet"), frame.assign(text=long), SPLIT)
    models = Path("models")
    pruned, *_ = (torch_bundle(models, name, backbone=word_pieces) for name in ("pruned", "teacher", "student"))
    tokens = encode(load_tokenizer(pruned, read_manifest(pruned).max_tokens), reviews(16, 3)["text"].tolist())
    for engine in engines.COMPILED:
        export(pruned, models / f"pruned-{engine}", cast(Engine, engine), tokens, "0" * 64)
    return tmp_path


@pytest.mark.parametrize("benchmark", [efficiency, engines], ids=["efficiency", "engines"])
def test_quick_measures_everything_once(
    benchmark: ModuleType, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark.main(["--quick"])
    told = capsys.readouterr().out
    assert "pruned" in told or "onnx-int8" in told
    assert "rows/s" in told
    assert not REPORTS.exists(), "a quick run must not overwrite what was measured"
