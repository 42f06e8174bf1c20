"""What decides about a run's time, as it is known before the run: the encoder, the threads, the texts.

`ratchet init` plans with it and `ratchet check` tells it, so that both say the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flows.checks.project import RECORD, Project
from ratchet.measure.stage_costs import Corpus, Encoder
from ratchet.models.backbone_files import Backbone
from ratchet.task import Task

N_QUANTILES = 101
"""Quantiles that stand for the lengths of a sample of texts."""


def encoder_of(backbone: Backbone) -> Encoder:
    """What of the backbone decides about time: its parameters but for the token embeddings, which are looked up."""
    return Encoder(backbone.n_parameters - backbone.n_embedded * backbone.hidden, backbone.n_layers)


def n_threads(task: Task | None) -> int:
    """CPU threads that training has on this machine."""
    return min(task.train_threads if task else 1, os.cpu_count() or 1)


def corpus_of(n_labeled: int, n_unlabeled: int, n_classes: int, n_tokens: Sequence[int]) -> Corpus:
    """The corpus, its lengths as quantiles.

    >>> corpus_of(90, 10, 2, [5] * 1000).n_tokens == [5] * N_QUANTILES
    True
    """
    shares = np.linspace(0, 1, N_QUANTILES)
    lengths = np.quantile(n_tokens, shares).round().astype(int).tolist() if len(n_tokens) else []
    return Corpus(n_labeled, n_unlabeled, n_classes, lengths)


def corpus_json(corpus: Corpus) -> dict[str, Any]:
    """The corpus as `ratchet init` records it."""
    return {"n_labeled": corpus.n_labeled, "n_unlabeled": corpus.n_unlabeled, "n_tokens": [*corpus.n_tokens]}


def recorded_corpus(project: Project) -> Corpus | None:
    """What `ratchet init` counted; None: it did not, or of another source or column than the task has now."""
    record = json_object(project.root / RECORD)
    origin, found, task = record.get("origin"), record.get("corpus"), project.task
    if not isinstance(origin, dict) or not isinstance(found, dict) or task is None:
        return None
    now = {
        "source": project.params.get("ingest", {}).get("source"),
        "text": task.text_column,
        "label": task.label_column,
    }
    if json.loads(json.dumps(now)) != origin:
        return None
    return Corpus(found["n_labeled"], found["n_unlabeled"], len(task.classes), found["n_tokens"])


def json_object(path: Path) -> dict[str, Any]:
    """A file with an object; empty: it is not there, or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
