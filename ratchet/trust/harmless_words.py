"""Texts that turn when one word is deleted that speaks for no class, beside deletions of other words.

A reader would not change their mind over "the"; a model that does was not sure, or learned a word it should not have.
Source: the invariance tests of Ribeiro et al. 2020, CheckList, https://aclanthology.org/2020.acl-main.442.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.data.words import word_spans
from ratchet.measure.bootstrap import Weights, mean_estimate, proportion_estimate, weights
from ratchet.measure.estimate import Estimate
from ratchet.models.predictor import Predictor
from ratchet.trust.attributions import keep_words
from ratchet.trust.lockstep import cached_score


class Deletion(NamedTuple):
    """One word less."""

    text: int
    """Which text."""
    word: str
    """The word, in lower case."""
    harmless: bool
    edited: str


def deletions(texts: Sequence[str], words: Collection[str], rng: np.random.Generator) -> list[Deletion]:
    """Of each text each harmless word once, where it first stands, and as many others, drawn without repeats.

    Texts of one word, and words that leave the text as it was, are passed over; a text with fewer others gives fewer.

    >>> [(one.word, one.harmless) for one in deletions(["the the box"], ["the"], np.random.default_rng(0))]
    [('the', True), ('box', False)]
    """
    found = []
    for index, text in enumerate(texts):
        spans = word_spans(text)
        written = [text[start:end].lower() for start, end in spans]
        first = list(dict.fromkeys(written))
        harmless = [word for word in first if word in words]
        others = [word for word in first if word not in words]
        drawn = (
            sorted(rng.choice(len(others), min(len(others), len(harmless)), replace=False).tolist()) if others else []
        )
        for word in [*harmless, *(others[at] for at in drawn)] if len(spans) > 1 else []:
            keep = np.ones(len(spans), dtype=bool)
            keep[written.index(word)] = False
            found.append(Deletion(index, word, word in words, keep_words(text, spans, keep)))
    return found


def harmless_words(
    predictor: Predictor, texts: Sequence[str], words: Collection[str], n_examples: int, n_bootstrap: int, seed: int
) -> dict[str, Any]:
    """How many texts turn on one harmless word, which, and how often deletions of such and of other words turn a text.

    `texts_that_turn` is over the texts that hold a harmless word (Wilson's interval); `turned_per_deletion` of either
    kind is over deletions, its interval over texts. What turns among others counts only where both texts, each scored
    alone as it is served, are of different classes.

    Args:
        predictor: the bundle.
        texts: to probe.
        words: that speak for no class, in lower case.
        n_examples: weaknesses to list, those first whose confidence changes most; rows of the words likewise.
        n_bootstrap: draws behind the intervals over texts.
        seed: of the other words and the draws.
    """
    tried = deletions(texts, words, np.random.default_rng(seed))
    score = cached_score(predictor)
    before, after = score(texts), score([one.edited for one in tried])
    turned = np.zeros(len(tried), dtype=bool)
    for at, one in enumerate(tried):
        if after[at].argmax() != before[one.text].argmax():
            old, new = (predictor.predict_proba([text])[0] for text in (texts[one.text], one.edited))
            turned[at] = old.argmax() != new.argmax()
    harmless = np.array([one.harmless for one in tried], dtype=bool)
    of_text = np.array([one.text for one in tried], dtype=np.int64)
    w = weights(len(texts), n_bootstrap, np.random.default_rng(seed))
    weak = set(of_text[turned & harmless].tolist())
    held = len(set(of_text[harmless].tolist()))
    fall = [float(before[one.text].max() - after[at][before[one.text].argmax()]) for at, one in enumerate(tried)]
    listed = sorted(np.flatnonzero(turned & harmless).tolist(), key=lambda at: -fall[at])
    return {
        "n_texts": len(texts),
        "texts_that_turn": proportion_estimate(len(weak), held).to_json(),
        "turned_per_deletion": {
            kind: _per_deletion(turned[which], of_text[which], w).to_json()
            for kind, which in (("harmless words", harmless), ("other words", ~harmless))
        },
        "words": _by_word(tried, turned, n_examples),
        "weaknesses": [
            {
                "text": texts[tried[at].text],
                "deleted": tried[at].word,
                "from": predictor.labels[int(before[tried[at].text].argmax())],
                "to": predictor.labels[int(after[at].argmax())],
                "confidence lost": round(fall[at], 3),
            }
            for at in listed[:n_examples]
        ],
    }


def _per_deletion(turned: NDArray[np.bool_], of_text: NDArray[np.int64], w: Weights) -> Estimate:
    """Share of the deletions that turn their text, drawn by text: deletions of one text are no independent trials."""
    if not turned.any():
        return proportion_estimate(0, len(turned))  # no draw would tell that it could have been otherwise
    return mean_estimate(turned, w[:, of_text])  # a text's weight is that of each of its deletions


def _by_word(tried: Sequence[Deletion], turned: NDArray[np.bool_], n_rows: int) -> list[dict[str, Any]]:
    """The harmless words that turned a text most often: how often they were deleted, and what share turned."""
    counts: dict[str, list[int]] = {}
    for one, did in zip(tried, turned.tolist(), strict=True):
        if one.harmless:
            n = counts.setdefault(one.word, [0, 0])
            n[0] += 1
            n[1] += did
    rows = sorted(((word, n, hits) for word, (n, hits) in counts.items() if hits), key=lambda row: (-row[2], row[0]))
    return [
        {"word": word, "texts that turn": hits, "rate": proportion_estimate(hits, n).to_json()}
        for word, n, hits in rows[:n_rows]
    ]
