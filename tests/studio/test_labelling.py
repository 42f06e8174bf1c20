"""The labelling view: who is asked what, what is kept, who may write, and what a kill costs."""

from __future__ import annotations

import json
import math
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ratchet.data.cleaning import text_id
from ratchet.errors import TableError
from ratchet.files import write_json
from ratchet.labels.annotations import Answer, Item
from ratchet.labels.guidelines import NONE, Guidelines
from ratchet.labels.queues import FileQueue
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.primary import primary_metric
from ratchet.studio.labelling.answer_log import AnswerLog, Given, read_logs
from ratchet.studio.labelling.app import make_app
from ratchet.studio.labelling.desk import LEASE_S, Desk, is_hidden
from ratchet.studio.labelling.gold import Gold
from ratchet.studio.labelling.progress import newcombe, progress, pull_of_suggestions
from ratchet.studio.labelling.ranking import BATCH, NOTHING, Known, Ranking
from tests.support.miniature import ROOT

LABELS = ["praise", "blame", "question"]
PORT, HOST = 8788, "127.0.0.1:8788"
TOKENS = {"ann": "token-of-ann", "bob": "token-of-bob"}
XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def items(n: int = 8, **changes: Any) -> list[Item]:
    texts = [f"text number {number}" for number in range(n)]
    return [Item(text_id(text), text, "made", suggested="praise", confidence=0.6, **changes) for text in texts]


ACCURACY = primary_metric("accuracy", LABELS)


def desk(
    folder: Path,
    sent: Sequence[Item] | None = None,
    people: Sequence[str] = ("ann",),
    n_annotators: int = 1,
    hidden: float = 0.0,
    labels: Sequence[str] = LABELS,
    known: Known = NOTHING,
    **changes: Any,
) -> Desk:
    """A desk on a queue of files in the folder, to which the items are sent."""
    queue = FileQueue(folder)
    queue.send(items() if sent is None else sent)
    there = queue.items()
    return Desk(
        queue,
        folder,
        people,
        labels,
        n_annotators,
        hidden,
        Ranking(there, labels, known, ACCURACY if labels is LABELS else None),
        **changes,
    )


def say(at: Desk, person: str, label: str, name: str = "", comment: str = "", seconds: float = 2.0) -> str:
    """One answer, to the text that is asked; the text's id."""
    if not name:
        task = at.next(person)
        assert task is not None
        name = task.item.id
    at.answer(person, name, label, comment, "", True, seconds)
    return name


# What is asked


def test_every_text_is_asked_once_in_the_order_it_was_sent(tmp_path: Path) -> None:
    at = desk(tmp_path)
    asked = [say(at, "ann", "praise") for _ in items()]
    assert asked == [item.id for item in items()]
    assert at.next("ann") is None


def test_two_people_share_the_texts_where_one_answer_is_enough(tmp_path: Path) -> None:
    now = [0.0]
    at = desk(tmp_path, people=["ann", "bob"], clock=lambda: now[0])
    first, second = at.next("ann"), at.next("bob")
    assert first
    assert second
    assert first.item.id != second.item.id, "ann has it open"
    now[0] = LEASE_S + 1
    for task in (first, second):
        say(at, "bob", "praise", task.item.id)
    left = {say(at, "ann", "blame") for _ in range(6)}
    assert left.isdisjoint({first.item.id, second.item.id})
    assert at.next("ann") is None


def test_texts_that_need_two_answers_are_asked_of_two_people_and_of_no_third(tmp_path: Path) -> None:
    at = desk(tmp_path, items(2), ["ann", "bob", "cem"], n_annotators=2)
    for person in ("ann", "bob"):
        for _ in range(2):
            say(at, person, "praise")
    assert at.next("cem") is None


def test_what_a_sheet_answered_is_not_asked_again(tmp_path: Path) -> None:
    sent = items(3)
    FileQueue(tmp_path).send(sent)
    (tmp_path / "by_hand.csv").write_text(f"id,label,annotator\n{sent[0].id},praise,Bob\n{sent[1].id},blame,ANN\n")
    at = desk(tmp_path, sent, ["ann", "bob"], n_annotators=2)
    assert [say(at, "ann", "praise"), say(at, "ann", "praise")] == [sent[0].id, sent[2].id], (
        "ann's sheet counts as hers"
    )
    assert [say(at, "bob", "praise"), say(at, "bob", "praise")] == [sent[1].id, sent[2].id]


def test_one_comes_back_to_the_text_before_and_the_later_answer_counts(tmp_path: Path) -> None:
    at = desk(tmp_path)
    first, second = say(at, "ann", "praise"), say(at, "ann", "blame")
    assert (at.previous("ann"), at.previous("ann", second), at.previous("ann", first)) == (second, first, "")
    task = at.again("ann", first)
    assert task is not None
    assert task.given is not None
    assert task.given.label == "praise"
    at.answer("ann", first, "question", "", "misread", True, 1.0)
    counted = {answer.item.id: (answer.label, answer.change_reason) for answer in FileQueue(tmp_path).answers()}
    assert counted == {first: ("question", "misread"), second: ("blame", "")}
    assert at.again("ann", "0" * 16) is None


def test_a_suggestion_is_hidden_on_a_random_share_and_so_is_the_order_it_gives(tmp_path: Path) -> None:
    many = items(400)
    hidden = [item.id for item in many if is_hidden("ann", item.id, 0.2)]
    assert 50 < len(hidden) < 110
    assert hidden != [item.id for item in many if is_hidden("bob", item.id, 0.2)]
    at = desk(tmp_path, many[:40], hidden=0.5)
    for item in many[:40]:
        task = at.again("ann", item.id)
        assert task is not None
        assert (task.suggested, task.hidden) == (("", "praise") if is_hidden("ann", item.id, 0.5) else ("praise", ""))
        assert math.isnan(task.confidence) == (not task.suggested)


def test_a_new_class_is_kept_as_it_was_written_and_a_known_one_in_its_own_spelling(tmp_path: Path) -> None:
    at = desk(tmp_path)
    for label in ("  PRAISE ", "thanks  for all", "Skipped"):
        say(at, "ann", label)
    assert [given.label for given in at.answers("ann").values()] == ["praise", "thanks for all", "skip"]
    found = progress(at)
    assert found.classes == {"praise": 1, "blame": 0, "question": 0}
    assert found.proposed == {"thanks for all": 1}
    assert found.people[0].n_skipped == 1


def test_an_answer_without_a_class_or_to_another_text_is_refused(tmp_path: Path) -> None:
    at = desk(tmp_path)
    for name, label in (("0" * 16, "praise"), (items()[0].id, "  ")):
        with pytest.raises(TableError, match="no text or no class"):
            at.answer("ann", name, label, "", "", False, 1.0)
    with pytest.raises(TableError, match="one name"):
        desk(tmp_path, people=["Ann", "ANN "])


# What is kept


def given(number: int = 0, **changes: Any) -> Given:
    return replace(Given(f"{number:016x}", "praise", "Ann Lee", "2026-01-01T00:00:00+00:00", 1.5), **changes)


def test_answers_are_on_the_disk_and_a_form_that_is_sent_twice_is_one(tmp_path: Path) -> None:
    log = AnswerLog(tmp_path, "Ann Lee")
    assert [log.add(given()), log.add(given()), log.add(given(1)), log.add(given(label="blame"))] == [
        True,
        False,
        True,
        True,
    ]
    again = AnswerLog(tmp_path, "ANN  LEE")
    assert again.path == log.path
    assert again.answers == log.answers == read_logs(tmp_path)
    assert {name: answer.label for name, answer in again.latest.items()} == {
        f"{0:016x}": "blame",
        f"{1:016x}": "praise",
    }
    assert AnswerLog(tmp_path, "ann-lee").path != log.path, "another person, whose name has the same letters"


@pytest.mark.parametrize("n_bytes", [1, 20, 60])
def test_a_line_that_a_power_cut_tore_is_cut_off_and_costs_no_other(tmp_path: Path, n_bytes: int) -> None:
    log = AnswerLog(tmp_path, "ann")
    log.add(given())
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + whole[:n_bytes])
    again = AnswerLog(tmp_path, "ann")
    assert again.answers == [given()]
    again.add(given(1))
    assert [json.loads(line)["id"] for line in log.path.read_text().splitlines()] == [f"{0:016x}", f"{1:016x}"]


def test_a_page_that_slept_tells_nothing_of_how_long_a_text_takes(tmp_path: Path) -> None:
    at = desk(tmp_path)
    for seconds in (4.0, 1e6, float("nan"), -1.0):
        say(at, "ann", "praise", seconds=seconds)
    assert progress(at, hours_wage=3600.0).people[0].seconds == 4.0
    assert progress(at, hours_wage=3600.0).usd == pytest.approx(4.0)
    assert next(answer.lead_time_s for answer in FileQueue(tmp_path).answers()) == 4.0


# What the model does beside


def world(n: int = 200) -> tuple[list[Item], Known, dict[str, str]]:
    """Texts of three classes that embeddings tell apart, all but those in the middle."""
    rng = np.random.default_rng(0)
    sent = items(n)
    truth = {item.id: LABELS[row % 3] for row, item in enumerate(sent)}
    vectors = np.eye(3)[np.arange(n) % 3] + 0.4 * rng.normal(size=(n, 3))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return sent, Known({item.id: row for row, item in enumerate(sent)}, unit, {}), truth


def test_after_a_batch_of_answers_a_probe_orders_and_suggests(tmp_path: Path) -> None:
    sent, known, truth = world()
    at = desk(tmp_path, sent, known=known)
    for _ in range(BATCH):
        task = at.next("ann")
        assert task is not None
        assert at.ranking.n_learned == 0
        say(at, "ann", truth[task.item.id])
    at.ranking.wait()
    assert at.ranking.n_learned == BATCH
    assert progress(at).outlook is None, "twenty labels tell nothing of a hundred"
    waiting = [item for item in sent if item.id not in at.answers("ann")]
    right = [at.ranking.suggestion(item)[0] == truth[item.id] for item in waiting]
    assert np.mean(right) > 0.8
    task = at.next("ann")
    assert task is not None
    assert at.ranking.suggestion(task.item)[1] == pytest.approx(
        min(at.ranking.suggestion(item)[1] for item in waiting), abs=0.1
    )


def test_after_some_labels_it_says_what_the_next_ones_are_worth(tmp_path: Path) -> None:
    sent, known, truth = world()
    at = desk(tmp_path, sent, known=known)
    for item in sent[:60]:
        say(at, "ann", truth[item.id], item.id)
        at.ranking.wait()
    outlook = progress(at).outlook
    assert outlook is not None
    assert (outlook.n_labels, outlook.n_more) == (60, 100)
    assert outlook.now.value > 0.7
    assert outlook.gain.low < outlook.gain.value < outlook.gain.high


def test_texts_that_were_drawn_at_random_are_asked_in_their_turn(tmp_path: Path) -> None:
    sent, known, truth = world()
    drawn = [replace(item, query_strategy="random") for item in sent]
    at = desk(tmp_path, drawn, known=known)
    asked = [say(at, "ann", truth[item.id]) for item in drawn[:BATCH]]
    at.ranking.wait()
    asked += [say(at, "ann", "praise") for _ in range(10)]
    assert asked == [item.id for item in drawn[: BATCH + 10]]


def test_of_many_classes_the_likeliest_come_first(tmp_path: Path) -> None:
    sent, known, truth = world()
    labels = [*LABELS, *(f"rare {number}" for number in range(20))]
    at = desk(tmp_path, sent, labels=labels[::-1], known=known)
    for item in sent[: 2 * BATCH]:
        say(at, "ann", truth[item.id], item.id)
    at.ranking.wait()
    task = at.next("ann")
    assert task is not None
    assert set(task.labels[:3]) == set(LABELS)
    assert sorted(task.labels) == sorted(labels)


def test_the_pull_of_suggestions_is_what_showing_them_changes() -> None:
    def answers(n_same: int, n: int, shown: bool) -> list[Given]:
        labels = ["praise"] * n_same + ["blame"] * (n - n_same)
        return [given(row, label=label, suggested="praise", was_shown=shown) for row, label in enumerate(labels)]

    assert pull_of_suggestions(answers(9, 10, True)) is None
    found = pull_of_suggestions([*answers(180, 200, True), *answers(60, 100, False), given(7, label="skip")])
    assert found is not None
    assert (found.shown.value, found.hidden.value) == (0.9, 0.6)
    assert found.difference.value == pytest.approx(0.3)
    assert 0.15 < found.difference.low < 0.25 < 0.35 < found.difference.high < 0.45


def test_the_interval_of_a_difference_is_the_one_that_was_published() -> None:
    found = newcombe(proportion_estimate(56, 70), proportion_estimate(48, 80))  # Newcombe 1998, example (a)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


# Gold questions


def questions(n: int = 4, label: str = "praise") -> list[Answer]:
    texts = [f"known text {number}" for number in range(n)]
    return [Answer(Item(text_id(text), text, "gold"), label, "") for text in texts]


def gold_desk(folder: Path, people: Sequence[str] = ("ann",), n: int = 40, rate: float = 0.3) -> tuple[Desk, Gold]:
    sent = items(n, reason="margin 0.03")
    gold = Gold(questions(), {item.id: item for item in sent}, folder, people, LABELS, rate)
    return desk(folder, sent, people, n_annotators=2, gold=gold), gold


def test_gold_questions_come_between_the_texts_once_to_each_person_and_pull_reads_none(tmp_path: Path) -> None:
    at, gold = gold_desk(tmp_path, ("ann", "bob"))
    asked = {person: [say(at, person, "praise") for _ in range(44)] for person in ("ann", "bob")}
    places = {person: [n for n, name in enumerate(names) if name in gold.items] for person, names in asked.items()}
    assert [len(found) for found in places.values()] == [4, 4]
    assert places["ann"] != places["bob"]
    assert all(len(set(names)) == 44 for names in asked.values())
    assert at.next("ann") is None
    assert {answer.item.id for answer in FileQueue(tmp_path).answers()} == set(at.items)
    assert len(at.answers("ann")) == progress(at).people[0].n_answers == 40


def test_a_gold_question_looks_like_a_text_whose_suggestion_is_hidden_and_stays_at_a_reload(tmp_path: Path) -> None:
    at, gold = gold_desk(tmp_path)
    for _ in range(44):
        first, again = at.next("ann"), at.next("ann")
        assert first == again
        assert first
        assert first.item.reason == ""
        assert (first.suggested == "") is (first.item.id in gold.items)
        say(at, "ann", "praise", first.item.id)


def test_accuracy_on_gold_questions_is_of_the_answers_that_count_and_skips_are_wrong(tmp_path: Path) -> None:
    at, gold = gold_desk(tmp_path)
    assert progress(at).people[0].gold is None
    names = [say(at, "ann", "praise") for _ in range(44)]
    first, second, third, fourth = (name for name in names if name in gold.items)
    say(at, "ann", "blame", second)
    say(at, "ann", "skip", third)
    say(at, "ann", "blame", fourth)
    say(at, "ann", "praise", fourth)
    assert progress(at).people[0].gold == proportion_estimate(2, 4)
    again, _ = gold_desk(tmp_path)
    assert progress(again).people[0].gold == proportion_estimate(2, 4)
    assert again.next("ann") is None
    before = names[names.index(first) + 1]
    assert again.previous("ann", before) == first


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (questions(2, "other"), "none of the classes"),
        ([*questions(1), *questions(1, "blame")], "two classes"),
        ([Answer(items(1)[0], "praise", "")], "no gold question"),
        ([], "no gold question"),
    ],
)
def test_gold_questions_that_cannot_be_asked_are_refused(tmp_path: Path, given: list[Answer], what: str) -> None:
    with pytest.raises(TableError, match=what):
        Gold(given, {item.id: item for item in items()}, tmp_path, ["ann"], LABELS)


# The pages


class Client:
    """A browser without a script: follows forms and links of the page it is on."""

    def __init__(self, at: Desk, person: str = "ann", guidelines: Guidelines = NONE) -> None:
        transport = httpx.ASGITransport(make_app(at, TOKENS, PORT, guidelines))
        self.http = httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", follow_redirects=True)
        self.person = person

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.http.get(path, **options)

    async def enter(self) -> httpx.Response:
        return await self.get(f"/?token={TOKENS[self.person]}")

    async def press(self, page: httpx.Response, key: str, **fields: str) -> httpx.Response:
        """What the key does on the page."""
        form = Form(page.text)
        if key == "u":
            return await self.get(form.links["u"])
        name, value = form.buttons[key]
        sent = {**form.hidden, **fields, name: value}
        return await self.http.post(form.action, data=sent, headers={"origin": f"http://{HOST}"})


class Form(HTMLParser):
    """The form, its keys and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action, self.hidden = "", dict[str, str]()
        self.buttons, self.links = dict[str, tuple[str, str]](), dict[str, str]()
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        found: Mapping[str, str] = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag == "form":
            self.action = found["action"]
        if tag == "button" and "data-key" in found:
            self.buttons[found["data-key"]] = found["name"], found["value"]
        if tag == "a" and "data-key" in found:
            self.links[found["data-key"]] = found["href"]
        if tag == "input" and found.get("type") == "hidden":
            self.hidden[found["name"]] = found["value"]


@pytest.mark.anyio
async def test_thirty_texts_by_keyboard_with_an_undo_and_a_skip(tmp_path: Path) -> None:
    at = desk(tmp_path, items(30))
    client = Client(at)
    page = await client.enter()
    n_keys = 0
    for number in range(30):
        if number == 7:
            page = await client.press(page, "u")
            page = await client.press(page, "2", change_reason="slipped")
            n_keys += 2
        page = await client.press(page, "s" if number == 9 else "1", comment="no text" if number == 9 else "")
        n_keys += 1
    assert "Nothing waits for you" in page.text
    counted = [given.label for given in at.answers("ann").values()]
    assert counted == ["praise"] * 6 + ["blame"] + ["praise"] * 2 + ["skip"] + ["praise"] * 20
    assert n_keys / 30 <= 1.2
    queue = FileQueue(tmp_path)
    assert len({answer.item.id for answer in queue.answers()}) == 30
    assert [answer.comment for answer in queue.answers() if answer.label == "skip"] == ["no text"]
    assert all(0 <= answer.lead_time_s < 600 for answer in queue.answers())


@pytest.mark.anyio
async def test_a_page_shows_everything_as_text_and_names_nothing_elsewhere(tmp_path: Path) -> None:
    sent = [Item(text_id(XSS), XSS, "made", reason=XSS, suggested=XSS, confidence=0.5)]
    at = desk(tmp_path, sent, labels=[XSS, "b"])
    client = Client(at, guidelines=Guidelines(XSS, {XSS: XSS}))
    page = await client.enter()
    tags = Form(page.text).tags
    assert tags.count("script") == 1
    assert "img" not in tags
    assert re.findall(r'(?:src|href|action)="(?!/)', page.text) == []
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    page = await client.press(page, "1")
    assert XSS not in page.text
    assert (await client.get("/keys.js")).headers["content-type"].startswith("text/javascript")


@pytest.mark.anyio
async def test_nobody_writes_without_a_token_and_no_other_page_does(tmp_path: Path) -> None:
    at = desk(tmp_path)
    stranger, ann = Client(at), Client(at)
    path = f"/text/{items()[0].id}"
    own = {"origin": f"http://{HOST}"}
    assert (await stranger.http.post(path, data={"label": "praise"}, headers=own)).status_code == 403
    await ann.enter()
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert (await ann.http.post(path, data={"label": "praise"}, headers=headers)).status_code == 403
    rebound = {**own, "host": "evil.example:8788"}
    assert (await ann.http.post(path, data={"label": "praise"}, headers=rebound)).status_code == 421
    assert at.answers("ann") == {}
    assert (await ann.http.post(path, data={"label": "praise"}, headers=own)).status_code == 200
    assert list(at.answers("ann")) == [items()[0].id]
    assert (await ann.http.request("DELETE", path)).status_code == 405
    assert (await ann.http.post(path, content=b"label=" + b"x" * 70_000, headers=own)).status_code == 413


@pytest.mark.anyio
async def test_two_people_have_their_own_queue_and_their_own_name(tmp_path: Path) -> None:
    at = desk(tmp_path, items(4), ["ann", "bob"], n_annotators=2)
    ann, bob = Client(at, "ann"), Client(at, "bob")
    pages = [await ann.enter(), await bob.enter()]
    for _ in range(4):
        pages = [await ann.press(pages[0], "1"), await bob.press(pages[1], "2")]
    assert all("Nothing waits for you" in page.text for page in pages)
    assert "praise or blame" in pages[0].text
    votes = [(answer.annotator, answer.label) for answer in FileQueue(tmp_path).answers()]
    assert sorted(votes) == [("ann", "praise")] * 4 + [("bob", "blame")] * 4


@pytest.mark.anyio
async def test_two_tabs_and_a_form_sent_twice_give_nothing_twice(tmp_path: Path) -> None:
    at = desk(tmp_path)
    client = Client(at)
    page = await client.enter()
    other = await client.get("/")
    await client.press(page, "1")
    await client.press(other, "1")
    await client.press(page, "1")
    assert len(read_logs(tmp_path)) == 1


@pytest.mark.anyio
async def test_a_class_may_be_typed_and_nothing_typed_asks_again(tmp_path: Path) -> None:
    at = desk(tmp_path)
    client = Client(at)
    page = await client.enter()
    form = Form(page.text)
    own = {"origin": f"http://{HOST}"}
    again = await client.http.post(form.action, data={**form.hidden, "find": ""}, headers=own)
    assert Form(again.text).action == form.action
    await client.http.post(form.action, data={**form.hidden, "find": "Question"}, headers=own)
    assert [given.label for given in at.answers("ann").values()] == ["question"]


@pytest.mark.anyio
async def test_a_disk_that_is_full_is_told_and_the_text_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk(tmp_path)
    client = Client(at)
    page = await client.enter()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("ratchet.studio.labelling.answer_log.os.fsync", full)
        told = await client.press(page, "1")
    assert told.status_code == 507
    assert "No space left" in told.text
    page = await client.get("/")
    await client.press(page, "1")
    assert len(at.answers("ann")) == 1


# The command


@contextmanager
def running(root: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "ratchet", "label", "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process, line.partition(": ")[2].strip()
        process.kill()


@pytest.mark.service
def test_a_server_that_is_killed_loses_no_answer_that_it_confirmed(tmp_path: Path, label_root: Path) -> None:
    folder = label_root / "data/label_queue"
    FileQueue(folder).send(items(6))
    done: list[str] = []
    for _ in range(3):
        with (
            running(label_root, "--person", "ann", "--annotators", "1") as (process, address),
            httpx.Client() as client,
        ):
            page = client.get(address, follow_redirects=True)
            base = address.partition("/?")[0]
            for _ in range(2):
                form = Form(page.text)
                sent = {**form.hidden, "label": "positive"}
                headers = {"origin": base}
                page = client.post(base + form.action, data=sent, headers=headers, follow_redirects=True)
                assert page.status_code == 200
                done.append(form.action.rpartition("/")[2])
            process.send_signal(signal.SIGKILL)
    assert len(set(done)) == 6
    assert [answer.item.id for answer in FileQueue(folder).answers()] == done


@pytest.mark.service
@pytest.mark.deep
def test_the_command_mixes_in_the_gold_questions_of_a_sheet(label_root: Path) -> None:
    folder = label_root / "data/label_queue"
    FileQueue(folder).send(items(60))
    (label_root / "gold.csv").write_text("text,label\nknown well,positive\nalso known,negative\n", encoding="utf-8")
    arguments = ("--person", "ann", "--annotators", "1", "--gold", "gold.csv")
    with running(label_root, *arguments) as (_, address), httpx.Client(follow_redirects=True) as client:
        page, base, n_pages = client.get(address), address.partition("/?")[0], 0
        while (form := Form(page.text)).action:
            sent = {**form.hidden, "label": "positive"}
            page = client.post(base + form.action, data=sent, headers={"origin": base})
            n_pages += 1
    assert n_pages == 62
    half = proportion_estimate(1, 2)
    assert f"0.50 [{half.low:.2f}, {half.high:.2f}], 2" in page.text
    assert len(FileQueue(folder).answers()) == 60


@pytest.mark.service
def test_one_folder_is_served_once_at_a_time(label_root: Path) -> None:
    FileQueue(label_root / "data/label_queue").send(items(2))
    with running(label_root, "--person", "ann"):
        command = [sys.executable, "-m", "ratchet", "label", "--person", "bob", "--port", "0"]
        second = subprocess.run(command, cwd=label_root, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "served from this folder already" in second.stderr
    with running(label_root, "--person", "bob") as (_, address):
        assert address, "the first was killed, and holds nothing any more"


def test_without_texts_it_says_what_to_do(label_root: Path) -> None:
    command = [sys.executable, "-m", "ratchet", "label", "--person", "ann"]
    done = subprocess.run(command, cwd=label_root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ratchet labels push" in done.stderr


@pytest.fixture
def label_root(tmp_path: Path) -> Path:
    """A repository whose run has split its data."""
    from ratchet.table_files import write_table
    from ratchet.tables import SPLIT
    from tests.support.tiny import reviews

    write_table(tmp_path / "data/splits/validation.parquet", reviews(20, 1), SPLIT)
    write_json(tmp_path / "data/labels.json", {"batches": []})
    shutil.copyfile(ROOT / "examples/films/params.yaml", tmp_path / "params.yaml")
    return tmp_path


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
