"""The smallest edits that turn a prediction, to whichever other class: words deleted, or exchanged for near ones and
opposites.

One random edit turns many predictions already, so every figure stands beside that of random edits under the same rules:
the same candidates, of which chance keeps one a round, the same limit of edits, and the same taking back.
Source: Wachter, Mittelstadt & Russell 2018, https://arxiv.org/abs/1711.00399 (the nearest text of another class);
greedy search with restoration of what was not needed, as in Jin et al. 2020, TextFooler,
https://arxiv.org/abs/1907.11932.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ratchet.data.words import rewrite, word_spans
from ratchet.measure.bootstrap import mean_estimate, proportion_estimate, weights
from ratchet.models.predictor import Proba
from ratchet.trust.lockstep import Question
from ratchet.trust.neighbours import Neighbours

Edits = dict[int, str]
"""Word → what stands for it; empty: deleted."""


@dataclass(frozen=True)
class Counterfactual:
    """What it took to turn one prediction, or that it was not turned."""

    text: str
    edited: str
    edits: list[tuple[str, str]]
    """Each word that was edited and what stands for it now; empty text: deleted."""
    predicted: int
    """The class of the text."""
    becomes: int
    """The class of the edited text: where it was not turned, the same."""
    n_asked: int
    """Texts that were scored."""
    mean_cosine: float
    """Fluency proxy: how near the exchanged words are to the old ones; NaN without any such pair."""

    @property
    def flipped(self) -> bool:
        """Whether another class is the most probable one now."""
        return self.becomes != self.predicted

    @property
    def edit_rate(self) -> float:
        """Minimality: share of the words that were edited."""
        return len(self.edits) / max(len(word_spans(self.text)), 1)


def apply_edits(text: str, spans: Sequence[tuple[int, int]], edits: Edits) -> str:
    """The text with words deleted or exchanged; the case of a first letter is kept.

    >>> apply_edits("Good, not bad.", [(0, 4), (6, 9), (10, 13)], {0: "poor", 1: ""})
    'Poor, bad.'
    """
    cased = {index: word.capitalize() if text[spans[index][0]].isupper() else word for index, word in edits.items()}
    return rewrite(text, spans, cased)


def search(
    text: str, neighbours: Neighbours | None, max_edits: int, n_candidates: int, rng: np.random.Generator | None = None
) -> Generator[Sequence[Question], Proba, Counterfactual]:
    """A search, for `run_together`, for the fewest edits after which another class is the most probable.

    Each round tries edits of one more word and keeps the one that lowers the confidence most; edits without which
    the prediction stays turned are taken back at the end.

    Args:
        text: with at least one word.
        neighbours: what words are exchanged for; None: they are deleted.
        max_edits: of words.
        n_candidates: exchanges tried for a word.
        rng: None: greedy. Else the matched baseline: each round keeps one of the candidates at random.
    """
    spans = word_spans(text)
    (proba,) = yield [text]
    predicted, n_asked, edits = int(proba.argmax()), 1, Edits()
    becomes = predicted
    while becomes == predicted and len(edits) < min(max_edits, len(spans)):
        candidates = _candidates(text, spans, edits, neighbours, n_candidates)
        if not candidates:
            break
        if rng is not None:
            candidates = [candidates[int(rng.integers(len(candidates)))]]
        answers = yield [apply_edits(text, spans, {**edits, **one}) for one in candidates]
        n_asked += len(candidates)
        best = int(answers[:, predicted].argmin())
        edits |= candidates[best]
        becomes = int(answers[best].argmax())
    if becomes != predicted and len(edits) > 1:
        for index in list(edits):
            fewer = {key: word for key, word in edits.items() if key != index}
            (answer,) = yield [apply_edits(text, spans, fewer)]
            n_asked += 1
            if fewer and int(answer.argmax()) != predicted:
                edits, becomes = fewer, int(answer.argmax())
    return _result(text, spans, edits, predicted, becomes, n_asked, neighbours)


def summary(
    found: Sequence[Counterfactual],
    random: Sequence[Counterfactual],
    cpu_s: tuple[float, float],
    labels: Sequence[str],
    n_bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Success, edits, texts asked and CPU seconds of a search and of its random baseline, with 95 % intervals; and of
    the search, by the class that was turned, its success, its edits, and the classes that texts turned to.

    `n_edits` and `edit_rate` are means over the texts that were turned; `edits_saved` is the mean, over texts turned by
    both, of the random baseline's edits minus the search's. `cpu_s_per_text` is of searches that ran together, see
    `cpu_shares_s`: its interval says how texts differ, not how a repetition on this machine would.

    Args:
        found: what the search found, of each text.
        random: what the random baseline found, of the same texts.
        cpu_s: processor seconds of all of the former together, and of all of the latter.
        labels: class names.
        n_bootstrap: draws behind the intervals.
        seed: of the draws.
    """

    def mean(values: Sequence[float]) -> dict[str, Any]:
        known = np.array([value for value in values if np.isfinite(value)], dtype=np.float64)
        return mean_estimate(known, weights(len(known), n_bootstrap, np.random.default_rng(seed))).to_json()

    def one(items: Sequence[Counterfactual], of_all_s: float) -> dict[str, Any]:
        turned = [item for item in items if item.flipped]
        return {
            "success_rate": proportion_estimate(len(turned), len(items)).to_json(),
            "n_edits": mean([len(item.edits) for item in turned]),
            "edit_rate": mean([item.edit_rate for item in turned]),
            "mean_cosine": mean([item.mean_cosine for item in turned]),
            "texts_asked": mean([item.n_asked for item in items]),
            "cpu_s_per_text": mean(cpu_shares_s(items, of_all_s)),
        }

    def of_class(index: int) -> dict[str, Any]:
        items = [item for item in found if item.predicted == index]
        turned = [item for item in items if item.flipped]
        counts = Counter(labels[item.becomes] for item in turned)
        return {
            "success_rate": proportion_estimate(len(turned), len(items)).to_json(),
            "n_edits": mean([len(item.edits) for item in turned]),
            "becomes": {label: counts[label] for label in labels if counts[label]},
        }

    pairs = [(a, b) for a, b in zip(found, random, strict=True) if a.flipped and b.flipped]
    return {
        "search": one(found, cpu_s[0]),
        "random": one(random, cpu_s[1]),
        "edits_saved": mean([len(b.edits) - len(a.edits) for a, b in pairs]),
        "by_class": {labels[index]: of_class(index) for index in sorted({item.predicted for item in found})},
    }


def cpu_shares_s(items: Sequence[Counterfactual], of_all_s: float) -> list[float]:
    """What each search cost of the seconds of all, in seconds: by the words of the texts that it asked for.

    Searches that run together share batches, so that the seconds of one are not seen; those of a batch grow with the
    words in it. The shares sum to the seconds of all.
    """
    words = [item.n_asked * len(word_spans(item.text)) for item in items]
    return [of_all_s * n / max(sum(words), 1) for n in words]


def _candidates(
    text: str, spans: Sequence[tuple[int, int]], edits: Edits, neighbours: Neighbours | None, n_candidates: int
) -> list[Edits]:
    """One edit of one more word each."""
    free = [index for index in range(len(spans)) if index not in edits]
    if neighbours is None:
        return [{index: ""} for index in free]
    return [{i: word} for i in free for word in neighbours.near(text[spans[i][0] : spans[i][1]], n_candidates)]


def _result(
    text: str,
    spans: Sequence[tuple[int, int]],
    edits: Edits,
    predicted: int,
    becomes: int,
    n_asked: int,
    neighbours: Neighbours | None,
) -> Counterfactual:
    pairs = [(text[spans[index][0] : spans[index][1]], word) for index, word in sorted(edits.items())]
    near = [neighbours.cosine(old, new) for old, new in pairs] if neighbours is not None else []
    known = [value for value in near if np.isfinite(value)]
    cosine = float(np.mean(known)) if known else float("nan")
    edited = apply_edits(text, spans, edits)
    return Counterfactual(text, edited, pairs, predicted, becomes, n_asked, cosine)
