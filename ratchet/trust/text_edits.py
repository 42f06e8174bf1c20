"""Edits of texts by lexicons: those after which a reader would give another label, and those that must not change it.

Source: contrast sets, Gardner et al. 2020, https://arxiv.org/abs/2004.02709; invariance tests, Ribeiro et al. 2020,
CheckList, https://arxiv.org/abs/2005.04118.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import regex
from pydantic import Field, model_validator

from ratchet.data.sampling import unit_hash
from ratchet.data.words import (
    COMPOUNDS,
    find_terms,
    full_stop,
    letter_runs,
    term_finder,
    tokens,
    word_spans,
    words,
)
from ratchet.errors import ParamsError
from ratchet.params import Params
from ratchet.trust.language import Articles, any_article, fitting_article

Edit = Callable[[str, str], str]
"""(text, id) → the edited text, or the text itself where the edit does not apply. The id decides what chance would."""


class Swap(Params):
    """Words of two classes that are each other's opposites."""

    classes: list[str] = Field(min_length=2, max_length=2)
    """The class that the left word of each pair speaks for, and the right one."""
    pairs: list[list[str]]
    """Pairs of words of opposite meaning."""


class Rewrite(Params):
    """A regular expression that turns texts of one class into texts of another."""

    label: str
    """The class of the texts it applies to."""
    becomes: str
    """The class that a reader would give the edited text."""
    pattern: str
    """What is replaced; {CLASS} stands for any listed word of that class."""
    replacement: str
    """What is put there, with the pattern's groups."""


class Contrast(Params):
    """Edits after which a reader would give another label: data/challenge/contrast.yaml.

    Each edit names the two classes it leads between, so that a task may have any number of classes, and edits between
    as few or as many of them as people can write.
    """

    max_cues: int = Field(ge=1)
    """Most listed words in a text that is edited."""
    max_words: int = Field(ge=1)
    """Most words in a text that is edited."""
    blockers: list[str]
    """Words that keep a text from being edited."""
    unpaired: dict[str, list[str]]
    """Class → words that speak for it and keep its texts from being edited."""
    swaps: dict[str, Swap]
    """Exchanges of words for their opposites, by name."""
    rewrites: dict[str, Rewrite]
    """Further edits, by name."""

    @model_validator(mode="after")
    def _named_once(self) -> Contrast:
        if twice := sorted(set(self.swaps) & set(self.rewrites)):
            raise ValueError(f"a swap and a rewrite have the same name: {', '.join(twice)}")
        return self

    @property
    def opposites(self) -> list[list[str]]:
        """The pairs of all swaps."""
        return [pair for swap in self.swaps.values() for pair in swap.pairs]

    @property
    def classes(self) -> set[str]:
        """The classes that the edits speak of."""
        swapped = {label for swap in self.swaps.values() for label in swap.classes}
        return swapped | {label for rule in self.rewrites.values() for label in (rule.label, rule.becomes)}

    @property
    def words(self) -> set[str]:
        """All listed words that speak for a class."""
        return {word for pair in self.opposites for word in pair}.union(*self.unpaired.values())


class Turning(NamedTuple):
    """An edit of texts of one class, and the class of what it makes of them."""

    edit: Edit
    becomes: str


class Invariance(Params):
    """Edits after which a reader would give the same label: data/challenge/invariance.yaml."""

    interchangeable: dict[str, list[str]]
    """Kind of edit → terms of which one is as good as another."""
    contractions: list[list[str]]
    """Pairs of spellings."""
    casing: list[Literal["upper", "title"]]
    """Ways to write a text in capitals."""
    typo_min_letters: int = Field(ge=4)
    """Fewest letters of a word that gets a typo."""
    punctuation: bool
    """Whether a full stop at the end is taken away or added."""


def contrast_edits(rules: Contrast, articles: Articles) -> dict[str, dict[str, Turning]]:
    """Label → name → edit of texts of that label, with the label of the edited text.

    Raises:
        ParamsError: a pair is none, a word stands twice on one side, or a pattern is no regular expression.
    """
    edits: dict[str, dict[str, Turning]] = {}
    for name, swap in rules.swaps.items():
        there, back = (
            _pairs(swap.pairs, f"swaps, {name}"),
            _pairs([pair[::-1] for pair in swap.pairs], f"swaps, {name}"),
        )
        for (label, becomes), own in zip((swap.classes, swap.classes[::-1]), (there, back), strict=True):
            edits.setdefault(label, {})[name] = Turning(_swap(rules, label, own, articles), becomes)
    for name, rule in rules.rewrites.items():
        edits.setdefault(rule.label, {})[name] = Turning(_rewrite(rules, name), rule.becomes)
    return edits


def _speaks_for(rules: Contrast) -> dict[str, frozenset[str]]:
    """Class → the paired words that speak for it."""
    found: dict[str, set[str]] = {}
    for swap in rules.swaps.values():
        for side, label in enumerate(swap.classes):
            found.setdefault(label, set()).update(pair[side].lower() for pair in swap.pairs)
    return {label: frozenset(listed) for label, listed in found.items()}


def _swap(rules: Contrast, label: str, partners: Mapping[str, str], articles: Articles) -> Edit:
    """Every word becomes its partner, where all cues of the text are among these and nothing else speaks."""
    speaks = _speaks_for(rules)
    kept = frozenset(rules.blockers).union(rules.unpaired.get(label, ()))
    kept |= frozenset(word for other, listed in speaks.items() if other != label for word in listed)
    kept |= speaks[label].difference(partners)  # a cue that another swap turns, and this one would leave

    cues, stops = term_finder(partners), term_finder(kept)

    def edit(text: str, _: str) -> str:
        lower = text.lower()
        fits = 0 < len(cues(lower)) <= rules.max_cues and len(words(lower, COMPOUNDS)) <= rules.max_words
        return replace_terms(text, partners, articles) if fits and not stops(lower) else text

    return edit


def _rewrite(rules: Contrast, name: str) -> Edit:
    """The pattern is replaced, where nothing else in the text speaks for a class."""
    rule, speaks = rules.rewrites[name], _speaks_for(rules)
    source = rule.pattern
    for label, listed in speaks.items():
        source = source.replace(f"{{{label}}}", "|".join(sorted(map(re.escape, sorted(listed)), key=len, reverse=True)))
    try:
        pattern = re.compile(source, re.IGNORECASE)
    except re.error as error:
        raise ParamsError(
            f"The rewrite '{name}' is no regular expression.",
            where="data/challenge/contrast.yaml",
            got=rule.pattern,
            expected=str(error),
            fix="correct the pattern",
        ) from None
    stops = term_finder(frozenset(rules.blockers).union(*rules.unpaired.values(), *speaks.values()))

    def edit(text: str, _: str) -> str:
        rest = pattern.sub(" ", text, count=1)
        if len(tokens(text)) > rules.max_words or stops(rest.lower()):
            return text
        return pattern.sub(rule.replacement, text, count=1)

    return edit


def invariance_edits(rules: Invariance, contrast: Contrast, articles: Articles) -> dict[str, Edit]:
    """Name → edit that leaves the label as it is.

    Raises:
        ParamsError: a contraction is no pair, or a spelling stands twice on one side.
    """
    edits = {kind: _exchange(kind, terms, articles) for kind, terms in rules.interchangeable.items() if len(terms) > 1}
    there, back = rules.contractions, [pair[::-1] for pair in rules.contractions]
    spellings = {**_pairs(there, "contractions"), **_pairs(back, "contractions")}
    ways = rules.casing
    listed = frozenset(word for pair in contrast.opposites for word in pair)
    edits["typos"] = lambda text, key: _typo(text, key, rules.typo_min_letters, listed)
    if spellings:
        edits["contractions"] = lambda text, _: replace_terms(text.replace("’", "'"), spellings, articles)
    if ways:
        edits["casing"] = lambda text, key: _cased(text, ways[int(unit_hash(key, "casing") * len(ways))])
    if rules.punctuation:
        edits["punctuation"] = lambda text, _: _punctuated(text)
    return edits


def _pairs(pairs: Sequence[Sequence[str]], where: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        if len(pair) != 2 or pair[0].lower() in found:
            raise ParamsError(
                "A pair is no pair of words, or its word stands twice.",
                where=f"{where} in data/challenge",
                got=list(pair),
                expected="two words, each once on its side",
                fix="correct the file",
            )
        found[pair[0].lower()] = pair[1].lower()
    return found


def replace_terms(
    text: str, partners: Mapping[str, str], articles: Articles, kept: Sequence[tuple[int, int]] = ()
) -> str:
    """The text with every listed term replaced by its partner, in its casing, and the article that the new word wants.

    What overlaps a span of `kept` stays.

    >>> replace_terms("An early bus, Very EARLY", {"early": "late"}, {"an": "[aeiou]", "a": ""})
    'A late bus, Very LATE'
    """

    def put(match: re.Match[str] | regex.Match[str]) -> str:
        article, term, (first, last) = match["lead"], match["term"], match.span("term")
        if any(first < end and start < last for start, end in kept):
            return match[0]
        new = _like(partners.get(term.lower(), term), term)  # "ı" matches "i" in any casing, and is another letter
        if article is None:
            return new
        return f"{_like(fitting_article(article, new, articles), article)} {new}"

    return find_terms(text, tuple(partners), lead=any_article(articles)).sub(put, text)


def _like(new: str, old: str) -> str:
    """The new word in the casing of the old one: lower, Capitalised or UPPER."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[:1].isupper() else new


def _exchange(kind: str, terms: Sequence[str], articles: Articles) -> Edit:
    def edit(text: str, key: str) -> str:
        shift = 1 + int(unit_hash(key, kind) * (len(terms) - 1))  # never 0: every term becomes another one
        others = {term: terms[(place + shift) % len(terms)] for place, term in enumerate(terms)}
        return replace_terms(text, others, articles)

    return edit


def _cased(text: str, way: str) -> str:
    if way == "upper":
        return text.upper()
    letters = list(text)
    for start, _ in word_spans(text, COMPOUNDS):
        letters[start] = letters[start].upper()
    return "".join(letters)


def _typo(text: str, key: str, min_letters: int, listed: frozenset[str]) -> str:
    """Two inner neighbours of one word changed places; the text itself where no word can take it.

    >>> _typo("a belt", "id", 4, frozenset())
    'a blet'
    """
    runs = [letters for letters in letter_runs(text) if len(letters) >= min_letters]
    runs = [letters for letters in runs if text[letters[0][0] : letters[-1][1]].lower() not in listed]
    inner = [(letters[at], letters[at + 1]) for letters in runs for at in range(1, len(letters) - 2)]
    choices = [(a, b) for a, b in inner if text[a[0] : a[1]] != text[b[0] : b[1]]]
    if not choices:
        return text
    (start, middle), (_, end) = choices[int(unit_hash(key, "typo") * len(choices))]
    return text[:start] + text[middle:end] + text[start:middle] + text[end:]


def _punctuated(text: str) -> str:
    """The text without its full stop, or with one; the text itself where its script has none."""
    stop = full_stop(text)
    ends = {".", stop.strip()} - {""}
    return text.rstrip(" " + "".join(ends)) if text.endswith(tuple(ends)) else text + stop
