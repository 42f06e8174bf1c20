"""Minutes, memory and disk to expect of a run of all stages, and whether this machine has them.

Time is that of `ratchet.measure.time_plan`, and for training that of the last run in proportion to texts and epochs,
where its reports say how long it took. These are estimates within a factor of about two, made to tell minutes from
hours and megabytes from more than there is.
Source: bytes of activations a layer, Korthikanti et al. 2022, section 4, https://arxiv.org/abs/2205.05198.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from flows.checks.backbones import first_backbone
from flows.checks.finding import Finding, info, warning
from flows.checks.project import Project
from flows.checks.source import source_files
from ratchet.errors import RatchetError
from ratchet.measure.machine_figures import merge
from ratchet.measure.time_plan import OPERATIONS_PER_CORE_S, Corpus, Encoder, Sizes, stage_seconds
from ratchet.models.backbone_files import Backbone

BASE_MEMORY_MB = 800.0
"""A process with torch and a table of texts, before there is a model."""
TEXT_TABLES = 8
"""Tables as large as the source that the stages write, DVC's copies included."""
BUNDLES = 8
"""Bundles as large as the teacher, DVC's copies included: the smaller ones are many."""
MODEL_STAGES = ("embed", "train", "distil", "prune")
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
            got=f"minutes on {_n_threads(project)} threads: {each}",
        )
    ]
    if total > TOO_LONG * allowed:
        found.append(
            warning(
                "A run is expected to take longer than it may.",
                project.param("task", "minutes"),
                got=f"about {_minutes(total)}",
                expected=f"{allowed:g} minutes",
                fix="lower train.max_texts, distil.max_texts or prune.n_recovery, or raise task.minutes",
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
    n_rows, measured = n_texts(project), set()
    embedded = backbone.n_embedded * backbone.hidden
    sizes = _sizes(project, n_rows)
    corpus = Corpus(n_rows, 0, len(project.classes), [_tokens(project, sizes.max_tokens)])
    encoder = Encoder(backbone.n_parameters - embedded, backbone.n_layers)
    seconds = stage_seconds(corpus, encoder, sizes, OPERATIONS_PER_CORE_S * _n_threads(project))
    minutes = {stage: took / 60 for stage, took in seconds.items()}
    n_learned = {"train": sizes.n_train, "distil": sizes.n_distil, "prune": sizes.n_recovery}
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


def _sizes(project: Project, n_rows: int) -> Sizes:
    """The sizes that params.yaml asks for, of those that decide about time."""
    train, distil, prune = (_block(project, stage) for stage in ("train", "distil", "prune"))
    asked = {
        "n_explained": ("explain", "n_texts"),
        "max_evals": ("explain", "max_evals"),
        "n_counterfactuals": ("counterfactuals", "n_texts"),
        "n_trigger_words": ("behave", "n_trigger_words"),
        "n_folds": ("vet", "n_folds"),
        "n_vet_seeds": ("vet", "n_seeds"),
    }
    others = {
        name: getattr(project.blocks[block], key) for name, (block, key) in asked.items() if block in project.blocks
    }
    n_distil = min(n_rows, distil.max_texts)
    return Sizes(
        max_tokens=train.max_tokens,
        n_train=min(_budget(project, n_rows), n_rows, train.max_texts),
        n_distil=n_distil,
        n_recovery=min(n_distil, prune.n_recovery),
        train_epochs=train.n_epochs,
        distil_epochs=distil.n_epochs,
        prune_epochs=prune.n_epochs,
        student_layers=len(distil.layers),
        **others,
    )


def n_texts(project: Project) -> int:
    """Texts that are trained on or embedded: those of the last run's splits; else as many as the source may hold."""
    rows = _report(project, "embed").get("rows", {})
    if isinstance(rows, dict) and rows:
        return int(sum(rows.values()))
    n_bytes = sum(Path(place.path).stat().st_size for place in source_files(project))
    return max(n_bytes // 200, _budget(project, 0))  # 200 characters: a short text


def _budget(project: Project, where_all: int) -> int:
    """Labels that are trained on; `where_all` where every one is, or the block does not hold."""
    budget = getattr(project.blocks.get("sample"), "budget", "all")
    return where_all if budget == "all" else int(budget)


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
    found = _object(project.root / "reports" / f"{name}.json")
    return merge(found, _object(project.root / "measurements" / f"{name}.json")) if found else {}


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _tokens(project: Project, most: int) -> int:
    """Tokens of a text, at most those it is cut to; a quarter more than the words of what is no longer short."""
    edges = _report(project, "length_edges").get("edges")
    return min(most, round(edges[-1] * 1.25)) if edges else most


def _n_threads(project: Project) -> int:
    threads = project.task.train_threads if project.task else 1
    return min(threads, os.cpu_count() or 1)


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
