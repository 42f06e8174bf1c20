"""The pruned student: unused tokens and the least important feed-forward channels cut out, then recovery training.

Source: Molchanov et al. 2019, https://arxiv.org/abs/1906.10771; Abdaoui, Pradel & Sigel 2020,
https://arxiv.org/abs/2010.05609
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from ratchet.compress.pruning import importance_on, prune_channels
from ratchet.compress.vocabulary import TOKENIZER, choose_tokens, prune_embeddings, write_tokenizer
from ratchet.entry import entry
from ratchet.files import read_json, sha256_json, write_json
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.calibration import calibrate
from ratchet.models.checkpoint import copy_tokenizer, load_model, save_model
from ratchet.models.examples import Examples, class_indices
from ratchet.models.fit_params import FitParams
from ratchet.models.training import Fit, fit
from ratchet.models.tuning import count_parameters
from ratchet.params import load_params
from ratchet.tables import SOFT_LABELS, SPLIT, read_table

READS = {"student": "models/student", "soft_labels": "data/soft_labels.parquet", "splits": "data/splits"}
WRITES = {"pruned": "models/pruned", "report": "reports/prune.json"}
SCRATCH = Path(".scratch/prune")


class Params(FitParams):
    """What is cut out, and how the rest recovers."""

    n_tokens: int = Field(ge=0)
    """Tokens of the vocabulary that stay: those the training texts use, then the most common ones; 0: all."""
    keep_rate: float = Field(gt=0, le=1)
    """Share of each layer's feed-forward channels that stay."""
    n_importance: int = Field(ge=1)
    """Texts over which the channels' importance is measured."""
    n_recovery: int = Field(ge=1)
    """Texts of recovery training, at most, chosen at random."""
    temperature: float = Field(gt=0, le=20)
    """As in distil."""
    soft_weight: float = Field(ge=0, le=1)
    """As in distil."""


def prune_vocabulary(
    student: Any, source: Path, target: Path, texts: pd.DataFrame, max_tokens: int, n_tokens: int
) -> int:
    """Cut the student's embeddings in place, write the tokenizer that fits them into `target`; the tokens that stay."""
    if not n_tokens:
        copy_tokenizer(source, target)
        return int(student.config.vocab_size)
    used = encode(load_tokenizer(source, max_tokens), texts["text"].tolist())
    kept = choose_tokens(read_json(source / TOKENIZER), used, n_tokens)
    prune_embeddings(student, kept, max_tokens)
    write_tokenizer(source, target, kept)
    print(f"{len(kept):,} tokens stay")
    return len(kept)


def run(
    student: Any, tokenizer: Any, texts: pd.DataFrame, validation: pd.DataFrame, labels: list[str], params: Params
) -> tuple[Any, Fit, float, int]:
    """The pruned, recovered and calibrated model, what fitting did, the temperature, and the channels a layer kept."""
    texts = texts.sample(min(params.n_recovery, len(texts)), random_state=params.seed)
    soft = texts[[f"logit_{label}" for label in labels]].to_numpy("float32")
    train = Examples(encode(tokenizer, texts["text"].tolist()), class_indices(texts, labels), soft)
    held_out = Examples(encode(tokenizer, validation["text"].tolist()), class_indices(validation, labels))
    importance = importance_on(student, train, params.n_importance, params.batch_size)
    n_kept = prune_channels(student, importance, params.keep_rate)
    print(f"{n_kept} of {importance.shape[1]} feed-forward channels stay in each of {len(importance)} layers")
    fitted = fit(
        student, train, held_out, params, SCRATCH, temperature=params.temperature, soft_weight=params.soft_weight
    )
    return student, fitted, calibrate(student, held_out), n_kept


def main() -> None:
    params = load_params(Params, "prune")
    texts = read_table(Path(READS["soft_labels"]), SOFT_LABELS)
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT).dropna(subset="label")
    source = Path(READS["student"])
    student, parent = load_model(source)
    before = count_parameters(student)["n_parameters"]
    manifest = parent.model_copy(
        update={"name": "pruned", "parent": parent.name, "params_sha256": sha256_json(params.model_dump())}
    )
    with tempfile.TemporaryDirectory() as folder:
        n_tokens = prune_vocabulary(student, source, Path(folder), texts, parent.max_tokens, params.n_tokens)
        tokenizer = load_tokenizer(Path(folder), parent.max_tokens)
        pruned, fitted, temperature, n_kept = run(student, tokenizer, texts, validation, parent.labels, params)
        save_model(pruned, Path(folder), Path(WRITES["pruned"]), manifest)
    report = {
        "command": "python -m pipeline_steps.prune", "n_texts": min(len(texts), params.n_recovery),
        "n_parameters_before": before, "n_channels_kept": n_kept, "n_tokens_kept": n_tokens,
        "calibration_temperature": temperature, **count_parameters(pruned), **fitted.to_json(),
    }  # fmt: skip
    write_json(Path(WRITES["report"]), report)


if __name__ == "__main__":
    entry(main)
