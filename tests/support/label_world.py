"""A repository in miniature in which people can be asked: splits, embeddings, bought labels, a baseline, no server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from pipeline_steps import baseline, sample
from ratchet.embeddings.table import write_embeddings
from ratchet.files import write_json
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from tests.pipeline_steps.test_sample import VALUES, embedded
from tests.support.architecture import write_choice
from tests.support.miniature import environment
from tests.support.params import CLEANING, params_tree
from tests.support.tiny import ACCURACY, reviews

N_TRAIN, N_VALIDATION = 120, 60


def make_world(root: Path) -> Path:
    """The world in `root`, which must be the working directory: `sample` and `baseline` have run."""
    tree = params_tree(sample.Params, "sample", {**VALUES, "budget": 30})
    values = {"max_ngram": 1, **ACCURACY, **CLEANING}
    tree |= {name: block for name, block in params_tree(baseline.Params, "baseline", values).items() if name != "task"}
    Path("params.yaml").write_text(json.dumps(tree))
    for name, n in (("train", N_TRAIN), ("validation", N_VALIDATION)):
        write_table(Path(f"data/splits/{name}.parquet"), reviews(n, n), SPLIT)
    texts = pd.concat([reviews(n, n) for n in (N_TRAIN, N_VALIDATION)])
    write_embeddings(Path(sample.READS["embeddings"]), [(texts["id"].tolist(), embedded(texts))], 10)
    write_json(Path(sample.READS["human_labels"]), {"batches": []})
    write_json(Path("models/champion.json"), {"bundle": None})
    write_json(Path("reports/decision.json"), {"chosen": "baseline"})
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=root, env=environment(), check=True, capture_output=True)
    write_choice()
    retrain()
    return root


def retrain() -> None:
    """The steps that the next run does with new labels, as far as this world has them."""
    sample.main()
    baseline.main()


def truth() -> dict[str, str]:
    """The class of each training text."""
    frame = reviews(N_TRAIN, N_TRAIN)
    return dict(zip(frame["id"], frame["label"], strict=True))
