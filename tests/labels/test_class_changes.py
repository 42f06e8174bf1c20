"""Classes that are renamed, merged, split or dropped: the batches stay, and are read with the classes of today."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratchet.errors import TableError
from ratchet.files import read_json, sha256_file, write_json
from ratchet.labels import store
from ratchet.labels.class_changes import Change, ClassChange, checked_change, present_name
from ratchet.labels.resolution import current_decisions, new_decisions, resolve
from ratchet.tables import ANNOTATIONS, HUMAN_LABELS, empty_table
from tests.support.answers import stored_answers

VOTES = [("a", "anna", "yes"), ("a", "ben", "yes"), ("b", "anna", "no"), ("b", "ben", "yes"), ("c", "anna", "no")]
AFTER = {
    "rename": (["yes"], ["sure"], {"a": "sure"}, 5),
    "merge": (["yes", "no"], ["known"], {"a": "known", "b": "known"}, 5),
    "split": (["yes"], ["sure", "perhaps"], {}, 2),
    "drop": (["yes"], [], {"a": ""}, 5),
}


def filled(folder: Path) -> tuple[Path, Path]:
    """A store with the votes and their decisions."""
    pointer = folder / "labels.json"
    write_json(pointer, {"batches": []})
    votes = stored_answers(VOTES)
    frames = ((votes, ANNOTATIONS), (new_decisions(resolve(votes, 2, 0.6), empty_table(HUMAN_LABELS)), HUMAN_LABELS))
    batches = [store.write_batch(folder / "labels", frame, table) for frame, table in frames]
    store.append(pointer, [batch for batch in batches if batch is not None], "0" * 16)
    return pointer, folder / "labels"


@pytest.mark.parametrize("change", AFTER)
def test_the_store_is_read_with_the_classes_of_today_and_no_batch_is_touched(tmp_path: Path, change: Change) -> None:
    place = filled(tmp_path)
    before = {path.name: sha256_file(path) for path in place[1].iterdir()}
    old, new, labels, n_answers = AFTER[change]
    n_batches = len(store.read_pointer(place[0]))
    store.add_change(place[0], checked_change(change, old, new, ["yes", "no"], n_batches))
    held = store.read_store(*place)
    assert len(held.annotations) == n_answers
    again = resolve(held.annotations, 2, 0.6)
    now = current_decisions(held.decisions)
    for decisions in (again, now):
        closed = decisions[decisions["state"] != "escalated"]
        known = dict(zip(closed["id"], closed["label"].fillna(""), strict=True))
        assert known == {name: label for name, label in labels.items() if decisions is again or name == "a"}
    assert {path.name: sha256_file(path) for path in place[1].iterdir()} == before
    assert read_json(place[0])["key_fingerprint"] == "0" * 16
    store.append(place[0], [])
    assert len(store.read_changes(place[0])) == 1


def test_batches_after_a_change_mean_what_they_say(tmp_path: Path) -> None:
    """A class may come back under a name that was given up before."""
    place = filled(tmp_path)
    store.add_change(place[0], checked_change("rename", ["yes"], ["sure"], ["yes", "no"], 2))
    later = store.write_batch(place[1], stored_answers([("z", "anna", "yes")]), ANNOTATIONS)
    assert later is not None
    store.append(place[0], [later])
    labels = store.read_store(*place).annotations.set_index("id")["label"]
    assert set(labels["a"]) == {"sure"}
    assert labels["z"] == "yes"


def test_changes_follow_each_other() -> None:
    changes = [
        ClassChange(change="rename", old=["a"], new=["b"], n_batches=1),
        ClassChange(change="merge", old=["b", "c"], new=["d"], n_batches=2),
        ClassChange(change="drop", old=["e"], new=[], n_batches=3),
        ClassChange(change="split", old=["f"], new=["g", "h"], n_batches=3),
    ]
    assert [present_name(name, changes) for name in "abcdefx"] == ["d", "d", "d", "d", "", "f", "x"]


WRONG: dict[str, tuple[Change, list[str], list[str], str]] = {
    "an unknown class": ("drop", ["maybe"], [], "no such class"),
    "a class that is there": ("rename", ["yes"], ["no"], "there already"),
    "one class merged": ("merge", ["yes"], ["x"], "does not fit"),
    "split into one": ("split", ["yes"], ["x"], "does not fit"),
    "split into itself": ("split", ["yes"], ["yes", "x"], "named twice"),
    "the same twice": ("split", ["yes"], ["x", "x"], "named twice"),
    "no name": ("rename", ["yes"], [" "], "no name"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_change_that_cannot_be_meant_is_refused(name: str) -> None:
    change, old, new, message = WRONG[name]
    with pytest.raises(TableError, match=message):
        checked_change(change, old, new, ["yes", "no"], 0)
