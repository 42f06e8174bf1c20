"""Miniature tasks of many shapes, and the whole pipeline run on one of them, stage after stage, in this process."""

from __future__ import annotations

import csv
import itertools
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ratchet.files import read_json, write_json
from ratchet.measure.footprint import Footprint
from ratchet.params import read_yaml
from ratchet.table_files import read_table, write_table
from ratchet.tables import SPLIT
from tests.contract import ORDER
from tests.support.tiny import FIT, backbone_of

ROOT = Path(__file__).parents[2]
LATIN = [first + rest for first in "bdfgklmnprstv" for rest in ("ando", "emi", "iro", "olu")]
ARABIC = [a + b + c for a in "بتجدر" for b in "اوي" for c in "سلمن"]
HAN = [chr(0x4E00 + 37 * place) for place in range(200)]
SIMPLE, EXPORTS = ("static", "tfidf-taught", "probe"), ("pruned-onnx-int8", "teacher-onnx-int8")
CASCADE = "cascade-teacher-onnx-int8"
OF_MATRIX = {
    "simplify": [f"simplify {rung}" for rung in SIMPLE],
    "quantize": ["quantize pruned bnb-int8"],
    "export": ["export pruned onnx-int8", "export teacher onnx-int8"],
    "cascade": ["cascade teacher-onnx-int8"],
}
TAUGHT = ("student", "pruned", "pruned-bnb-int8", *SIMPLE, CASCADE)
"""The bundles that learn from the teacher's labels, and those made from them."""
STAGES = tuple(itertools.chain.from_iterable(OF_MATRIX.get(stage, [stage]) for stage in ORDER))
"""The stages of dvc.yaml in their order, with one scheme and one engine: a test holds them against it."""


@dataclass(frozen=True)
class Shape:
    """What sets a task apart."""

    counts: Mapping[str, int]
    """Class → texts."""
    words: Sequence[str] = tuple(LATIN)
    """Of these each class has two of its own; the others are filler."""
    language: str = "en"
    joiner: str = " "
    """Between words."""
    columns: Sequence[str] = ()
    """Further columns of the file: `author`, of which each wrote five texts, and `written_at`."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """What the person who configures it says, see `flows.init.plan.Said`."""
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Block of params.yaml → values that are edited in it."""


SHAPES = {
    "three classes, one of 2 %": Shape({"calm": 240, "eager": 230, "odd": 10}),
    "twenty classes": Shape({f"topic {number:02}": 24 for number in range(20)}),
    "Chinese": Shape({"抱怨": 160, "表扬": 160}, HAN, "zh", ""),
    "Arabic": Shape({"شكوى": 160, "مدح": 160}, ARABIC, "ar"),
    "a group column": Shape({"calm": 160, "eager": 160}, columns=("author",), said={"group": "author"}),
    "a time column": Shape(
        {"calm": 160, "eager": 160},
        columns=("written_at",),
        said={"time": "written_at"},
        params={"split": {"by": "time"}},
    ),
}


def make_task(root: Path, shape: Shape, seed: int = 0) -> None:
    """The repository of a task in `root`: its texts, and what `ratchet init` writes for them, with everything small."""
    from flows.init import flow
    from flows.init.plan import Said, make_plan
    from flows.init.sources import Given, place_of
    from flows.init.suites import suite_files
    from flows.init.task_files import BASE, load, task_files

    texts = root / "data/texts.csv"
    texts.parent.mkdir(parents=True)
    with texts.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", *shape.columns])
        writer.writerows(_rows(shape, np.random.default_rng(seed)))
    sample = flow.read_sample(place_of(root, Given(str(texts))))
    said = Said(languages=[shape.language], drop=[], **shape.said)
    plan = make_plan("miniature", flow.look(sample, "text", "label"), said)
    base, suites = load(ROOT / BASE / "params.yaml"), suite_files(plan, sample.frame, 0.8)
    for path, content in task_files(ROOT, base, plan, sample.place, {}, suites).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    backbone_of(root / "backbone", shape.words)
    write_json(root / "params.yaml", _small(read_yaml(root / "params.yaml"), shape))
    blank: dict[str, Any] = {
        "models/champion.json": {"bundle": None},
        "models/high_water_mark.json": {"bundle": None},
        "data/labels.json": {"batches": []},
        "data/accepted_profile.json": {"profile": None},
    }
    for path, value in blank.items():
        write_json(root / path, value)


def run_pipeline(root: Path, stages: Sequence[str] = STAGES, simple: bool = False) -> dict[str, float]:
    """Run the stages in `root`, each as its own process would; stage → its CPU seconds.

    What serving a bundle takes is not measured: that starts a process a bundle. TF-IDF is the best model of such texts,
    so that nothing is distilled; unless `simple`, the rest of the pipeline runs all the same.

    The labels of the test texts are not there until `judge` opens them: what reads them before that fails.
    """
    took, test, sealed = {}, root / "data/splits/test.parquet", b""
    with _inside(root) as patch:
        patch.setattr(import_module("pipeline_steps.evaluate"), "footprint", lambda *_: Footprint(50.0, 1.0))
        for stage in stages:
            name, *arguments = stage.split()
            patch.setattr(sys, "argv", [name, *arguments])
            if name == "judge":
                test.write_bytes(sealed)
            began = os.times()
            import_module(f"pipeline_steps.{name}").main()
            if name == "train" and not simple:
                _teach_all_the_same(root / "reports/teaching.json")
            if name == "split":
                sealed = test.read_bytes()
                table = read_table(test, SPLIT)
                write_table(test, table.assign(label=table["label"].where(table["label"].isna())), SPLIT)
            took[stage] = sum(os.times()[:4]) - sum(began[:4])
    return took


def _teach_all_the_same(path: Path) -> None:
    """Let the teacher teach though TF-IDF is better; what cannot be distilled stays left out."""
    found = read_json(path)
    better = "TF-IDF" in found["left_out"]
    write_json(path, found | {"left_out": "" if better else found["left_out"], "teacher_is_probe": False})


@contextmanager
def _inside(root: Path) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield patch


def _rows(shape: Shape, rng: np.random.Generator) -> list[list[str]]:
    """The texts in random order, each of eight to fourteen words, two of which are of its class."""
    labels = [label for label, n in shape.counts.items() for _ in range(n)]
    filler = shape.words[2 * len(shape.counts) :]
    own = {label: shape.words[2 * at : 2 * at + 2] for at, label in enumerate(shape.counts)}
    found = []
    for row, place in enumerate(rng.permutation(len(labels)).tolist()):
        words = [*rng.choice(filler, rng.integers(6, 13)), *own[labels[place]]]
        further = {"author": f"author {row // 5}", "written_at": f"2026-01-{1 + row // 24:02}T{row % 24:02}:00:00Z"}
        text = shape.joiner.join(rng.permutation(words))
        found.append([text, labels[place], *(further[column] for column in shape.columns)])
    return found


def _small(values: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """The params with everything small, and no bound on speed: the machine may be busy."""
    small: dict[str, dict[str, Any]] = {
        "task": {
            "backbones": [{"source": "backbone", "sha256": ""}],
            "n_bootstrap": 100,
            "train_threads": 1,
            "inference_threads": 1,
        },
        "split": {"validation_rate": 0.2, "test_rate": 0.3},
        "embed": {"max_tokens": 32},
        "vet": {"n_folds": 2, "flip_rates": [0.1], "n_seeds": 1, "n_examples": 2},
        "challenge": {
            "max_words": 10,
            "n_clusters": 2,
            "min_slice_size": 20,
            "n_permutations": 100,
            "max_invariance": 4,
        },
        "architect": {
            "arms": [{"method": "full", "learning_rate": 3e-3, "min_labels": 0, "max_labels": 0}],
            "n_steps": 20,
            "n_folds": 2,
        },
        "train": {**_fit("train", 3), "max_tokens": 32},
        "distil": {**_fit("distil", 2), "n_layers": 2, "n_importance": 16},
        "prune": {**_fit("prune", 1), "n_importance": 16, "n_recovery": 200},
        "quantize": {"n_check": 40},
        "cascade": {"max_loss": 1.0, "min_speedup": 1.0},
        "export": {"n_calibration": 16, "n_sensitivity": 4, "n_check": 40},
        "evaluate": {"n_latency": 20, "n_rounds": 1, "n_chunks": 2, "n_long": 2, "n_failures": 2},
        "shortlist": {"n_candidates": 1, "max_loss": 1.0},
        "explain": {"n_texts": 4, "max_evals": 16, "n_compared": 2, "n_gradient_steps": 20},
        "counterfactuals": {"n_texts": 4, "n_weakness_texts": 10, "n_concept_texts": 10, "n_random": 5, "max_edits": 2},
        "audit": {"min_group_size": 10},
        "behave": {"n_cases": 4, "n_texts": 20, "n_trigger_words": 2, "n_trigger_texts": 4},
    }
    return {name: {**block, **small.get(name, {}), **shape.params.get(name, {})} for name, block in values.items()}


def _fit(stage: str, n_epochs: int) -> dict[str, Any]:
    """Values that train the miniature in a second."""
    known = read_yaml(ROOT / "params.yaml")[stage]
    small = {**FIT, "n_epochs": n_epochs, "batch_size": 32, "learning_rate": 3e-3}
    return {name: value for name, value in small.items() if name in known}
