"""The pruned student: tokens, heads, channels and weights that matter least go, then it recovers, ready for integers.

Source: Molchanov et al. 2019, https://arxiv.org/abs/1906.10771; Abdaoui, Pradel & Sigel 2020,
https://arxiv.org/abs/2010.05609
"""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from ratchet.compress.fake_quantization import quantization_aware, round_embeddings, round_matrices
from ratchet.compress.graph_session import fused_logits
from ratchet.compress.pruning import MagnitudePruner, importance_on, prune_channels, prune_heads
from ratchet.compress.vocabulary import cut_vocabulary
from ratchet.entry import entry
from ratchet.files import sha256_json
from ratchet.ladder import PruneRungs, reason_not_asked
from ratchet.measure.primary import PrimaryMetric, PrimaryMetricParams
from ratchet.measure.report_files import write_report
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.calibration import calibrate
from ratchet.models.checkpoint import load_model, save_model
from ratchet.models.examples import Examples, class_indices, soft_labels
from ratchet.models.fit_params import FitParams
from ratchet.models.left_out import leave_out, reason_left_out
from ratchet.models.training import Fit, fit
from ratchet.models.tuning import count_parameters
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import SOFT_LABELS, SPLIT

READS = {"student": "models/student", "soft_labels": "data/soft_labels.parquet", "splits": "data/splits"}
WRITES = {"pruned": "models/pruned", "report": "reports/prune.json", "measurements": "measurements/prune.json"}
SCRATCH = Path(".scratch/prune")


class Params(FitParams, PrimaryMetricParams):
    """What is cut out, and how the rest recovers."""

    n_tokens: int = Field(ge=0)
    """Tokens of the vocabulary that stay: those the training texts use, then the most common ones; 0: all."""
    keep_rate: float = Field(gt=0, le=1)
    """Share of each layer's feed-forward channels that stay."""
    keep_heads_rate: float = Field(gt=0, le=1)
    """Share of each layer's attention heads that stay."""
    sparsity: float = Field(ge=0, lt=1)
    """Share of the encoder's weights that recovery sets to zero, smallest first; smaller archives, no speed."""
    embedding_bits: Literal[32, 8, 4]
    """The token embeddings are rounded to so many bits before recovery, which then learns around that; 32: not."""
    max_int8_loss: float = Field(ge=-1, le=1)
    """Validation accuracy that rounding the matrices to int8 may cost, a rate; if it costs more, they are trained with
    rounding in the forward pass. -1: always."""
    n_importance: int = Field(ge=1)
    """Texts over which the importance of heads and channels is measured."""
    n_recovery: int = Field(ge=1)
    """Texts of recovery training, at most, chosen at random."""
    temperature: float = Field(gt=0, le=20)
    """As in distil."""
    soft_weight: float = Field(ge=0, le=1)
    """As in distil."""
    rungs: PruneRungs


@dataclass(frozen=True)
class Pruned:
    """The pruned, recovered and calibrated model, and how it came about."""

    model: Any
    fitted: Fit
    report: dict[str, Any]


def run(
    student: Any, tokenizer: Any, texts: pd.DataFrame, validation: pd.DataFrame, labels: list[str], params: Params
) -> Pruned:
    """Prune the student in place, let it recover, and make it ready for integers if they cost too much."""
    texts = texts.sample(min(params.n_recovery, len(texts)), random_state=params.seed)
    soft = soft_labels(texts, labels)
    train = Examples(encode(tokenizer, texts["text"].tolist()), class_indices(texts, labels), soft)
    held_out = Examples(encode(tokenizer, validation["text"].tolist()), class_indices(validation, labels))
    importance = importance_on(student, train, params.n_importance, params.batch_size)
    n_heads = prune_heads(student, importance.heads, params.keep_heads_rate)
    n_channels = prune_channels(student, importance.channels, params.keep_rate)
    print(f"{n_heads} heads and {n_channels} feed-forward channels stay in each of {len(importance.heads)} layers")
    if params.embedding_bits != 32:
        round_embeddings(student, params.embedding_bits)
    n_steps = -(-len(train) // params.batch_size) * params.n_epochs
    pruner = MagnitudePruner(student, params.sparsity, n_steps) if params.sparsity else None
    metric = params.metric_of(labels)
    fitted = recover(student, train, held_out, params, metric)
    loss = int8_loss(student, held_out, params.n_threads)
    aware = loss > params.max_int8_loss
    if aware:
        print(f"int8 costs {loss:.2%} of accuracy: training goes on with rounded weights")
        with quantization_aware(student):
            fitted = recover(student, train, held_out, params, metric)
    report = {
        "n_heads_kept": n_heads,
        "n_channels_kept": n_channels,
        "sparsity": pruner.finish() if pruner else 0.0,
        "int8_loss": loss,
        "quantization_aware": aware,
        "int8_loss_after": int8_loss(student, held_out, params.n_threads) if aware else loss,
        "calibration_temperature": calibrate(student, held_out),
    }
    return Pruned(student, fitted, report)


def recover(student: Any, train: Examples, held_out: Examples, params: Params, metric: PrimaryMetric) -> Fit:
    """Fit the student to the teacher's soft labels."""
    return fit(
        student,
        train,
        held_out,
        params,
        SCRATCH,
        metric=metric,
        temperature=params.temperature,
        soft_weight=params.soft_weight,
    )


def int8_loss(model: Any, held_out: Examples, n_threads: int) -> float:
    """The accuracy that rounding the matrices to int8 costs on labelled texts, in [-1, 1]; 0: none."""
    rounded = copy.deepcopy(model)
    round_matrices(rounded)
    before, after = (
        (fused_logits(one, held_out.tokens, n_threads).argmax(1) == held_out.hard).mean() for one in (model, rounded)
    )
    return float(before - after)


def main() -> None:
    params = load_params(Params, "prune")
    if reason := reason_not_asked("pruned", params.rungs) or reason_left_out(Path(READS["student"])):
        report: dict[str, Any] = {
            "command": "python -m pipeline_steps.prune",
            **leave_out(Path(WRITES["pruned"]), reason),
        }
        write_report(Path(WRITES["report"]), report, Path(WRITES["measurements"]))
        return
    texts = read_table(Path(READS["soft_labels"]), SOFT_LABELS)
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT).dropna(subset="label")
    source = Path(READS["student"])
    student, parent = load_model(source)
    before = count_parameters(student)["n_parameters"]
    manifest = parent.model_copy(
        update={"name": "pruned", "parent": parent.name, "params_sha256": sha256_json(params.model_dump())}
    )
    with tempfile.TemporaryDirectory() as folder:
        n_tokens = cut_vocabulary(
            student, source, Path(folder), texts["text"].tolist(), parent.max_tokens, params.n_tokens
        )
        tokenizer = load_tokenizer(Path(folder), parent.max_tokens)
        pruned = run(student, tokenizer, texts, validation, parent.labels, params)
        save_model(pruned.model, Path(folder), Path(WRITES["pruned"]), manifest)
    report = {
        "command": "python -m pipeline_steps.prune",
        "n_texts": min(len(texts), params.n_recovery),
        "n_parameters_before": before,
        "n_tokens_kept": n_tokens,
        **pruned.report,
        **count_parameters(pruned.model),
        **pruned.fitted.to_json(),
    }
    write_report(Path(WRITES["report"]), report, Path(WRITES["measurements"]))


if __name__ == "__main__":
    entry(main)
