"""Sizes of a run that fit into the minutes it may take, for the backbone and the texts of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.checks.run_time import corpus_of, encoder_of, n_threads
from flows.init.plan import TaskPlan
from ratchet.measure.time_plan import Plan
from ratchet.measure.time_plan import plan as fit
from ratchet.models.backbone_files import Backbone, read_backbone_files
from ratchet.params import check_params
from ratchet.task import Task

N_TEXTS = 2_000
"""Texts whose lengths in tokens are measured."""


def fit_sizes(root: Path, base: Mapping[str, Any], plan: TaskPlan, texts: Sequence[str]) -> Plan | None:
    """The sizes; None where the backbone is not on this machine, so that nothing is known of it.

    Args:
        root: the repository.
        base: the params of the base, whose backbone and threads the task has.
        plan: the task.
        texts: a sample.
    """
    task = check_params(Task, "task", base["task"])
    backbone = read_backbone_files(task.backbones[0].source, root)
    if backbone is None or not backbone.shapes:
        return None
    n_labeled = sum(plan.counts.values())
    corpus = corpus_of(n_labeled, plan.n_rows - n_labeled, len(plan.classes), _lengths(backbone, texts))
    return fit(corpus, encoder_of(backbone), plan.minutes, n_threads(task))


def _lengths(backbone: Backbone, texts: Sequence[str]) -> list[int]:
    step = max(1, len(texts) // N_TEXTS)
    return [len(item.ids) for item in backbone.text_tokenizer.encode_batch(list(texts[::step]))]
