"""`--quick` of the benchmarks, on miniature bundles: everything is measured once, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import efficiency, engines, ladder
from benchmarks.material import REPORTS
from ratchet.compress.compilers import Compilation
from ratchet.engines.compiling import export
from ratchet.files import write_json
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import read_manifest
from ratchet.params import read_yaml
from ratchet.table_files import read_table, write_table
from ratchet.tables import LABELED, SPLIT, UNLABELED
from ratchet.trust.slices import LENGTH_EDGES
from tests.support.bundles import torch_bundle
from tests.support.tiny import reviews, word_pieces

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher, a pruned model and its compiled ones, and texts to measure them on."""
    root = tmp_path_factory.mktemp("quick")
    write_json(root / "params.yaml", read_yaml(ROOT / "params.yaml"))
    write_json(root / LENGTH_EDGES, {"edges": [12, 25]})
    write_json(root / "reports/decision.json", {"chosen": "pruned-onnx-int8"})
    for name, n_words in (("test", 20), ("transfer", 60)):
        frame = reviews(40, n_words)
        texts = [" ".join((f"{text} " * n_words).split()[:n_words]) for text in frame["text"]]
        write_table(root / f"data/splits/{name}.parquet", frame.assign(text=texts), SPLIT)
    models = root / "models"
    pruned, _ = (torch_bundle(models, name, backbone=word_pieces) for name in ("pruned", "teacher"))
    tokens = encode(load_tokenizer(pruned, read_manifest(pruned).max_tokens), reviews(16, 3)["text"].tolist())
    for engine in engines.COMPILED:
        export(pruned, models / f"pruned-{engine}", engine, Compilation(tokens), "0" * 64)
    return root


@pytest.mark.parametrize("benchmark", [efficiency, engines], ids=["efficiency", "engines"])
def test_quick_measures_everything_once(
    benchmark: ModuleType, measured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(measured)
    benchmark.main(["--quick"])
    printed = capsys.readouterr().out
    assert "onnx-int8" in printed
    assert "rows/s" in printed
    assert not REPORTS.exists(), "a quick run must not overwrite what was measured"


def test_the_ladder_s_sets_are_parted_and_the_rungs_that_are_not_asked_for_left_out(tmp_path: Path) -> None:
    frame = reviews(300, 1)[["text", "label"]].assign(split=["test"] * 60 + ["train"] * 240)
    frame.to_csv(tmp_path / "set.csv", index=False)
    sizes = ladder.Sizes(40, 50, 30, 50, 1)
    ladder.prepare(tmp_path / "set.csv", tmp_path / "set", sizes, ["static"], "full")
    sides = {name: read_table(tmp_path / f"set/data/splits/{name}.parquet", SPLIT) for name in ("validation", "test")}
    labeled = read_table(tmp_path / "set/data/labeled.parquet", LABELED)
    unlabeled = read_table(tmp_path / "set/data/unlabeled.parquet", UNLABELED)
    ids = [set(table["id"]) for table in (*sides.values(), labeled, unlabeled)]
    assert [len(part) for part in ids] == [30, 50, 40, 50]
    assert len(set.union(*ids)) == sum(map(len, ids))
    assert set(sides["test"]["text"]) <= set(frame["text"][:60])
    params = read_yaml(tmp_path / "set/params.yaml")
    assert {name for names in params["ladder"].values() for name in names} == {"static"}
    assert params["distil"]["n_epochs"] == 1
