"""The static student: vectors of the teacher's tokens under a linear head, taught by the teacher's probabilities.

Each token's vector is what the encoder makes of it without context, weighted so that frequent tokens count less. What a
text's mean vector cannot say is learned beside it, from zero: class scores of single tokens and of neighbouring ones.
All three are one logistic regression, a convex problem; then vectors and head are multiplied, and a table of class
scores is left.

Source: Tulkens & van Dongen 2024, Model2Vec, https://github.com/MinishLab/model2vec (vectors without context); Arora,
Liang & Ma 2017, https://openreview.net/forum?id=SyK00v5xx (weights by frequency); Wang & Manning 2012,
https://aclanthology.org/P12-2018 (pairs of words).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.compress.fused_graph import build_encoder, is_supported
from ratchet.compress.graph_session import batches_through, fits_a_graph
from ratchet.models.batching import Tokens
from ratchet.models.calibration import fit_temperature
from ratchet.models.examples import Examples
from ratchet.models.forward import features_of
from ratchet.models.soft_regression import soft_regression
from ratchet.models.static_model import Keys, StaticModel, pair_keys

BATCH = 256
"""Tokens of one forward pass without context."""
COMMON = 1e-2
"""Share of all tokens at which a token counts half: `a` of Arora, Liang & Ma."""


@dataclass(frozen=True)
class Taught:
    """A static classifier as it will be stored, and how it came about."""

    model: StaticModel
    report: dict[str, Any]


def teach(
    texts: Sequence[Tokens],
    proba: NDArray[np.float64],
    held_out: Examples,
    vectors: NDArray[np.float32],
    *,
    inverse_regularization: float,
    min_pair_texts: int,
    max_pairs: int,
) -> Taught:
    """Fit the student to the teacher's probabilities, multiply vectors and head, and calibrate.

    Args:
        texts: token ids of the texts to learn from, by `WordTokens`.
        proba: the teacher's probabilities of them, (n_texts, n_classes).
        held_out: labelled texts that are not learned from, on which the temperature is fitted.
        vectors: of all tokens, (n_tokens, hidden), of unit length; see `token_vectors`.
        inverse_regularization: see `soft_regression`; larger fits closer.
        min_pair_texts: texts in which a pair of neighbouring tokens has to occur to have scores of its own.
        max_pairs: pairs at most, the most frequent; 0: none, and the classifier is additive in its tokens.
    """
    n_tokens, weight = len(vectors), frequency_weights(texts, len(vectors))
    keys = frequent_pairs(texts, n_tokens, min_pair_texts, max_pairs)
    used = np.unique(np.concatenate([np.zeros(1, dtype=np.int64), *map(np.array, filter(None, texts))]))
    means = token_means(texts, n_tokens)
    text_vectors = means @ (weight[:, None] * vectors).astype(np.float64)  # (n_texts, hidden)
    blocks = [text_vectors, means[:, used], pair_means(texts, n_tokens, keys)]
    (head, scores, pairs), bias = soft_regression(blocks, proba, inverse_regularization)
    tokens = (weight[:, None] * vectors) @ head
    tokens[used] += scores
    with_unknown = np.concatenate([pairs, np.zeros((1, proba.shape[1]))])
    model = StaticModel(tokens.astype(np.float32), keys, with_unknown.astype(np.float32), bias.astype(np.float32))
    temperature = fit_temperature(model.logits(held_out.tokens), held_out.hard)
    report = {"n_tokens": n_tokens, "n_used": len(used), "n_pairs": len(keys), "calibration_temperature": temperature}
    return Taught(model.divided(temperature), report)


def token_vectors(teacher: Any, template: tuple[Tokens, Tokens], n_tokens: int, n_threads: int) -> NDArray[np.float32]:
    """What the teacher's encoder makes of each token without context, of unit length, (n_tokens, hidden).

    Args:
        teacher: the classifier whose encoder it is.
        template: the ids before and after a text; the mean is over them too, as in any text.
        n_tokens: ids from 0 on; those without an embedding get zeros.
        n_threads: CPU threads; 0: as the libraries choose.
    """
    before, after = template
    n_known = min(n_tokens, teacher.get_input_embeddings().num_embeddings)
    alone = [[*before, token, *after] for token in range(n_known)]
    encoder, vectors = teacher.base_model, np.zeros((n_tokens, teacher.config.hidden_size), dtype=np.float32)
    if teacher.config.pooling == "mean" and is_supported(encoder) and fits_a_graph(teacher):
        for batch, _, hidden in batches_through(build_encoder(encoder), alone, n_threads, BATCH):
            vectors[batch] = hidden.mean(axis=1)
    else:
        vectors[:n_known] = features_of(teacher, alone, BATCH)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(norm, np.finfo(np.float32).tiny)
    return unit


def frequency_weights(texts: Sequence[Tokens], n_tokens: int) -> NDArray[np.float32]:
    """Weight of each token, (n_tokens,), in (0, 1]: COMMON ÷ (COMMON + its share of all tokens); unseen: 1.

    >>> [round(float(weight), 3) for weight in frequency_weights([[0, 1], [0]], 3)]
    [0.015, 0.029, 1.0]
    """
    counts = np.bincount(_flat(texts), minlength=n_tokens)
    share = counts / max(counts.sum(), 1)
    weights: NDArray[np.float32] = (COMMON / (COMMON + share)).astype(np.float32)
    return weights


def frequent_pairs(texts: Sequence[Tokens], n_tokens: int, min_texts: int, max_pairs: int) -> Keys:
    """Keys, ascending, of the pairs of neighbours in at least `min_texts` texts: the most frequent, at most so many."""
    counts = Counter(key for ids in texts for key in set(pair_keys(np.array(ids, dtype=np.int64), n_tokens).tolist()))
    often = [(-count, key) for key, count in counts.items() if count >= min_texts]
    return np.array(sorted(key for _, key in sorted(often)[:max_pairs]), dtype=np.int64)


def token_means(texts: Sequence[Tokens], n_tokens: int) -> Any:
    """Sparse (n_texts, n_tokens): how often each token occurs ÷ the text's tokens."""
    flat, lengths = _flat(texts), np.array([len(ids) for ids in texts])
    rows = np.repeat(np.arange(len(texts)), lengths)
    return _sparse(1 / lengths[rows], rows, flat, (len(texts), n_tokens))


def pair_means(texts: Sequence[Tokens], n_tokens: int, keys: Keys) -> Any:
    """Sparse (n_texts, n_pairs): how often each of the pairs occurs ÷ the text's tokens."""
    flat, lengths = _flat(texts), np.array([len(ids) for ids in texts])
    rows = np.repeat(np.arange(len(texts)), lengths)
    found, inside = pair_keys(flat, n_tokens), rows[1:] == rows[:-1]  # no pair spans two texts
    found, rows = found[inside], rows[:-1][inside]
    known = np.isin(found, keys)
    found, rows = found[known], rows[known]
    return _sparse(1 / lengths[rows], rows, np.searchsorted(keys, found), (len(texts), len(keys)))


def _flat(texts: Sequence[Tokens]) -> NDArray[np.int64]:
    """The tokens of all texts, one text after the other."""
    return np.fromiter((token for ids in texts for token in ids), dtype=np.int64)


def _sparse(values: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_array

    return csr_array((values.astype(np.float64), (rows, columns)), shape=shape)
