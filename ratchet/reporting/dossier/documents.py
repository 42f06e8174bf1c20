"""The documents: requirement by requirement what was measured, and what only people can say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ratchet.errors import ParamsError
from ratchet.gates.measured_reports import read_report
from ratchet.measure.formats import markdown_text
from ratchet.params import read_yaml
from ratchet.reporting.dossier.catalogue import LANGUAGES, Catalogue, Document, Requirement, catalogue
from ratchet.reporting.dossier.figures import Figure, NotMeasuredError, Reports, in_words

ANSWERS = "data/dossier.yaml"
"""What people answered: name of a question → their text, or their texts by language."""
DECISION = "reports/decision.json"
WORDS = {
    "en": {
        "met": "met by measurement",
        "part": "met in part",
        "open": "open",
        "sources": "Figures",
        "to_answer": "To be answered by a person",
        "not_measured": "Not measured here",
        "asked_by": "Asked for by",
        "table": "What is met by what",
        "head": ("requirement", "state", "figures", "open questions"),
        "note": "Every figure stands in the file that is named behind it, with the first twelve digits of that file's "
        "SHA-256; intervals are in brackets. What is met here is that the documentation holds it: no legal judgement.",
    },
    "de": {
        "met": "durch Messung erfüllt",
        "part": "teilweise erfüllt",
        "open": "offen",
        "sources": "Zahlen",
        "to_answer": "Von einer Person zu beantworten",
        "not_measured": "Hier nicht gemessen",
        "asked_by": "Verlangt von",
        "table": "Was wodurch erfüllt ist",
        "head": ("Anforderung", "Stand", "Zahlen", "offene Fragen"),
        "note": "Jede Zahl steht in der Datei, die hinter ihr genannt ist, mit den ersten zwölf Stellen des SHA-256 "
        "dieser Datei; Intervalle stehen in Klammern. Erfüllt heißt hier: in der Dokumentation enthalten; es ist kein "
        "rechtliches Urteil.",
    },
}
State = Literal["met", "part", "open"]


@dataclass(frozen=True)
class Part:
    """A requirement, filled."""

    requirement: Requirement
    sentences: list[tuple[str, list[Figure]]]
    """Each with its figures."""
    missing: list[str]
    """Facts that no report holds the figures of."""
    answered: list[tuple[str, str]]
    """Question and answer."""
    unanswered: list[str]

    @property
    def state(self) -> State:
        """Met: everything that is asked for is there."""
        if not self.missing and not self.unanswered:
            return "met"
        return "part" if self.sentences or self.answered else "open"


def write_documents(root: Path, language: str) -> tuple[dict[str, str], list[Figure]]:
    """Name → Markdown of each document, and all the figures they rest on.

    Args:
        root: the repository.
        language: `en` or `de`.

    Raises:
        ParamsError: no run has ended, an unknown language, or answers to questions that there are not.
    """
    if language not in LANGUAGES:
        raise ParamsError("There is no such language.", got=language, expected=" or ".join(LANGUAGES))
    known, reports, answers = catalogue(), Reports(root), read_answers(root, catalogue(), language)
    chosen = read_report(root / DECISION).get("chosen") if (root / DECISION).is_file() else None
    if not chosen:
        raise ParamsError("There is no model to document.", where=DECISION, fix="make run; a rejected run has none")
    documents, figures = {}, dict[tuple[str, str], Figure]()
    for name, document in known.documents.items():
        parts = [_part(item, known, reports, answers, str(chosen), language) for item in document.requirements]
        documents[name] = _markdown(document, parts, language)
        for part in parts:
            for _, used in part.sentences:
                figures |= {(figure.place.file, figure.place.pointer): figure for figure in used}
    return documents, [figures[key] for key in sorted(figures)]


def read_answers(root: Path, known: Catalogue, language: str) -> dict[str, str]:
    """Question → what people answered; those that are empty are none.

    Raises:
        ParamsError: a question that there is not, or an answer that is no text.
    """
    path = root / ANSWERS
    content = read_yaml(path) if path.is_file() else {}
    if unknown := set(content) - set(known.questions):
        raise ParamsError(
            "There is no such question.", where=ANSWERS, got=sorted(unknown)[0], expected=", ".join(known.questions)
        )
    answers = {name: text.get(language, "") if isinstance(text, Mapping) else text for name, text in content.items()}
    if wrong := [name for name, text in answers.items() if not isinstance(text, str | None)]:
        raise ParamsError("An answer is no text.", where=f"{ANSWERS}, {wrong[0]}", got=answers[wrong[0]])
    return {name: text.strip() for name, text in answers.items() if text and text.strip()}


def _part(
    asked: Requirement, known: Catalogue, reports: Reports, answers: Mapping[str, str], bundle: str, language: str
) -> Part:
    sentences, missing = [], []
    for name in asked.facts:
        fact = known.facts[name]
        try:
            figures = {key: reports.figure(place) for key, place in fact.places(bundle).items()}
        except NotMeasuredError as error:
            missing.append(f"{name} ({error})")
            continue
        words = {key: in_words(figure.value, language) for key, figure in figures.items()}
        sentences.append((fact.of(language).format(**words), list(figures.values())))
    answered = [(known.questions[name].of(language), answers[name]) for name in asked.questions if name in answers]
    unanswered = [known.questions[name].of(language) for name in asked.questions if name not in answers]
    return Part(asked, sentences, missing, answered, unanswered)


def _markdown(document: Document, parts: list[Part], language: str) -> str:
    words: dict[str, Any] = WORDS[language]
    head = words["head"]
    lines = [
        f"# {markdown_text(document.title.of(language))}",
        f"{words['asked_by']}: {markdown_text(document.source)}.",
    ]
    lines += [words["note"], f"## {words['table']}"]
    rows = [f"| {' | '.join(head)} |", "|---|---|---:|---:|"]
    for part in parts:
        n_figures = sum(len(figures) for _, figures in part.sentences)
        name = markdown_text(f"{part.requirement.id}: {part.requirement.of(language)}")
        rows.append(f"| {name} | {words[part.state]} | {n_figures} | {len(part.unanswered)} |")
    lines.append("\n".join(rows))
    for part in parts:
        lines.append(f"## {markdown_text(part.requirement.id)} {markdown_text(part.requirement.of(language))}")
        for sentence, figures in part.sentences:
            sources = dict.fromkeys(
                f"`{each.place.file}#{each.place.pointer}` ({each.sha256[:12]})" for each in figures
            )
            lines.append(f"{markdown_text(sentence)}")
            lines.append(f"*{words['sources']}:* {'; '.join(sources)}")
        lines += [f"{markdown_text(question)} — {markdown_text(answer)}" for question, answer in part.answered]
        if part.missing:
            lines.append(f"**{words['not_measured']}:** {markdown_text('; '.join(part.missing))}")
        lines += [f"- [ ] **{words['to_answer']}:** {markdown_text(question)}" for question in part.unanswered]
    return "\n\n".join(lines) + "\n"
