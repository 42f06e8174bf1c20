"""The pruned student: its least important feed-forward channels cut out, then recovery training from the teacher.

Source: Molchanov et al. 2019, https://arxiv.org/abs/1906.10771
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from ratchet.compress.pruning import importance_on, prune_channels
from ratchet.entry import entry
from ratchet.files import sha256_json, write_json
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.calibration import calibrate
from ratchet.models.checkpoint import load_model, save_model
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
    student, parent = load_model(Path(READS["student"]))
    before = count_parameters(student)["n_parameters"]
    tokenizer = load_tokenizer(Path(READS["student"]), parent.max_tokens)
    pruned, fitted, temperature, n_kept = run(student, tokenizer, texts, validation, parent.labels, params)
    manifest = parent.model_copy(
        update={"name": "pruned", "parent": parent.name, "params_sha256": sha256_json(params.model_dump())}
    )
    save_model(pruned, Path(READS["student"]), Path(WRITES["pruned"]), manifest)
    report = {
        "command": "python -m pipeline_steps.prune", "n_texts": min(len(texts), params.n_recovery),
        "n_parameters_before": before, "n_channels_kept": n_kept,
        "calibration_temperature": temperature, **count_parameters(pruned), **fitted.to_json(),
    }  # fmt: skip
    write_json(Path(WRITES["report"]), report)


if __name__ == "__main__":
    entry(main)
