"""AutoGluon's MultiModalPredictor on a table with one column of text, with its defaults and the league's backbone.

Source: Tang et al. 2024, AutoGluon-Multimodal, https://arxiv.org/abs/2404.16233.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.league.interface import Proba, Task, scoring

try:
    import torchvision  # noqa: F401
except RuntimeError:  # beside a CPU build of torch its operators may not load; it asks for two at import, text for none
    VISION: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        VISION.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from autogluon.multimodal import MultiModalPredictor


class Fitted:
    """A fitted predictor."""

    def __init__(self, predictor: Any, n_classes: int) -> None:
        self._predictor, self._n_classes = predictor, n_classes

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""
        frame = self._predictor.predict_proba(pd.DataFrame({"text": list(texts)}), as_pandas=True)
        proba: Proba = frame[list(range(self._n_classes))].to_numpy()
        return proba

    def save(self, folder: Path) -> None:
        """AutoGluon's own files, which load without a hub."""
        self._predictor.save(str(folder / "predictor"), standalone=True)


def train(task: Task) -> Fitted:
    """The predictor of its default preset; what it validates on it takes from the labels itself."""
    problem = "binary" if task.n_classes == 2 else "multiclass"
    predictor = MultiModalPredictor(
        label="label",
        problem_type=problem,
        eval_metric=scoring(task.metric),
        path=str(task.scratch / "autogluon"),
        verbosity=1,
    )
    predictor.fit(
        pd.DataFrame({"text": task.texts, "label": task.targets}),
        seed=task.seed,
        hyperparameters={
            "model.names": ["hf_text"],
            "model.hf_text.checkpoint_name": str(task.backbone),
            "model.hf_text.max_text_len": task.max_tokens,
            "env.num_gpus": 0,
            "env.num_workers": 0,
            "env.num_workers_inference": 0,
        },
    )
    return Fitted(predictor, task.n_classes)
