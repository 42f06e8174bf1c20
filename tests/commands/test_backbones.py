"""`ratchet backbones`: what is at hand, side by side, with a probe's score and what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ratchet.commands.backbones import CORPUS, LABELED, backbones
from ratchet.data.cleaning import text_id
from ratchet.models.backbone_cards import KNOWN
from ratchet.reporting import backbone_table
from ratchet.reporting.backbone_table import Labelled, ProbeParams, probe_score
from ratchet.table_files import write_table
from ratchet.tables import CORPUS as CORPUS_TABLE
from ratchet.tables import LABELED as LABELED_TABLE
from tests.support.params import write_params
from tests.support.tiny import reviews, word_pieces

VALUES: dict[str, Any] = {
    "labels": ["negative", "positive"],
    "primary_metric": "accuracy",
    "rare_class": "",
    "cost_matrix": [],
    "max_tokens": 32,
    "batch_size": 8,
    "inverse_regularization": 10.0,
    "n_threads": 1,
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task with one backbone of its own, one that is not pinned right, and labelled texts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backbone_table, "KNOWN", {})
    word_pieces(tmp_path / "one")
    write_params(ProbeParams, "", VALUES)
    tree = json.loads(Path("params.yaml").read_text(encoding="utf-8"))
    tree["task"]["backbones"] = [{"source": "one", "sha256": ""}, {"source": "package:no_such_package/m", "sha256": ""}]
    Path("params.yaml").write_text(json.dumps(tree), encoding="utf-8")
    frame = reviews(60, 1)
    write_table(LABELED, frame.assign(round=0, query_strategy="random"), LABELED_TABLE)
    texts = frame["text"].tolist()
    corpus = {"row": range(60), "id": map(text_id, texts), "text": texts, "label": None, "source": "made"}
    write_table(CORPUS, pd.DataFrame(corpus).astype({"label": "str"}), CORPUS_TABLE)
    return tmp_path


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for row in json.loads(capsys.readouterr().out)}


def test_each_at_hand_has_a_row_and_what_is_missing_says_so(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    word_pieces(workspace / "other", n_layers=1)
    (workspace / "other" / "README.md").write_text("---\nlanguage: fr\nlicense: mit\n---\n", encoding="utf-8")
    (workspace / "broken").mkdir()
    backbones(["other", "broken"], n_texts=40, as_json=True)
    found = rows(capsys)
    assert [*found] == ["one", "package:no_such_package/m", "other", "broken"]
    assert [row["place"] for row in found.values()] == [0, 1, None, None]
    one, missing, other, broken = found.values()
    assert (one["n_layers"], one["hidden"], one["max_tokens"]) == (3, 32, 64)
    assert (one["unknown_rate"], one["pieces_per_word"]) == (0.0, 1.0)
    assert one["probe"] > 0.6  # even of random weights: the words themselves tell the class
    assert "not installed" in missing["problem"]
    assert (other["languages"], other["licence"], other["n_layers"]) == (["fr"], "mit", 1)
    assert broken["problem"]


def test_without_labels_or_a_corpus_there_is_no_score(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LABELED.unlink()
    CORPUS.unlink()
    backbones(n_texts=40, as_json=True)
    one = rows(capsys)["one"]
    assert (one["probe"], one["unknown_rate"]) == (None, None)
    backbones(n_texts=40)
    assert "no labelled texts" in capsys.readouterr().out


def test_the_table_has_a_line_a_figure(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbones(n_texts=40, no_probe=True)
    printed = capsys.readouterr().out
    assert all(name in printed for name in backbone_table.CELLS)
    assert "3 × 32" in printed
    assert "1., embeds" in printed


def test_a_class_with_too_few_texts_gives_no_score(workspace: Path) -> None:
    y = np.array([0] * 9 + [1], dtype=np.int64)
    assert probe_score("one", "", Labelled(reviews(10, 2)["text"].tolist(), y, ProbeParams(**VALUES))) is None


def test_known_packages_that_are_installed_are_listed_once() -> None:
    first = next(iter(KNOWN))
    assert backbone_table.sources_at_hand([first, "folder"], ["folder"]).count(first) == 1
