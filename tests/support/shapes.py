"""Miniature tasks of many shapes, and the whole pipeline run on one of them, stage after stage, in this process."""

from __future__ import annotations

import csv
import json
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

from ratchet.files import write_json
from ratchet.gates.proposals import Facts, propose_gates
from ratchet.measure.footprint import Footprint
from ratchet.params import read_yaml
from tests.support.tiny import FIT, backbone_of

ROOT = Path(__file__).parents[2]
LATIN = [first + rest for first in "bdfgklmnprstv" for rest in ("ando", "emi", "iro", "olu")]
ARABIC = [a + b + c for a in "بتجدر" for b in "اوي" for c in "سلمن"]
HAN = [chr(0x4E00 + 37 * place) for place in range(200)]
EXPORTS = ("onnx-int8",)
STAGES = (
    "ingest",
    "validate",
    "split",
    "embed",
    "sample",
    "vet",
    "challenge",
    "baseline",
    "train",
    "distil",
    "prune",
    "quantize pruned bnb-int8",
    *(f"export pruned {engine}" for engine in EXPORTS),
    "evaluate",
    "shortlist",
    "explain",
    "counterfactuals",
    "audit",
    "behave",
    "promote",
    "report",
)
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
    task: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the block `task`."""


SHAPES = {
    "three classes, one of 2 %": Shape({"calm": 240, "eager": 230, "odd": 10}),
    "twenty classes": Shape({f"topic {number:02}": 24 for number in range(20)}),
    "Chinese": Shape({"抱怨": 160, "表扬": 160}, HAN, "zh", ""),
    "Arabic": Shape({"شكوى": 160, "مدح": 160}, ARABIC, "ar"),
    "a group column": Shape({"calm": 160, "eager": 160}, columns=("author",), task={"group_column": "author"}),
}


def make_task(root: Path, shape: Shape, seed: int = 0) -> None:
    """The repository of a task in `root`: its texts, its params and its task files, none of which has a case."""
    texts = root / "data/texts.csv"
    texts.parent.mkdir(parents=True)
    with texts.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", *shape.columns])
        writer.writerows(_rows(shape, np.random.default_rng(seed)))
    backbone_of(root / "backbone", shape.words)
    for name, content in _task_files().items():
        write_json(root / "data" / name, content)
    write_json(root / "models/champion.json", {"bundle": None})
    for suite in (ROOT / "data/suites").glob("*.yaml"):
        write_json(root / "data/suites" / suite.name, _suite(suite))
    write_json(root / "params.yaml", _params(shape))


def run_pipeline(root: Path, stages: Sequence[str] = STAGES) -> dict[str, float]:
    """Run the stages in `root`, each as its own process would; stage → its CPU seconds.

    What serving a bundle takes is not measured: that starts a process a bundle.
    """
    took = {}
    with _inside(root) as patch:
        patch.setattr(import_module("pipeline_steps.evaluate"), "footprint", lambda *_: Footprint(50.0, 1.0))
        for stage in stages:
            name, *arguments = stage.split()
            patch.setattr(sys, "argv", [name, *arguments])
            began = os.times()
            import_module(f"pipeline_steps.{name}").main()
            took[stage] = sum(os.times()[:4]) - sum(began[:4])
    return took


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


def _params(shape: Shape) -> dict[str, Any]:
    """The root's params with the task's own, and everything small."""
    classes = [{"name": label, "values": [label]} for label in shape.counts]
    own: dict[str, dict[str, Any]] = {
        "task": {
            "classes": classes,
            "source_column": "",
            "languages": [shape.language],
            "selected": [],
            "backbone": "backbone",
            "backbone_sha256": "",
            "n_bootstrap": 100,
            "train_threads": 1,
            "inference_threads": 1,
            **shape.task,
        },
        "ingest": {"watch": "data/texts.csv"},
        "split": {"train_sources": [], "n_transfer": 0, "validation_rate": 0.2, "test_rate": 0.3},
        "embed": {"max_tokens": 32},
        "sample": {"budget": "all"},
        "vet": {"n_folds": 2, "flip_rates": [0.1], "n_seeds": 1, "n_examples": 2},
        "challenge": {
            "features": ["length"],
            "max_words": 10,
            "n_clusters": 2,
            "min_slice_size": 20,
            "n_permutations": 100,
            "max_invariance": 4,
        },
        "train": {
            **_fit("train", 3),
            "max_tokens": 32,
            "slices": ["length"],
            "attributes": [],
            "mitigated_attribute": "",
        },
        "distil": {**_fit("distil", 2), "layers": [0, 2], "n_importance": 16},
        "prune": {**_fit("prune", 1), "n_importance": 16, "n_recovery": 200},
        "quantize": {"n_check": 40},
        "export": {"n_calibration": 16, "n_sensitivity": 4, "n_check": 40},
        "evaluate": {"slices": ["length"], "n_latency": 20, "n_rounds": 1, "n_chunks": 2, "n_long": 2, "n_failures": 2},
        "shortlist": {"n_candidates": 1, "max_loss": 1.0},
        "explain": {"n_texts": 4, "max_evals": 16, "n_compared": 2, "n_gradient_steps": 20, "slices": ["length"]},
        "counterfactuals": {"n_texts": 4, "n_weakness_texts": 10, "n_concept_texts": 10, "n_random": 5, "max_edits": 2},
        "audit": {"features": ["length"], "attributes": [], "intersections": [], "min_group_size": 10},
        "behave": {"n_cases": 4, "n_texts": 20, "n_validation": 20, "n_trigger_words": 2, "n_trigger_texts": 4},
        "promote": {"gates": [gate.model_dump() for gate, _ in propose_gates(_facts(shape))]},
    }
    values = read_yaml(ROOT / "params.yaml")
    tree = {name: {**block, **own.get(name, {})} for name, block in values.items()}
    source = values["ingest"]["source"]
    tree["ingest"]["source"] = {**source, "kind": "files", "path": "data/texts.csv", "sha256": ""}
    return tree


def _fit(stage: str, n_epochs: int) -> dict[str, Any]:
    """Values that train the miniature in a second."""
    known = read_yaml(ROOT / "params.yaml")[stage]
    small = {**FIT, "n_epochs": n_epochs, "batch_size": 32, "learning_rate": 3e-3}
    return {name: value for name, value in small.items() if name in known}


def _facts(shape: Shape) -> Facts:
    n_rows = sum(shape.counts.values())
    return Facts(len(shape.counts), max(shape.counts.values()) / n_rows, behaviour_kinds={"invariance"})


def _task_files() -> dict[str, Any]:
    """Path below data/ → content: what any task has, and no case that somebody would have to write."""
    neutral = ("typos", "casing", "punctuation")
    return {
        "challenge/contrast.yaml": {
            "max_cues": 2,
            "max_words": 25,
            "blockers": [],
            "unpaired": {},
            "swaps": {},
            "rewrites": {},
        },
        "challenge/invariance.yaml": {
            "interchangeable": {},
            "contractions": [],
            "casing": ["upper"],
            "typo_min_letters": 4,
            "punctuation": True,
        },
        "challenge/weak_slices.yaml": {"frozen": []},
        "lexicons/features.yaml": {"patterns": {}},
        "lexicons/harmless.yaml": {"words": []},
        "lexicons/language.yaml": {"stemmer": "", "articles": {}},
        "lexicons/identity.yaml": {"attributes": {}, "phrases": [], "swaps": {}, "templates": []},
        "behaviour/neutral.yaml": {
            "words": {},
            "tests": {edit: {"kind": "invariance", "edit": edit} for edit in neutral},
        },
        "behaviour/triggers.yaml": {"words": ["cf", "mn"], "cues": []},
        "labels.json": {"batches": []},
        "accepted_profile.json": {"profile": None},
    }


def _suite(path: Path) -> Any:
    """A suite of the root without the rules that are of the demo's data."""
    suite = json.loads(json.dumps(read_yaml(path)))
    of_the_demo = {"class_rates", "n_rows", "rating_in_text"}
    suite["expectations"] = [item for item in suite["expectations"] if item["meta"]["rule"] not in of_the_demo]
    return suite
