"""Whether the backbones know the languages of the task: measured with their tokenizers, and read in model cards."""

from __future__ import annotations

from flows.checks.backbones import backbones_here
from flows.checks.finding import Finding, warning
from flows.checks.project import Project
from ratchet.models.backbone_cards import read_card
from ratchet.models.backbone_files import Backbone

CORPUS = "data/corpus.parquet"


def check_languages(project: Project) -> list[Finding]:
    """A warning for each language of the task that no backbone knows, and for each that another than the first one
    knows, which chooses the texts to label; TF-IDF needs none."""
    if project.task is None or not {"embed", "train"} & {*project.stages}:
        return []
    here = [(number, backbone) for number, backbone in backbones_here(project) if backbone.tokenizer]
    if not here:
        return []
    found = []
    of_each = {number: language_faults(project, backbone) for number, backbone in here}
    for language in project.task.languages:
        lacking = {number: faults[language] for number, faults in of_each.items() if faults.get(language)}
        if not lacking:
            continue
        knows = [backbone.source for number, backbone in here if number not in lacking]
        first = min(lacking)
        where = project.param("task", "backbones", first, "source")
        if not knows:
            found.append(
                warning(
                    f"No backbone knows '{language}', a language of the task.",
                    where,
                    got="; ".join(lacking[first]),
                    expected="a tokenizer and weights that were trained on it",
                    fix="add a backbone of this language or a multilingual one; the simple models run all the same",
                )
            )
        elif first == 0:
            found.append(
                warning(
                    f"The first backbone, which embeds the texts, does not know '{language}', a language of the task.",
                    where,
                    got="; ".join(lacking[first]),
                    expected=f"one that knows it, as {knows[0]} does",
                    fix=f"put {knows[0]} first in task.backbones",
                )
            )
    return found


def language_faults(project: Project, backbone: Backbone) -> dict[str, list[str]]:
    """Language of the task → what the backbone lacks for it; nothing: it knows it."""
    named = read_card(backbone.source, backbone.folder).languages
    found = _shortcomings(project, backbone)
    for language, faults in found.items():
        if named and not {language, "multilingual", "multi"} & {*named}:
            faults.append(f"its model card names {', '.join(named)}")
    return found


def _shortcomings(project: Project, backbone: Backbone) -> dict[str, list[str]]:
    """Language of the task → what its tokenizer lacks, by texts of the corpus, else by names that CLDR knows in it."""
    from ratchet.models.coverage import (
        MAX_PIECES_PER_NAME,
        MAX_PIECES_PER_WORD,
        first_texts,
        known_names,
        measure_coverage,
        texts_by_language,
    )

    try:
        tokenizer = backbone.text_tokenizer
    except Exception:  # tokenizers raises plain Exception; the check of the backbone reports damaged files
        return {}
    assert project.task is not None
    texts, found = texts_by_language(first_texts(project.root / CORPUS)), {}
    for language in project.task.languages:
        try:
            own = texts.get(language)
            coverage = measure_coverage(tokenizer, own or known_names(language))
        except Exception as error:  # a vocabulary without an unknown token, of which tokenizers says so in its own way
            found[language] = [f"its tokenizer fails on words of it: {error}"]
        else:
            found[language] = coverage.shortcomings(MAX_PIECES_PER_WORD if own else MAX_PIECES_PER_NAME)
    return found
