"""Edits of texts by lexicons: those that turn a label around, and those that must not change it.

Source: contrast sets, Gardner et al. 2020, https://arxiv.org/abs/2004.02709; invariance tests, Ribeiro et al. 2020,
CheckList, https://arxiv.org/abs/2005.04118.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from ratchet.data.splits import unit_hash
from ratchet.errors import ParamsError
from ratchet.params import Params

WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
Edit = Callable[[str, str], str]
"""(text, id) → the edited text, or the text itself where the edit does not apply. The id decides what chance would."""


class Rewrite(Params):
    """A regular expression that turns texts of one class around."""

    label: str
    """The class of the texts it applies to."""
    pattern: str
    """What is replaced; {CLASS} stands for any listed word of that class."""
    replacement: str
    """What is put there, with the pattern's groups."""


class Contrast(Params):
    """Edits after which a reader would give the other of two labels: data/challenge/contrast.yaml."""

    classes: list[str] = Field(min_length=2, max_length=2)
    """The class of the left word of each swap, and of the right one."""
    max_opinions: int = Field(ge=1)
    """Most listed words in a text that is edited."""
    max_words: int = Field(ge=1)
    """Most words in a text that is edited."""
    blockers: list[str]
    """Words that keep a text from being edited."""
    unpaired: dict[str, list[str]]
    """Class → words that speak for it and keep its texts from being edited."""
    swaps: list[list[str]]
    """Pairs of words of opposite meaning."""
    rewrites: dict[str, Rewrite]
    """Further edits by name."""


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


def contrast_edits(rules: Contrast) -> dict[str, dict[str, Edit]]:
    """Label → name → edit of texts of that label; the edited text belongs to the other of the two classes.

    Raises:
        ParamsError: a pair is none, a word stands twice on one side, or a pattern is no regular expression.
    """
    left, right = rules.classes
    partners = {
        left: _pairs(rules.swaps, "swaps"),
        right: _pairs([pair[::-1] for pair in rules.swaps], "swaps"),
    }
    edits: dict[str, dict[str, Edit]] = {label: {"swap": _swap(rules, label, partners)} for label in rules.classes}
    for name, rule in rules.rewrites.items():
        if rule.label in edits:
            edits[rule.label][name] = _rewrite(rules, name, partners)
    return edits


def _swap(rules: Contrast, label: str, partners: Mapping[str, Mapping[str, str]]) -> Edit:
    """Every listed word becomes its partner, where all of them speak for the label and nothing else does."""
    own = partners[label]
    kept = frozenset(rules.blockers).union(rules.unpaired.get(label, ()))
    kept |= frozenset(word for other, words in partners.items() if other != label for word in words)

    def edit(text: str, _: str) -> str:
        words = words_of(text)
        n_opinions = sum(word in own for word in words)
        fits = 0 < n_opinions <= rules.max_opinions and len(words) <= rules.max_words
        return replace_terms(text, own) if fits and not kept.intersection(words) else text

    return edit


def _rewrite(rules: Contrast, name: str, partners: Mapping[str, Mapping[str, str]]) -> Edit:
    """The pattern is replaced, where nothing else in the text speaks for a class."""
    rule = rules.rewrites[name]
    source = rule.pattern
    for label, words in partners.items():
        source = source.replace(f"{{{label}}}", "|".join(sorted(map(re.escape, words), key=len, reverse=True)))
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
    kept = frozenset(rules.blockers).union(*rules.unpaired.values(), *partners.values())

    def edit(text: str, _: str) -> str:
        if len(text.split()) > rules.max_words or kept.intersection(words_of(pattern.sub(" ", text, count=1))):
            return text
        return pattern.sub(rule.replacement, text, count=1)

    return edit


def invariance_edits(rules: Invariance, contrast: Contrast) -> dict[str, Edit]:
    """Name → edit that leaves the label as it is.

    Raises:
        ParamsError: a contraction is no pair, or a spelling stands twice on one side.
    """
    edits = {kind: _exchange(kind, terms) for kind, terms in rules.interchangeable.items() if len(terms) > 1}
    there, back = rules.contractions, [pair[::-1] for pair in rules.contractions]
    spellings = {**_pairs(there, "contractions"), **_pairs(back, "contractions")}
    ways = rules.casing
    listed = frozenset(word for pair in contrast.swaps for word in pair)
    edits["typos"] = lambda text, key: _typo(text, key, rules.typo_min_letters, listed)
    if spellings:
        edits["contractions"] = lambda text, _: replace_terms(text.replace("’", "'"), spellings)
    if ways:
        edits["casing"] = lambda text, key: _cased(text, ways[int(unit_hash(key, "casing") * len(ways))])
    if rules.punctuation:
        edits["punctuation"] = lambda text, _: text.rstrip(" .") if text.endswith(".") else f"{text} ."
    return edits


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, in order.

    >>> words_of("Well-made, isn't it?")
    ['well-made', "isn't", 'it']
    """
    return [match.group().lower() for match in WORD.finditer(text)]


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


def replace_terms(text: str, partners: Mapping[str, str]) -> str:
    """The text with every listed term replaced by its partner, in its casing, and 'a' or 'an' as the new word wants.

    >>> replace_terms("An awful film, Truly AWFUL", {"awful": "superb"})
    'A superb film, Truly SUPERB'
    """
    terms = "|".join(sorted(map(re.escape, partners), key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w'’-])(?:(an?) )?({terms})(?![\w'’-])", re.IGNORECASE)

    def put(match: re.Match[str]) -> str:
        article, term = match.group(1), match.group(2)
        new = _like(partners[term.lower()], term)
        if article is None:
            return new
        fitting = _like("an" if new[0].lower() in "aeiou" else "a", article if len(article) > 1 else article[0])
        return f"{fitting} {new}"

    return pattern.sub(put, text)


def _like(new: str, old: str) -> str:
    """The new word in the casing of the old one: lower, Capitalised or UPPER."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[:1].isupper() else new


def _exchange(kind: str, terms: Sequence[str]) -> Edit:
    def edit(text: str, key: str) -> str:
        shift = 1 + int(unit_hash(key, kind) * (len(terms) - 1))  # never 0: every term becomes another one
        return replace_terms(text, {term: terms[(place + shift) % len(terms)] for place, term in enumerate(terms)})

    return edit


def _cased(text: str, way: str) -> str:
    if way == "upper":
        return text.upper()
    return WORD.sub(lambda match: match.group()[0].upper() + match.group()[1:], text)


def _typo(text: str, key: str, min_letters: int, listed: frozenset[str]) -> str:
    """Two inner neighbours of one word changed places; the text itself where no word can take it.

    >>> _typo("a film", "id", 4, frozenset())
    'a flim'
    """
    words = [m for m in WORD.finditer(text) if m.group().isalpha() and len(m.group()) >= min_letters]
    words = [m for m in words if m.group().lower() not in listed]
    choices = [
        (m.start() + at) for m in words for at in range(1, len(m.group()) - 2) if m.group()[at] != m.group()[at + 1]
    ]
    if not choices:
        return text
    at = choices[int(unit_hash(key, "typo") * len(choices))]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
