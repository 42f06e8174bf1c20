"""Bundles of miniature models, for tests of what follows training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ratchet.models.backbones import load_classifier
from ratchet.models.bundle import Manifest
from ratchet.models.checkpoint import save_model
from tests.support.tiny import tiny_backbone

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
