"""Full-precision PyTorch, as training writes it."""

from __future__ import annotations

from pathlib import Path

from ratchet.models.bundle import Manifest
from ratchet.models.predictor import Predictor
from ratchet.models.torch_predictor import TorchPredictor


def load(path: Path, manifest: Manifest, n_threads: int, batch_size: int) -> Predictor:
    """The verified bundle at `path` as a predictor; on a GPU where there is one."""
    return TorchPredictor(manifest, path, n_threads, batch_size)
