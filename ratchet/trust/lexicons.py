"""Who a text speaks of, by declared terms: groups of texts, an audit of what matched, and swaps of terms."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ratchet.data.sampling import unit_hash
from ratchet.data.words import COMPOUNDS, TermPattern, find_terms
from ratchet.errors import ParamsError
from ratchet.params import Params
from ratchet.trust.language import Articles, any_article, fitting_article
from ratchet.trust.text_edits import replace_terms

NONE, SEVERAL = "none", "several"
CONTEXT = 30
"""Characters that an example shows on either side of a match."""
TERM = re.compile(r"\{TERM:(\w+)\}")


class Lexicon(Params):
    """data/lexicons/identity.yaml."""

    attributes: dict[str, dict[str, list[str]]]
    """Attribute → group → terms."""
    phrases: list[str]
    """Phrases that hold a term but speak of nobody."""
    swaps: dict[str, list[list[str]]]
    """Attribute → rows of terms that play the same part, a column a group."""
    templates: list[str] = Field(min_length=0)
    """Sentences with {TERM:attribute}, which stands for each term of the attribute's first row."""

    @model_validator(mode="after")
    def _consistent(self) -> Lexicon:
        for attribute, groups in self.attributes.items():
            twice = [
                term for term, n in Counter(t.lower() for terms in groups.values() for t in terms).items() if n > 1
            ]
            if twice or {NONE, SEVERAL} & set(groups):
                raise ValueError(f"{attribute}: a term stands twice, or a group has a reserved name: {twice}")
        for attribute, rows in self.swaps.items():
            if len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
                raise ValueError(f"swaps of {attribute}: all rows need the same number of terms, two or more")
        if unknown := sorted({name for text in self.templates for name in TERM.findall(text)} - set(self.swaps)):
            raise ValueError(f"templates name attributes without swaps: {', '.join(unknown)}")
        return self


def lexicon_groups(texts: Sequence[str], lexicon: Lexicon, attribute: str) -> NDArray[np.str_]:
    """The group of each text under one attribute, (n_texts,): 'several' with terms of two groups, 'none' without any.

    >>> lexicon = Lexicon(attributes={"gender": {"women": ["she"], "men": ["he"]}}, phrases=["he-man"], swaps={},
    ...                   templates=[])
    >>> lexicon_groups(["She sings", "a sheep", "he or she", "the he-man"], lexicon, "gender").tolist()
    ['women', 'none', 'several', 'none']

    Raises:
        ParamsError: the lexicon has no such attribute.
    """
    if attribute not in lexicon.attributes:
        raise ParamsError(
            "An attribute is not in the lexicon.",
            where="the lexicon, attributes",
            got=attribute,
            expected=f"one of {', '.join(lexicon.attributes)}",
            fix="name another attribute, or add its terms",
        )
    found = []
    for text in texts:
        bare = _without(text, lexicon.phrases)
        of_attribute = lexicon.attributes[attribute].items()
        groups = [group for group, terms in of_attribute if _find(bare, terms).search(bare)]
        found.append(NONE if not groups else groups[0] if len(groups) == 1 else SEVERAL)
    return np.array(found, dtype=np.str_)


def audit_matches(texts: Sequence[str], lexicon: Lexicon, attribute: str, n_examples: int) -> dict[str, Any]:
    """What the terms of an attribute matched: group → texts, each term's count, and the first matches in context."""
    report: dict[str, Any] = {}
    for group, terms in lexicon.attributes[attribute].items():
        counts, n_texts = Counter[str](), 0
        examples: list[str] = []
        for text in texts:
            bare = _without(text, lexicon.phrases)
            matches = [(match["term"], match.span("term")) for match in _find(bare, terms).finditer(bare)]
            n_texts += bool(matches)
            counts.update(term.lower() for term, _ in matches)
            if matches and len(examples) < n_examples:
                start, end = matches[0][1]
                examples.append(f"…{bare[max(start - CONTEXT, 0) : end + CONTEXT]}…")
        never = [term for term in terms if term.lower() not in counts]
        report[group] = {
            "n_texts": n_texts,
            "terms": dict(counts.most_common()),
            "n_terms_without_match": len(never),
            "examples": examples,
        }
    return report


def swapped(
    text: str, key: str, rows: Sequence[Sequence[str]], most: int, articles: Articles, phrases: Sequence[str]
) -> list[str]:
    """The text with its terms moved to other columns, at most `most` of them, chosen by the hash of `key`.

    Empty where the text holds no term of the rows. A term that stands in two rows follows the first one; within one of
    the phrases, which speak of nobody, it stays.

    >>> swapped("She loves her brother.", "id", [["he", "she"], ["his", "her"], ["brother", "sister"]], 2, {}, [])
    ['She loves her sister.', 'He loves his brother.']
    >>> swapped("Her American Express", "id", [["her", "his"], ["american", "british"]], 2, {}, ["american express"])
    ['His American Express']
    """
    kept = [match.span("term") for match in _find(text, phrases).finditer(text)] if phrases else []
    found = []
    for column in _columns(len(rows[0]), key):
        partners: dict[str, str] = {}
        for row in rows:
            for place, term in enumerate(row):
                if place != column:
                    partners.setdefault(term.lower(), row[column].lower())
        if (edited := replace_terms(text, partners, articles, kept)) != text:
            found.append(edited)
    return found[:most]


def filled_templates(lexicon: Lexicon, articles: Articles) -> dict[str, list[tuple[str, list[str]]]]:
    """Attribute → for each of its templates, the template and its sentences, one a term of the first row."""
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for template in lexicon.templates:
        (attribute,) = set(TERM.findall(template))
        terms = lexicon.swaps[attribute][0]
        found.setdefault(attribute, []).append((template, [_fill(template, term, articles) for term in terms]))
    return found


def _fill(template: str, term: str, articles: Articles) -> str:
    """The template with the term, and the form of an article before it that the term asks for."""

    def put(match: re.Match[str]) -> str:
        return f"{fitting_article(match[1], term, articles)} {term}"

    return TERM.sub(term, re.sub(rf"\b({any_article(articles)}) \{{TERM:\w+\}}", put, template))


def _columns(n: int, key: str) -> Iterator[int]:
    start = int(unit_hash(key, "swap") * n)
    return ((start + step) % n for step in range(n))


def _find(text: str, terms: Sequence[str]) -> TermPattern:
    """Any of the terms as whole words; a hyphen is no border, so that 'old' is not found in 'year-old'."""
    return find_terms(text, tuple(terms), COMPOUNDS, "-")


def _without(text: str, phrases: Sequence[str]) -> str:
    return _find(text, phrases).sub(" ", text) if phrases else text
