"""The label store: added to and never changed, verified, and whole after a crash at any point."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ratchet.errors import TableError
from ratchet.files import read_json, write_json
from ratchet.labels import store
from ratchet.labels.resolution import resolve
from ratchet.tables import ANNOTATIONS, HUMAN_LABELS
from tests.support.answers import stored_answers


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    write_json(tmp_path / "labels.json", {"batches": []})
    return tmp_path / "labels.json", tmp_path / "labels"


def add(place: tuple[Path, Path], table: pd.DataFrame) -> list[store.Batch]:
    pointer, folder = place
    written = [store.write_batch(folder, table, ANNOTATIONS)]
    written.append(store.write_batch(folder, resolve(table, 1, 0.6), HUMAN_LABELS))
    batches = [batch for batch in written if batch is not None]
    store.append(pointer, batches)
    return batches


def test_an_empty_pointer_is_an_empty_store_without_a_folder(place: tuple[Path, Path]) -> None:
    assert [len(table) for table in store.read_store(*place)] == [0, 0]


def test_what_was_added_comes_back_in_order(place: tuple[Path, Path]) -> None:
    first, second = stored_answers([("t", "anna", "yes")]), stored_answers([("u", "ben", "no"), ("v", "ben", "yes")])
    add(place, first)
    before = read_json(place[0])["batches"]
    add(place, second)
    assert read_json(place[0])["batches"][: len(before)] == before
    held = store.read_store(*place)
    pd.testing.assert_frame_equal(held.annotations, pd.concat([first, second], ignore_index=True))
    assert held.decisions["id"].tolist() == ["t", "u", "v"]


def test_the_same_rows_again_change_nothing(place: tuple[Path, Path]) -> None:
    table = stored_answers([("t", "anna", "yes")])
    add(place, table)
    before = {path.name: path.read_bytes() for path in place[1].iterdir()}, place[0].read_bytes()
    add(place, table)
    assert ({path.name: path.read_bytes() for path in place[1].iterdir()}, place[0].read_bytes()) == before


def test_a_batch_that_no_pointer_names_is_not_in_the_store(place: tuple[Path, Path]) -> None:
    add(place, stored_answers([("t", "anna", "yes")]))
    assert store.write_batch(place[1], stored_answers([("u", "ben", "no")]), ANNOTATIONS) is not None
    assert store.read_store(*place).annotations["id"].tolist() == ["t"]
    assert store.write_batch(place[1], stored_answers([]), ANNOTATIONS) is None


def test_an_altered_batch_is_refused(place: tuple[Path, Path]) -> None:
    batches = add(place, stored_answers([("t", "anna", "yes")]))
    path = place[1] / batches[0].file
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(TableError, match="altered"):
        store.read_store(*place)


def test_a_missing_batch_is_named_with_what_brings_it_back(place: tuple[Path, Path]) -> None:
    batches = add(place, stored_answers([("t", "anna", "yes")]))
    (place[1] / batches[1].file).unlink()
    with pytest.raises(TableError, match=r"dvc checkout .*labels\.dvc"):
        store.read_store(*place)


BROKEN = {
    "no JSON": "{",
    "another shape": '{"batches": {}}',
    "an unknown key": '{"batches": [], "more": 1}',
    "a path instead of a name": '{"batches": [{"table": "annotations", "file": "../a.parquet", "sha256": "%s", '
    '"n_rows": 1}]}' % ("0" * 64),
    "an unknown table": '{"batches": [{"table": "others", "file": "others-0123456789abcdef.parquet", "sha256": "%s", '
    '"n_rows": 1}]}' % ("0" * 64),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_damaged_pointer_is_refused(place: tuple[Path, Path], name: str) -> None:
    place[0].write_text(BROKEN[name])
    with pytest.raises(TableError, match="damaged"):
        store.read_store(*place)


def test_an_answer_that_is_stored_twice_is_refused(place: tuple[Path, Path]) -> None:
    table = stored_answers([("t", "anna", "yes")])
    add(place, table)
    add(place, pd.concat([table, stored_answers([("u", "ben", "no")])], ignore_index=True))
    with pytest.raises(TableError, match="twice"):
        store.read_store(*place)


def test_a_missing_pointer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="missing"):
        store.read_pointer(tmp_path / "labels.json")
