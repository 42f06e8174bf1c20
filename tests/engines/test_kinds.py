"""A new engine is one module and a value in a matrix and in the ladder: it is measured, explained and gated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ratchet.embeddings.table import write_embeddings
from ratchet.files import read_json, write_json
from ratchet.gates.measured_reports import read_whole
from ratchet.models.left_out import leave_out
from ratchet.params import read_yaml
from ratchet.table_files import write_table
from ratchet.tables import CHALLENGE, LABELED, SOFT_LABELS, SPLIT, empty_table
from tests import contract
from tests.support.bundles import torch_bundle
from tests.support.films import FILMS, copy_task_files
from tests.support.release_reports import gate_at
from tests.support.tiny import reviews

ROOT = Path(__file__).parents[2]
TOY = '''"""A bag of tokens: the mean over a text of what the model says of each of its tokens alone."""

import numpy as np

from ratchet.files import read_json, write_json
from ratchet.models.forward import logits_of
from ratchet.models.predictor import TokenPredictor

FORMATS = ("fp32",)
PACKAGES = ("numpy", "tokenizers")


def load(path, manifest, n_threads, batch_size):
    return BagOfTokens(manifest, path, batch_size)


def compile_model(model, folder, number_format, compilation):
    alone = [[2, token, 3] for token in range(model.config.vocab_size)]
    write_json(folder / "logits.json", logits_of(model, alone).tolist())


class BagOfTokens(TokenPredictor):
    def __init__(self, manifest, path, batch_size):
        super().__init__(manifest, path, batch_size)
        self._table = np.array(read_json(path / "logits.json"), dtype=np.float32)

    def _logits(self, ids, mask):
        weight = mask[..., None] / mask.sum(axis=1)[:, None, None]
        return (self._table[ids] * weight).sum(axis=1)
'''
STAGES = ["export teacher toy-fp32", "evaluate", "shortlist", "explain", "audit", "behave", "judge", "promote"]
RUN = """import importlib, sys
for line in sys.argv[1:]:
    sys.argv = line.split()
    importlib.import_module(f"pipeline_steps.{sys.argv[0]}").main()
"""
"""One process for all stages: the libraries are imported once."""
SMALL: dict[str, dict[str, Any]] = {
    "task": {"n_bootstrap": 100, "inference_threads": 1, "train_threads": 1},
    "ladder": {"export": ["teacher-toy-fp32"]},
    "export": {"n_calibration": 8, "n_check": 20},
    "evaluate": {"n_latency": 20, "n_rounds": 1, "n_chunks": 2, "n_long": 4},
    "shortlist": {"n_candidates": 1, "max_loss": 1.0},
    "explain": {"n_texts": 4, "max_evals": 16, "n_compared": 2, "n_gradient_steps": 20},
    "behave": {"n_cases": 3, "n_texts": 20, "n_trigger_words": 2, "n_trigger_texts": 2},
    "promote": {
        "gates": [
            gate_at(1.0, "size_mb", "teacher", "at_most"),
            gate_at(0.0, "worst_slice_accuracy"),
            gate_at(1.0, "n_explained"),
            gate_at(1.0, "invariance_failure_rate", comparison="at_most"),
        ]
    },
}


def copy_code(root: Path) -> None:
    """The code of this repository, with the values and the data of the demo."""
    for name in ("ratchet", "pipeline_steps"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    copy_task_files(root, "lexicons", "challenge", "behaviour")
    for path in (ROOT / "dvc.yaml", FILMS / "params.yaml"):
        shutil.copy(path, root)


def add_engine(root: Path) -> None:
    """The one module, and the one value in a matrix."""
    (root / "ratchet/engines/kinds/toy.py").write_text(TOY, encoding="utf-8")
    wiring = root / "dvc.yaml"
    assert "engine: [" in wiring.read_text()
    wiring.write_text(wiring.read_text().replace("engine: [", "engine: [toy-fp32, "))


def write_inputs(root: Path) -> None:
    """What the stages before `export` leave behind, tiny."""
    parts = {name: reviews(n, at) for at, (name, n) in enumerate({"train": 20, "validation": 30, "test": 40}.items())}
    parts["transfer"] = reviews(20, 9)
    for name, table in parts.items():
        write_table(root / f"data/splits/{name}.parquet", table, SPLIT)
    ids = pd.concat(parts.values())["id"].tolist()
    rows = np.random.default_rng(0).standard_normal((len(ids), 4)).astype(np.float32)
    write_embeddings(root / "data/embeddings.parquet", [(ids, rows)], 4)
    write_table(root / "data/labeled.parquet", parts["train"].assign(round=0, query_strategy="random"), LABELED)
    write_table(root / "data/challenge.parquet", empty_table(CHALLENGE), CHALLENGE)
    write_table(root / "data/soft_labels.parquet", empty_table(SOFT_LABELS), SOFT_LABELS)
    write_json(root / "reports/length_edges.json", {"edges": [6, 9]})
    for name in ("train", "distil", "prune"):
        write_json(root / f"reports/{name}.json", {})
    for name in ("champion", "high_water_mark"):
        write_json(root / f"models/{name}.json", {"bundle": None})
    values = read_yaml(FILMS / "params.yaml")
    for block, changes in SMALL.items():
        values[block] |= changes
    (root / "params.yaml").write_text(json.dumps(values))


@pytest.mark.slow
def test_a_new_engine_is_measured_explained_and_gated(tmp_path: Path) -> None:
    copy_code(tmp_path)
    add_engine(tmp_path)
    write_inputs(tmp_path)
    torch_bundle(tmp_path / "models", n_layers=1)
    leave_out(tmp_path / "models/static", "TF-IDF is better")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", RUN, *STAGES]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    name = "teacher-toy-fp32"
    reports = {key: read_json(tmp_path / f"reports/{key}.json") for key in ("explain", "audit", "behave")}
    evaluated = read_whole(tmp_path / "reports/evaluate.json", tmp_path / "measurements/evaluate.json")
    assert evaluated["left_out"] == {"static": "TF-IDF is better"}
    measured = evaluated["bundles"][name]
    assert (measured["kind"], measured["parent"], measured["deployable"]) == ("toy", "teacher", True)
    assert measured["metrics"]["peak_memory_mb"]["value"] > 0
    assert measured["against"]["teacher"]["size_mb"]["value"] < 1
    assert read_json(tmp_path / "reports/shortlist.json")["shortlist"] == [name, "teacher"]
    assert reports["explain"]["bundles"][name]["metrics"]["n_explained"]["value"] == 4
    assert reports["explain"]["bundles"][name]["parent"] == "teacher"
    assert name in reports["audit"]["bundles"]
    assert name in reports["behave"]["bundles"]
    decision = read_json(tmp_path / "reports/decision.json")
    passed = [gate["passed"] for gate in decision["bundles"][name]["gates"]]
    assert all(passed)
    assert len(passed) >= len(SMALL["promote"]["gates"])
    assert decision["chosen"] == name
    manifest = read_json(tmp_path / f"models/{name}/bundle.json")
    assert sorted(manifest["versions"]) == ["numpy", "tokenizers"]


def test_a_new_engine_reruns_what_loads_bundles_and_trains_nothing_anew(tmp_path: Path) -> None:
    copy_code(tmp_path)
    before = {stage.name: stage for stage in contract.read_stages(tmp_path).values()}
    add_engine(tmp_path)
    contract.write_deps(tmp_path)
    after = contract.read_stages(tmp_path)
    changed = {name for name in after if after[name].deps != before[name].deps}
    loading = {"sample", "quantize", "export", "cascade", "evaluate"}
    assert changed == {*loading, "explain", "counterfactuals", "behave", "judge"}
    for name in ("evaluate", "explain", "counterfactuals", "behave"):
        assert {"models/pruned-toy-fp32", "ratchet/engines/kinds/toy.py"} <= set(after[name].deps)
