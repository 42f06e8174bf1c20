"""The audit log: concurrent writers, a torn line, and every way of tampering that a random suite comes up with."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
from pathlib import Path

import pytest

from ratchet.errors import ReleaseError
from ratchet.registry.audit_entry import MAX_LINE_BYTES, NO_HASH, Entry, Head
from ratchet.registry.audit_log import append, entries, verify

N_ENTRIES = 12


def _fill(path: Path, n: int = N_ENTRIES) -> Head:
    head = Head(0, NO_HASH)
    for index in range(n):
        head = append(path, who="ann", action="run", subject=f"run-{index}", why="because", details={"n_stages": index})
    return head


@pytest.fixture
def log(tmp_path: Path) -> Path:
    _fill(tmp_path / "log.jsonl")
    return tmp_path / "log.jsonl"


def test_what_is_written_is_read(log: Path) -> None:
    found = entries(log)
    assert [entry.n for entry in found] == list(range(1, N_ENTRIES + 1))
    assert found[3].details == {"n_stages": 3}
    assert verify(log) == Head(N_ENTRIES, found[-1].sha256)
    assert verify(log, [Head(0, NO_HASH), Head(3, found[2].sha256)]).n == N_ENTRIES


def test_a_missing_log_is_an_empty_one_unless_a_head_says_otherwise(tmp_path: Path) -> None:
    assert verify(tmp_path / "none") == Head(0, NO_HASH)
    with pytest.raises(ReleaseError, match="was cut"):
        verify(tmp_path / "none", [Head(1, "a" * 64)])


def test_the_hash_is_that_of_the_canonical_json(tmp_path: Path) -> None:
    """By hashlib over text written out by hand: the format is a contract with logs that exist."""
    text = (
        '{"action":"run","details":{},"n":1,"previous":"' + NO_HASH + '","subject":"s",'
        '"time":"2026-01-02T03:04:05.000006Z","who":"ann","why":"\\u00fc"}'
    )
    entry = Entry(
        n=1, time="2026-01-02T03:04:05.000006Z", who="ann", action="run", subject="s", why="ü", previous=NO_HASH
    )
    assert entry.digest() == hashlib.sha256(text.encode()).hexdigest()


def test_every_flipped_byte_is_caught(tmp_path: Path) -> None:
    """Each byte of the log, one random bit of it."""
    log = tmp_path / "short.jsonl"
    _fill(log, 3)
    whole, head, rng = log.read_bytes(), verify(log), random.Random(7)
    caught = 0
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << rng.randrange(8)
        log.write_bytes(altered)
        caught += _is_caught(log, head)
    assert caught == len(whole)


@pytest.mark.parametrize("seed", range(60))
def test_random_tampering_is_caught(log: Path, seed: int) -> None:
    """Lines cut, swapped, doubled, inserted, dropped; bytes cut or put in; the rest chained anew by whoever did it."""
    rng, head = random.Random(seed), verify(log)
    original = log.read_bytes()
    lines = original.splitlines(keepends=True)
    kind = rng.choice(
        ["cut end", "drop", "swap", "double", "insert", "delete bytes", "add bytes", "rechain", "foreign"]
    )
    place = rng.randrange(N_ENTRIES)
    if kind == "cut end":
        lines = lines[:place]
    elif kind == "drop":
        del lines[place]
    elif kind == "swap":
        other = rng.choice([index for index in range(N_ENTRIES) if index != place])
        lines[place], lines[other] = lines[other], lines[place]
    elif kind == "double":
        lines.insert(place, lines[place])
    elif kind == "insert":
        lines = _chained([*lines[:place], lines[0], *lines[place:]])
    elif kind == "delete bytes":
        start = rng.randrange(len(original) - 1)
        lines = [original[:start], original[start + rng.randint(1, 40) :]]
    elif kind == "add bytes":
        start = rng.randrange(len(original))
        lines = [original[:start], bytes(rng.choices(range(256), k=rng.randint(1, 5))), original[start:]]
    elif kind == "rechain":
        lines[place] = lines[place].replace(b"ann", b"bob")
        lines = _chained(lines)
    elif kind == "foreign":
        other_log = log.with_name("other")
        _fill(other_log)
        lines = other_log.read_bytes().splitlines(keepends=True)
    altered = b"".join(lines)
    assert altered != original
    log.write_bytes(altered)
    assert _is_caught(log, head), kind


def _chained(lines: list[bytes]) -> list[bytes]:
    """The lines with numbers and hashes made to fit, as somebody with the code would."""
    head, made = Head(0, NO_HASH), []
    for line in lines:
        entry = Entry.model_validate_json(line).model_copy(update={"n": head.n + 1, "previous": head.sha256})
        entry = entry.model_copy(update={"sha256": entry.digest()})
        head = Head(entry.n, entry.sha256)
        made.append(entry.line())
    return made


def _is_caught(log: Path, head: Head) -> bool:
    try:
        verify(log, [head])
    except ReleaseError:
        return True
    return False


def test_a_torn_line_is_reported_then_moved_aside(log: Path) -> None:
    whole = log.read_bytes()
    torn = whole.splitlines(keepends=True)[-1][:57]
    log.write_bytes(whole + torn)
    with pytest.raises(ReleaseError, match="is torn"):
        verify(log)
    append(log, who="ann", action="run", subject="after the crash")
    assert log.with_name(f"log.jsonl.torn-{N_ENTRIES + 1}").read_bytes() == torn
    *_, repair, last = entries(log)
    assert (repair.action, repair.details["n_bytes"], last.subject) == ("repair", 57, "after the crash")


def test_nothing_is_added_to_a_log_whose_last_line_was_altered(log: Path) -> None:
    altered = log.read_bytes().replace(b"run-11", b"run-10")
    log.write_bytes(altered)
    with pytest.raises(ReleaseError, match="last line"):
        append(log, who="ann", action="run", subject="x")
    assert log.read_bytes() == altered


def test_processes_writing_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    context = multiprocessing.get_context("spawn")  # a fork would end with the threads of earlier tests
    writers = [context.Process(target=_fill, args=(path, 25)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert verify(path).n == 100
    subjects = [entry.subject for entry in entries(path)]
    assert sorted(subjects) == sorted(f"run-{index}" for index in range(25) for _ in range(4))


@pytest.mark.parametrize(
    "bad",
    [
        {"why": "-----BEGIN OPENSSH PRIVATE KEY-----"},
        {"why": "pushed with ghp_" + "a" * 36},
        {"subject": "https://ann:hunter2@example.org/repo"},  # no secret
        {"details": {"key": "AKIA" + "A" * 16}},
        {"details": {"text": "this film is wonderful"}},
        {"details": {"a b": 1}},
        {"details": {"loss": float("nan")}},
        {"why": "x" * 501},
        {"who": ""},
        {"details": {f"k{i}": "x" * 200 for i in range(MAX_LINE_BYTES // 200)}},
    ],
)
def test_secrets_prose_and_nonsense_are_refused_and_leave_nothing(log: Path, bad: dict[str, object]) -> None:
    before = log.read_bytes()
    with pytest.raises(ReleaseError):
        append(log, **{"who": "ann", "action": "label_batch", "subject": "batch-1", **bad})  # type: ignore[arg-type]
    assert log.read_bytes() == before
