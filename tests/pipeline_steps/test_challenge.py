"""The challenge set: what is planted is found, what is frozen stays, what is added does not push anyone out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_steps import challenge
from ratchet.embeddings.table import write_embeddings
from ratchet.errors import ParamsError
from ratchet.files import read_json, sha256_file
from ratchet.labels.selection_model import unit_length
from ratchet.table_files import read_table, write_table
from ratchet.tables import CHALLENGE, LABELED, SPLIT, check_table
from ratchet.trust.challenge_cases import keep_at_most
from ratchet.trust.predicates import Texts, candidates, holds
from tests.support.bare_figures import bare_figures
from tests.support.films import ARTICLES, CONTRAST, INVARIANCE, PATTERNS, copy_task_files
from tests.support.params import write_params
from tests.support.tiny import BLAME, PRAISE, reviews

VALUES: dict[str, Any] = {
    "features": ["length"],
    "length_edges": [6, 8],
    "max_words": 40,
    "n_clusters": 4,
    "min_slice_size": 15,
    "max_slice_share": 0.5,
    "max_labeled": 300,
    "n_folds": 5,
    "alpha": 0.05,
    "n_permutations": 300,
    "max_overlap": 0.4,
    "max_slices": 3,
    "max_contrast": 20,
    "max_invariance": 8,
    "inverse_regularization": 4.0,
    "salt": "s",
    "seed": 1,
}
PARAMS = challenge.Params(**VALUES)
RULES = challenge.Rules([], CONTRAST, INVARIANCE, PATTERNS, ARTICLES)
WORDS = [*PRAISE, *BLAME]


def embedded(frame: pd.DataFrame) -> np.ndarray:
    return unit_length(
        np.array([[text.split().count(word) + 0.05 for word in WORDS] for text in frame["text"]], np.float32)
    )


def part(n: int, seed: int, sarcastic: bool = False) -> Texts:
    """Reviews; where they are sarcastic, the word 'oh' in a third of them turns their label around."""
    frame = reviews(n, seed)
    if sarcastic:
        oh = np.arange(n) % 3 == 0
        frame["text"] = frame["text"].where(~oh, "oh " + frame["text"])
        frame["label"] = frame["label"].where(~oh, frame["label"].map({"positive": "negative", "negative": "positive"}))
    return Texts(frame, embedded(frame))


def made(frozen: list[list[str]], labeled: Texts, validation: Texts) -> challenge.Challenge:
    return challenge.run(labeled, validation, {}, RULES._replace(frozen=frozen), PARAMS)


def test_a_planted_weakness_is_found_and_its_validation_texts_are_the_challenge() -> None:
    validation = part(120, 3, sarcastic=True)
    cases, report = made([], part(240, 2, sarcastic=True), validation)
    check_table(cases, CHALLENGE, "test")
    assert report["found"][0]["slice"] == "word=oh"
    assert report["found"][0]["p_value"] <= 1 / 301 + 1e-12
    assert report["found"][0]["error_rate"]["value"] > 0.9
    assert "oh" in report["found"][0]["distinctive_words"]
    assert not report["frozen"]
    assert bare_figures(report) == []
    weak = cases[(cases["kind"] == "weak") & (cases["name"] == "word=oh")]
    assert weak["id"].tolist() == validation.frame["id"][validation.frame["text"].str.startswith("oh ")].tolist()
    assert report["slices"]["word=oh"]["n_validation"] == 40


def test_a_model_without_weakness_gives_no_weak_slice() -> None:
    cases, report = made([], part(240, 2), part(120, 3))
    assert report["found"] == []
    assert report["slices"] == {}
    assert set(cases["kind"]) == {"contrast", "invariance"}


def test_frozen_slices_are_used_whatever_is_found() -> None:
    validation = part(120, 3, sarcastic=True)
    cases, report = made([["word=film", "length=long"]], part(240, 2, sarcastic=True), validation)
    assert report["frozen"]
    assert report["found"][0]["slice"] == "word=oh"
    assert set(cases["name"][cases["kind"] == "weak"]) == {"word=film & length=long"}


def test_labels_of_edited_cases() -> None:
    validation = part(200, 3)
    cases, _ = made([], part(240, 2), validation)
    truth = validation.frame.set_index("id")
    contrast, same = (cases[cases["kind"] == kind] for kind in ("contrast", "invariance"))
    assert len(contrast) > 0
    assert (truth["label"][contrast["id"]].to_numpy() != contrast["label"].to_numpy()).all()
    assert (truth["label"][same["id"]].to_numpy() == same["label"].to_numpy()).all()
    for frame in (contrast, same):
        assert (truth["text"][frame["id"]].to_numpy() != frame["text"].to_numpy()).all()
    assert contrast["name"].value_counts().max() <= 20
    assert same["name"].value_counts().max() <= 8


def test_other_classes_than_the_lexicons_get_no_contrast_and_a_reason() -> None:
    labeled, validation = part(100, 1), part(60, 3)
    for item in (labeled, validation):
        item.frame["label"] = item.frame["label"].map({"positive": "urgent", "negative": "routine"})
    cases, report = challenge.run(labeled, validation, {}, RULES, PARAMS)
    assert set(cases["kind"]) == {"invariance"}
    assert "negative, positive" in report["contrast_without_class"]
    assert report["kinds_without_cases"] == ["weak", "contrast"]


@given(st.lists(st.text("abcdef", min_size=3, max_size=6), unique=True, max_size=80), st.integers(0, 30))
def test_an_id_stays_until_there_are_too_many_and_those_that_remain_were_there(ids: list[str], most: int) -> None:
    first = ids[: len(ids) // 2]
    before = {key for key, kept in zip(first, keep_at_most(first, "s", most), strict=True) if kept}
    kept = {key for key, kept in zip(ids, keep_at_most(ids, "s", most), strict=True) if kept}
    assert len(kept) <= most
    if len(ids) <= most:
        assert before <= kept
    assert kept & set(first) <= before, "who was left out does not come back"
    roomy = {key for key, kept in zip(ids, keep_at_most(ids, "s", most + len(ids)), strict=True) if kept}
    assert before <= roomy, "with room for all, nobody leaves"


def test_growth_moves_the_bound_seldom() -> None:
    """A tenth more texts, one at a time: somebody leaves once or twice, not with every arrival."""
    ids = [str(number) for number in range(1100)]
    before, n_changes = set(ids[:1000]), 0
    for n in range(1000, 1100):
        kept = {key for key, keep in zip(ids[:n], keep_at_most(ids[:n], "s", 100), strict=True) if keep}
        n_changes += not before <= kept if n > 1000 else 0
        before = kept
    assert n_changes <= 2
    assert 85 <= len(before) <= 100


def test_added_data_pushes_no_frozen_text_out() -> None:
    frozen = [["word=film"]]
    few = made(frozen, part(240, 2), part(60, 3)).cases
    grown = pd.concat([part(60, 3).frame, part(30, 4).frame], ignore_index=True)
    roomy = PARAMS.model_copy(update={"max_contrast": 100, "max_invariance": 100})
    many = challenge.run(part(240, 2), Texts(grown, embedded(grown)), {}, RULES._replace(frozen=frozen), roomy).cases
    rows = {tuple(row) for row in many.itertuples(index=False)}
    assert {tuple(row) for row in few.itertuples(index=False)} <= rows


def test_predicates_mean_the_same_on_the_texts_they_were_found_in() -> None:
    texts = part(200, 7)
    anchors = dict(zip(texts.frame["id"], texts.vectors, strict=True))
    found = candidates(texts, ["length", "source"], [6, 8], PATTERNS, 10, 20, 5, 0)
    assert sum(name.startswith("near=") for name in found) == 5
    assert {"length=short", "source=made", "word=film"} <= set(found)
    for predicate, mask in found.items():
        np.testing.assert_array_equal(holds(predicate, texts, anchors, [6, 8], PATTERNS), mask, predicate)


@pytest.mark.parametrize("predicate", ["nonsense", "near=none@0.5", "near=x", "length="])
def test_what_is_no_predicate_is_named(predicate: str) -> None:
    with pytest.raises(ParamsError, match=r"weak_slices\.yaml"):
        holds(predicate, part(10, 1), {}, [6, 8], PATTERNS)


def test_main_reads_the_files_and_writes_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(challenge.Params, "challenge", VALUES)
    copy_task_files(tmp_path, "challenge", "lexicons")
    sides = {"train": part(100, 1), "validation": part(80, 2)}
    for side, texts in sides.items():
        write_table(Path(f"data/splits/{side}.parquet"), texts.frame, SPLIT)
    bought = sides["train"].frame.head(60)[["id", "text", "label", "source"]].assign(round=0, query_strategy="random")
    elsewhere = bought.head(1).assign(id="labelled by people")
    write_table(Path(challenge.READS["labeled"]), pd.concat([elsewhere, bought]), LABELED)
    write_embeddings(
        Path(challenge.READS["embeddings"]),
        [(texts.frame["id"].tolist(), texts.vectors) for texts in sides.values()],
        len(WORDS),
    )
    anchor = sides["validation"].frame["id"][0]
    Path(challenge.READS["weak_slices"]).write_text(f'frozen: [["near={anchor}@0.9"]]')
    challenge.main()
    hashes = {path: sha256_file(Path(path)) for path in challenge.WRITES.values()}
    cases = read_table(Path(challenge.WRITES["challenge"]), CHALLENGE)
    assert set(cases["name"][cases["kind"] == "weak"]) == {f"near={anchor}@0.9"}
    assert read_json(Path(challenge.WRITES["report"]))["frozen"]
    challenge.main()
    assert {path: sha256_file(Path(path)) for path in challenge.WRITES.values()} == hashes
    Path(challenge.READS["weak_slices"]).write_text("frozen: word=film")
    with pytest.raises(ParamsError, match="frozen"):
        challenge.main()
