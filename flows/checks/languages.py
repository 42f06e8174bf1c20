"""Whether the backbone knows the languages of the task: measured with its tokenizer, and read in its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from flows.checks.backbone import read_backbone
from flows.checks.finding import Finding, warning
from flows.checks.project import Project
from ratchet.errors import RatchetError

CORPUS = "data/corpus.parquet"
N_TEXTS = 5_000
"""First texts of the corpus that are looked at, where an earlier run left one."""


def check_languages(project: Project) -> list[Finding]:
    """A warning for each language of the task that the backbone does not know; TF-IDF needs none."""
    if project.task is None or not {"embed", "train"} & {*project.stages}:
        return []
    try:
        backbone = read_backbone(project)
    except RatchetError:
        return []  # the check of the backbone reports it
    if backbone is None or not backbone.tokenizer:
        return []
    named = card_languages(backbone.folder)
    found = []
    for language, faults in _shortcomings(project, backbone.folder).items():
        if named and not {language, "multilingual", "multi"} & {*named}:
            faults.append(f"its model card names {', '.join(named)}")
        if faults:
            found.append(
                warning(
                    f"The backbone does not know '{language}', a language of the task.",
                    project.param("task", "backbone"),
                    got="; ".join(faults),
                    expected="a tokenizer and weights that were trained on it",
                    fix="choose a backbone of this language or a multilingual one; the simple models run all the same",
                )
            )
    return found


def card_languages(folder: Path) -> list[str]:
    """The languages that a model card names in its front matter; empty: it names none, or there is no card."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
        front = text.split("---", 2)[1] if text.startswith("---") else ""
        values: Any = YAML(typ="safe", pure=True).load(front)
    except (OSError, UnicodeDecodeError, YAMLError):
        return []
    named = values.get("language") if isinstance(values, dict) else None
    return [str(name) for name in named] if isinstance(named, list) else [str(named)] if named else []


def _shortcomings(project: Project, folder: Path) -> dict[str, list[str]]:
    """Language of the task → what its tokenizer lacks, by texts of the corpus, else by names that CLDR knows in it."""
    from tokenizers import Tokenizer

    from ratchet.models.coverage import known_names, measure_coverage, texts_by_language

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception:  # tokenizers raises plain Exception; the check of the backbone reports damaged files
        return {}
    assert project.task is not None
    texts, found = texts_by_language(_texts(project.root / CORPUS)), {}
    for language in project.task.languages:
        try:
            coverage = measure_coverage(tokenizer, texts.get(language) or known_names(language))
        except Exception as error:  # a vocabulary without an unknown token, of which tokenizers says so in its own way
            found[language] = [f"its tokenizer fails on words of it: {error}"]
        else:
            found[language] = coverage.shortcomings()
    return found


def _texts(path: Path) -> list[str]:
    """The first texts of the corpus; empty where there is none, or it cannot be read."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            batch = next(file.iter_batches(N_TEXTS, columns=["text"]), None)
    except (OSError, pyarrow.ArrowException):
        return []
    return [text for text in batch.column(0).to_pylist() if text] if batch is not None else []
