"""The techniques that can be tried by themselves: what each runs, changes and makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ratchet.errors import ParamsError

NOT_NARROW = {"prune.n_tokens": 0, "prune.embedding_bits": 32, "prune.max_int8_loss": 1.0}
"""Of `prune`: neither tokens go nor numbers become rounder."""
NO_CUT = {"prune.n_tokens": 0}
INTEGERS = "teacher-onnx-int8"


@dataclass(frozen=True)
class Technique:
    """What a trial runs, and what it is compared with."""

    about: str
    steps: tuple[str, ...]
    """Stages with their arguments, in order."""
    makes: str
    """The bundle that is measured."""
    owned: str
    """What it costs to own: stages and dependencies."""
    against: str = "teacher"
    """The bundle of the run that it is compared with."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key of params.yaml → its value in the trial."""
    stands_for: Mapping[str, str] = field(default_factory=dict)
    """Bundle that a stage reads → the bundle of the run that it gets in its place."""


def _tuned(about: str, method: str, learning_rate: float, owned: str = "a value of train.method") -> Technique:
    changes = {"train.method": method, "train.learning_rate": learning_rate}
    return Technique(about, ("train",), "teacher", owned, changes=changes)


TECHNIQUES: dict[str, Technique] = {
    "quantize": Technique(
        "the teacher in integers by ONNX Runtime",
        (f"export {INTEGERS.replace('-', ' ', 1)}",),
        INTEGERS,
        "stage export; onnx, onnxruntime",
        changes={**NO_CUT, "ladder.export": [INTEGERS]},
    ),
    "compile": Technique(
        "the teacher in floats by ONNX Runtime",
        ("export teacher onnx-fp32",),
        "teacher-onnx-fp32",
        "stage export; onnx, onnxruntime",
        changes={**NO_CUT, "ladder.export": ["teacher-onnx-fp32"]},
    ),
    "openvino": Technique(
        "the teacher in integers by OpenVINO",
        ("export teacher openvino-int8",),
        "teacher-openvino-int8",
        "stage export; openvino, nncf, optimum-intel",
        changes={**NO_CUT, "ladder.export": ["teacher-openvino-int8"]},
    ),
    "bitsandbytes": Technique(
        "the teacher in integers by bitsandbytes",
        ("quantize teacher bnb-int8",),
        "teacher-bnb-int8",
        "stage quantize; bitsandbytes",
        changes={"ladder.quantize": ["teacher-bnb-int8"]},
    ),
    "vocabulary": Technique(
        "the task's tokens alone, compiled in floats",
        ("export teacher onnx-fp32",),
        "teacher-onnx-fp32",
        "a param of prune",
        changes={"ladder.export": ["teacher-onnx-fp32"]},
    ),
    "distil": Technique(
        "fewer layers, taught by the teacher", ("distil",), "student", "stages teach and distil; nothing"
    ),
    "prune": Technique(
        "fewer feed-forward channels in all of the teacher's layers",
        ("prune",),
        "pruned",
        "stages teach and prune; nothing",
        changes=NOT_NARROW,
        stands_for={"student": "teacher"},
    ),
    "heads": Technique(
        "half of the teacher's heads",
        ("prune",),
        "pruned",
        "stages teach and prune; nothing",
        changes={**NOT_NARROW, "prune.keep_rate": 1.0, "prune.keep_heads_rate": 0.5},
        stands_for={"student": "teacher"},
    ),
    "sparsity": Technique(
        "half of the teacher's weights zero",
        ("prune",),
        "pruned",
        "stages teach and prune; nothing",
        changes={**NOT_NARROW, "prune.keep_rate": 1.0, "prune.sparsity": 0.5},
        stands_for={"student": "teacher"},
    ),
    "static": Technique(
        "no layers: class scores of tokens and of pairs", ("simplify static",), "static", "stages teach and simplify"
    ),
    "tfidf-taught": Technique(
        "TF-IDF taught by the teacher's probabilities",
        ("simplify tfidf-taught",),
        "tfidf-taught",
        "stages teach and simplify",
        against="baseline",
    ),
    "probe": Technique(
        "the frozen backbone under logistic regression, in integers",
        ("simplify probe",),
        "probe",
        "stage simplify; onnx, onnxruntime",
    ),
    "cascade": Technique(
        "the static student where it is sure, else the teacher in integers",
        (f"cascade {INTEGERS}",),
        f"cascade-{INTEGERS}",
        "stages simplify and cascade",
        against=INTEGERS,
        changes={"ladder.cascade": [f"cascade-{INTEGERS}"], "cascade.min_speedup": 1.0},
    ),
    "full": _tuned("all parameters learn", "full", 1e-4),
    "lora": _tuned("low-rank updates of all linear layers", "lora", 1e-3, "a value of train.method; peft"),
    "dora": _tuned("low-rank directions, and a size a column", "dora", 1e-3, "a value of train.method; peft"),
    "bitfit": _tuned("the biases learn", "bitfit", 1e-3),
    "last-layers": _tuned("the upper half of the layers learns", "last_layers", 1e-4),
    "contrastive": _tuned("all parameters learn from pairs of texts", "contrastive", 1e-4),
}
"""Name → technique, each by itself; where it has a strength, that of params.yaml."""


def check_names(names: Sequence[str]) -> None:
    """Refuse unknown techniques.

    Raises:
        ParamsError: a name is unknown.
    """
    if unknown := [name for name in names if name not in TECHNIQUES]:
        raise ParamsError(
            "There is no such technique.",
            got=", ".join(unknown),
            expected=", ".join(TECHNIQUES),
            fix="ratchet try --list",
        )
