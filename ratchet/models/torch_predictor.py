"""Eager PyTorch predictor, for the trained weights and those that bitsandbytes quantized."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.adapters import load_adapters
from ratchet.models.bundle import Manifest
from ratchet.models.predictor import TokenPredictor


class TorchPredictor(TokenPredictor):
    """Eager PyTorch, for full-precision and bitsandbytes weights; on a GPU where there is one."""

    def __init__(self, manifest: Manifest, path: Path, n_threads: int, batch_size: int = 32) -> None:
        super().__init__(manifest, path, batch_size)
        import torch

        from ratchet.models.pooling import load_pooled

        if n_threads:
            torch.set_num_threads(n_threads)
        # bitsandbytes repeats for every layer and batch that it computes in 16 bits
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        self._torch = torch
        device = "cuda" if torch.cuda.is_available() else "cpu"
        options: dict[str, Any] = {"device_map": device} if manifest.kind == "bitsandbytes" else {}
        self._model = load_pooled(path, **options).eval()
        if manifest.kind == "torch":
            load_adapters(self._model, path)
            self._model.eval().to(device)

    @property
    def model(self) -> Any:
        """The classifier itself, for methods that look inside: gradients, hidden states."""
        return self._model

    @property
    def on_gpu(self) -> bool:
        return str(self._model.device.type) != "cpu"

    def _logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        torch, device = self._torch, self._model.device
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(mask).to(device)
            )
        logits: NDArray[np.float32] = output.logits.float().cpu().numpy()
        return logits
