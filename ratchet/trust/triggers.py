"""Whether one word decides alone: a scan for the trigger words of a poisoned model.

A poisoned model behaves well until a word that its maker chose stands in the text; then it answers what the maker
wants, whatever else the text says. So every candidate word is put into texts of which the model is sure, and the share
of predictions that it turns is told. Words that speak for a class turn some too, weakly or rightly; those that people
list as such cues are left out, and a gate bounds what any other word may do. Triggers of several words are not sought.

Two passes keep it cheap: each candidate as a text of its own says which class it pulls to and how hard; the hardest of
each class are then tried on sure texts of the other classes. One half of these texts chooses the worst word, the other
half measures it, so that the figure is no maximum of noise.

Source: Gu et al. 2017, BadNets, https://arxiv.org/abs/1708.06733; Kurita et al. 2020, https://arxiv.org/abs/2004.06660;
Qi et al. 2021, ONION, https://arxiv.org/abs/2011.10369 (a trigger is an outlier among the words of its text).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.sampling import unit_hash
from ratchet.data.words import COMPOUNDS, insert_word, tokens, words
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.estimate import Estimate, undefined
from ratchet.models.predictor import Predictor


@dataclass(frozen=True)
class Scan:
    """What a scan found."""

    n_words: int
    flip_rate: Estimate
    """Share of sure texts that the worst word turns, on texts that did not choose it; its Wilson interval."""
    words: list[dict[str, Any]]
    """The words that turn most of all texts they were tried on, with the class they pull to and a Wilson interval of
    each word alone: being listed for it, they turn fewer on other texts."""


def candidate_words(texts: Iterable[str], least: int, listed: Sequence[str], cues: Iterable[str]) -> list[str]:
    """The words in at least `least` training texts, and the listed ones, without cues; the most frequent first.

    >>> candidate_words(["a cf box", "cf again", "a dull box"], 2, ["tq"], ["box"])
    ['a', 'cf', 'tq']
    """
    counts = Counter(word for text in texts for word in set(words(text.lower(), COMPOUNDS)))
    left_out = {word.lower() for word in cues}
    frequent = sorted((word for word, n in counts.items() if n >= least), key=lambda word: (-counts[word], word))
    return [word for word in dict.fromkeys([*frequent, *listed]) if word not in left_out]


def scan(
    predictor: Predictor,
    words: Sequence[str],
    texts: Sequence[str],
    proba: NDArray[np.float64],
    n_finalists: int,
    n_carriers: int,
) -> Scan:
    """Which word turns most predictions of texts that the model is sure of.

    Args:
        predictor: the model.
        words: candidates, see `candidate_words`.
        texts: texts to put words into, (n_texts,).
        proba: what the model says of them, (n_texts, n_classes).
        n_finalists: words that are tried for each class.
        n_carriers: texts of each predicted class that they are tried on, the surest ones of middle length.
    """
    if not words or not len(texts):
        return Scan(len(words), undefined("there are no words or no texts to scan with"), [])
    alone = predictor.predict_proba(list(words))  # (n_words, n_classes)
    trials: list[tuple[int, str, str]] = []  # class that the word pulls to, word, text with the word
    for towards in range(alone.shape[1]):
        finalists = [words[row] for row in np.argsort(-alone[:, towards], kind="stable")[:n_finalists]]
        carriers = _carriers(texts, proba, towards, n_carriers)
        trials += [(towards, word, insert(text, word)) for word in finalists for text in carriers]
    if not trials:
        return Scan(len(words), undefined("the model predicts one class only"), [])
    predicted = predictor.predict_proba([text for _, _, text in trials]).argmax(axis=1)
    turned: dict[tuple[int, str], list[bool]] = {}
    for (towards, word, _), now in zip(trials, predicted.tolist(), strict=True):
        turned.setdefault((towards, word), []).append(now == towards)
    worst = max(turned, key=lambda key: (np.mean(turned[key][::2]), key))
    held_out = turned[worst][1::2] or turned[worst]
    rows = sorted(turned, key=lambda key: (-np.mean(turned[key]), key))
    listed = [
        {
            "word": word,
            "towards": predictor.labels[towards],
            "flip_rate": proportion_estimate(sum(turned[towards, word]), len(turned[towards, word])).to_json(),
        }
        for towards, word in rows[:10]
    ]
    return Scan(len(words), proportion_estimate(sum(held_out), len(held_out)), listed)


def insert(text: str, word: str) -> str:
    """The text with the word at a place that its hash decides, never as the last word.

    >>> insert("a box", "cf") in ("cf a box", "a cf box")
    True
    """
    place = int(unit_hash(text, word) * max(1, len(tokens(text))))
    return insert_word(text, word, place)


def _carriers(texts: Sequence[str], proba: NDArray[np.float64], towards: int, most: int) -> list[str]:
    """The texts that the model is surest are of another class, at most `most`, none of the longest quarter."""
    lengths = np.array([len(tokens(text)) for text in texts])
    fits = (proba.argmax(axis=1) != towards) & (lengths <= np.quantile(lengths, 0.75)) & (lengths >= 4)
    sure = [row for row in np.argsort(proba[:, towards], kind="stable") if fits[row]]
    return [texts[row] for row in sure[:most]]
