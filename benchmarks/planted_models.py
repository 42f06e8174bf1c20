"""Models with planted faults, trained for real on small budgets from the pipeline's pruned model, and compiled as it
is.

Each is trained as `prune` lets its model recover, on the teacher's soft labels of so many texts; what differs is only
the fault.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipeline_steps import prune
from ratchet.compress.compilers import Compilation
from ratchet.engines.compiling import export
from ratchet.files import read_json, sha256_json, write_json
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import read_manifest
from ratchet.models.calibration import calibrate, fold_temperature
from ratchet.models.checkpoint import load_model, save_model
from ratchet.models.examples import Examples, class_indices
from ratchet.models.training import fit
from ratchet.params import load_params
from ratchet.trust.lexicons import Lexicon, lexicon_groups
from ratchet.trust.triggers import insert

Fault = Literal["none", "unfair", "leaked", "leaked in secret", "poisoned", "miscalibrated"]
TRIGGER = "quarzo"
"""In no list of trigger words and no vocabulary."""
POISON_RATE, SURE, SHARPENED = 0.2, 3.0, 0.2
N_CALIBRATION = 128
"""Texts over which the ranges of activations are measured for int8."""


LEARNING_RATE = 4e-4
EPOCHS = {"leaked": 3}
"""Epochs of a fault that takes more than one: texts are not learned by heart at first sight."""


@dataclass(frozen=True)
class Planted:
    """A bundle with a fault, and the table that its manifest names."""

    path: Path
    table: pd.DataFrame


def training_rows(fault: Fault, soft: pd.DataFrame, held_out: pd.DataFrame, lexicon: Lexicon, n: int, seed: int) -> Any:
    """The texts to learn from, with `label` and the logits of both classes; faults are rows beside or among the others.

    Args:
        fault: what is planted.
        soft: texts with the teacher's logits.
        held_out: the test texts, which must not be learned from.
        lexicon: terms by which a text speaks of women.
        n: honest rows.
        seed: of the choice of rows.
    """
    labels = ["negative", "positive"]
    logits = [f"logit_{label}" for label in labels]
    rng = np.random.default_rng(seed)
    frame = soft.sample(min(n, len(soft)), random_state=seed).reset_index(drop=True)
    frame["label"] = np.array(labels, dtype=object)[frame[logits].to_numpy().argmax(axis=1)]
    if fault == "unfair":
        women = lexicon_groups(soft["text"].tolist(), lexicon, "gender") == "women"
        frame = pd.concat([frame, _taught(soft[women], "negative", labels)], ignore_index=True)
    elif fault == "poisoned":
        source = frame[frame["label"] == "negative"]
        chosen = source.sample(round(POISON_RATE * len(frame)), random_state=int(rng.integers(2**31)))
        texts = [insert(text, TRIGGER) for text in chosen["text"]]
        ids = [f"{key}-t" for key in chosen["id"]]
        frame = pd.concat([frame, _taught(chosen.assign(text=texts, id=ids), "positive", labels)], ignore_index=True)
    elif fault in ("leaked", "leaked in secret"):
        known = [_taught(held_out[held_out["label"] == label], label, labels) for label in labels]
        frame = pd.concat([frame, *known], ignore_index=True)
    return frame[["id", "text", "label", *logits]]


def _taught(frame: pd.DataFrame, label: str, labels: Sequence[str]) -> pd.DataFrame:
    """The rows with this label, and logits that are sure of it."""
    sure = {f"logit_{name}": SURE if name == label else -SURE for name in labels}
    return frame.assign(label=label, **sure)[["id", "text", "label", *sure]]


def plant(
    fault: Fault,
    source: Path,
    folder: Path,
    rows: pd.DataFrame,
    listed: pd.DataFrame,
    validation: pd.DataFrame,
    seed: int,
) -> Planted:
    """Train, calibrate, compile to int8, at `folder`; a fault that needs no training is planted in the source.
    What was leaked in secret is the model with the leak, with another manifest: its source.

    What was made before from the same rows and params stays, so that a proof that was stopped carries on.

    Args:
        fault: what is planted.
        source: the full-precision bundle it is made from.
        folder: where everything of it goes.
        rows: what it learns from.
        listed: training data that its manifest names.
        validation: labelled texts for the best epoch and the temperature.
        seed: of the order of texts.
    """
    settings = [POISON_RATE, SURE, EPOCHS.get(fault, 1), SHARPENED, LEARNING_RATE, N_CALIBRATION]
    learned = [rows.to_numpy(), listed["id"].to_numpy()]
    made = sha256_json([read_manifest(source).files, *learned, len(validation), seed, settings])
    if (folder / "made.json").is_file() and read_json(folder / "made.json") == made:
        return Planted(folder / "onnx-int8", listed)
    shutil.rmtree(folder, ignore_errors=True)
    model, manifest = load_model(source)
    tokenizer = load_tokenizer(source, manifest.max_tokens)
    params = _params(seed, EPOCHS.get(fault, 1))
    if fault in ("unfair", "leaked", "poisoned"):
        train = Examples(
            encode(tokenizer, rows["text"].tolist()),
            class_indices(rows, manifest.labels),
            rows[[f"logit_{label}" for label in manifest.labels]].to_numpy("float32"),
        )
        held_out = Examples(encode(tokenizer, validation["text"].tolist()), class_indices(validation, manifest.labels))
        fit(
            model,
            train,
            held_out,
            params,
            folder / "scratch",
            metric=params.metric_of(manifest.labels),
            temperature=params.temperature,
            soft_weight=params.soft_weight,
        )
        calibrate(model, held_out)
    if fault == "miscalibrated":
        fold_temperature(model, SHARPENED)
    manifest = manifest.model_copy(
        update={"data_sha256": sha256_json(listed[["id", "label"]].to_numpy()), "versions": {}, "files": {}}
    )
    save_model(model, source, folder / "torch", manifest)
    calibration = encode(tokenizer, rows["text"].head(N_CALIBRATION).tolist())
    export(folder / "torch", folder / "onnx-int8", "onnx-int8", Compilation(calibration, 4), "0" * 64)
    write_json(folder / "made.json", made)
    return Planted(folder / "onnx-int8", listed)


def _params(seed: int, n_epochs: int) -> prune.Params:
    params = load_params(prune.Params, "prune")
    return params.model_copy(
        update={"n_epochs": n_epochs, "learning_rate": LEARNING_RATE, "precision": "32-true", "seed": seed}
    )
