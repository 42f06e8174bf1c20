"""Logits of the validation texts in every epoch, and the metric of them by which epochs are judged."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray


class EpochMetric(Protocol):
    """The metric that compares epochs; metrics of equal `repr` are equal."""

    @property
    def name(self) -> str:
        """accuracy, which `Classifier` logs itself, or another one."""

    @property
    def greater_is_better(self) -> bool:
        """False for costs."""

    def undefined_on(self, y_true: NDArray[np.int64]) -> str:
        """Why it is undefined on texts of these classes, (n_texts,); empty where it is defined."""

    def value(self, y_true: NDArray[np.int64], proba: NDArray[Any]) -> float:
        """The metric of class indices (n_texts,) and probabilities (n_texts, n_classes)."""


class ValidationLogits(Callback):
    """Keeps the logits of the validation texts, from the pass over them that is made anyway; it changes no weight."""

    def __init__(self, n_texts: int) -> None:
        self._n_texts = n_texts
        self._logits: torch.Tensor | None = None

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._logits = None  # a new one each epoch: spawned processes share the memory of the first

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        logits = outputs["logits"].detach().cpu()
        if self._logits is None:
            self._logits = torch.zeros(self._n_texts, logits.shape[1])
        self._logits.index_add_(0, outputs["row"].cpu(), logits)

    def proba(self, trainer: Any, pl_module: Any) -> NDArray[np.float64]:
        """The probabilities of all validation texts, (n_texts, n_classes), in every process."""
        logits: Any = self._logits  # (n_texts, n_classes)
        if trainer.world_size > 1:  # each process knows its own share
            logits = trainer.strategy.reduce(logits.to(pl_module.device), reduce_op="sum").cpu()
        proba: NDArray[np.float64] = logits.double().softmax(dim=1).numpy()
        return proba


class ValidationMetric(ValidationLogits):
    """Logs the metric of the validation texts as `validation_<name>` after each epoch."""

    def __init__(self, metric: EpochMetric, y_true: NDArray[np.int64]) -> None:
        super().__init__(len(y_true))
        self._metric, self._y_true = metric, y_true

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        value = self._metric.value(self._y_true, self.proba(trainer, pl_module))
        pl_module.log(f"validation_{self._metric.name}", value, sync_dist=trainer.world_size > 1)
