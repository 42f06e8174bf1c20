"""How long a run takes, and what fits into the minutes it may take: the one model of costs.

A stage takes what it takes whatever the data (imports, graph compilers, latency rounds), and the floating point
operations of its encoder passes over the speed of the machine. What is fixed was read off the demo's run, and holds
within a factor of about two: enough to tell minutes from hours, and to choose sizes that end in time.

Source: 6 operations a parameter and token of training, 2 of inference, Kaplan et al. 2020, section 2.1,
https://arxiv.org/abs/2001.08361.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

OPERATIONS_PER_CORE_S = 2.5e10
"""Of 32-bit passes by torch on a core that others use too; one left alone does twice that."""
PROBE_S, TFIDF_S = 4e-6, 1e-4
"""Seconds a text and class of logistic regression on embeddings of 384 numbers, and on TF-IDF of words and pairs of
words, on one thread. Measured: 9,000 texts of 77 classes in 1 and 23 CPU-seconds, noisy ones of 28 up to ten times."""
TRAINING, INFERENCE = 6, 2
"""Operations a parameter and token."""
REFERENCE_PARAMETERS = 10.7e6
"""Encoder parameters of the backbone with which the fixed seconds were measured."""
COVERED = 0.98
"""Share of texts that the proposed `max_tokens` holds whole."""
MOST_SECONDS = 75.0
"""Of each check that can be made smaller: vetting, explanations, counterfactuals."""
VETTING = ((3, 5), (3, 2), (1, 3), (1, 1), (0, 1))
"""Flip rates and repetitions of the trial of `vet`, most first."""
MAX_VALIDATION, MAX_TEST = 2000, 4000
"""Labelled texts beyond which either side is not needed: an accuracy's 95 % interval is then within 1.5 points."""
MAX_TOKENS = (32, 64, 128, 256, 512)


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
    """What a run does; the defaults are those of a run that nothing limits, each a key of params.yaml."""

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
    n_tried: int = 5000
    """Labels on which vetting is tried, at most: not planned, as it costs little."""


@dataclass(frozen=True)
class Plan:
    """Sizes that fit, and what they take."""

    sizes: Sizes
    corpus: Corpus
    seconds: dict[str, float]
    """Stage → its seconds."""
    minutes_for_all: float
    """Minutes in which no size would have to be cut."""
    doubled: Sizes | None = field(default=None)
    """The sizes that twice the minutes would allow; None: nothing is cut."""

    @property
    def minutes(self) -> float:
        """What the run takes."""
        return sum(self.seconds.values()) / 60

    @property
    def params(self) -> dict[str, Any]:
        """Dotted key of params.yaml → its value."""
        rates = [0.02, 0.05, 0.1] if self.sizes.n_flip_rates == 3 else [0.05][: self.sizes.n_flip_rates]
        return {
            "split.validation_rate": self.sizes.validation_rate,
            "split.test_rate": self.sizes.test_rate,
            "embed.max_tokens": self.sizes.max_tokens,
            "train.max_tokens": self.sizes.max_tokens,
            "train.max_texts": self.sizes.n_train,
            "train.n_epochs": self.sizes.train_epochs,
            "distil.max_texts": self.sizes.n_distil,
            "distil.n_epochs": self.sizes.distil_epochs,
            "prune.n_recovery": self.sizes.n_recovery,
            "prune.n_epochs": self.sizes.prune_epochs,
            "vet.n_folds": self.sizes.n_folds,
            "vet.flip_rates": rates,
            "vet.n_seeds": self.sizes.n_vet_seeds,
            "explain.n_texts": self.sizes.n_explained,
            "explain.max_evals": self.sizes.max_evals,
            "counterfactuals.n_texts": self.sizes.n_counterfactuals,
            "behave.n_trigger_words": self.sizes.n_trigger_words,
        }

    def sentences(self) -> list[str]:
        """What a person should know before the run."""
        n, _, _ = _parts(self.corpus, self.sizes)
        n_train = min(self.sizes.n_train, n)
        sentences = [f"A run takes about {self.minutes:.0f} minutes."]
        if n_train == n and self.doubled is None:
            return [*sentences, f"Every model learns from all {n:,} labels of the training split."]
        sentences.append(
            f"TF-IDF and the frozen probe learn from all {n:,} labels of the training split; fine-tuning takes "
            f"{n_train:,} of them by class."
        )
        if self.doubled is not None:
            more = min(self.doubled.n_train, n)
            sentences.append(
                f"Twice the minutes would fine-tune on {more:,}; {self.minutes_for_all:.0f} minutes use everything."
            )
        return sentences


def plan(
    corpus: Corpus,
    encoder: Encoder,
    minutes: float,
    n_threads: int,
    operations_per_core_s: float = OPERATIONS_PER_CORE_S,
) -> Plan:
    """Sizes for a run of at most `minutes`, as far as what is fixed allows.

    Fine-tuning gets what the other stages leave: half for the teacher and half for distillation and recovery, and
    either takes what the other does not need.
    """
    speed = operations_per_core_s * n_threads
    whole = _whole(corpus, encoder, speed)
    all_seconds = sum(stage_seconds(corpus, encoder, whole, speed).values())
    sizes = _fitted(corpus, encoder, whole, 60 * minutes, speed)
    cut = sizes != whole
    return Plan(
        sizes,
        corpus,
        stage_seconds(corpus, encoder, sizes, speed),
        all_seconds / 60,
        _fitted(corpus, encoder, whole, 120 * minutes, speed) if cut else None,
    )


def stage_seconds(corpus: Corpus, encoder: Encoder, sizes: Sizes, operations_per_s: float) -> dict[str, float]:
    """Stage → its seconds, of the stages of dvc.yaml.

    >>> corpus = Corpus(8600, 0, 2, [28])
    >>> seconds = stage_seconds(corpus, Encoder(10_650_000, 6), Sizes(n_train=1500), 5e10)
    >>> 15 * 60 < sum(seconds.values()) < 30 * 60
    True
    """
    n_labeled, n_validation, n_test = _parts(corpus, sizes)
    n_rows, n_texts = corpus.n_labeled + corpus.n_unlabeled, n_labeled + corpus.n_unlabeled
    n_train, n_distil = min(sizes.n_train, n_labeled), min(sizes.n_distil, n_texts)
    tokens = corpus.mean_tokens(sizes.max_tokens)
    student = min(sizes.student_layers / max(encoder.n_layers, 1), 1.0) * encoder.n_parameters
    scale = encoder.n_parameters / REFERENCE_PARAMETERS * tokens / 28

    def passes(operations: int, n_parameters: float, n_texts: float) -> float:
        return operations * n_parameters * n_texts * tokens / operations_per_s

    tried = sizes.n_flip_rates * sizes.n_vet_seeds * _probe_seconds(min(n_labeled, sizes.n_tried), corpus.n_classes)
    return {
        "ingest": 5 + n_rows / 2000,
        "validate": 8 + n_rows / 800,
        "split": 4 + n_rows / 2000,
        "embed": 5 + passes(INFERENCE, encoder.n_parameters, n_rows),
        "sample": 8 + 2 * _probe_seconds(n_labeled, corpus.n_classes),
        "vet": 6 + sizes.n_folds * (_probe_seconds(n_labeled, corpus.n_classes) + tried),
        "challenge": 10 + _probe_seconds(n_labeled, corpus.n_classes),
        "baseline": 6 + TFIDF_S * n_labeled * max(corpus.n_classes - 1, 1),
        "train": 20
        + passes(TRAINING, encoder.n_parameters, n_train * sizes.train_epochs)
        + passes(INFERENCE, encoder.n_parameters, n_validation * (sizes.train_epochs + 1)),
        "distil": 15
        + passes(INFERENCE, encoder.n_parameters, n_distil + n_validation)
        + passes(TRAINING, student, n_distil * sizes.distil_epochs)
        + passes(INFERENCE, student, n_validation * (sizes.distil_epochs + 1)),
        "prune": 20
        + passes(TRAINING, student, min(sizes.n_recovery, n_distil) * sizes.prune_epochs)
        + passes(INFERENCE, student, n_validation * (sizes.prune_epochs + 3)),
        "quantize": 26,
        "export": 95,
        "evaluate": 110 + 70 * min(scale, 4) + passes(INFERENCE, encoder.n_parameters, 5 * n_test),
        "shortlist": 3,
        "explain": 12 + 2.5 * sizes.n_explained * sizes.max_evals / 64 * scale,
        "counterfactuals": 10 + 2.3 * sizes.n_counterfactuals * scale,
        "audit": 33,
        "behave": 25 + 0.16 * corpus.n_classes * sizes.n_trigger_words * scale,
        "promote": 3,
        "report": 5,
    }


def _parts(corpus: Corpus, sizes: Sizes) -> tuple[int, int, int]:
    """Labelled texts of train, validation and test."""
    n_validation, n_test = (round(rate * corpus.n_labeled) for rate in (sizes.validation_rate, sizes.test_rate))
    return corpus.n_labeled - n_validation - n_test, n_validation, n_test


def _probe_seconds(n: int, n_classes: int) -> float:
    """Of one logistic regression on embeddings."""
    return 0.1 + PROBE_S * n * max(n_classes - 1, 1)


def _whole(corpus: Corpus, encoder: Encoder, speed: float) -> Sizes:
    """All texts, and the checks of data and models at sizes that take at most `MOST_SECONDS`."""
    needed = float(np.quantile(corpus.n_tokens, COVERED)) if len(corpus.n_tokens) else 128
    n = max(corpus.n_labeled, 1)
    sizes = Sizes(
        validation_rate=min(0.1, round(MAX_VALIDATION / n, 3)),
        test_rate=min(0.2, round(MAX_TEST / n, 3)),
        n_train=max(Sizes.n_train, n),
        n_distil=max(Sizes.n_distil, n + corpus.n_unlabeled),
        max_tokens=next((length for length in MAX_TOKENS if length >= needed), MAX_TOKENS[-1]),
        n_trigger_words=max(2, min(Sizes.n_trigger_words, 60 // max(corpus.n_classes, 1))),
    )
    vetting = (replace(sizes, n_flip_rates=rates, n_vet_seeds=seeds) for rates, seeds in VETTING)
    sizes = _first_within("vet", vetting, corpus, encoder, speed)
    explaining = (replace(sizes, n_explained=n) for n in (24, 16, 12, 8))
    sizes = _first_within("explain", explaining, corpus, encoder, speed)
    searching = (replace(sizes, n_counterfactuals=n) for n in (20, 12, 8, 6))
    return _first_within("counterfactuals", searching, corpus, encoder, speed)


def _first_within(stage: str, choices: Iterable[Sizes], corpus: Corpus, encoder: Encoder, speed: float) -> Sizes:
    """The first sizes with which a stage takes at most `MOST_SECONDS`; the last ones where none does."""
    sizes = Sizes()
    for sizes in choices:
        if stage_seconds(corpus, encoder, sizes, speed)[stage] <= MOST_SECONDS:
            break
    return sizes


def _fitted(corpus: Corpus, encoder: Encoder, sizes: Sizes, seconds: float, speed: float) -> Sizes:
    """The sizes with as many texts for teacher, student and recovery as there are seconds for."""

    def took(changed: Sizes) -> dict[str, float]:
        return stage_seconds(corpus, encoder, changed, speed)

    if sum(took(sizes).values()) <= seconds:
        return sizes
    none = replace(sizes, n_train=0, n_distil=0, n_recovery=0)
    left = seconds - sum(took(none).values())
    n_labeled, _, _ = _parts(corpus, sizes)
    most = n_labeled, n_labeled + corpus.n_unlabeled
    learning = ("train", "distil", "prune")

    def cost(changed: Sizes) -> float:
        return sum(took(changed)[stage] - took(none)[stage] for stage in learning)

    teacher = cost(replace(none, n_train=most[0]))
    student = cost(replace(sizes, n_train=0))
    for_teacher = min(teacher, max(left / 2, left - student))
    for_student = left - for_teacher
    floor = 20 * corpus.n_classes
    n_train = _share(most[0], for_teacher / teacher if teacher else 1.0, floor)
    n_distil = _share(most[1], for_student / student if student else 1.0, max(floor, n_train))
    return replace(sizes, n_train=n_train, n_distil=n_distil, n_recovery=min(sizes.n_recovery, n_distil))


def _share(n: int, rate: float, floor: int) -> int:
    """A share of n texts to two digits, at least `floor` of them, as far as there are so many."""
    wanted = max(int(rate * n), floor, 1)
    digits = 10 ** max(len(str(wanted)) - 2, 0)
    return min(n, wanted // digits * digits) if n else 0
