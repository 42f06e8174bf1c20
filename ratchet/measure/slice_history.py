"""Slice metrics during training: the primary metric of each slice after each epoch, and warnings on drops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ratchet.measure.bootstrap import Weights, proportion_estimate, weights
from ratchet.measure.primary import Indices, PrimaryMetric, Proba
from ratchet.models.validation_scores import ValidationLogits

Mask = NDArray[np.bool_]
N_DRAWS = 200
"""Resamples behind the interval of a slice; they are drawn in every epoch."""


class SliceHistory(ValidationLogits):
    """The primary metric of slices of the validation texts after each epoch.

    A slice that gets worse by more than its bound is warned of at once, long before a gate would see it. It changes no
    weight; its state travels in the checkpoint.
    """

    def __init__(
        self, masks: Mapping[str, Mask], max_fall: float, metric: PrimaryMetric, y_true: Indices, seed: int
    ) -> None:
        """
        Args:
            masks: slice → its rows, (n_texts,).
            max_fall: by how much of the metric a slice may get worse from one epoch to the next without a warning.
            metric: the primary metric.
            y_true: class indices of the validation texts, (n_texts,).
            seed: of the resampling.
        """
        super().__init__(len(y_true))
        self.rows: list[dict[str, Any]] = []
        """A row an epoch and slice: `epoch`, `slice`, and its `slice_figures`."""
        self._masks, self._max_fall = masks, max_fall
        self._metric, self._y_true, self._seed = metric, y_true, seed
        self._before: torch.Tensor | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.current_epoch:  # a fit that began again in another precision
            self.rows, self._before = [], None

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        now = self.proba(trainer, pl_module)
        before = None if self._before is None else self._before.numpy()
        w = weights(len(now), N_DRAWS, np.random.default_rng(self._seed))
        figures = slice_figures(self._masks, self._metric, self._y_true, now, before, w)
        self.rows += [{"epoch": trainer.current_epoch, "slice": name, **item} for name, item in figures.items()]
        self._before = torch.from_numpy(now)
        if trainer.is_global_zero and figures:
            lines = [slice_line(figures), *drop_warnings(figures, self._metric.name, self._max_fall)]
            print("\n".join(lines), flush=True)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "before": self._before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self._before = list(state_dict["rows"]), state_dict["before"]


def slice_figures(
    masks: Mapping[str, Mask], metric: PrimaryMetric, y_true: Indices, now: Proba, before: Proba | None, w: Weights
) -> dict[str, dict[str, Any]]:
    """Slice → the metric there, `primary`, and its paired `change` since the epoch before: above 0 where it is better.

    Args:
        masks: slice → its rows, (n_texts,).
        metric: the primary metric.
        y_true: class indices, (n_texts,).
        now: probabilities now, (n_texts, n_classes).
        before: those of the epoch before; None: there was none, and there is no change.
        w: resampling weights, (n_draws, n_texts).
    """
    figures = {}
    for name, mask in masks.items():
        true, proba = y_true[mask], now[mask]
        if metric.name == "accuracy":  # Wilson's interval has a width where all of a few texts are right
            level = proportion_estimate(int((proba.argmax(axis=1) == true).sum()), len(true))
        else:
            level = metric.estimate(true, proba, w[:, mask])
        figures[name] = {"primary": level.to_json()}
        if before is not None:
            figures[name]["change"] = metric.difference(true, proba, before[mask], w[:, mask]).to_json()
    return figures


def slice_line(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """One line with the primary metric and the number of texts of every slice.

    >>> slice_line({"length=short": {"primary": {"value": 0.75, "n": 40}}})
    'slices  length=short 0.750 (40)'
    """
    parts = [f"{name} {item['primary']['value']:.3f} ({item['primary']['n']})" for name, item in figures.items()]
    return "  ".join(["slices", *parts])


def drop_warnings(figures: Mapping[str, Mapping[str, Any]], metric: str, max_fall: float) -> list[str]:
    """A warning for each slice that got worse by more than the bound; it says where chance alone would explain that.

    >>> change = {"value": -0.2, "low": -0.3, "high": -0.1, "n": 100}
    >>> (line,) = drop_warnings({"a": {"change": change}, "b": {"change": change | {"value": -0.01}}}, "macro_f1", 0.05)
    >>> line
    'warning: macro_f1 of slice a is worse by 0.200 than an epoch ago (0.100 to 0.300, 100 texts); the bound is 0.05'
    """
    lines = []
    for name, item in figures.items():
        change = item.get("change")
        if change and change["value"] < -max_fall:
            interval = f"{-change['high']:.3f} to {-change['low']:.3f}, {change['n']} texts"
            chance = "; it may be chance" if change["high"] >= 0 else ""
            lines.append(
                f"warning: {metric} of slice {name} is worse by {-change['value']:.3f} than an epoch ago ({interval}); "
                f"the bound is {max_fall:g}{chance}"
            )
    return lines
