"""Which waiting texts go through the model together: a text should neither wait for a pass nor pad it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ratchet.models.predictor import Predictor, Proba, TokenPredictor

_PASS_COST = 8
"""What a forward pass costs beside its tokens, in tokens: 0.4 ms against 0.053 ms for each token, padding included,
of the int8 champion on AVX2. It is about the same share for other sizes, since both grow with the layers."""


def score_texts(predictor: Predictor, texts: Sequence[str], batch_size: int) -> Proba:
    """Class probabilities of the texts, (n_texts, n_classes), at most `batch_size` of them in a pass."""
    if not isinstance(predictor, TokenPredictor):
        return predictor.predict_proba(texts)
    tokens = predictor.encode(texts)
    if len(tokens) == 1:
        return predictor.predict_proba_tokens(tokens)
    proba = np.empty((len(tokens), len(predictor.labels)))
    for group in group_by_length([len(item) for item in tokens], batch_size):
        proba[group] = predictor.predict_proba_tokens([tokens[index] for index in group])
    return proba


def group_by_length(lengths: Sequence[int], max_size: int, pass_cost: float = _PASS_COST) -> list[list[int]]:
    """Every index once, in groups whose passes cost least together: for each, `pass_cost` and its size × its longest.

    Sorted by length, an optimal grouping is made of neighbours, so the best cut before each text decides (dynamic
    programming, as for the breaking of lines).

    Source: Knuth & Plass 1981, Breaking paragraphs into lines.

    >>> group_by_length([30, 5, 31, 6, 90], max_size=8)
    [[1, 3], [0, 2], [4]]
    >>> group_by_length([30, 30, 30], max_size=2)
    [[0], [1, 2]]
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    least, cuts = [0.0], [0]
    for end, index in enumerate(order, 1):
        longest = lengths[index]
        cost, cut = min(
            (least[start] + pass_cost + (end - start) * longest, start) for start in range(max(0, end - max_size), end)
        )
        least.append(cost)
        cuts.append(cut)
    groups, end = [], len(order)
    while end:
        groups.append(order[cuts[end] : end])
        end = cuts[end]
    return groups[::-1]
