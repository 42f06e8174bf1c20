"""Which words a prediction rests on: SHAP values over words, through any predictor, and how far they can be trusted."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.models.predictor import Predictor, Proba

WORD = re.compile(r"\w+(?:['’]\w+)*")
"""A word: letters and digits, with apostrophes inside it ("isn't" is one)."""

Score = Callable[[Sequence[str]], Proba]


@dataclass(frozen=True)
class Attribution:
    """What each word of a text adds to each class probability."""

    text: str
    spans: list[tuple[int, int]]
    """Where each word starts and ends in the text."""
    values: NDArray[np.float64]
    """SHAP values, (n_words, n_classes): differences in probability."""
    base: NDArray[np.float64]
    """Probabilities with all words deleted, (n_classes,)."""
    proba: NDArray[np.float64]
    """Probabilities of the text itself, scored alone, (n_classes,)."""

    @property
    def words(self) -> list[str]:
        """The words as they are written."""
        return [self.text[start:end] for start, end in self.spans]

    @property
    def predicted(self) -> int:
        """The predicted class."""
        return int(self.proba.argmax())

    @property
    def additivity_error(self) -> float:
        """Largest |base + sum of values − probability| over the classes; 0: the words account for all of it.

        The values add up by construction to what was seen while explaining; the probability is asked for once more.
        An error says that the predictor does not repeat itself, so that its explanation is of another prediction.
        """
        return float(np.abs(self.base + self.values.sum(axis=0) - self.proba).max())


def cached_score(predictor: Predictor) -> Score:
    """The predictor's probabilities, each different text scored once and in one call with the other new ones."""
    known: dict[str, NDArray[np.float64]] = {}

    def score(texts: Sequence[str]) -> Proba:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, predictor.predict_proba(new), strict=True))
        return np.array([known[text] for text in texts])

    return score


def word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each word.

    >>> word_spans("It isn't."), word_spans("?!")
    ([(0, 2), (3, 8)], [])
    """
    return [match.span() for match in WORD.finditer(text)]


def keep_words(text: str, spans: Sequence[tuple[int, int]], keep: Sequence[bool] | NDArray[np.bool_]) -> str:
    """The text without the words that are not kept; the text itself when all are.

    >>> keep_words("Not bad, really.", [(0, 3), (4, 7), (9, 15)], [False, True, True])
    'bad, really.'
    """
    if all(keep):
        return text
    parts, at = [], 0
    for (start, end), kept in zip(spans, keep, strict=True):
        parts.append(text[at:end] if kept else text[at:start])
        at = end
    return " ".join("".join([*parts, text[at:]]).split())


def attribute(predictor: Predictor, score: Score, text: str, max_evals: int, seed: int) -> Attribution:
    """SHAP values of the words of a text: the average change of the prediction when a word joins a set of others.

    Args:
        predictor: asked once for the text on its own.
        score: probabilities of texts, (n_texts, n_classes).
        text: with at least one word.
        max_evals: masked texts to score at most; at least 2 × words + 2 are scored, which longer texts need.
        seed: of the choice of word sets.

    Exact when the 2^n_words sets fit in `max_evals`, or when words contribute independently; an estimate otherwise.
    Source: Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874 (Kernel SHAP), by the shap package.
    """
    shap = _import_shap()
    spans = word_spans(text)

    def of_masks(masks: NDArray[Any]) -> Proba:
        return score([keep_words(text, spans, row > 0.5) for row in np.atleast_2d(masks)])

    state = np.random.get_state()  # shap draws from numpy's global generator: leave it as it was
    try:
        np.random.seed(seed)
        explainer = shap.KernelExplainer(of_masks, np.zeros((1, len(spans))))
        n_evals = max(max_evals, 2 * len(spans) + 2)
        values = explainer.shap_values(np.ones((1, len(spans))), nsamples=n_evals, l1_reg=False, silent=True)[0]
    finally:
        np.random.set_state(state)
    alone = predictor.predict_proba([text])[0]
    return Attribution(text, spans, np.asarray(values), np.asarray(explainer.expected_value), alone)


def deletion_gap(
    attribution: Attribution, score: Score, deletion_rate: float, n_random: int, rng: np.random.Generator
) -> float:
    """How much more confidence is lost without the top words than without as many random ones; in [-1, 1].

    The confidence is the probability of the predicted class. 0: the attributions know no more than chance.
    Source: comprehensiveness in DeYoung et al. 2020, ERASER, https://aclanthology.org/2020.acl-main.408, less the
    same figure for random words.

    Args:
        attribution: of one text.
        score: probabilities of texts.
        deletion_rate: share of the words to delete, rounded up.
        n_random: random sets of words to compare with.
        rng: what draws them.
    """
    n_words, predicted = len(attribution.spans), attribution.predicted
    n_deleted = int(np.ceil(deletion_rate * n_words))
    chosen = [np.argsort(-attribution.values[:, predicted], kind="stable")[:n_deleted]]
    chosen += [rng.permutation(n_words)[:n_deleted] for _ in range(n_random)]
    texts = []
    for words in chosen:
        keep = np.ones(n_words, dtype=bool)
        keep[words] = False
        texts.append(keep_words(attribution.text, attribution.spans, keep))
    confidence = score(texts)[:, predicted]
    return float(confidence[1:].mean() - confidence[0])


def global_words(attributions: Sequence[Attribution], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Words by their mean |SHAP| over all explained texts (0 in texts without the word), the largest first.

    Each with the number of texts that hold it and the class it speaks for on balance. Words are compared in lower
    case; one that occurs twice in a text counts with the sum of its values. Of the classes the largest |SHAP| counts.
    """
    totals: dict[str, list[NDArray[np.float64]]] = {}
    for attribution in attributions:
        of_text: dict[str, NDArray[np.float64]] = {}
        for word, values in zip(attribution.words, attribution.values, strict=True):
            of_text[word.lower()] = of_text.get(word.lower(), np.zeros(len(labels))) + values
        for word, values in of_text.items():
            totals.setdefault(word, []).append(values)
    rows = [
        {
            "word": word,
            "mean_abs_shap": float(sum(np.abs(item).max() for item in values) / len(attributions)),
            "n_texts": len(values),
            "towards": labels[int(np.sum(values, axis=0).argmax())],
        }
        for word, values in totals.items()
    ]
    return sorted(rows, key=lambda row: (-row["mean_abs_shap"], row["word"]))


def _import_shap() -> Any:
    """shap, without the warning that one of its own imports gives about matplotlib."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap
    return shap
