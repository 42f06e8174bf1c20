"""Training history: the measures of every epoch, printed as they come, kept through a resume."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.callbacks import Callback

MEASURES = ("train_loss", "validation_loss", "validation_accuracy")
"""Measures of every fit."""


class History(Callback):
    """Collects the measures of every epoch; its state travels in the checkpoint."""

    def __init__(self, n_batches: int, judged_by: str) -> None:
        """
        Args:
            n_batches: steps of an epoch.
            judged_by: the measure by which epochs are judged, kept beside `MEASURES`.
        """
        self.epochs: list[dict[str, float]] = []
        self.resumed_at = 0
        self._n_batches, self._measures = n_batches, tuple(dict.fromkeys((*MEASURES, judged_by)))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.resumed_at = trainer.current_epoch
        if self.resumed_at:
            print(f"resumed after epoch {self.resumed_at} of {trainer.max_epochs}", flush=True)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        step, every = batch_idx + 1, max(1, self._n_batches // 5)
        if step % every == 0 and step < self._n_batches:
            print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  step {step}/{self._n_batches}", flush=True)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        measured = {name: float(trainer.callback_metrics[name]) for name in self._measures}
        self.epochs.append({"epoch": trainer.current_epoch, **measured})
        figures = "  ".join(f"{name} {value:.4f}" for name, value in measured.items())
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {figures}", flush=True)

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = list(state_dict["epochs"])
