"""Minutes, memory and disk to expect of a run of all stages, and whether this machine has them.

Time is that of `ratchet.measure.stage_costs`, and for training that of the last run in proportion to texts and epochs,
where its reports say how long it took. These are estimates within a factor of about two, made to tell minutes from
hours and megabytes from more than there is.
Source: bytes of activations a layer, Korthikanti et al. 2022, section 4, https://arxiv.org/abs/2205.05198.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from flows.checks.backbones import first_backbone
from flows.checks.finding import Finding, info, warning
from flows.checks.project import Project
from flows.checks.run_time import encoder_of, json_object, n_threads, recorded_corpus
from flows.checks.source import source_files
from ratchet.errors import RatchetError
from ratchet.measure.machine_figures import merge
from ratchet.measure.stage_costs import OPERATIONS_PER_CORE_S, Corpus, Sizes, parts, sizes_of, stage_seconds
from ratchet.models.backbone_files import Backbone

BASE_MEMORY_MB = 800.0
"""A process with torch and a table of texts, before there is a model."""
TEXT_TABLES = 8
"""Tables as large as the source that the stages write, DVC's copies included."""
BUNDLES = 8
"""Bundles as large as the teacher, DVC's copies included: the smaller ones are many."""
MODEL_STAGES = ("embed", "train", "distil", "prune")
TEXT_BYTES = 200
"""Of a short text with its other columns, where nobody has counted the rows."""
N_SHOWN = 6
"""Stages whose minutes are named, the longest first."""
TOO_LONG = 1.25
"""Times `task.minutes` from which a run is warned of."""


@dataclass(frozen=True)
class Expected:
    """What a run of all stages takes."""

    minutes: dict[str, float]
    """Stage → its minutes."""
    measured: frozenset[str]
    """The stages whose minutes follow from those of the last run."""
    memory_mb: float
    disk_mb: float


def check_resources(project: Project) -> list[Finding]:
    """What to expect, and a warning where this machine has less."""
    if project.task is None or not {*MODEL_STAGES} <= {*project.blocks}:
        return []
    try:
        backbone = first_backbone(project)
        if backbone is None or not backbone.shapes:
            return []
        expected = expect(project, backbone)
    except RatchetError:
        return []  # the checks of the backbone and of the source say why
    longest = sorted(expected.minutes, key=lambda stage: -expected.minutes[stage])[:N_SHOWN]
    each = ", ".join(
        f"{stage} {expected.minutes[stage]:.1f}{' as last time' if stage in expected.measured else ''}"
        for stage in longest
    )
    total, allowed = sum(expected.minutes.values()), project.task.minutes
    needs = f"{expected.memory_mb / 1000:.1f} GB of memory, {expected.disk_mb / 1000:.1f} GB of disk"
    found = [
        info(
            f"About {_minutes(total)} for a run of all stages; {needs}.",
            project.param("task", "minutes"),
            got=f"minutes on {n_threads(project.task)} threads: {each}",
        )
    ]
    if total > TOO_LONG * allowed:
        found.append(
            warning(
                "A run is expected to take longer than it may.",
                project.param("task", "minutes"),
                got=f"about {_minutes(total)}",
                expected=f"{allowed:g} minutes",
                fix="lower train.max_texts, teach.max_texts or prune.n_recovery, or raise task.minutes",
            )
        )
    free_mb, memory_mb = shutil.disk_usage(project.root).free / 1e6, psutil.virtual_memory().available / 1e6
    if free_mb < expected.disk_mb:
        found.append(_short("disk", free_mb, expected.disk_mb, str(project.root), "free some, or move DVC's cache"))
    if memory_mb < expected.memory_mb:
        where = project.param("train", "batch_size")
        fix = "close what else runs, or set train.micro_batch_tokens, which saves memory and changes no step"
        found.append(_short("memory", memory_mb, expected.memory_mb, where, fix))
    return found


def expect(project: Project, backbone: Backbone) -> Expected:
    """What a run of all stages takes."""
    sizes, measured = _sizes(project), set()
    corpus = corpus_now(project, sizes.max_tokens)
    speed = OPERATIONS_PER_CORE_S * n_threads(project.task)
    seconds = stage_seconds(corpus, encoder_of(backbone), sizes, speed)
    minutes = {stage: took / 60 for stage, took in seconds.items()}
    n_rows = corpus.n_labeled + corpus.n_unlabeled
    n_labeled, n_validation, n_test = parts(corpus, sizes)
    n_distil = min(sizes.n_distil, n_rows - n_validation - n_test)
    n_learned = {
        "train": min(sizes.n_train, n_labeled),
        "distil": n_distil,
        "prune": min(sizes.n_recovery, n_distil),
    }
    for stage, n in n_learned.items():
        if (last := _last_seconds(project, stage, n * _block(project, stage).n_epochs)) is not None:
            measured.add(stage)
            minutes[stage] = last / 60
    max_tokens = sizes.max_tokens
    weights_mb = 4 * backbone.n_parameters / 1e6
    memory_mb = (
        BASE_MEMORY_MB + weights_mb + max(_training_mb(_block(project, s), backbone, max_tokens) for s in n_learned)
    )
    text_mb = sum(Path(place.path).stat().st_size for place in source_files(project)) / 1e6
    vectors_mb = 2 * 4 * n_rows * backbone.hidden / 1e6
    disk_mb = BUNDLES * weights_mb + TEXT_TABLES * text_mb + vectors_mb
    return Expected(minutes, frozenset(measured), memory_mb, disk_mb)


def _sizes(project: Project) -> Sizes:
    """The sizes that params.yaml asks for, of those that decide about time."""

    def value(key: str) -> Any:
        block, name = key.split(".")
        found = getattr(project.blocks.get(block), name, None)
        return project.params.get(block, {}).get(name) if block == "ladder" else found

    return sizes_bought(value)


def sizes_bought(value: Callable[[str], Any]) -> Sizes:
    """The sizes by the value of a dotted key; of labels that are bought in a simulation no more than the budget."""
    sizes, budget = sizes_of(value), value("sample.budget")
    return sizes if budget in (None, "all") else replace(sizes, n_train=min(sizes.n_train, budget))


def corpus_now(project: Project, max_tokens: int) -> Corpus:
    """The texts: those of the last run's splits, else those that init counted, else as many as the source may hold."""
    recorded = recorded_corpus(project)
    lengths = recorded.n_tokens if recorded else [_tokens(project, max_tokens)]
    if splits := [part["labels"] for part in _report(project, "split").get("splits", {}).values()]:
        n_unlabeled = sum(labels.get("unlabelled", 0) for labels in splits)
        n_labeled = sum(sum(labels.values()) for labels in splits) - n_unlabeled
        return Corpus(n_labeled, n_unlabeled, len(project.classes), lengths)
    if recorded:
        return recorded
    n_bytes = sum(Path(place.path).stat().st_size for place in source_files(project))
    return Corpus(n_bytes // TEXT_BYTES, 0, len(project.classes), lengths)


def _training_mb(params: Any, backbone: Backbone, max_tokens: int) -> float:
    """Gradients and AdamW's two moments, all 32-bit, and what the forward pass keeps for the backward one."""
    frozen = 0 if params.train_embeddings else backbone.n_embedded * backbone.hidden
    state = 3 * 4 * (backbone.n_parameters - frozen)
    n_tokens: int = params.batch_size * max_tokens
    if params.micro_batch_tokens:
        n_tokens = min(n_tokens, params.micro_batch_tokens)
    heads = int(backbone.config.get("num_attention_heads", 12))
    hidden = max(backbone.hidden, 1)
    per_token = 2 * hidden * (34 + 5 * heads * max_tokens / hidden)  # of 16-bit numbers, here 32-bit
    return (state + n_tokens * backbone.n_layers * per_token) / 1e6


def _last_seconds(project: Project, stage: str, n: float) -> float | None:
    """The seconds of the last run of a training stage, in proportion to the texts it learns from, epochs counted."""
    report = _report(project, stage)
    then, seconds = float(report.get("n_texts", 0) * len(report.get("history", []))), float(report.get("seconds") or 0)
    return seconds * n / then if then and seconds else None


def _report(project: Project, name: str) -> dict[str, Any]:
    """A report with what its machine measured, as far as they are there; empty: it is not, or cannot be read."""
    found = json_object(project.root / "reports" / f"{name}.json")
    return merge(found, json_object(project.root / "measurements" / f"{name}.json")) if found else {}


def _tokens(project: Project, most: int) -> int:
    """Tokens of a text, at most those it is cut to; a quarter more than the words of what is no longer short."""
    edges = _report(project, "length_edges").get("edges")
    return min(most, round(edges[-1] * 1.25)) if edges else most


def _block(project: Project, stage: str) -> Any:
    return project.blocks[stage]


def _short(what: str, there: float, needed: float, where: object, fix: str) -> Finding:
    return warning(
        f"This machine has less free {what} than a run is expected to take.",
        where,
        got=f"{there / 1000:.1f} GB",
        expected=f"about {needed / 1000:.1f} GB",
        fix=fix,
    )


def _minutes(n: float) -> str:
    """Minutes in words.

    >>> _minutes(0.4), _minutes(12.2), _minutes(300)
    ('a minute', '12 minutes', '5.0 hours')
    """
    if n < 1.5:
        return "a minute"
    return f"{n:.0f} minutes" if n < 120 else f"{n / 60:.1f} hours"
