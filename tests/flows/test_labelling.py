"""The labelling loop: pushed twice is once, pulled twice is once, and a crash anywhere in between loses nothing."""

from __future__ import annotations

import functools
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from flows.labelling import flow as label
from flows.labelling import steps as labelling
from flows.labelling.effect import measure_effect
from flows.labelling.worth import next_labels
from flows.runner import workspace
from ratchet.errors import PipelineError, SourceError, TableError, TrainingError
from ratchet.files import read_json
from ratchet.labels import label_studio
from ratchet.labels.query_strategies import mutual_information
from ratchet.labels.queues import FileQueue
from ratchet.labels.selection_model import fit_selection_model, unit_length
from ratchet.labels.store import Store, read_store
from ratchet.registry.audit_log import entries, log_path
from ratchet.table_files import read_table, write_table
from ratchet.tables import LABELED, SPLIT, SUSPECTS
from tests.labels.test_label_studio import TOKEN, Server, given
from tests.pipeline_steps.test_sample import embedded, params
from tests.support.flow_world import answer, isolated_copy, made_once
from tests.support.label_world import make_world, retrain, truth
from tests.support.miniature import ROOT, environment

track = labelling.track
ANNA = ("anna@example.org", " ANNA@example.org ", "anna@example.org\u200b")
FLIPPED = {"negative": "positive", "positive": "negative"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from made_once(tmp_path_factory, make_world)


@pytest.fixture
def world(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return isolated_copy(made, tmp_path, monkeypatch)


@pytest.fixture
def tracked(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with DVC."""
    monkeypatch.setattr(labelling, "track", track)
    return world


def push(n: int = 6, **more: Any) -> str:
    return str(label.push.fn(n_open=n, **more).message)


def pull(**more: Any) -> str:
    return str(label.pull.fn(**more).message)


def queue_items(root: Path) -> list[str]:
    return sorted(FileQueue(root / labelling.QUEUE).items())


def store(root: Path) -> Store:
    return read_store(root / labelling.POINTER, root / labelling.STORE)


def state(root: Path) -> dict[str, bytes]:
    """Every byte of the store and its pointer."""
    return {path.name: path.read_bytes() for path in [root / labelling.POINTER, *(root / labelling.STORE).glob("*")]}


def test_pushed_twice_is_once_and_answered_texts_make_room(world: Path) -> None:
    assert "6 texts sent" in push()
    first = queue_items(world)
    assert len(first) == 6
    assert push().startswith("0 texts sent")
    assert queue_items(world) == first
    assert not (world / labelling.OUTBOX).exists()
    labeled = set(read_table(world / labelling.LABELED, LABELED)["id"])
    assert labeled.isdisjoint(first)
    answer(world, "anna", {name: truth()[name] for name in first[:2]})
    answer(world, "ben", {name: truth()[name] for name in first[:1]})
    assert push().startswith("1 texts sent")
    assert set(first) < set(queue_items(world))


def test_where_every_label_is_used_people_are_asked_about_the_texts_without_one(world: Path) -> None:
    (world / "params.yaml").write_text((world / "params.yaml").read_text().replace('"budget": 30', '"budget": "all"'))
    path = world / labelling.SPLITS / "train.parquet"
    train = read_table(path, SPLIT)
    train.loc[::3, "label"] = None
    write_table(path, train, SPLIT)
    retrain()
    assert len(read_table(world / labelling.LABELED, LABELED)) == 80
    assert push(max_pool=30).startswith("6 texts sent")
    assert {*queue_items(world)} < {*train["id"][::3]}
    assert push(n=100).startswith("34 texts sent")
    assert {*queue_items(world)} == {*train["id"][::3]}
    assert push(n=100).startswith("0 texts sent")


def test_what_is_pushed_says_why_and_what_the_model_thinks(world: Path) -> None:
    push(query_strategy="margin")
    for item in FileQueue(world / labelling.QUEUE).items().values():
        assert item.reason.startswith("margin 0.")
        assert "what is labelled" in item.reason
        assert item.suggested in FLIPPED
        assert 0.5 <= item.confidence <= 1.0
        assert item.bundle.startswith("baseline@")
        assert item.query_strategy == "margin"
        assert item.query_score == pytest.approx(2 - 2 * item.confidence)  # of two classes


@pytest.mark.parametrize("when", ["before sending", "half sent", "all sent"])
def test_a_push_that_was_killed_sends_exactly_what_it_had_chosen(
    world: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real = FileQueue.send

    def crash(self: FileQueue, items: Any) -> None:
        real(self, items[: {"before sending": 0, "half sent": 3, "all sent": 6}[when]])
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(FileQueue, "send", crash)
        with pytest.raises(KeyboardInterrupt):
            push()
    chosen = sorted(item.id for item in labelling_outbox(world))
    push()
    assert queue_items(world) == chosen
    assert push().startswith("0 texts sent")


def labelling_outbox(root: Path) -> list[Any]:
    from ratchet.labels.queues import read_items

    return read_items(root / labelling.OUTBOX)


def answered(root: Path) -> dict[str, str]:
    """Push, and have three people answer: they agree on all but the last text, where one person is missing."""
    push()
    names = queue_items(root)
    right = {name: truth()[name] for name in names}
    answer(root, "anna", right)
    answer(root, "ben", {**right, names[-1]: FLIPPED[right[names[-1]]]})
    answer(root, "cleo", {name: right[name] for name in names[:3]})
    return right


def test_pulled_twice_is_once(world: Path) -> None:
    right = answered(world)
    assert pull().startswith("15 new answers, 6 new decisions; in all 5 labels, 0 texts wait")
    held = store(world)
    assert held.annotations["annotator"].nunique() == 3
    assert not held.annotations["annotator"].str.contains("anna|ben|cleo").any()
    assert held.annotations["bundle"].str.startswith("baseline@").all()
    assert held.annotations["suggested"].isin(list(FLIPPED)).all()
    assert (held.annotations["annotated_at"] == "2026-01-01T12:00:00.000000Z").all()
    assert (held.annotations["lead_time_s"] == 8).all()
    resolved = held.decisions[held.decisions["state"] == "resolved"]
    assert {row.id: row.label for row in resolved.itertuples()} == dict(sorted(right.items())[:-1])
    before = state(world)
    assert pull().startswith("0 new answers, 0 new decisions; in all 5 labels")
    assert state(world) == before


def test_a_pull_that_can_decide_nothing_says_for_which_answers_the_texts_wait(world: Path) -> None:
    """The first pulls of most projects: nobody has answered yet, then only one person of two."""
    push(10)
    assert "0 new answers, 0 new decisions" in (nobody := pull())
    assert "10 texts wait for a first answer" in nobody
    names = queue_items(world)
    answer(world, "anna", {name: truth()[name] for name in names[:7]})
    assert "3 texts wait for a first answer, 7 for a second" in pull()
    answer(world, "anna", {name: truth()[name] for name in names})
    summary = pull()
    assert "3 new answers, 0 new decisions; in all 0 labels, 10 texts wait for a second answer" in summary
    assert "10 texts wait for a second answer" in pull()
    assert len(store(world).annotations) == 10
    assert store(world).decisions.empty


def test_a_conflict_goes_to_an_adjudicator_whose_word_holds(world: Path) -> None:
    right = answered(world)
    assert "1 in conflict" in pull()
    (item,) = FileQueue(world / labelling.CONFLICTS).items().values()
    assert item.id == max(right)
    assert item.reason == "in conflict: 1 × negative, 1 × positive"
    answer(world, "chief", {item.id: right[item.id]}, labelling.CONFLICTS)
    assert "in all 6 labels" in pull()
    assert "0 in conflict" in pull()
    last = store(world).decisions.iloc[-1]
    assert (last["id"], last["label"], last["rule"]) == (item.id, right[item.id], "adjudicated")


def test_what_everybody_skips_is_closed_as_unusable_and_makes_room(world: Path) -> None:
    push(5)
    names = queue_items(world)
    for person in ("anna", "ben"):
        answer(world, person, dict.fromkeys(names, "skip"))
    assert push(5).startswith("5 texts sent")
    assert "in all 0 labels, 5 closed as unusable, 5 texts wait for a first answer" in pull()
    held = store(world).decisions
    assert held["state"].tolist() == ["unusable"] * 5
    assert held["label"].isna().all()
    assert "0 new answers, 0 new decisions; in all 0 labels, 5 closed as unusable" in pull()
    retrain()
    assert read_json(Path("reports/sample.json"))["people"]["n_unusable"] == 5
    answer(world, "anna", dict.fromkeys(names, "positive"))
    answer(world, "ben", dict.fromkeys(names, "positive"))
    assert "5 new decisions; in all 5 labels, 5 texts wait" in pull()


def test_a_cell_that_is_emptied_again_is_told_and_goes_on_counting(world: Path) -> None:
    push(3)
    names = queue_items(world)
    answer(world, "anna", dict.fromkeys(names, "positive"))
    assert "gone" not in pull(n_annotators=1)
    answer(world, "anna", {**dict.fromkeys(names, "positive"), names[0]: ""})
    assert "; 1 answers are gone from file:anna.csv and still count" in pull(n_annotators=1)
    assert "in all 3 labels" in pull(n_annotators=1)


def test_a_renamed_class_refuses_no_later_pull(world: Path) -> None:
    """People go on to answer with the old name, and with the new one."""
    push(4)
    names = queue_items(world)
    answer(world, "anna", dict.fromkeys(names[:2], "positive"))
    pull(n_annotators=1)
    assert labelling.change_classes(world, "rename", ["positive"], ["glad"]) == "rename: 2 texts with answers, 2 labels"
    answer(world, "anna", {**dict.fromkeys(names[:3], "positive"), names[3]: "Glad"})
    assert "2 new answers, 2 new decisions; in all 4 labels" in pull(n_annotators=1)
    assert set(store(world).decisions["label"]) == {"glad"}
    assert "0 new answers, 0 new decisions" in pull(n_annotators=1)
    (entry,) = [entry for entry in entries(log_path(world)) if entry.details.get("direction") == "rename"]
    assert (entry.why, entry.details["n_texts"]) == ("positive to glad", 2)


def test_the_texts_of_a_split_class_are_asked_again(world: Path) -> None:
    push(4)
    names = queue_items(world)
    answer(world, "anna", {**dict.fromkeys(names[:3], "positive"), names[3]: "negative"})
    assert "in all 4 labels" in pull(n_annotators=1)
    labelling.change_classes(world, "split", ["positive"], ["glad", "moved"])
    assert "3 texts sent" in push(3, n_annotators=1)
    assert push(3, n_annotators=1).startswith("0 texts sent")
    items = FileQueue(world / labelling.QUEUE).items()
    assert {items[name].reason for name in names[:3]} == {"labelled positive, which is now glad or moved"}
    assert "3 answers are set aside, for they name no class: 'positive'" in (summary := pull(n_annotators=1))
    assert "in all 1 labels, 3 texts wait for a first answer" in summary
    answer(world, "anna", {**dict.fromkeys(names[:3], "moved"), names[3]: "negative"})
    assert "3 new answers, 3 new decisions; in all 4 labels" in pull(n_annotators=1)


def test_a_dropped_class_closes_its_texts(world: Path) -> None:
    push(3)
    answer(world, "anna", dict.fromkeys(queue_items(world), "positive"))
    pull(n_annotators=1)
    labelling.change_classes(world, "drop", ["positive"], [])
    assert "0 new answers, 0 new decisions; in all 0 labels, 3 closed as unusable" in pull(n_annotators=1)


def test_two_people_by_sheet_server_and_file_at_once_are_two_people(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost or counted twice, whichever way an answer comes and how often it is pulled."""
    people = {7: "Anna@example.org", 9: "ben@example.org"}
    server = Server()
    server.users = people
    monkeypatch.setenv(labelling.URL, "http://server")
    monkeypatch.setenv(labelling.TOKEN, TOKEN)
    here = functools.partial(label_studio.LabelStudioQueue, transport=httpx.MockTransport(server))
    monkeypatch.setattr(label_studio, "LabelStudioQueue", here)
    push()
    names = sorted(task["data"]["id"] for task in server.tasks)
    right = {name: truth()[name] for name in names}
    for task in server.tasks:
        place = names.index(task["data"]["id"])
        who = [7] * (place < 4) + [9] * (place >= 2)
        task["annotations"] = [given(right[names[place]], id=10 * place + one, completed_by=one) for one in who]
    folder = world / labelling.QUEUE
    folder.mkdir(parents=True)
    rows = [f"{name};{right[name]};{spelled}" for name, spelled in zip(names[3:], ANNA, strict=True)]
    for copy in ("shared.csv", "shared (1).csv"):
        (folder / copy).write_text("\n".join(["id;label;annotator", *rows]), encoding="utf-16")
    own = world / "ben.csv"
    own.write_text("\n".join(["id,label,annotator", *(f"{name},{right[name]},BEN@example.org" for name in names[:3])]))

    summary = pull(answers=str(own))
    assert "6 new decisions; in all 6 labels, 0 texts wait" in summary
    held = store(world)
    assert held.annotations.groupby("id")["annotator"].nunique().tolist() == [2] * 6
    assert held.annotations["annotator"].nunique() == 2
    assert dict(zip(held.decisions["id"], held.decisions["label"], strict=True)) == right
    assert set(held.decisions["n_annotators"]) == {2}
    before = state(world)
    assert pull(answers=str(own)).startswith("0 new answers, 0 new decisions")
    server.users = {}  # both accounts are deleted
    for task in server.tasks:
        task["annotations"] = [{**one, "completed_by": None} for one in task["annotations"]]
    assert pull(answers=str(own)).startswith("0 new answers, 0 new decisions")
    assert state(world) == before


def test_a_sheet_without_a_label_is_named(world: Path) -> None:
    push(2)
    assert "no row" not in pull()
    answer(world, "anna", dict.fromkeys(queue_items(world), ""))
    assert "; no row of file:anna.csv has a label" in pull()


def test_an_answer_changed_and_changed_back_without_times_is_followed(world: Path) -> None:
    push(1)
    (name,) = queue_items(world)
    for said in ("positive", "negative", "positive"):
        (world / labelling.QUEUE / "anna.csv").write_text(f"id,label\n{name},{said}\n")
        assert pull(n_annotators=1).startswith("1 new answers, 1 new decisions")
        assert store(world).decisions.iloc[-1]["label"] == said
        assert pull(n_annotators=1).startswith("0 new answers, 0 new decisions")


def test_another_pseudonym_key_is_refused_before_anything_is_stored(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(world)
    pull()
    before = state(world)
    monkeypatch.setenv(labelling.KEY, "another key")
    with pytest.raises(TableError, match="another one than the label store's"):
        pull()
    monkeypatch.delenv(labelling.KEY)
    with pytest.raises(TableError, match="another one than the label store's"):
        pull()
    assert state(world) == before


def test_an_answer_that_names_no_class_blocks_no_other_one(world: Path) -> None:
    push(3)
    names = queue_items(world)
    answer(world, "anna", {names[0]: "Positive ", names[1]: "negative", names[2]: "positve"})
    summary = pull(n_annotators=1)
    assert summary.startswith("2 new answers, 2 new decisions")
    assert "1 answers are set aside, for they name no class: 'positve' (the first: file:anna.csv" in summary
    answer(world, "ben", dict.fromkeys(names, "yes"))
    (world / labelling.QUEUE / "anna.csv").unlink()
    with pytest.raises(TableError, match="none of the classes"):
        pull(n_annotators=1)


def test_the_store_is_tracked_by_dvc_and_comes_back_from_its_cache(tracked: Path) -> None:
    answered(tracked)
    pull()
    assert (tracked / "data/labels.dvc").is_file()
    before = store(tracked)
    shutil.rmtree(tracked / labelling.STORE)
    subprocess.run([sys.executable, "-m", "dvc", "checkout", "--quiet"], cwd=tracked, env=environment(), check=True)
    after = store(tracked)
    assert [len(table) for table in after] == [len(table) for table in before]


CRASHES = ["fetch", "write_batch first", "write_batch second", "track", "append", "escalate"]


@pytest.mark.parametrize("where", CRASHES)
def test_a_pull_that_was_killed_loses_nothing(
    world: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Killed at a step and pulled again, the store holds the same bytes as after one pull that nothing disturbed."""
    answered(world)
    calm = shutil.copytree(world, tmp_path / "calm")
    empty = read_json(world / labelling.POINTER)
    place, _, turn = where.partition(" ")
    moved = {
        "write_batch": "ratchet.labels.store",
        "append": "ratchet.labels.store",
        "fetch": "flows.labelling.collecting",
    }
    target = f"{moved.get(place, 'flows.labelling.steps')}.{place}"
    module, name = target.rsplit(".", 1)
    real = getattr(sys.modules[module], name)
    calls = []

    def crash(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if turn == "second" and len(calls) == 1:
            return real(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(target, crash)
        with pytest.raises(KeyboardInterrupt):
            pull()
    assert calls
    if where != "escalate":
        assert read_json(world / labelling.POINTER) == empty
        assert len(store(world).annotations) == 0
    pull()
    monkeypatch.chdir(calm)
    pull()
    assert state(world) == state(calm)
    assert FileQueue(world / labelling.CONFLICTS).items().keys() == FileQueue(calm / labelling.CONFLICTS).items().keys()


def test_what_dvc_cannot_track_is_not_in_the_store(tracked: Path) -> None:
    answered(tracked)
    (tracked / ".dvc/config").write_text("no configuration")
    with pytest.raises(PipelineError, match="cannot track"):
        pull()
    assert read_json(tracked / labelling.POINTER) == {"batches": []}


def test_a_spreadsheet_of_one_s_own_is_a_pull_too(world: Path) -> None:
    """By id for texts of the pool, by their text for others."""
    name, right = next(iter(truth().items()))
    sheet = world / "mine.csv"
    sheet.write_text(f"id,text,label,annotator\n{name},,{FLIPPED[right]},anna\n,Never seen before,positive,anna\n")
    assert "2 new answers, 2 new decisions" in pull(answers=str(sheet), n_annotators=1)
    assert "0 new answers, 0 new decisions" in pull(answers=str(sheet), n_annotators=1)
    retrain()
    labeled = read_table(world / labelling.LABELED, LABELED).set_index("id")
    assert labeled.loc[name, "label"] == FLIPPED[right]
    assert "Never seen before" in labeled["text"].tolist()


def test_the_next_run_trains_on_what_people_said_and_reports_what_it_cost(world: Path) -> None:
    right = answered(world)
    before = read_json(Path("models/baseline/bundle.json"))["data_sha256"]
    pull()
    retrain()
    labeled = read_table(world / labelling.LABELED, LABELED)
    by_people = labeled[labeled["query_strategy"] == "people"]
    assert dict(zip(by_people["id"], by_people["label"], strict=True)) == dict(sorted(right.items())[:-1])
    assert read_json(Path("models/baseline/bundle.json"))["data_sha256"] != before
    people = read_json(Path("reports/sample.json"))["people"]
    assert people["seconds_per_label"]["value"] == pytest.approx(15 * 8 / 5)
    assert people["usd_per_hundred_labels"]["value"] == pytest.approx(
        100 * 15 * 8 / 5 / 3600 * 20.0, abs=0.05
    )  # as reports round it
    assert people["agreement"]["n_texts_with_two_answers"] == 6
    push()
    assert set(queue_items(world)).isdisjoint(set(labeled["id"]) - set(right))


def write_suspects(root: Path) -> list[str]:
    """Four suspects: three that are trained on, one that is tested on; the ids of the three, in the order of ranks."""
    labeled = read_table(root / labelling.LABELED, LABELED).iloc[[7, 2, 11]]
    rows = labeled[["id", "text", "source", "label"]].assign(part="labeled")
    rows = pd.concat([rows.iloc[:1].assign(id="e" * 16, part="test"), rows], ignore_index=True)
    rows = rows.assign(suggested=rows["label"].map(FLIPPED), score=0.0625, rank=range(4))
    write_table(root / labelling.SUSPECTS, rows[::-1], SUSPECTS)
    return [str(name) for name in labeled["id"]]


def test_suspects_are_asked_about_again_and_the_answer_is_trained_on(world: Path) -> None:
    names = write_suspects(world)
    assert push(2, suspects=True).startswith("2 texts sent")
    items = FileQueue(world / labelling.QUEUE).items()
    assert set(items) == set(names[:2])
    was = read_table(world / labelling.LABELED, LABELED).set_index("id")["label"]
    for name, item in items.items():
        assert item.reason == (
            f"labelled {was[name]}, to which a model that never saw this label gives 0.06; "
            f"{FLIPPED[was[name]]} is likelier to it"
        )
        assert (item.suggested, item.query_strategy) == ("", "suspect")
    answer(world, "anna", {name: FLIPPED[was[name]] for name in names[:2]})
    answer(world, "ben", {name: FLIPPED[was[name]] for name in names[:2]})
    assert "in all 2 labels" in pull()
    assert push(2, suspects=True).startswith("1 texts sent")
    assert push(2, suspects=True).startswith("0 texts sent")
    assert set(queue_items(world)) == set(names)
    retrain()
    labeled = read_table(world / labelling.LABELED, LABELED).set_index("id")
    assert labeled.loc[names[:2], "label"].tolist() == [FLIPPED[was[name]] for name in names[:2]]
    found = measure_effect(world)
    assert (found.n_changed, found.n_closed) == (2, 0)
    assert found.gain.n == read_table(world / labelling.SPLITS / "validation.parquet", SPLIT)["label"].notna().sum()
    with pytest.raises(PipelineError, match="chosen by `vet`"):
        push(suspects=True, query_strategy="margin")


def test_what_the_next_labels_are_worth_counts_people_s_labels(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = len(read_table(world / labelling.LABELED, LABELED))
    with pytest.raises(TrainingError, match="too few labels"):
        next_labels(world, 50)
    monkeypatch.setattr("ratchet.labels.forecast.LEAST", n)
    before = next_labels(world, 50)
    assert (before.forecast.n_labels, before.forecast.n_more) == (n, 50)
    assert before.forecast.gain.low <= before.forecast.gain.value <= before.forecast.gain.high
    assert math.isnan(before.usd), "nobody was timed"
    answered(world)
    pull()
    after = next_labels(world, 50)
    held = read_store(world / labelling.POINTER, world / labelling.STORE).decisions
    assert after.forecast.n_labels == n + (held["state"] == "resolved").sum()


def logged(root: Path) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.subject, entry.details) for entry in entries(log_path(root)) if entry.action == "label_batch"]


def test_each_batch_is_in_the_audit_log_once_and_holds_no_text(world: Path) -> None:
    answered(world)
    ((subject, sent),) = logged(world)
    assert re.fullmatch(r"outbox@[0-9a-f]{64}", subject)
    assert (sent["direction"], sent["n_texts"], sent["n_new"]) == ("push", 6, 6)
    assert str(sent["bundle"]).startswith("baseline@")
    pull()
    pull()
    batches = read_json(world / labelling.POINTER)["batches"]
    assert [(subject, details["sha256"], details["n_rows"]) for subject, details in logged(world)[1:]] == [
        (batch["file"], batch["sha256"], batch["n_rows"]) for batch in batches
    ]
    log = log_path(world).read_text()
    assert not any(item.text in log for item in FileQueue(world / labelling.QUEUE).items().values())


def test_a_batch_that_was_sent_is_logged_although_the_push_was_killed(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.name == labelling.OUTBOX.name:
            raise KeyboardInterrupt
        real(path, missing_ok)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            push()
    (sent,) = logged(world)
    push()
    again = logged(world)
    assert [subject for subject, _ in again] == [sent[0], sent[0]]
    assert [details["n_new"] for _, details in again] == [6, 0]


def test_without_an_accepted_model_a_diverse_sample_is_sent_without_suggestions(world: Path) -> None:
    (world / "reports/decision.json").write_text('{"chosen": null}')
    assert "6 texts sent" in push()
    for item in FileQueue(world / labelling.QUEUE).items().values():
        assert (item.query_strategy, item.suggested, item.bundle) == ("typiclust", "", "")
        assert item.confidence != item.confidence
    with pytest.raises(PipelineError, match="no model to ask"):
        push(12, query_strategy="margin")
    assert "6 texts sent" in push(12, bundle="models/baseline")
    answer(world, "anna", dict.fromkeys(queue_items(world), "positive"))
    assert "12 new answers, 12 new decisions" in pull(n_annotators=1)
    assert store(world).annotations["suggested"].isna().sum() == 6


def test_before_any_run_a_random_sample_is_sent(world: Path) -> None:
    """The splits alone are there: no decision, no labels, no embeddings."""
    for path in (Path("reports/decision.json"), labelling.LABELED, labelling.EMBEDDINGS):
        (world / path).unlink()
    assert "6 texts sent" in push()
    found = FileQueue(world / labelling.QUEUE).items().values()
    assert {(item.query_strategy, item.reason) for item in found} == {("random", "drawn at random")}


def test_bald_asks_where_models_of_the_labels_disagree(world: Path) -> None:
    push(query_strategy="bald")
    sent = {*FileQueue(world / labelling.QUEUE).items()}
    train, labels = (
        read_table(world / labelling.SPLITS / "train.parquet", SPLIT),
        read_table(world / labelling.LABELED, LABELED),
    )
    known = train["id"].isin(labels["id"]).to_numpy()
    points = unit_length(embedded(train))
    positive = train["id"].map(labels.set_index("id")["label"])[known] == "positive"
    targets = np.where(positive, 1, 0).astype(np.int64)
    model = fit_selection_model(points[known], targets, 2, params().inverse_regularization)
    scores = pd.Series(mutual_information(model.draw_proba(points)), index=train["id"])
    asked, others = scores[[*sent]], scores[~known].drop([*sent])
    assert asked.min() >= others.max() - 1e-9
    assert asked.min() > 0


def test_bald_without_labels_of_two_classes_is_refused(world: Path) -> None:
    labels = read_table(world / labelling.LABELED, LABELED)
    write_table(world / labelling.LABELED, labels[labels["label"] == "positive"].reset_index(drop=True), LABELED)
    with pytest.raises(TrainingError, match="fewer than two classes"):
        push(query_strategy="bald")
    assert not (world / labelling.OUTBOX).exists()


def test_an_unknown_strategy_is_refused(world: Path) -> None:
    with pytest.raises(PipelineError, match="no such strategy"):
        push(query_strategy="guess")


@pytest.mark.parametrize("values", [{"min_agreement": 60.0}, {"min_agreement": 0.0}, {"n_annotators": 0}])
def test_a_rule_that_cannot_be_meant_is_refused(world: Path, values: dict[str, Any]) -> None:
    answered(world)
    with pytest.raises(PipelineError, match="out of its range"):
        pull(**values)
    with pytest.raises(PipelineError, match="out of its range"):
        push(0)


def test_only_a_server_that_is_away_is_tried_again() -> None:
    from prefect.client.schemas.objects import State
    from prefect.states import Failed  # after flows.labelling.flow has set the environment that Prefect reads

    away: State[Any] = Failed(data=SourceError("away"))
    broken: State[Any] = Failed(data=PipelineError("broken"))
    assert [label._server_is_unreachable(None, None, state) for state in (away, broken)] == [True, False]  # type: ignore[arg-type]


def test_nothing_is_pushed_or_pulled_beside_another_run(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(root: Path) -> None:
        raise PipelineError("Another run is at work in this workspace.")

    monkeypatch.setattr(workspace, "lock_workspace", held)
    for work in (push, pull):
        with pytest.raises(PipelineError, match="Another run"):
            work()
    assert queue_items(world) == []


def test_a_server_without_a_token_is_refused(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(labelling.URL, "http://127.0.0.1:9")
    monkeypatch.delenv(labelling.TOKEN, raising=False)
    with pytest.raises(PipelineError, match="LABEL_STUDIO_TOKEN"):
        push()
    monkeypatch.setenv(labelling.TOKEN, "secret-token")
    with pytest.raises(SourceError, match="does not answer"):
        push()
    assert read_json(world / labelling.POINTER) == {"batches": []}


LABELS_SERVER = ROOT / ".venv-labels/bin/label-studio"
ERROR_RATES = {"anna": 0.0, "ben": 0.1, "cleo": 0.3}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that points to a Label Studio of its own, started by the documented command."""
    if not LABELS_SERVER.is_file():
        pytest.skip(
            "Label Studio is not installed: LABEL_STUDIO_TOKEN=... LABEL_STUDIO_PASSWORD=... make labels-server"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, password = uuid.uuid4().hex, uuid.uuid4().hex
    env = {
        **environment(),
        "LABEL_STUDIO_URL": f"http://127.0.0.1:{port}",
        "LABEL_STUDIO_TOKEN": token,
        "LABEL_STUDIO_PASSWORD": password,
        "PYTHONPATH": str(ROOT),
        labelling.KEY: "a key for tests",
    }
    command = ["make", "labels-server", f"LABELS_PORT={port}", f"LABELS_DATA={tmp_path / 'label-studio'}"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 900  # the first start migrates its database
        while not _is_up(env["LABEL_STUDIO_URL"]):
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < end, "the server does not start"
            time.sleep(1)
        yield env
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def _sign_up(env: dict[str, str], name: str) -> str:
    """The token of a person who has followed the invitation and signed up."""
    url = env["LABEL_STUDIO_URL"]
    owner = {"Authorization": f"Token {env['LABEL_STUDIO_TOKEN']}"}
    invitation = httpx.get(f"{url}/api/invite", headers=owner, timeout=60).json()["invite_url"]
    with httpx.Client(base_url=url, follow_redirects=True, timeout=60) as browser:
        page = browser.get(invitation).text
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert found is not None
        form = {"csrfmiddlewaretoken": found[1], "email": f"{name}@example.org", "password": uuid.uuid4().hex}
        browser.post(invitation, data=form, headers={"Referer": url})
        return str(browser.get("/api/current-user/token").json()["token"])


def _annotate(env: dict[str, str], token: str, error_rate: float, seed: int, title: str = labelling.PROJECT) -> None:
    """Answer every task of the project over HTTP, as the page does, with errors at this rate."""
    rng = np.random.default_rng(seed)
    headers = {"Authorization": f"Token {token}"}
    with httpx.Client(base_url=env["LABEL_STUDIO_URL"], headers=headers, timeout=120) as person:
        projects = person.get("/api/projects", params={"page_size": 100}).json()["results"]
        (number,) = [found["id"] for found in projects if found["title"] == title]
        query = {"project": number, "page_size": 500, "fields": "task_only"}
        for task in person.get("/api/tasks", params=query).json()["tasks"]:
            right = truth()[task["data"]["id"]]
            chosen = FLIPPED[right] if rng.random() < error_rate else right
            choice = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [chosen]}}
            remark = {"from_name": "comment", "to_name": "text", "type": "textarea", "value": {"text": ["read twice"]}}
            annotation = {"result": [choice, remark], "lead_time": float(rng.uniform(2, 12))}
            person.post(f"/api/tasks/{task['id']}/annotations/", json=annotation).raise_for_status()


def _run(root: Path, env: dict[str, str], *words: str) -> str:
    """The command line, in the world."""
    command = [sys.executable, "-m", "ratchet", "labels", *words]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert env["LABEL_STUDIO_TOKEN"] not in done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.service
def test_the_whole_loop_over_http_with_three_people(
    tracked: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first push and pull by the command line, with Prefect; what is repeated, without."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    (tracked / labelling.GUIDELINES).write_text("Read the *whole* text.\n\n# negative\n\nThe film is not liked.\n")
    sent = _run(tracked, server, "push", "--n", "24", "--annotators", "3")
    assert "24 texts sent to Label Studio" in sent
    assert "no section on positive" in sent
    assert "0 texts sent to Label Studio" in push(24, n_annotators=3)
    tokens = {name: _sign_up(server, name) for name in ERROR_RATES}
    for seed, (name, error_rate) in enumerate(ERROR_RATES.items()):
        _annotate(server, tokens[name], error_rate, seed)

    summary = _run(tracked, server, "pull", "--annotators", "3", "--min-agreement", "1.0")
    assert "72 new answers, 24 new decisions" in summary
    held = store(tracked)
    assert held.annotations["annotator"].nunique() == 3
    assert held.annotations["annotated_at"].notna().all()
    assert held.annotations["lead_time_s"].between(2, 12).all()
    assert set(held.annotations["comment"]) == {"read twice"}
    assert held.annotations["guidelines"].str.fullmatch("[0-9a-f]{12}").all()
    owner = {"Authorization": f"Token {server['LABEL_STUDIO_TOKEN']}"}
    (project,) = [
        found
        for found in httpx.get(f"{server['LABEL_STUDIO_URL']}/api/projects", headers=owner).json()["results"]
        if found["title"] == labelling.PROJECT
    ]
    assert "<em>whole</em>" in project["expert_instruction"]
    assert 'hint="The film is not liked."' in project["label_config"]
    assert held.annotations["bundle"].str.startswith("baseline@").all()
    n_escalated = int((held.decisions["state"] == "escalated").sum())
    assert 0 < n_escalated < 24  # the people do err
    assert f"{n_escalated} in conflict" in summary
    before = state(tracked)
    assert pull(n_annotators=3, min_agreement=1.0).startswith("0 new answers, 0 new decisions")
    assert state(tracked) == before

    _annotate(server, tokens["anna"], 0.0, 9, labelling.CONFLICT_PROJECT)
    assert "in all 24 labels" in pull(n_annotators=3, min_agreement=1.0)
    retrain()
    labeled = read_table(tracked / labelling.LABELED, LABELED)
    by_people = labeled[labeled["query_strategy"] == "people"]
    assert len(by_people) == 24
    assert (by_people["label"] == by_people["id"].map(truth())).all()
    report = read_json(Path("reports/sample.json"))["people"]
    assert report["usd_per_hundred_labels"]["low"] < report["usd_per_hundred_labels"]["value"]
    kappas = [pair["cohen_kappa"] for pair in report["agreement"]["pairs"]]
    assert len(kappas) == 3
    assert 0 < min(kappas) < max(kappas) <= 1
    secret = server["LABEL_STUDIO_TOKEN"].encode()  # stands nowhere in the world, nor in Prefect's own database
    assert [path for path in tracked.rglob("*") if path.is_file() and secret in path.read_bytes()] == []
