"""The fixed parts of the documents: which requirement is met by which sentences, which figures these rest on."""

from __future__ import annotations

import string
from functools import cache
from pathlib import Path

import pydantic

from ratchet.params import read_yaml
from ratchet.reporting.dossier.figures import Place

CATALOGUE = Path(__file__).with_name("catalogue.yaml")
LANGUAGES = ("en", "de")


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid")


class Wording(_Strict):
    """The same in each language."""

    en: str
    de: str

    def of(self, language: str) -> str:
        """In one of them."""
        return self.en if language == "en" else self.de


class Fact(Wording):
    """A sentence, with the places of its figures by their names in it."""

    figures: dict[str, str] = {}
    """Name → `FILE#POINTER`; `{bundle}` stands for the bundle that was chosen."""

    def places(self, bundle: str) -> dict[str, Place]:
        """Where its figures stand, of this bundle."""
        escaped = bundle.replace("~", "~0").replace("/", "~1")
        parts = {name: place.replace("{bundle}", escaped).split("#", 1) for name, place in self.figures.items()}
        return {name: Place(file, pointer) for name, (file, pointer) in parts.items()}

    @pydantic.model_validator(mode="after")
    def _names_its_figures(self) -> Fact:
        for text in (self.en, self.de):
            named = {name for _, name, _, _ in string.Formatter().parse(text) if name}
            if named != set(self.figures):
                raise ValueError(f"{text!r} names other figures than {sorted(self.figures)}")
        return self


class Requirement(Wording):
    """What a document asks for."""

    id: str
    """As its source numbers it."""
    facts: list[str] = []
    questions: list[str] = []
    """What only people can say."""


class Document(_Strict):
    """A document."""

    title: Wording
    source: str
    """What asks for it."""
    requirements: list[Requirement]


class Catalogue(_Strict):
    """The whole."""

    facts: dict[str, Fact]
    questions: dict[str, Wording]
    documents: dict[str, Document]

    @pydantic.model_validator(mode="after")
    def _names_what_there_is(self) -> Catalogue:
        asked = [item for document in self.documents.values() for item in document.requirements]
        for known, named in (
            (self.facts, {name for item in asked for name in item.facts}),
            (self.questions, {name for item in asked for name in item.questions}),
        ):
            if unknown := named ^ set(known):
                raise ValueError(f"named and not there, or there and not named: {sorted(unknown)}")
        return self


@cache
def catalogue() -> Catalogue:
    """The catalogue of this version."""
    return Catalogue.model_validate(read_yaml(CATALOGUE))
