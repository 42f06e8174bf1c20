"""How well a tokenizer knows a language: unknown words, pieces a word, and marks that it drops.

A backbone sees a text only through its tokenizer. Words that become an unknown token are lost; words in many pieces are
hardly more than letters; where the tokenizer strips combining marks, words that differ by one become the same.
Source: Rust et al. 2021, How good is your tokenizer?, https://aclanthology.org/2021.acl-long.243 (pieces a word,
"fertility", of tokenizers that were trained on a language lie between 1.1 and 1.9).
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ratchet.data.languages import UNDETERMINED, languages
from ratchet.data.words import word_spans

MAX_UNKNOWN_RATE = 0.05
MAX_PIECES_PER_WORD = 2.5
MAX_STRIPPED_RATE = 0.5
"""Beyond any of the three a tokenizer does not know a language. By all-MiniLM, English texts have 0.00, 1.2 to 1.5 and
0.00, Arabic ones 5.3 pieces a word, of Chinese ones 62 % of the words are unknown, Hindi ones lose a mark a word."""
MAX_PIECES_PER_NAME = 3.5
"""The same for `known_names`, which are rarer words: multilingual-e5 has up to 2.9 of them in languages that it knows,
all-MiniLM 4.4 and more in languages that it does not."""
MIN_TEXTS = 30
"""Texts of a language from which its figures mean something."""


@dataclass(frozen=True)
class Coverage:
    """What a tokenizer makes of the words of some texts."""

    n_texts: int
    n_words: int
    pieces_per_word: float
    """Tokens per word; 1: every word is one."""
    unknown_rate: float
    """Share of the words of which at least a part becomes the unknown token."""
    stripped_rate: float
    """Share of the words of which the tokenizer's normalizer drops a combining mark, as vowel signs and accents are."""

    def shortcomings(self, max_pieces: float = MAX_PIECES_PER_WORD) -> list[str]:
        """In which ways it does not know them; empty: it does."""
        found = {
            f"{self.unknown_rate:.0%} of the words unknown": self.unknown_rate > MAX_UNKNOWN_RATE,
            f"{self.pieces_per_word:.1f} pieces a word": self.pieces_per_word > max_pieces,
            f"{self.stripped_rate:.0%} of the words without their marks": self.stripped_rate > MAX_STRIPPED_RATE,
        }
        return [words for words, holds in found.items() if holds]

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        figures = {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return {**figures, "shortcomings": self.shortcomings()}


def measure_coverage(tokenizer: Any, texts: Sequence[str]) -> Coverage:
    """What the tokenizer makes of these texts; texts without words count as known.

    Args:
        tokenizer: a `tokenizers.Tokenizer`; its limit of length does not count.
        texts: of one language.
    """
    free = tokenizer
    if tokenizer.truncation or tokenizer.padding:
        free = type(tokenizer).from_str(tokenizer.to_str())
        free.no_truncation()
        free.no_padding()
    unknown, spans = _unknown_id(free), [word_spans(text) for text in texts]
    encodings = free.encode_batch(list(texts), add_special_tokens=False)
    n_pieces = sum(len(encoding.ids) for encoding in encodings)
    n_unknown = sum(
        _n_touched(words, _spans_of(encoding, unknown)) for words, encoding in zip(spans, encodings, strict=True)
    )
    n_words = sum(map(len, spans))
    written = (text[start:end] for text, words in zip(texts, spans, strict=True) for start, end in words)
    return Coverage(
        n_texts=len(texts),
        n_words=n_words,
        pieces_per_word=n_pieces / max(n_words, 1),
        unknown_rate=n_unknown / max(n_words, 1),
        stripped_rate=_n_stripped(tokenizer, written) / max(n_words, 1),
    )


def coverage_by_language(tokenizer: Any, texts: Sequence[str]) -> dict[str, Coverage]:
    """Language → what the tokenizer makes of its texts, for languages of at least `MIN_TEXTS`; the largest first."""
    return {name: measure_coverage(tokenizer, group) for name, group in texts_by_language(texts).items()}


def texts_by_language(texts: Sequence[str]) -> dict[str, list[str]]:
    """Language → its texts, for languages of at least `MIN_TEXTS`; the largest first."""
    groups: dict[str, list[str]] = {}
    for text, language in zip(texts, languages(texts), strict=True):
        groups.setdefault(language, []).append(text)
    groups.pop(UNDETERMINED, None)
    largest = sorted(groups, key=lambda language: -len(groups[language]))
    return {name: groups[name] for name in largest if len(groups[name]) >= MIN_TEXTS}


def first_texts(corpus: Path, n: int = 5_000) -> list[str]:
    """The first texts of a corpus; empty where there is none, or it cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(corpus) as file:
            batch = next(file.iter_batches(n, columns=["text"]), None)
    except (OSError, pyarrow.ArrowException):
        return []
    return [text for text in batch.column(0).to_pylist() if text] if batch is not None else []


def known_names(language: str) -> list[str]:
    """Names of countries in a language, of CLDR by Babel: words of it where no text is at hand.

    Empty for a language that CLDR does not know.

    >>> known_names("de")[:2], known_names("xx")
    (['Afghanistan', 'Albanien'], [])
    """
    from babel import Locale, UnknownLocaleError

    try:
        locale = Locale(language)
    except (UnknownLocaleError, ValueError):
        return []
    return sorted({name for key, name in locale.territories.items() if key.isalpha()}, key=str.casefold)


@lru_cache(maxsize=8)  # writing a large vocabulary takes a second, and there are several languages
def _unknown_id(tokenizer: Any) -> int | None:
    """The id of what is unknown; a Unigram model shows such a token by its text, so that only the id says it."""
    model = json.loads(tokenizer.to_str())["model"]
    named, place = model.get("unk_token"), model.get("unk_id")
    found = place if place is not None else tokenizer.token_to_id(named) if named else None
    return None if found is None else int(found)


def _spans_of(encoding: Any, unknown: int | None) -> list[tuple[int, int]]:
    return [span for place, span in zip(encoding.ids, encoding.offsets, strict=True) if place == unknown]


def _n_touched(words: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]) -> int:
    """How many of the words overlap one of the spans."""
    return sum(any(start < last and first < end for first, last in spans) for start, end in words) if spans else 0


def _n_stripped(tokenizer: Any, words: Iterable[str]) -> int:
    """How many of the words lose a combining mark."""
    if tokenizer.normalizer is None:
        return 0
    marked = (word for word in words if _n_marks(word))
    return sum(_n_marks(tokenizer.normalizer.normalize_str(word)) < _n_marks(word) for word in marked)


def _n_marks(text: str) -> int:
    if text.isascii():
        return 0
    return sum(unicodedata.category(char)[0] == "M" for char in unicodedata.normalize("NFD", text))
