"""Bundles of miniature models, for tests of what follows training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ratchet.compress.static_student import teach
from ratchet.models.backbones import load_classifier
from ratchet.models.bundle import Manifest, write_bundle
from ratchet.models.checkpoint import save_model
from ratchet.models.examples import Examples, class_indices
from ratchet.models.static_model import save_static
from ratchet.models.word_tokens import WordTokens
from tests.support.tiny import reviews, tiny_backbone

LABELS = ["negative", "positive"]


def manifest(name: str, **changes: object) -> Manifest:
    """A manifest with plausible values."""
    values = {
        "name": name,
        "kind": "torch",
        "precision": "fp32",
        "labels": LABELS,
        "max_tokens": 32,
        "parent": "",
        "params_sha256": "0" * 64,
        "data_sha256": "1" * 64,
    }
    return Manifest.model_validate({**values, **changes})


def torch_bundle(
    folder: Path,
    name: str = "teacher",
    n_layers: int = 3,
    backbone: Callable[[Path, int], Path] = tiny_backbone,
    labels: list[str] = LABELS,
) -> Path:
    """An untrained classifier with confident opinions, as a bundle at `folder / name`."""
    import torch

    pretrained = backbone(folder / f"{name}-backbone", n_layers)
    model = load_classifier(pretrained, len(labels))
    torch.manual_seed(1)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    save_model(model, pretrained, folder / name, manifest(name, labels=labels))
    return folder / name


def static_bundle(path: Path, tokens_of: Path) -> Path:
    """A static student of 200 reviews, with the tokenizer of a transformer's bundle."""
    validation, texts, words = reviews(80, 2), reviews(200, 1), WordTokens(tokens_of)
    held_out = Examples(words.encode(validation["text"].tolist()), class_indices(validation, LABELS))
    sure = np.where(texts["label"].to_numpy()[:, None] == np.array(LABELS), 0.98, 0.02)
    vectors = np.zeros((words.n_tokens, 4), dtype=np.float32)
    limits: dict[str, Any] = {"inverse_regularization": 100.0, "min_pair_texts": 2, "max_pairs": 0}
    student = teach(words.encode(texts["text"].tolist()), sure, held_out, vectors, **limits).model

    def save(folder: Path) -> None:
        save_static(student, folder)
        shutil.copyfile(tokens_of / "tokenizer.json", folder / "tokenizer.json")

    write_bundle(path, manifest(path.name, kind="static", max_tokens=0), save, ("numpy",))
    return path
