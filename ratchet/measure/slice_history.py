"""Slices watched while a model learns: their accuracy after each epoch, and a warning of those that fell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.significance import discordant, paired_difference

Mask = NDArray[np.bool_]


class SliceHistory(Callback):
    """The accuracy of slices of the validation texts after each epoch, from the predictions that are made anyway.

    A slice that falls by more than its bound is warned of at once, long before a gate would see it. It changes no
    weight; its state travels in the checkpoint.
    """

    def __init__(self, masks: Mapping[str, Mask], max_fall: float) -> None:
        """
        Args:
            masks: slice → its rows, (n_texts,).
            max_fall: accuracy that a slice may lose from one epoch to the next before it is warned of, in [0, 1].
        """
        self.rows: list[dict[str, Any]] = []
        """A row an epoch and slice: `epoch`, `slice`, and what `slice_figures` says of it."""
        self._masks, self._max_fall = masks, max_fall
        self._right = torch.zeros(len(next(iter(masks.values()), ())), dtype=torch.float64)
        self._before: torch.Tensor | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.current_epoch:  # a fit that began again in another precision
            self.rows, self._before = [], None

    def on_validation_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._right = torch.zeros_like(
            self._right
        )  # a new one: processes that were spawned share the memory of the first

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if len(self._right):
            # another process's stand-in adds 0 to its row
            self._right.index_add_(0, outputs["row"].cpu(), outputs["right"].detach().cpu())

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        right = self._right
        if trainer.world_size > 1:  # each process knows its own share
            right = trainer.strategy.reduce(right.to(pl_module.device), reduce_op="sum").cpu()
        now = right > 0.5
        before = None if self._before is None else self._before.numpy()
        figures = slice_figures(self._masks, now.numpy(), before)
        self.rows += [{"epoch": trainer.current_epoch, "slice": name, **item} for name, item in figures.items()]
        self._before = now
        if trainer.is_global_zero and figures:
            print("\n".join([told(figures), *falls(figures, self._max_fall)]), flush=True)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "before": self._before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self._before = list(state_dict["rows"]), state_dict["before"]


def slice_figures(masks: Mapping[str, Mask], right: Mask, before: Mask | None) -> dict[str, dict[str, Any]]:
    """Slice → its `accuracy` (Wilson's interval), and the paired `change` since the epoch before (Tango's).

    Args:
        masks: slice → its rows, (n_texts,).
        right: which texts are predicted rightly now, (n_texts,).
        before: which were after the epoch before; None: there was none, and no change is told.
    """
    figures = {}
    for name, mask in masks.items():
        figures[name] = {"accuracy": proportion_estimate(int(right[mask].sum()), int(mask.sum())).to_json()}
        if before is not None:
            figures[name]["change"] = paired_difference(discordant(right[mask], before[mask])).to_json()
    return figures


def told(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """One line with the accuracy and the number of texts of every slice.

    >>> told({"length=short": {"accuracy": {"value": 0.75, "n": 40}}})
    'slices  length=short 0.750 (40)'
    """
    parts = [f"{name} {item['accuracy']['value']:.3f} ({item['accuracy']['n']})" for name, item in figures.items()]
    return "  ".join(["slices", *parts])


def falls(figures: Mapping[str, Mapping[str, Any]], max_fall: float) -> list[str]:
    """A warning for each slice that fell by more than the bound; it says where chance alone would explain that.

    >>> change = {"value": -0.2, "low": -0.3, "high": -0.1, "n": 100}
    >>> falls({"a": {"change": change}, "b": {"change": change | {"value": -0.01}}}, 0.05)
    ['warning: slice a fell by 0.200 in one epoch, more than 0.05 (95 % interval 0.100 to 0.300, 100 texts)']
    """
    lines = []
    for name, item in figures.items():
        change = item.get("change")
        if change and change["value"] < -max_fall:
            chance = "; it may be chance" if change["high"] >= 0 else ""
            lines.append(
                f"warning: slice {name} fell by {-change['value']:.3f} in one epoch, more than {max_fall:g} (95 % "
                f"interval {-change['high']:.3f} to {-change['low']:.3f}, {change['n']} texts{chance})"
            )
    return lines
