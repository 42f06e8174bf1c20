"""The teacher's soft labels: its logits of labelled and unlabelled texts, from which every smaller model learns.

Source: Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

import ratchet.params
from ratchet.compress.graph_session import fused_logits
from ratchet.data.sampling import sample_by_class
from ratchet.entry import entry
from ratchet.files import read_json
from ratchet.measure.report_files import write_report
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.checkpoint import load_model
from ratchet.models.examples import logit_columns
from ratchet.params import load_params
from ratchet.table_files import TableWriter, read_table, write_table
from ratchet.tables import LABELED, SOFT_LABELS, SPLIT, UNLABELED
from ratchet.task import Seed, TrainThreads

READS = {
    "teacher": "models/teacher",
    "teaching": "reports/teaching.json",
    "labeled": "data/labeled.parquet",
    "unlabeled": "data/unlabeled.parquet",
    "splits": "data/splits",
}
WRITES = {
    "soft_labels": "data/soft_labels.parquet",
    "validation": "data/soft_validation.parquet",
    "report": "reports/teach.json",
}


class Params(ratchet.params.Params):
    """What the teacher labels."""

    max_texts: int = Field(ge=2)
    """Texts to learn from, at most: the labelled ones, sampled by class where they are more, then others at random."""
    n_threads: TrainThreads
    seed: Seed


def run(teacher: Any, tokenizer: Any, texts: pd.DataFrame, labels: list[str], params: Params) -> pd.DataFrame:
    """Id, text and label of the texts, and a column `logit_<class>` of the teacher for each class."""
    print(f"the teacher labels {len(texts):,} texts", flush=True)
    logits = fused_logits(teacher, encode(tokenizer, texts["text"].tolist()), params.n_threads)
    return texts[["id", "text", "label"]].assign(**dict(zip(logit_columns(labels), logits.T, strict=True)))


def texts_to_learn(labeled: pd.DataFrame, unlabeled: pd.DataFrame, params: Params) -> pd.DataFrame:
    """At most `max_texts` texts with id, text and label: labelled ones first, then unlabelled ones at random."""
    labeled = sample_by_class(labeled, params.max_texts)
    more = unlabeled.sample(min(params.max_texts - len(labeled), len(unlabeled)), random_state=params.seed)
    return pd.concat([labeled[["id", "text", "label"]], more[["id", "text"]]], ignore_index=True)


def main() -> None:
    params, command = load_params(Params, "teach"), {"command": "python -m pipeline_steps.teach"}
    if reason := read_json(Path(READS["teaching"]))["left_out"]:
        for name in ("soft_labels", "validation"):
            with TableWriter(Path(WRITES[name]), SOFT_LABELS):
                pass  # a table without rows
        write_report(Path(WRITES["report"]), {**command, "left_out": reason})
        return
    labeled = read_table(Path(READS["labeled"]), LABELED)
    texts = texts_to_learn(labeled, read_table(Path(READS["unlabeled"]), UNLABELED), params)
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT).dropna(subset="label")
    teacher, manifest = load_model(Path(READS["teacher"]))
    tokenizer = load_tokenizer(Path(READS["teacher"]), manifest.max_tokens)
    for name, frame in {"soft_labels": texts, "validation": validation}.items():
        write_table(Path(WRITES[name]), run(teacher, tokenizer, frame, manifest.labels, params), SOFT_LABELS)
    report = {"n_texts": len(texts), "n_labeled": int(texts["label"].notna().sum()), "n_validation": len(validation)}
    write_report(Path(WRITES["report"]), {**command, **report})


if __name__ == "__main__":
    entry(main)
