"""Sizes of a run that fit into the minutes it may take, for the backbone and the texts of a task."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flows.checks.backbone import Backbone, read_backbone
from flows.checks.blocks import check_blocks
from flows.checks.project import Project
from flows.init.plan import TaskPlan
from flows.init.task_files import dump, parse, set_values
from ratchet.measure.time_plan import Corpus, Encoder, Plan, plan

N_TEXTS = 2_000
"""Texts whose lengths in tokens are measured."""


def fit_sizes(project: Project, task: TaskPlan, texts: Sequence[str], n_unlabeled: int) -> Plan | None:
    """The sizes; None where the backbone is not on this machine, so that nothing is known of it.

    Args:
        project: with the params of the task as they would be without a plan.
        task: its plan.
        texts: a sample.
        n_unlabeled: rows of the source without a label.
    """
    check_blocks(project)  # reads the task, which names the backbone
    backbone = read_backbone(project) if project.task is not None else None
    if backbone is None or not backbone.shapes or project.task is None:
        return None
    corpus = Corpus(sum(task.counts.values()), n_unlabeled, len(task.classes), _lengths(backbone, texts))
    encoder = Encoder(_n_parameters(backbone), backbone.n_layers)
    return plan(corpus, encoder, project.task.minutes, project.task.train_threads)


def with_sizes(params: bytes, sizes: Plan) -> bytes:
    """params.yaml with these sizes."""
    tree = parse(params)
    set_values(tree, sizes.params)
    return dump(tree)


def _lengths(backbone: Backbone, texts: Sequence[str]) -> list[int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(backbone.folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    step = max(1, len(texts) // N_TEXTS)
    return [len(item.ids) for item in tokenizer.encode_batch(list(texts[::step]))]


def _n_parameters(backbone: Backbone) -> int:
    """Without embeddings, which are looked up."""
    embedded = sum(math.prod(shape) for name, shape in backbone.shapes.items() if "embeddings" in name)
    return backbone.n_parameters - embedded
