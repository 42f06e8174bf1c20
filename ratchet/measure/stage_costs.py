"""What the stages of a run cost: seconds by data, backbone and sizes. The one place of these figures.

A stage takes what it takes whatever the data (imports, graph compilers, latency rounds), and the floating point
operations of its encoder passes over the speed of the machine. What is fixed was read off the demo's run, and holds
within a factor of about two: enough to tell minutes from hours, and to choose sizes that end in time.

Source: 6 operations a parameter and token of training, 2 of inference, Kaplan et al. 2020, section 2.1,
https://arxiv.org/abs/2001.08361.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

OPERATIONS_PER_CORE_S = 4e10
"""Of 32-bit passes by torch. `reports/bench/training.json` has 955 training tokens a second and core of an encoder of
10.65 million parameters, which is 6.1e10, on cores with AVX-512; here two thirds of that, for cores with AVX2."""
FIXED_S = {
    "ingest": 5.0,
    "validate": 8.0,
    "split": 4.0,
    "embed": 5.0,
    "sample": 8.0,
    "vet": 6.0,
    "challenge": 10.0,
    "architect": 15.0,
    "baseline": 6.0,
    "train": 20.0,
    "teach": 10.0,
    "distil": 12.0,
    "prune": 20.0,
    "simplify": 4.0,
    "quantize": 4.0,
    "export": 12.0,
    "cascade": 4.0,
    "evaluate": 12.0,
    "shortlist": 3.0,
    "explain": 12.0,
    "counterfactuals": 10.0,
    "audit": 33.0,
    "behave": 25.0,
    "judge": 12.0,
    "promote": 3.0,
    "report": 5.0,
}
"""Stage of dvc.yaml → seconds that it takes whatever the data, the sizes and the rungs are."""
RUNG_S = {"simplify": 8.0, "quantize": 10.0, "export": 12.0, "cascade": 4.0, "evaluate": 6.0}
"""Stage → seconds of each of its rungs; of `evaluate`, of each bundle: started cold, measured, compared."""
COMPARED_FOLDS, N_TFIDF, N_PROBES, N_ARMS, BATCH = 3, 4, 5, 3, 32
"""Of `architect`: folds, fits of TF-IDF and of a probe in each fold, arms, and their batches."""
LEFT_OUT_S = 2.0
"""Of a stage that the ladder leaves out: it starts and says so."""
ROWS_PER_S = {"ingest": 2000, "validate": 800, "split": 2000}
"""Rows of the source a second, of the stages that take each of them."""
PROBE_S, TFIDF_S = 4e-6, 1e-4
"""Seconds a text and class of logistic regression on embeddings of 384 numbers, and on TF-IDF of words and pairs of
words, on one thread. Measured: 9,000 texts of 77 classes in 1 and 23 CPU-seconds, noisy ones of 28 up to ten times."""
LATENCY_S, EXPLAINED_S, COUNTERFACTUAL_S, TRIGGER_S, SENSITIVITY_S = 70.0, 2.5, 2.3, 0.16, 0.4
"""Of the backbone that the figures were measured with: seconds of the latency rounds of all rungs, 80 texts twice, a
text explained with 64 evaluations, a counterfactual, a trigger word and class, and a text for the sensitivity of each
matrix of an int8 graph."""
TRAINING, INFERENCE = 6, 2
"""Operations a parameter and token."""
REFERENCE_PARAMETERS, REFERENCE_TOKENS = 10.7e6, 28
"""Encoder parameters of that backbone, and mean tokens of the texts."""


@dataclass(frozen=True)
class Corpus:
    """What of the data decides about time."""

    n_labeled: int
    """Labelled texts, before they are split."""
    n_unlabeled: int
    """Texts without a label."""
    n_classes: int
    n_tokens: Sequence[int]
    """Lengths of a sample of texts by the backbone's tokenizer, uncut."""

    def mean_tokens(self, max_tokens: int) -> float:
        """Mean length of texts cut to `max_tokens`; batches are sorted by length, so that padding adds little."""
        return float(np.minimum(self.n_tokens, max_tokens).mean()) if len(self.n_tokens) else float(max_tokens)


@dataclass(frozen=True)
class Encoder:
    """What of the backbone decides about time."""

    n_parameters: int
    """Without embeddings, which are looked up."""
    n_layers: int


@dataclass(frozen=True)
class Sizes:
    """What a run does; the defaults are those of a run that nothing limits, each a key of params.yaml (`KEYS`)."""

    validation_rate: float = 0.1
    test_rate: float = 0.2
    max_tokens: int = 128
    n_train: int = 100_000
    n_distil: int = 100_000
    n_recovery: int = 10_000
    train_epochs: int = 3
    distil_epochs: int = 2
    prune_epochs: int = 1
    student_layers: int = 3
    n_explained: int = 24
    max_evals: int = 64
    n_counterfactuals: int = 20
    n_trigger_words: int = 12
    n_folds: int = 5
    n_flip_rates: int = 3
    n_vet_seeds: int = 5
    n_tried: int = 2000
    """Labels on which vetting is tried, at most: not planned, as it costs little."""
    n_search_steps: int = 60
    """Of all arms of `architect`; 0: nothing is fine-tuned."""
    max_compared: int = 3000
    """Labels that `architect` compares with."""
    n_sensitivity: int = 32
    n_latency: int = 80
    n_rounds: int = 2
    distil: tuple[str, ...] = ("student",)
    """The rungs, stage by stage."""
    prune: tuple[str, ...] = ("pruned",)
    simplify: tuple[str, ...] = ("static", "tfidf-taught", "probe")
    quantize: tuple[str, ...] = ("pruned-bnb-int8", "pruned-bnb-nf4")
    export: tuple[str, ...] = (
        "pruned-onnx-fp32",
        "pruned-onnx-int8",
        "pruned-openvino-fp32",
        "pruned-openvino-int8",
        "teacher-onnx-int8",
    )
    cascade: tuple[str, ...] = ("cascade-teacher-onnx-int8",)

    @property
    def n_bundles(self) -> int:
        """The rungs, TF-IDF and the teacher."""
        return 2 + sum(len(getattr(self, stage)) for stage in LADDER)


FASTEST = "-onnx-int8"
"""How the exported rungs end that are the last to be left out: the smallest that run on every machine."""
LADDER = ("distil", "prune", "simplify", "quantize", "export", "cascade")
"""The stages that build rungs, in their order."""

KEYS = {
    "validation_rate": "split.validation_rate",
    "test_rate": "split.test_rate",
    "max_tokens": "train.max_tokens",
    "n_train": "train.max_texts",
    "n_distil": "teach.max_texts",
    "n_recovery": "prune.n_recovery",
    "train_epochs": "train.n_epochs",
    "distil_epochs": "distil.n_epochs",
    "prune_epochs": "prune.n_epochs",
    "student_layers": "distil.n_layers",
    "n_explained": "explain.n_texts",
    "max_evals": "explain.max_evals",
    "n_counterfactuals": "counterfactuals.n_texts",
    "n_trigger_words": "behave.n_trigger_words",
    "n_folds": "vet.n_folds",
    "n_flip_rates": "vet.flip_rates",
    "n_vet_seeds": "vet.n_seeds",
    "n_tried": "vet.n_tried",
    "n_search_steps": "architect.n_steps",
    "max_compared": "architect.max_compared",
    "n_sensitivity": "export.n_sensitivity",
    "n_latency": "evaluate.n_latency",
    "n_rounds": "evaluate.n_rounds",
    **{stage: f"ladder.{stage}" for stage in LADDER},
}
"""Field of `Sizes` → the key of params.yaml that holds it; of a list of figures, its length."""


def sizes_of(value: Callable[[str], Any]) -> Sizes:
    """The sizes that params.yaml asks for.

    Args:
        value: of a dotted key; None: there is no such key, and the default stands.

    >>> found = sizes_of({"train.max_texts": 500, "distil.n_layers": 2}.get)
    >>> found.n_train, found.student_layers
    (500, 2)
    """
    found: dict[str, Any] = {name: value(key) for name, key in KEYS.items()}
    rungs: dict[str, Any] = {name: tuple(found[name]) for name in LADDER if found[name] is not None}
    counts: dict[str, Any] = {
        name: len(item) if isinstance(item, list) else item for name, item in found.items() if item is not None
    }
    return Sizes(**counts | rungs)


def stage_seconds(corpus: Corpus, encoder: Encoder, sizes: Sizes, operations_per_s: float) -> dict[str, float]:
    """Stage → its seconds, of the stages of dvc.yaml.

    >>> corpus = Corpus(8600, 0, 2, [28])
    >>> seconds = stage_seconds(corpus, Encoder(10_650_000, 6), Sizes(n_train=1500), 2 * OPERATIONS_PER_CORE_S)
    >>> 15 * 60 < sum(seconds.values()) < 25 * 60
    True
    """
    n_labeled, n_validation, n_test = parts(corpus, sizes)
    n_rows, n_texts = corpus.n_labeled + corpus.n_unlabeled, n_labeled + corpus.n_unlabeled
    n_train = min(sizes.n_train, n_labeled) if sizes.n_search_steps else 0
    n_distil = min(sizes.n_distil, n_texts) if sizes.distil or sizes.simplify else 0
    n_compared, n_folds = min(n_labeled, sizes.max_compared), COMPARED_FOLDS
    tokens = corpus.mean_tokens(sizes.max_tokens)
    student = min(sizes.student_layers / max(encoder.n_layers, 1), 1.0) * encoder.n_parameters
    scale = encoder.n_parameters / REFERENCE_PARAMETERS * tokens / REFERENCE_TOKENS
    probe = _probe_seconds(n_labeled, corpus.n_classes)
    rounds = sizes.n_latency * sizes.n_rounds * sizes.n_bundles / Sizes().n_bundles
    tried = sizes.n_flip_rates * sizes.n_vet_seeds * _probe_seconds(min(n_labeled, sizes.n_tried), corpus.n_classes)

    def passes(operations: int, n_parameters: float, n_texts: float) -> float:
        return operations * n_parameters * n_texts * tokens / operations_per_s

    by_size = {
        **{stage: n_rows / n for stage, n in ROWS_PER_S.items()},
        "embed": passes(INFERENCE, encoder.n_parameters, n_rows),
        "sample": 2 * probe,
        "vet": sizes.n_folds * (probe + tried),
        "challenge": 5 * probe,
        "architect": n_folds * N_TFIDF * TFIDF_S * n_compared * max(corpus.n_classes - 1, 1)
        + n_folds * N_PROBES * _probe_seconds(n_compared, corpus.n_classes)
        + passes(INFERENCE, encoder.n_parameters, n_compared + (1 + N_ARMS * bool(sizes.n_search_steps)) * n_validation)
        + passes(TRAINING, encoder.n_parameters, sizes.n_search_steps * BATCH),
        "baseline": TFIDF_S * n_labeled * max(corpus.n_classes - 1, 1),
        "train": passes(TRAINING, encoder.n_parameters, n_train * sizes.train_epochs)
        + passes(INFERENCE, encoder.n_parameters, n_validation * (sizes.train_epochs + 1)),
        "teach": passes(INFERENCE, encoder.n_parameters, n_distil + n_validation),
        "distil": passes(TRAINING, student, n_distil * sizes.distil_epochs)
        + passes(INFERENCE, student, n_validation * (sizes.distil_epochs + 1)),
        "prune": passes(TRAINING, student, min(sizes.n_recovery, n_distil) * sizes.prune_epochs)
        + passes(INFERENCE, student, n_validation * (sizes.prune_epochs + 3)),
        "evaluate": LATENCY_S * min(scale, 4) * rounds / (80 * 2)
        + passes(INFERENCE, encoder.n_parameters, 5 * n_validation),
        "judge": passes(INFERENCE, encoder.n_parameters, 3 * n_test),
        "export": SENSITIVITY_S * scale * sizes.n_sensitivity * sum(name.endswith(FASTEST) for name in sizes.export),
        "explain": EXPLAINED_S * sizes.n_explained * sizes.max_evals / 64 * scale,
        "counterfactuals": COUNTERFACTUAL_S * sizes.n_counterfactuals * scale,
        "behave": TRIGGER_S * corpus.n_classes * sizes.n_trigger_words * scale,
    }
    by_rung = {
        **{
            stage: RUNG_S[stage] * len(getattr(sizes, stage)) for stage in ("simplify", "quantize", "export", "cascade")
        },
        "evaluate": RUNG_S["evaluate"] * sizes.n_bundles,
    }
    left_out = {stage for stage in ("distil", "prune") if not getattr(sizes, stage)}
    return {
        stage: LEFT_OUT_S if stage in left_out else fixed + by_size.get(stage, 0.0) + by_rung.get(stage, 0.0)
        for stage, fixed in FIXED_S.items()
    }


def parts(corpus: Corpus, sizes: Sizes) -> tuple[int, int, int]:
    """Labelled texts of train, validation and test."""
    n_validation, n_test = (round(rate * corpus.n_labeled) for rate in (sizes.validation_rate, sizes.test_rate))
    return corpus.n_labeled - n_validation - n_test, n_validation, n_test


def _probe_seconds(n: int, n_classes: int) -> float:
    """Of one logistic regression on embeddings."""
    return 0.1 + PROBE_S * n * max(n_classes - 1, 1)
