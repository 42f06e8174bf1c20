"""Token ids of a text without some of its words, put together from those of the whole text.

A tokenizer of BERT's kind takes a text apart at spaces and punctuation before anything else, so what it makes of a word
does not depend on the words around it; leaving words out needs no tokenizer. Where that is not certain, the answer is
None, and the masked text has to be tokenized itself.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TokenIds = tuple[int, ...]
TokensOf = Callable[[NDArray[np.bool_]], TokenIds]


def masked_tokens(tokenizer: Any, text: str, spans: Sequence[tuple[int, int]]) -> TokensOf | None:
    """The token ids of the text in which the words that are True are kept, special tokens and limit included.

    Args:
        tokenizer: a `tokenizers.Tokenizer` that truncates.
        text: the whole text.
        spans: where its words start and end, in order.

    None where the ids may be others than those of the text that `keep_words` makes: a tokenizer of another kind,
    control characters, or a word that touches what is neither space nor punctuation ("20°").
    """
    if not (_is_berts(tokenizer) and _comes_apart(text, spans)):
        return None
    encoding = tokenizer.encode(text)
    special = np.array(encoding.special_tokens_mask, dtype=bool)
    first, last = int(np.argmin(special)), len(special) - int(np.argmin(special[::-1]))
    if not special.all():
        prefix, suffix = encoding.ids[:first], encoding.ids[last:]
    else:  # a text of nothing but what the tokenizer drops
        return None
    limit = tokenizer.truncation["max_length"] - len(prefix) - len(suffix)
    ids: list[int] = []
    owners: list[int] = []
    for part in (encoding, *encoding.overflowing):
        for token, (start, end), is_special in zip(part.ids, part.offsets, part.special_tokens_mask, strict=True):
            if is_special:
                continue
            owner = _owner(spans, start, end)
            if owner is None:
                return None
            ids.append(token)
            owners.append(owner)
    all_ids, of_word = np.array(ids), np.array(owners)

    def tokens_of(mask: NDArray[np.bool_]) -> TokenIds:
        kept = np.append(mask, True)[of_word]  # what belongs to no word, -1, stays
        return (*prefix, *all_ids[kept][:limit].tolist(), *suffix)

    return tokens_of


def _is_berts(tokenizer: Any) -> bool:
    parts = tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.model
    return tokenizer.truncation is not None and [type(part).__name__ for part in parts] == [
        "BertNormalizer",
        "BertPreTokenizer",
        "WordPiece",
    ]


def _comes_apart(text: str, spans: Sequence[tuple[int, int]]) -> bool:
    """Whether spaces or punctuation stand beside every word, and no character that tokenizers drop is there."""
    if any(unicodedata.category(char).startswith("C") and char not in "\t\n\r" for char in text):
        return False
    around = [text[start - 1] for start, _ in spans if start] + [text[end] for _, end in spans if end < len(text)]
    return all(char in string.punctuation or char.isspace() or unicodedata.category(char)[0] == "P" for char in around)


def _owner(spans: Sequence[tuple[int, int]], start: int, end: int) -> int | None:
    """The word that a token lies in; -1: none; None: it reaches across the end of one."""
    for index, (first, last) in enumerate(spans):
        if start < last and end > first:
            return index if first <= start and end <= last else None
    return -1
