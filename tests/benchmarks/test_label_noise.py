"""Planted label errors are found in the first rows where embeddings tell the classes apart, and by chance elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import label_noise
from pipeline_steps import vet
from ratchet.data.cleaning import text_id
from ratchet.embeddings.table import write_embeddings
from ratchet.params import read_yaml
from ratchet.table_files import write_table
from ratchet.tables import LABELED, SPLIT

CLASSES = ["a", "b", "c", "d"]


def clone(root: Path, noise: float) -> Path:
    """What `measure` reads of a clone: 240 labels of four classes, and embeddings that show them so well."""
    rng = np.random.default_rng(3)
    classes = rng.integers(0, 4, 240)
    texts = [f"text number {n}" for n in range(240)]
    rows = pd.DataFrame({"row": range(240), "id": [text_id(text) for text in texts], "text": texts, "source": "s"})
    rows = rows.assign(label=np.array(CLASSES)[classes]).astype({"label": "str"})
    write_table(root / vet.READS["splits"] / "train.parquet", rows.assign(group=rows["id"]), SPLIT)
    bought = rows.drop(columns="row").assign(round=0, query_strategy="random")
    write_table(root / vet.READS["labeled"], bought, LABELED)
    vectors = np.eye(8)[classes] + rng.normal(0, noise, (240, 8))
    write_embeddings(root / vet.READS["embeddings"], [(rows["id"].tolist(), vectors.astype(np.float32))], 8)
    (root / "params.yaml").write_text(json.dumps(read_yaml(Path(__file__).parents[2] / "params.yaml")))
    return root


@pytest.mark.parametrize(("noise", "low", "high"), [(0.1, 0.95, 1.0), (20.0, 0.1, 0.4)])
def test_what_can_be_told_apart_is_found(tmp_path: Path, noise: float, low: float, high: float) -> None:
    found = label_noise.measure(clone(tmp_path, noise), 2)
    assert (found["n_labels"], found["n_classes"]) == (240, 4)
    assert low <= found["found"]["self_confidence"]["value"] <= high
