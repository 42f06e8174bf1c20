"""Tokens of texts word by word: a word that was seen before is looked up, which takes a tenth of tokenizing it.

A text's tokens are those of its words between spaces, each encoded alone, without special tokens. Most tokenizers give
the same for the whole text; where one does not, training and serving still agree, as both take a text apart here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ratchet.models.batching import Tokens

MAX_WORDS = 2**16
"""Words that are remembered, at most; then all are forgotten."""
MAX_CHARACTERS = 32
"""Of a word that is remembered: in scripts without spaces a word is a sentence, which does not come again."""


class WordTokens:
    """The tokenizer of a folder, used word by word."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        content = (folder / "tokenizer.json").read_text(encoding="utf-8")
        self._tokenizer = Tokenizer.from_str(content)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._known: dict[str, Tokens] = {}
        # byte-level BPE knows a word within a text by the space before it
        self._before = " " if _is_byte_level(json.loads(content).get("pre_tokenizer")) else ""

    @property
    def n_tokens(self) -> int:
        """One more than the highest id."""
        return int(max(self._tokenizer.get_vocab().values())) + 1

    @property
    def template(self) -> tuple[Tokens, Tokens]:
        """The ids that the tokenizer puts before and after a text: special tokens, and a prompt if any."""
        ids = self._tokenizer.encode("").ids
        return ids[:-1], ids[-1:]

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The token ids of each text; an empty one has none."""
        known = self._known
        found = []
        for text in texts:
            ids: Tokens = []
            for word in text.split():
                pieces = known.get(word)
                ids += self._encode(word) if pieces is None else pieces
            found.append(ids)
        return found

    def encode_with_places(self, text: str) -> tuple[Tokens, list[tuple[int, int]]]:
        """The token ids of a text as `encode` gives them, and where each stands in it."""
        ids: Tokens = []
        places: list[tuple[int, int]] = []
        for found in re.finditer(r"\S+", text):
            encoding = self._tokenizer.encode(self._before + found[0], add_special_tokens=False)
            first = found.start() - len(self._before)
            ids += encoding.ids
            places += [(first + start, first + end) for start, end in encoding.offsets]
        return ids, places

    def _encode(self, word: str) -> Tokens:
        ids: Tokens = self._tokenizer.encode(self._before + word, add_special_tokens=False).ids
        if len(word) <= MAX_CHARACTERS:
            if len(self._known) >= MAX_WORDS:
                self._known.clear()
            self._known[word] = ids
        return ids


def _is_byte_level(pre_tokenizer: Any) -> bool:
    """Whether a pre-tokenizer of `tokenizer.json`, or a part of it, is byte-level."""
    if not isinstance(pre_tokenizer, dict):
        return False
    return pre_tokenizer.get("type") == "ByteLevel" or any(map(_is_byte_level, pre_tokenizer.get("pretokenizers", [])))
