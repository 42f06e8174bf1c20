"""SetFit: the backbone tuned on pairs of texts, then logistic regression on its embeddings.

With 100 labels or fewer one epoch of the pairs that it makes by default; with more 6,000 pairs; at a given CPU time as
many as fit into it.

Source: Tunstall et al. 2022, Efficient few-shot learning without prompts, https://arxiv.org/abs/2209.11055.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression

from benchmarks.league.interface import Proba, Task, cpu_seconds

FEW, N_PAIRS, BATCH = 100, 6_000, 16
"""Labels up to which all default pairs are trained on, pairs beyond it, and pairs of a step, which is the default."""
N_TRIAL = 10
"""Steps by which the CPU time of a step is told; they are part of what is spent."""


class Fitted:
    """The tuned body and its head."""

    def __init__(self, model: Any, notes: dict[str, str]) -> None:
        self._model, self.notes = model, notes

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""
        return np.asarray(self._model.predict_proba(list(texts), as_numpy=True))

    def save(self, folder: Path) -> None:
        """SetFit's own files."""
        self._model.save_pretrained(str(folder))


def train(task: Task) -> Fitted:
    """Body and head."""
    torch.set_num_threads(task.n_threads)
    torch.manual_seed(task.seed)
    body = SentenceTransformer(str(task.backbone), device="cpu", local_files_only=True)
    body.max_seq_length = task.max_tokens
    model = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1000))
    data = Dataset.from_dict({"text": task.texts, "label": task.targets})
    if task.cpu_budget_s:
        n_steps = affordable_steps(model, data, task)
    else:
        n_steps = -1 if len(task.texts) <= FEW else N_PAIRS // BATCH
    if n_steps:
        trainer(model, data, task, n_steps).train()
    else:
        model.fit(task.texts, task.targets, num_epochs=1)  # the head alone: the budget is spent
    return Fitted(model, {"steps": "one epoch of the default pairs" if n_steps < 0 else str(n_steps)})


def trainer(model: Any, data: Any, task: Task, n_steps: int) -> Any:
    """SetFit's trainer with its defaults over so many steps; -1: an epoch."""
    arguments = TrainingArguments(
        output_dir=str(task.scratch / "setfit"),
        batch_size=BATCH,
        num_epochs=1,
        max_steps=n_steps,
        seed=task.seed,
        save_strategy="no",
        report_to="none",
        show_progress_bar=False,
    )
    return Trainer(model=model, args=arguments, train_dataset=data)


def affordable_steps(model: Any, data: Any, task: Task) -> int:
    """Steps that fit into what is left of the budget: what a few take on a copy, and what the head takes, deducted."""
    trial = copy.deepcopy(model)
    began = cpu_seconds()
    trial.fit(task.texts, task.targets, num_epochs=1)
    head_s = cpu_seconds() - began
    began = cpu_seconds()
    trainer(trial, data, task, N_TRIAL).train()  # its steps, and the head once more
    step_s = max(cpu_seconds() - began - head_s, 1e-3) / N_TRIAL
    left_s = task.cpu_budget_s - 3 * head_s - N_TRIAL * step_s
    return max(0, int(left_s / step_s))
