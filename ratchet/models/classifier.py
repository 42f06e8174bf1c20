"""The Lightning module: a sequence classifier that learns from labels, from a teacher, or from both."""

from __future__ import annotations

from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor

from ratchet.errors import TrainingError
from ratchet.models.examples import UNKNOWN


class Classifier(lightning.LightningModule):
    """Wraps a Hugging Face sequence classifier; AdamW with linear warm-up and decay."""

    def __init__(
        self, model: Any, *, n_steps: int, learning_rate: float, weight_decay: float, warmup_rate: float,
        temperature: float, soft_weight: float, seed: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model = model
        self._n_steps, self._n_warmup = n_steps, max(1, round(n_steps * warmup_rate))
        self._learning_rate, self._weight_decay = learning_rate, weight_decay
        self._temperature, self._soft_weight = temperature, soft_weight
        self._seed = seed

    def on_train_epoch_start(self) -> None:
        # an epoch's randomness depends on its number alone, so a resumed run repeats the undisturbed one
        torch.manual_seed(self._seed + self.current_epoch)
        self.model.train()

    def training_step(self, batch: dict[str, Tensor], _index: int) -> Tensor:
        loss = self._loss(self._logits(batch), batch)
        if not torch.isfinite(loss):
            raise TrainingError(
                "The loss is not a number.", where=f"epoch {self.current_epoch}, step {self.global_step}",
                got=loss.item(), fix="lower the learning rate, or set precision: 32-true",
            )  # fmt: skip
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["hard"]))
        return loss

    def validation_step(self, batch: dict[str, Tensor], _index: int) -> None:
        logits, hard = self._logits(batch), batch["hard"]
        n = len(hard)
        self.log("validation_loss", self._loss(logits, batch), on_epoch=True, batch_size=n)
        self.log("validation_accuracy", (logits.argmax(-1) == hard).double().mean(), on_epoch=True, batch_size=n)

    def configure_optimizers(self) -> Any:
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=self._learning_rate, weight_decay=self._weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Share of the learning rate at a step, in [0, 1]: linear warm-up, then linear decay to 0."""
        if step < self._n_warmup:
            return (step + 1) / self._n_warmup
        return max(0.0, (self._n_steps - step) / max(1, self._n_steps - self._n_warmup))

    def _logits(self, batch: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.model(input_ids=batch["ids"], attention_mask=batch["mask"]).logits
        return logits.float()  # (batch, n_classes)

    def _loss(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """soft_weight · T² · KL(teacher ‖ student) + (1 − soft_weight) · cross-entropy on what is labelled.

        A text without a hard label has its soft term alone, at full weight.
        Source: Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531
        """
        hard, labelled = batch["hard"], batch["hard"] != UNKNOWN
        entropy = F.cross_entropy(logits, hard, ignore_index=UNKNOWN, reduction="none")  # (batch,), 0 where unknown
        if "soft" not in batch:
            return entropy.mean()
        t = self._temperature
        teacher = F.log_softmax(batch["soft"] / t, dim=-1)
        student = F.log_softmax(logits / t, dim=-1)
        divergence = F.kl_div(student, teacher, log_target=True, reduction="none").sum(-1) * t * t  # (batch,)
        weight = torch.where(labelled, self._soft_weight, 1.0)
        return (weight * divergence + (1 - weight) * entropy).mean()
