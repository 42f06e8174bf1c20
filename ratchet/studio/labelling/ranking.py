"""The order of the texts: as they were chosen, and once people have labelled some, by a probe that learns beside them.

The probe is refitted in a thread of its own after each batch of answers; until it is ready the one before goes on, so
that nobody waits for it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TrainingError
from ratchet.labels.annotations import Item
from ratchet.labels.forecast import Forecast, forecast
from ratchet.measure.primary import PrimaryMetric
from ratchet.models.predictor import softmax
from ratchet.models.probe import INVERSE_REGULARIZATIONS, fit_probe

BATCH = 20
"""Answers after which the probe is fitted anew; the first one needs as many."""
DRAWN = ("random", "drift_random")
"""Query strategies whose texts are samples without bias: they are asked in their turn."""
MAX_OUTLOOK = 60_000
"""Labels times classes beyond which no forecast is made beside the labelling: `ratchet labels worth` has the time."""
MANY_CLASSES = 12
"""Of more classes than these, the likeliest come first."""
REGULARIZATION = INVERSE_REGULARIZATIONS[2]


@dataclass(frozen=True)
class Known:
    """What the texts are told apart by."""

    places: Mapping[str, int]
    """A text's id → its row."""
    vectors: NDArray[np.float32]
    """Embeddings of unit length, (n_texts, hidden)."""
    labelled: Mapping[str, str]
    """Id → class of texts that were labelled before, which the probe learns from too."""


NOTHING = Known({}, np.zeros((0, 0), np.float32), {})


@dataclass(frozen=True)
class _Fitted:
    labels: list[str]
    rows: Mapping[str, int]
    proba: NDArray[np.float64]
    """(n_items, n_classes)."""
    margins: NDArray[np.float64]


class Ranking:
    """Order and suggestions; without embeddings those that the texts came with."""

    def __init__(
        self,
        items: Mapping[str, Item],
        labels: Sequence[str],
        known: Known = NOTHING,
        metric: PrimaryMetric | None = None,
    ) -> None:
        """Args:
        items: that were sent, by id.
        labels: the classes.
        known: what texts are told apart by.
        metric: by which it is forecast what more labels would bring; None: it is not.
        """
        self.outlook: Forecast | None = None
        """What the probe reaches, and what the next hundred labels would bring; None: too few labels to tell."""
        self._labels, self._known, self._metric = list(labels), known, metric
        self._items = [name for name in items if name in known.places]
        self._fitted: _Fitted | None = None
        self._drawn = {name for name, item in items.items() if item.query_strategy in DRAWN}
        self._n_learned, self._lock = 0, threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def n_learned(self) -> int:
        """Answers that the probe has learned from; 0: there is none yet."""
        return self._n_learned if self._fitted else 0

    def first(self, waiting: Sequence[str]) -> str:
        """The text to ask about: the one whose two likeliest classes are closest; before there is a probe, the first.

        Texts that were drawn at random are asked in their turn: an order by the model would choose among them.
        """
        fitted = self._fitted
        if fitted is None or waiting[0] in self._drawn:
            return waiting[0]
        ranked = [name for name in waiting if name in fitted.rows and name not in self._drawn]
        if not ranked:
            return waiting[0]
        return min(ranked, key=lambda name: float(fitted.margins[fitted.rows[name]]))

    def suggestion(self, item: Item) -> tuple[str, float]:
        """The model's class and its probability: the probe's where there is one; empty and NaN: none."""
        fitted = self._fitted
        if fitted is None or item.id not in fitted.rows:
            return item.suggested, item.confidence
        proba = fitted.proba[fitted.rows[item.id]]
        best = int(proba.argmax())
        return fitted.labels[best], float(proba[best])

    def labels(self, item: Item, labels: Sequence[str]) -> list[str]:
        """The classes as a page lists them: of many the likeliest first, of few always in the same places."""
        fitted = self._fitted
        if len(labels) <= MANY_CLASSES or fitted is None or item.id not in fitted.rows:
            return list(labels)
        proba = dict(zip(fitted.labels, fitted.proba[fitted.rows[item.id]].tolist(), strict=True))
        return sorted(labels, key=lambda name: -proba.get(name, 0.0))

    def learn(self, answers: Mapping[str, str]) -> None:
        """Fit anew, beside what goes on, where a batch of answers has come since.

        Args:
            answers: a text's id → its class, of all that people answered here.
        """
        known = {**self._known.labelled, **answers}
        usable = {name: label for name, label in known.items() if name in self._known.places}
        n = sum(name in self._known.places for name in answers)
        with self._lock:
            busy = self._thread is not None and self._thread.is_alive()
            enough = n >= BATCH and n - self._n_learned >= BATCH
            if busy or not enough or len(set(usable.values())) < 2:
                return
            self._thread = threading.Thread(target=self._fit, args=(usable, n), name="label-probe", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Until the probe that is being fitted is ready."""
        if self._thread is not None:
            self._thread.join()

    def _fit(self, labelled: Mapping[str, str], n_answers: int) -> None:
        counts = Counter(labelled.values())
        labels = [name for name in self._labels if name in counts]
        targets = np.array([labels.index(label) for label in labelled.values() if label in labels], dtype=np.int64)
        names = [name for name, label in labelled.items() if label in labels]
        vectors = self._known.vectors[[self._known.places[name] for name in names]]
        probe = fit_probe(vectors, targets, len(labels), REGULARIZATION)
        proba = softmax(probe.logits(self._known.vectors[[self._known.places[name] for name in self._items]]))
        two = np.sort(proba, axis=1)[:, -2:]
        rows = {name: row for row, name in enumerate(self._items)}
        self._fitted = _Fitted(labels, rows, proba, two[:, 1] - two[:, 0])
        self._n_learned = n_answers
        if self._metric is not None and len(targets) * len(labels) <= MAX_OUTLOOK:
            indices = np.array([self._metric.classes.index(labels[target]) for target in targets], dtype=np.int64)
            with suppress(TrainingError):  # too few labels yet
                self.outlook = forecast(vectors, indices, self._metric)
