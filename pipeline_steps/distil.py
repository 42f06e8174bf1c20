"""The student: some of the teacher's layers, as wide as asked, taught by its probabilities on all texts there are.

Source: Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531; Sanh et al. 2019, https://arxiv.org/abs/1910.01108
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from ratchet.compress.distillation import spread_layers, student_of
from ratchet.compress.graph_session import fused_logits
from ratchet.compress.pruning import importance_on, prune_channels, prune_heads
from ratchet.compress.teaching import augmented, taught
from ratchet.entry import entry
from ratchet.files import read_json, sha256_json
from ratchet.ladder import DistilRungs, reason_not_asked
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.measure.report_files import write_report
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import read_manifest
from ratchet.models.calibration import calibrate
from ratchet.models.checkpoint import load_model, save_model
from ratchet.models.examples import UNKNOWN, Examples, class_indices, reason_of_one_class, soft_labels
from ratchet.models.fit_params import FitParams
from ratchet.models.left_out import leave_out
from ratchet.models.training import Fit, fit
from ratchet.models.training_data import taught_data
from ratchet.models.tuning import count_parameters
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import SOFT_LABELS

READS = {
    "teacher": "models/teacher",
    "teaching": "reports/teaching.json",
    "soft_labels": "data/soft_labels.parquet",
    "validation": "data/soft_validation.parquet",
}
WRITES = {"student": "models/student", "report": "reports/distil.json", "measurements": "measurements/distil.json"}
SCRATCH = Path(".scratch/distil")


class Params(FitParams, PrimaryMetricParams):
    """How the student is made and taught."""

    n_layers: int = Field(ge=1)
    """Layers it starts from, spread evenly over the teacher's, the first and the last among them."""
    keep_rate: float = Field(gt=0, le=1)
    """Share of each layer's feed-forward channels it starts with, those that matter most to the teacher."""
    keep_heads_rate: float = Field(gt=0, le=1)
    """Share of each layer's attention heads it starts with, likewise."""
    n_importance: int = Field(ge=1)
    """Texts over which the importance of heads and channels is measured."""
    hidden_weight: float = Field(ge=0)
    """Weight of the difference between the student's and the teacher's hidden states; above 0 the teacher runs along,
    which doubles the time."""
    attention_weight: float = Field(ge=0)
    """Weight of the difference between the student's and the teacher's attention."""
    n_augmented: int = Field(ge=0)
    """Texts made of others, by masked words and cut-out runs of words, that the teacher labels too."""
    temperature: float = Field(gt=0, le=20)
    """What teacher's and student's logits are divided by: higher shows more of the smaller probabilities."""
    soft_weight: float = Field(ge=0, le=1)
    """Weight of the teacher's probabilities against the label, where there is one."""
    rungs: DistilRungs


def run(
    teacher: Any, tokenizer: Any, texts: pd.DataFrame, validation: pd.DataFrame, labels: list[str], params: Params
) -> tuple[Any, Fit, float]:
    """The calibrated student, what fitting did, and its temperature; both tables hold the teacher's logits."""
    tokens, hard = encode(tokenizer, texts["text"].tolist()), class_indices(texts, labels)
    made = augmented(tokens, params.n_augmented, mask_id(tokenizer), np.random.default_rng(params.seed))
    soft = soft_labels(texts, labels)
    if made:
        print(f"the teacher labels {len(made):,} texts made of others", flush=True)
        soft = np.concatenate([soft, fused_logits(teacher, made, params.n_threads)])
    unseen = encode(tokenizer, validation["text"].tolist())
    held_out = Examples(unseen, class_indices(validation, labels), soft_labels(validation, labels))
    layers = spread_layers(teacher, params.n_layers)
    student = student_of(teacher, layers)
    if params.keep_rate < 1 or params.keep_heads_rate < 1:
        narrow(student, teacher, layers, Examples(tokens, hard, soft[: len(tokens)]), params)
    learner, weights = student, (params.hidden_weight, params.attention_weight)
    if any(weights):
        learner = taught(student, copy.deepcopy(teacher), layers, *weights)
    unknown = np.full(len(made), UNKNOWN, dtype=np.int64)
    fitted = fit(
        learner,
        Examples([*tokens, *made], np.concatenate([hard, unknown]), soft),
        held_out,
        params,
        SCRATCH,
        metric=params.metric_of(labels),
        temperature=params.temperature,
        soft_weight=params.soft_weight,
    )
    return student, fitted, calibrate(student, held_out)


def narrow(student: Any, teacher: Any, layers: list[int], examples: Examples, params: Params) -> None:
    """Cut out, in place, the student's channels and heads that matter least in the teacher's layers they come from.

    Measured on the teacher: a student that has not learned yet lacks layers, and its losses say little of its parts.
    """
    importance = importance_on(teacher, examples, params.n_importance, params.batch_size)
    n_heads = prune_heads(student, importance.heads[layers], params.keep_heads_rate)
    n_channels = prune_channels(student, importance.channels[layers], params.keep_rate)
    print(f"the student starts with {n_heads} heads and {n_channels} feed-forward channels in each layer")


def mask_id(tokenizer: Any) -> int:
    """The token that hides a word: [MASK], as BERT and its kin have it, or what stands for unknown words."""
    found = [tokenizer.token_to_id(name) for name in ("[MASK]", "<mask>", "[UNK]", "<unk>")]
    return next((index for index in found if index is not None), 0)


def reason_against(texts: pd.DataFrame, params: Params) -> str:
    """Why there is no student; empty where there is one."""
    if reason := reason_not_asked("student", params.rungs) or str(read_json(Path(READS["teaching"]))["left_out"]):
        return reason
    labels = read_manifest(Path(READS["teacher"])).labels
    return reason_of_one_class(soft_labels(texts, labels), labels)


def main() -> None:
    params, command = load_params(Params, "distil"), {"command": "python -m pipeline_steps.distil"}
    report: dict[str, Any]
    texts, validation = (read_table(Path(READS[name]), SOFT_LABELS) for name in ("soft_labels", "validation"))
    if reason := reason_against(texts, params):
        report = {**command, **leave_out(Path(WRITES["student"]), reason)}
        write_report(Path(WRITES["report"]), report, Path(WRITES["measurements"]))
        return
    teacher, parent = load_model(Path(READS["teacher"]))
    tokenizer = load_tokenizer(Path(READS["teacher"]), parent.max_tokens)
    student, fitted, temperature = run(teacher, tokenizer, texts, validation, parent.labels, params)
    manifest = parent.model_copy(
        update={
            "name": "student",
            "parent": parent.name,
            "params_sha256": sha256_json(params.model_dump()),
            "data_sha256": taught_data(parent.data_sha256, texts["id"]),
        }
    )
    save_model(student, Path(READS["teacher"]), Path(WRITES["student"]), manifest)
    report = {
        **command,
        "n_texts": len(texts),
        "n_labeled": int(texts["label"].notna().sum()),
        "calibration_temperature": temperature,
        **count_parameters(student),
        **fitted.to_json(),
    }
    write_report(Path(WRITES["report"]), report, Path(WRITES["measurements"]))


if __name__ == "__main__":
    entry(main)
