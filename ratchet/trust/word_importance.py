"""Which words and stems decide overall, in a slice, or in one kind of error: means of |SHAP| with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import ParamsError
from ratchet.measure.bootstrap import mean_estimate, weights
from ratchet.trust.attributions import Attribution

Key = Callable[[str], str]


def stem_key(stemmer: str) -> Key:
    """Word → its stem by the Snowball stemmer of that name; with an empty name, the word in lower case.

    Source: Porter's Snowball stemmer, https://snowballstem.org, by the snowballstemmer package.

    >>> key = stem_key("english")
    >>> key("Boring"), key("bored")
    ('bore', 'bore')

    Raises:
        ParamsError: there is no stemmer of that name.
    """
    import snowballstemmer

    if not stemmer:
        return str.lower
    if stemmer not in (known := snowballstemmer.algorithms()):
        raise ParamsError(
            "There is no such stemmer.",
            where="data/lexicons/language.yaml, stemmer",
            got=stemmer,
            expected=f"one of {', '.join(known)}, or an empty name",
            fix="correct the file",
        )
    stem = snowballstemmer.stemmer(stemmer).stemWord
    return lambda word: str(stem(word.lower()))


def global_words(
    attributions: Sequence[Attribution],
    labels: Sequence[str],
    n_bootstrap: int,
    seed: int,
    key: Key = str.lower,
    n_rows: int | None = None,
) -> list[dict[str, Any]]:
    """Words by their mean |SHAP| over all explained texts (0 in texts without the word), the largest first.

    Each with its 95 % interval over texts, the number of texts that hold it and the class it speaks for on balance. A
    word that occurs twice in a text counts with the sum of its values. Of the classes the largest |SHAP| counts.

    Args:
        attributions: of the texts.
        labels: class names.
        n_bootstrap: draws behind an interval.
        seed: of the draws.
        key: what makes two words one.
        n_rows: rows to return at most.
    """
    totals: dict[str, dict[int, NDArray[np.float64]]] = {}
    for index, attribution in enumerate(attributions):
        for word, values in zip(attribution.words, attribution.values, strict=True):
            of_word = totals.setdefault(key(word), {})
            of_word[index] = of_word.get(index, np.zeros(len(labels))) + values
    n_texts = len(attributions)
    sizes = {word: sum(np.abs(v).max() for v in found.values()) / n_texts for word, found in totals.items()}
    chosen = sorted(totals, key=lambda word: (-sizes[word], word))[:n_rows]
    w = weights(n_texts, n_bootstrap, np.random.default_rng(seed))
    rows = []
    for word in chosen:
        per_text = np.zeros(n_texts)
        for index, values in totals[word].items():
            per_text[index] = np.abs(values).max()
        towards = labels[int(np.sum(list(totals[word].values()), axis=0).argmax())]
        size = mean_estimate(per_text, w).to_json()
        rows.append({"word": word, "mean_abs_shap": size, "n_texts": len(totals[word]), "towards": towards})
    return rows


def words_by_group(
    attributions: Sequence[Attribution],
    labels: Sequence[str],
    groups: Mapping[str, NDArray[np.bool_]],
    n_bootstrap: int,
    seed: int,
    n_rows: int,
) -> dict[str, Any]:
    """`global_words` of each group of texts that holds any; a group is a mask over the attributions, (n_texts,)."""
    return {
        name: {
            "n_texts": int(mask.sum()),
            "words": global_words(
                [item for item, inside in zip(attributions, mask, strict=True) if inside],
                labels,
                n_bootstrap,
                seed,
                n_rows=n_rows,
            ),
        }
        for name, mask in groups.items()
        if mask.any()
    }


def outcome_groups(
    attributions: Sequence[Attribution], y_true: Sequence[str], labels: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """Texts by what was labelled and what was predicted: the right ones, and each kind of error."""
    predicted = np.array([labels[item.predicted] for item in attributions], dtype=object)
    true = np.array(list(y_true), dtype=object)
    groups: dict[str, NDArray[np.bool_]] = {"right": predicted == true}
    for label in labels:
        for other in labels:
            if label != other:
                groups[f"{label} taken for {other}"] = (true == label) & (predicted == other)
    return groups
