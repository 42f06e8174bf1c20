"""What fits into the minutes that a run may take, by what its stages cost (`ratchet.measure.stage_costs`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ratchet.measure.stage_costs import (
    FASTEST,
    KEYS,
    OPERATIONS_PER_CORE_S,
    Corpus,
    Encoder,
    Sizes,
    parts,
    stage_seconds,
)

COVERED = 0.98
"""Share of texts that the proposed `max_tokens` holds whole."""
MOST_SECONDS = 75.0
"""Of each check that can be made smaller: vetting, explanations, counterfactuals."""
VETTING = ((3, 5), (3, 2), (1, 3), (1, 1), (0, 1))
"""Flip rates and repetitions of the trial of `vet`, most first."""
MAX_VALIDATION, MAX_TEST = 2000, 4000
"""Labelled texts beyond which either side is not needed: an accuracy's 95 % interval is then within 1.5 points."""
UNPLANNED = ("student_layers", "n_tried")
"""Sizes that stay what they are."""
MAX_TOKENS = (32, 64, 128, 256, 512)
ENOUGH = 2000
"""Labels for fine-tuning below which other things are left out first."""
MIN_PER_CLASS = 20
"""Labels a class for fine-tuning, at least."""
UNTAUGHT = 100
"""Texts that the teacher labels where nothing learns from them."""


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
        """Dotted key of params.yaml → its value, the ladder's apart: see `values_of`."""
        planned = values_of(self.sizes, tuple(name for name in KEYS if name not in UNPLANNED))
        return {**planned, "embed.max_tokens": self.sizes.max_tokens}

    def sentences(self) -> list[str]:
        """What a person should know before the run."""
        n, _, _ = parts(self.corpus, self.sizes)
        n_train = min(self.sizes.n_train, n)
        sentences = [f"A run takes about {self.minutes:.0f} minutes."]
        if not self.sizes.n_search_steps:
            return [*sentences, f"TF-IDF and the frozen probe learn from all {n:,} labels; nothing is fine-tuned."]
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
    """Sizes for a run of at most `minutes`, as far as what is fixed allows: see `within`."""
    speed = operations_per_core_s * n_threads
    return plan_within(corpus, encoder, _whole(corpus, encoder, speed), minutes, speed)


def plan_within(corpus: Corpus, encoder: Encoder, whole: Sizes, minutes: float, speed: float) -> Plan:
    """The plan that takes from `whole` what does not fit; `speed` in operations a second."""
    all_seconds = sum(stage_seconds(corpus, encoder, whole, speed).values())
    sizes = within(corpus, encoder, whole, 60 * minutes, speed)
    cut = sizes != whole
    return Plan(
        sizes,
        corpus,
        stage_seconds(corpus, encoder, sizes, speed),
        all_seconds / 60,
        within(corpus, encoder, whole, 120 * minutes, speed) if cut else None,
    )


def within(corpus: Corpus, encoder: Encoder, whole: Sizes, seconds: float, speed: float) -> Sizes:
    """What of the sizes fits into the seconds.

    First fine-tuning takes fewer texts, as long as they are half of the labels or `ENOUGH`; then checks get smaller and
    rungs are left out, those first that are missed least; at last nothing is fine-tuned: TF-IDF, the frozen probe and
    its int8 graph remain. Where not even these fit, these it is.
    """
    n_labeled, _, _ = parts(corpus, whole)
    least = min(n_labeled // 2, ENOUGH)
    sizes = whole
    for sizes in _poorer(whole):
        fewer = _fitted(corpus, encoder, sizes, seconds, speed)
        fits = sum(stage_seconds(corpus, encoder, fewer, speed).values()) <= seconds
        if fits and (fewer == sizes or fewer.n_train >= least):
            return fewer
        if not sizes.n_search_steps:
            break
        if not sizes.simplify and fits:
            return fewer
    return sizes


def values_of(sizes: Sizes, names: Iterable[str] = tuple(KEYS)) -> dict[str, Any]:
    """Dotted key of params.yaml → the value of each of the named sizes."""
    values = {KEYS[name]: getattr(sizes, name) for name in names}
    listed = {key: list(value) for key, value in values.items() if isinstance(value, tuple)}
    rates = {}
    if (key := KEYS["n_flip_rates"]) in values:
        rates[key] = [0.02, 0.05, 0.1] if values[key] == 3 else [0.05][: values[key]]
    return values | listed | rates


def _poorer(sizes: Sizes) -> Iterator[Sizes]:
    """The sizes as they are, and with ever less beside the texts that are learnt from."""
    yield sizes
    yield (sizes := replace(sizes, quantize=()))
    yield (sizes := replace(sizes, export=tuple(name for name in sizes.export if name.endswith(FASTEST))))
    yield (
        sizes := replace(
            sizes,
            n_flip_rates=min(1, sizes.n_flip_rates),
            n_vet_seeds=min(1, sizes.n_vet_seeds),
            n_explained=min(12, sizes.n_explained),
            n_counterfactuals=min(8, sizes.n_counterfactuals),
            n_latency=min(40, sizes.n_latency),
        )
    )
    yield (
        sizes := replace(
            sizes,
            distil=(),
            prune=(),
            export=tuple(name for name in sizes.export if name.startswith("teacher-")),
            cascade=tuple(name for name in sizes.cascade if name.startswith("cascade-teacher-")),
        )
    )
    yield (
        sizes := replace(
            sizes,
            n_flip_rates=0,
            n_explained=min(8, sizes.n_explained),
            n_counterfactuals=min(4, sizes.n_counterfactuals),
            n_latency=min(20, sizes.n_latency),
            n_trigger_words=min(4, sizes.n_trigger_words),
            n_sensitivity=0,
            max_compared=min(1000, sizes.max_compared),
        )
    )
    # nothing learns from the teacher any more, so that it need not label much
    yield (sizes := replace(sizes, simplify=(), cascade=(), n_distil=min(UNTAUGHT, sizes.n_distil)))
    yield replace(sizes, n_search_steps=0)


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
    """The sizes with as many texts for teacher, student and recovery as there are seconds for.

    Fine-tuning gets what the other stages leave: half for the teacher and half for distillation and recovery, and
    either takes what the other does not need.
    """

    def took(changed: Sizes) -> dict[str, float]:
        return stage_seconds(corpus, encoder, changed, speed)

    if sum(took(sizes).values()) <= seconds:
        return sizes
    none = replace(sizes, n_train=0, n_distil=0, n_recovery=0)
    left = seconds - sum(took(none).values())
    n_labeled, _, _ = parts(corpus, sizes)
    most = min(n_labeled, sizes.n_train), min(n_labeled + corpus.n_unlabeled, sizes.n_distil)
    learning = ("train", "teach", "distil", "prune")

    def cost(changed: Sizes) -> float:
        return sum(took(changed)[stage] - took(none)[stage] for stage in learning)

    teacher = cost(replace(none, n_train=most[0]))
    student = cost(replace(sizes, n_train=0))
    for_teacher = min(teacher, max(left / 2, left - student))
    for_student = left - for_teacher
    floor = MIN_PER_CLASS * corpus.n_classes
    n_train = _share(most[0], for_teacher / teacher if teacher else 1.0, floor)
    n_distil = _share(most[1], for_student / student if student else 1.0, max(floor, n_train))
    return replace(sizes, n_train=n_train, n_distil=n_distil, n_recovery=min(sizes.n_recovery, n_distil))


def _share(n: int, rate: float, floor: int) -> int:
    """A share of n texts to two digits, at least `floor` of them, as far as there are so many."""
    wanted = max(int(rate * n), floor, 1)
    digits = 10 ** max(len(str(wanted)) - 2, 0)
    return min(n, wanted // digits * digits) if n else 0
