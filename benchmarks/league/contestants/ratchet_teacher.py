"""Ratchet's teacher: what `architect`, `baseline` and `train` do, called as a library on the labels of the draw.

The pipeline has labelled validation texts of its own; here they are a part of the draw's labels, as everybody's are.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.league.environments import ROOT
from benchmarks.league.interface import Proba, Task
from pipeline_steps import architect, baseline
from pipeline_steps import train as train_step
from ratchet.data.sampling import smallest_hashes
from ratchet.models.architecture import BackboneSettings, TfidfSettings
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import Manifest
from ratchet.models.checkpoint import save_model
from ratchet.models.forward import logits_of
from ratchet.models.predictor import softmax
from ratchet.models.tfidf import save_pipeline
from ratchet.params import params_of, read_yaml

VALIDATION_RATE = 0.15
"""Share of the labels that epochs are judged by."""


class Teacher:
    """The teacher, and what its bundle needs."""

    def __init__(self, teacher: train_step.Teacher, task: Task, params: Any) -> None:
        self._model, self._task, self._params = teacher.model, task, params
        self._backbone = teacher.backbone
        self._tokenizer = load_tokenizer(teacher.backbone, params.max_tokens)

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""
        proba: Proba = softmax(logits_of(self._model, encode(self._tokenizer, list(texts))))
        return proba

    def save(self, folder: Path) -> None:
        """The bundle."""
        manifest = Manifest(
            name="teacher",
            kind="torch",
            precision="fp32",
            labels=names(self._task),
            max_tokens=self._params.max_tokens,
            parent="",
            cleaning=self._params.cleaning,
            params_sha256="0" * 64,
            data_sha256="0" * 64,
        )
        save_model(self._model, self._backbone, folder / "teacher", manifest)


class Simple:
    """TF-IDF, where it won."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        """Probabilities, (n_texts, n_classes)."""
        proba: Proba = self._pipeline.predict_proba(list(texts))
        return proba

    def save(self, folder: Path) -> None:
        """Vocabulary and weights."""
        save_pipeline(self._pipeline, folder)


def train(task: Task) -> Teacher | Simple:
    """The model of these labels, by the params of the demo's task with the classes and the metric of this one."""
    os.chdir(task.scratch)  # the stage keeps its checkpoints and curves beside where it runs
    tree = task_tree(task)
    params = params_of(train_step.Params, "train", tree, length_edges=[12, 25])
    labels = names(task)
    frame = pd.DataFrame(
        {
            "id": [f"{row}" for row in range(len(task.texts))],
            "text": task.texts,
            "label": [labels[target] for target in task.targets],
            "source": "league",
        }
    )
    n = max(task.n_classes, round(VALIDATION_RATE * len(frame)))
    held = smallest_hashes(frame["id"].tolist(), frame["label"].tolist(), f"validation {task.seed}", n, 1)
    validation = frame.iloc[held].reset_index(drop=True)
    learned = frame.drop(index=held).reset_index(drop=True)
    found, _ = architect.run(learned, validation, params_of(architect.Params, "architect", tree))
    if found.winner is found.tfidf:
        simple = params_of(baseline.Params, "baseline", tree)
        settings = TfidfSettings.model_validate(found.tfidf.settings)
        return Simple(baseline.run(learned, validation, settings, simple)[0])
    rules = train_step.Rules(*(read_rule(name) for name in ("lexicon", "features", "language")))
    chosen = BackboneSettings.model_validate(found.neural.settings)
    teacher = train_step.run(learned, learned.head(0), validation, rules, chosen, params)
    return Teacher(teacher, task, params)


def read_rule(name: str) -> Any:
    """What a file of the task holds; read where the repository is, since training runs elsewhere."""
    from ratchet.params import read_params
    from ratchet.trust.language import Language
    from ratchet.trust.lexicons import Lexicon
    from ratchet.trust.slices import PatternFeatures

    path = ROOT / "examples" / "films" / train_step.READS[name]
    if name == "lexicon":
        return read_params(Lexicon, path)
    return read_params(PatternFeatures, path).patterns if name == "features" else read_params(Language, path).articles


def names(task: Task) -> list[str]:
    """Names of the classes whose order is that of their numbers."""
    return [f"class {number:04d}" for number in range(task.n_classes)]


def task_tree(task: Task) -> dict[str, Any]:
    """The demo's params for these classes, this metric and this backbone, watching no slices."""
    tree = read_yaml(ROOT / "examples" / "films" / "params.yaml")
    tree["task"] |= {
        "classes": [{"name": name, "values": [name]} for name in names(task)],
        "selected": [],
        "primary_metric": task.metric,
        "seed": task.seed,
        "train_threads": task.n_threads,
        "backbones": [{"source": str(task.backbone), "sha256": ""}],
    }
    tree["train"] |= {"max_tokens": task.max_tokens, "slices": [], "attributes": [], "mitigated_attribute": ""}
    return tree
