"""Personal data in texts: e-mail addresses, telephone, card and account numbers, national numbers; found and masked.

Whatever has a check digit is checked by python-stdnum (Luhn 1954 for cards, ISO 7064 for IBANs, each country's own
rule), telephone numbers by Google's libphonenumber: so prices, years and serial numbers are hardly taken for people's.
National numbers, and telephone numbers without a plus, are looked for as the named countries write them; where several
are named, a text's language says which of them it is about.
A telephone number beside another number is found if it starts with a plus or a code in brackets, or is written with
dashes or dots; in `10 650 253 0000` nothing says where it starts, and it is not found.
Names and addresses of people are not looked for: that takes a model, and would take the famous for private persons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from ratchet.data.languages import languages, official_languages

NOWHERE = "ZZ"
"""The code of no country: with it only telephone numbers that start with a plus are valid."""
KINDS = ("emails", "phones", "cards", "ibans", "national_numbers")
SUSPECT = r"@|\d\D{0,2}\d\D{0,2}\d\D{0,2}\d\D{0,2}\d\D{0,2}\d"
"""A text that does not match this has none of the kinds: an at sign, or six digits close together. RE2 syntax."""

_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
_CARD = re.compile(r"(?<![\d.,-])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{5}|\d{13,19})(?![\d.,]?\d|-\d)")
_CARD_START = re.compile(r"4|5[1-5]|2[2-7]|3[47]|3[0689]|6")
"""First digits of Visa, Mastercard, American Express, Diners, JCB, Discover, UnionPay, Maestro."""
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![A-Z0-9])")
_MARKED_PHONE = re.compile(r"(?:\+\d|(?<!\d)\(\d{2,5}\) ?\d)[\d() .-]*")
"""Digits that begin as telephone numbers alone do: with a plus, or a code in brackets."""
_NATIONAL = {
    "us.ssn": r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])",
    "es.dni": r"(?<![A-Z0-9])\d{8}-?[A-Z](?![A-Z0-9])",
    "es.nie": r"(?<![A-Z0-9])[XYZ]-?\d{7}-?[A-Z](?![A-Z0-9])",
    "it.codicefiscale": r"(?<![A-Z0-9])[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z](?![A-Z0-9])",
    "fr.nir": r"(?<![\d.])[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}(?!\d)",
    "br.cpf": r"(?<!\d)\d{3}\.\d{3}\.\d{3}-\d{2}(?!\d)",
    "pl.pesel": r"(?<![\d.,-])\d{11}(?![\d.,]?\d)",
    "de.idnr": r"(?<![\d.,-])\d{2} \d{3} \d{3} \d{3}(?![\d.,]?\d)",
    "gb.nhs": r"(?<![\d.,-])\d{3}[ -]\d{3}[ -]\d{4}(?![\d.,]?\d)",
}
"""python-stdnum's module, whose package is the country → how the number is written. Numbers without a country's own
form and check are left alone."""


class Found(NamedTuple):
    """One find: its kind, where it starts, where it ends."""

    kind: str
    start: int
    end: int


def find_personal_data(text: str, regions: Sequence[str]) -> list[Found]:
    """What is found in a text, in order, without overlaps.

    Args:
        text: the text.
        regions: countries, as in ISO 3166, whose national telephone formats and identity numbers count, see
            `regions_of`; telephone numbers with `+`, cards, accounts and addresses always do.

    >>> [find.kind for find in find_personal_data("write to jo@example.org or call (650) 253-0000", ["US"])]
    ['emails', 'phones']
    >>> find_personal_data("4111 1111 1111 1111 is a card, 4111 1111 1111 1112 is none", ["US"])
    [Found(kind='cards', start=0, end=19)]
    """
    if not _suspect().search(text):
        return []
    found: list[Found] = []
    chosen = regions_of(text, regions)
    for kind, finder in _FINDERS.items():
        for start, end in finder(text, chosen):
            if all(end <= other.start or start >= other.end for other in found):
                found.append(Found(kind, start, end))
    return sorted(found, key=lambda find: find.start)


def mask_personal_data(text: str, regions: Sequence[str]) -> tuple[str, dict[str, int]]:
    """The text with each find replaced by its kind in brackets, and how many of each kind there were.

    A masked text masks to itself.

    >>> mask_personal_data("write to jo@example.org", ["US"])
    ('write to [EMAIL]', {'emails': 1})
    """
    counts: dict[str, int] = {}
    while found := find_personal_data(text, regions):  # what is masked may have hidden the language of the rest
        parts, at = [], 0
        for kind, start, end in found:
            counts[kind] = counts.get(kind, 0) + 1
            parts += [text[at:start], f"[{kind.removesuffix('s').upper()}]"]
            at = end
        text = "".join([*parts, text[at:]])
    return text, counts


def regions_of(text: str, regions: Sequence[str]) -> Sequence[str]:
    """The countries of which a language is the text's; all of them where none is, or the language cannot be told.

    >>> regions_of("Bitte rufen Sie mich morgen unter dieser Nummer an.", ["US", "DE", "AT"])
    ['DE', 'AT']
    >>> regions_of("12 34 56", ["US", "DE"])
    ['US', 'DE']
    """
    if len(regions) < 2:
        return regions
    (language,) = languages([text])
    return [region for region in regions if language in official_languages(region)] or regions


def _emails(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    yield from (match.span() for match in _EMAIL.finditer(text))


def _ibans(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        value, start = match.group(), match.start()
        while len(value) >= 15:  # a word in capitals may follow
            if _number("iban").is_valid(value):
                yield start, start + len(value)
                break
            value = value.rpartition(" ")[0]


def _cards(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    at = 0
    while match := _CARD.search(text, at):
        digits = re.sub(r"\D", "", match.group())
        is_card = _CARD_START.match(digits) and len(set(digits)) > 1 and _number("luhn").is_valid(digits)
        if is_card:
            yield match.span()
        at = match.end() if is_card else match.start() + 1  # a year before a card reads as its first four digits


def _national_numbers(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    for name, pattern in _national():
        if name.partition(".")[0].upper() not in regions:
            continue
        yield from (match.span() for match in pattern.finditer(text) if _number(name).is_valid(match.group()))


def _phones(text: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    import phonenumbers

    regions = regions or [NOWHERE]
    for region in regions:
        for match in phonenumbers.PhoneNumberMatcher(text, region, phonenumbers.Leniency.VALID):
            yield match.start, match.end
    for marked in _MARKED_PHONE.finditer(text):  # the matcher gives up where another number follows
        value = marked.group().rstrip(" .-(")
        while value:
            if any(_is_phone(value, region) for region in regions):
                yield marked.start(), marked.start() + len(value)
                break
            value = value.rpartition(" ")[0].rstrip(" .-(")


def _is_phone(value: str, region: str) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(value, region)))
    except phonenumbers.NumberParseException:
        return False


_FINDERS: dict[str, Callable[[str, Sequence[str]], Iterator[tuple[int, int]]]] = {
    "emails": _emails,
    "ibans": _ibans,
    "cards": _cards,
    "national_numbers": _national_numbers,
    "phones": _phones,
}
"""Strictest first: what an earlier one takes, a later one leaves."""


@cache
def _suspect() -> re.Pattern[str]:
    return re.compile(SUSPECT)


@cache
def _national() -> list[tuple[str, re.Pattern[str]]]:
    return [(name, re.compile(pattern)) for name, pattern in _NATIONAL.items()]


@cache
def _number(name: str) -> Any:
    return import_module(f"stdnum.{name}")
