"""What the edits of texts and the explanations need to know of a task's language: data/lexicons/language.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import field_validator

from ratchet.params import Params

Articles = Mapping[str, str]
"""Form of a word → the pattern of the following word that asks for it; empty: any. The first that fits is taken."""


class Language(Params):
    """The language the texts are written in."""

    stemmer: str
    """A language of https://snowballstem.org, whose stems group inflected words; empty: words are not stemmed."""
    articles: dict[str, str]
    """Forms of a word that changes with the word after it, such as 'a' and 'an'; see `Articles`."""

    @field_validator("articles")
    @classmethod
    def _sound(cls, articles: dict[str, str]) -> dict[str, str]:
        for form, pattern in articles.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the pattern of '{form}' is no regular expression: {error}") from None
        return articles


def fitting_article(form: str, following: str, articles: Articles) -> str:
    """The form of the article that the following word asks for, in lower case; `form` itself where none fits.

    >>> fitting_article("a", "Iris", {"an": "[aeiou]", "a": ""})
    'an'
    """
    fitting = (other for other, pattern in articles.items() if re.match(pattern, following, re.IGNORECASE))
    return next(fitting, form)


def any_article(articles: Articles) -> str:
    """A regular expression of all forms, the longest first; one that never matches where there are none."""
    return "|".join(sorted(map(re.escape, articles), key=len, reverse=True)) or r"(?!)"
