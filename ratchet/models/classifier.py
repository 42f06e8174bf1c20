"""The Lightning module: a sequence classifier that learns from labels, from a teacher, or from both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor

from ratchet.errors import TrainingError
from ratchet.models.examples import UNKNOWN

Batch = dict[str, Any]
"""ids and mask (batch, tokens), hard and row (batch,); soft (batch, n_classes), weight (batch,) if any; n_step."""
MAX_GRADIENT_NORM = 1.0
HEAD = "classifier."
"""In the names of the parameters of the classification head."""


class NotFiniteError(TrainingError):
    """A loss or a gradient that is not a number, or an infinite one."""


def is_not_finite(error: Exception) -> bool:
    """Whether it is a NotFiniteError, or another process's that arrived as text."""
    return isinstance(error, NotFiniteError) or NotFiniteError.__name__ in str(error)


class Classifier(lightning.LightningModule):
    """Wraps a Hugging Face sequence classifier; AdamW with linear warm-up and decay.

    A step's loss is the sum over its texts divided by their number, however many passes and processes share them.
    """

    paired = False
    """Whether it learns from batches of pairs of one class."""

    def __init__(
        self,
        model: Any,
        *,
        n_steps: int,
        learning_rate: float,
        head_rate: float,
        weight_decay: float,
        warmup_rate: float,
        temperature: float,
        soft_weight: float,
        prior_offset: Sequence[float],
        micro_batch_tokens: int,
        seed: int,
    ) -> None:
        super().__init__()
        # by hand: automatic optimization cannot cut a batch by its tokens
        self.automatic_optimization = False
        self.model = model
        self._n_steps, self._n_warmup = n_steps, max(1, round(n_steps * warmup_rate))
        self.learning_rate, self._head_rate, self._weight_decay = learning_rate, head_rate, weight_decay
        self._temperature, self._soft_weight = temperature, soft_weight
        self._prior_offset = torch.tensor(prior_offset, dtype=torch.float32) if len(prior_offset) else None
        self._micro_batch_tokens = micro_batch_tokens
        self._seed = seed

    def on_train_epoch_start(self) -> None:
        # an epoch's randomness depends on its number alone, so a resumed run repeats the undisturbed one
        torch.manual_seed(self._seed + self.current_epoch)
        self.model.train()

    def training_step(self, batch: Batch, _index: int) -> None:
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()

        def gradients() -> None:
            optimizer.zero_grad()
            # processes average their gradients, a step is a mean over all their texts
            n_mean = batch["n_step"] / self.trainer.world_size
            total = torch.zeros((), device=self.device)
            for part in cut(batch, self._micro_batch_tokens):
                output = self.outputs(part)
                losses = self.losses(output.logits.float(), part)
                if (taught := getattr(output, "teaching_losses", None)) is not None:  # (batch,), see compress.teaching
                    losses = losses + (taught * part["weight"] if "weight" in part else taught)
                loss = losses.sum() / n_mean
                self._refuse(loss, "loss")
                self.manual_backward(loss)
                total += loss.detach()
            self._log_mean(batch, train_loss=total)

        optimizer.step(gradients)
        schedule.step()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Clip the gradients, which are unscaled by now; 16-bit training skips a step whose gradients overflowed."""
        whole: Any = getattr(self.trainer.strategy, "model", None)
        if hasattr(whole, "clip_grad_norm_"):  # sharded: no process sees all gradients
            norm = whole.clip_grad_norm_(MAX_GRADIENT_NORM)
        else:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_GRADIENT_NORM)
        if self.trainer.precision != "16-mixed":
            self._refuse(norm, "gradient")

    def validation_step(self, batch: Batch, _index: int) -> dict[str, Tensor]:
        """The rows of the batch (batch,) and their logits (batch, n_classes), but for another process's stand-in."""
        n_mean = batch["n_step"] / self.trainer.world_size
        logits = self.logits(batch)
        right = (logits.argmax(-1) == batch["hard"]).double()
        counted = right * batch["weight"] if "weight" in batch else right
        loss = self.losses(logits, batch).sum() / n_mean
        self._log_mean(batch, validation_loss=loss, validation_accuracy=counted.sum() / n_mean)
        own = batch["weight"] > 0 if "weight" in batch else slice(None)
        return {"row": batch["row"][own], "logits": logits[own]}

    def configure_optimizers(self) -> Any:
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        encoder, head = ([p for name, p in named if (HEAD in name) == is_head] for is_head in (False, True))
        rated = ((encoder, self.learning_rate), (head, self.learning_rate * self._head_rate))
        groups = [{"params": parameters, "lr": rate} for parameters, rate in rated if parameters]
        # a fused step unscales 16-bit gradients itself, after they should have been clipped
        fused = self.trainer.precision != "16-mixed"
        optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]], weight_decay=self._weight_decay, fused=fused
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Share of the learning rate at a step, in [0, 1]: linear warm-up, then linear decay to 0."""
        if step < self._n_warmup:
            return (step + 1) / self._n_warmup
        return max(0.0, (self._n_steps - step) / max(1, self._n_steps - self._n_warmup))

    def _refuse(self, value: Tensor, what: str) -> None:
        if not torch.isfinite(value):
            raise NotFiniteError(
                f"The {what} is not a number.",
                where=f"epoch {self.current_epoch}, step {self.global_step}",
                got=value.item(),
                fix="lower the learning rate, or set precision: 32-true",
            )

    def _log_mean(self, batch: Batch, **values: Tensor) -> None:
        """Log figures whose mean over the processes is the mean over the step's texts."""
        shared = self.trainer.world_size > 1
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=batch["n_step"], sync_dist=shared)

    def logits(self, batch: Batch) -> Tensor:
        """The model's logits, (batch, n_classes), in 32-bit."""
        logits: Tensor = self.outputs(batch).logits
        return logits.float()  # (batch, n_classes)

    def outputs(self, batch: Batch) -> Any:
        """The model's outputs: logits and, where it has them, losses of its own."""
        return self.model(input_ids=batch["ids"], attention_mask=batch["mask"])

    def losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """soft_weight · T² · KL(teacher ‖ student) + (1 − soft_weight) · cross-entropy on what is labelled, (batch,).

        A text without a hard label has its soft term alone, at full weight. The cross-entropy is of logits with the
        prior's offset: what the model itself gives is then adjusted for rare classes.
        Source: Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531; Menon et al. 2021, Long-tail learning via
        logit adjustment, https://arxiv.org/abs/2007.07314
        """
        hard, labelled = batch["hard"], batch["hard"] != UNKNOWN
        adjusted = logits if self._prior_offset is None else logits + self._prior_offset.to(logits.device)
        losses = F.cross_entropy(adjusted, hard, ignore_index=UNKNOWN, reduction="none")  # (batch,), 0 where unknown
        if "soft" in batch:
            t = self._temperature
            teacher = F.log_softmax(batch["soft"] / t, dim=-1)
            student = F.log_softmax(logits / t, dim=-1)
            divergence = F.kl_div(student, teacher, log_target=True, reduction="none").sum(-1) * t * t  # (batch,)
            weight = torch.where(labelled, self._soft_weight, 1.0)
            losses = weight * divergence + (1 - weight) * losses
        return losses * batch["weight"] if "weight" in batch else losses


def cut(batch: Batch, max_tokens: int) -> list[Batch]:
    """The batch in parts of at most `max_tokens` padded tokens (0: uncut), each padded to its own longest text.

    A text that is longer than the limit is a part of its own. `n_step` stays that of the whole batch.
    """
    n, longest = batch["ids"].shape
    if not max_tokens or n * longest <= max_tokens:
        return [batch]
    lengths = batch["mask"].sum(dim=1)
    parts: list[Batch] = []
    rows: list[int] = []
    for row in torch.argsort(lengths, stable=True).tolist():
        if rows and (len(rows) + 1) * int(lengths[row]) > max_tokens:
            parts.append(_rows_of(batch, rows, int(lengths[rows[-1]])))
            rows = []
        rows.append(row)
    return [*parts, _rows_of(batch, rows, int(lengths[rows[-1]]))]


def _rows_of(batch: Batch, rows: list[int], longest: int) -> Batch:
    part = {name: value[rows] for name, value in batch.items() if name != "n_step"}
    return {**part, "ids": part["ids"][:, :longest], "mask": part["mask"][:, :longest], "n_step": batch["n_step"]}
