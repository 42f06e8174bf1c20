"""API keys: what is kept, what works, until when, how often."""

from __future__ import annotations

import json
import logging
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ratchet.__main__ import app
from ratchet.errors import ParamsError
from ratchet.serving.access import Access, belongs, new_id
from ratchet.serving.auth import Scope, add_key, read_keys, revoke_key, rotate_key
from ratchet.serving.problems import PROBLEMS, ProblemError
from ratchet.serving.settings import LIVE_FILE

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Clock:
    """A clock that is advanced by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def _status(access: Access, secret: str, scope: Scope = "predict", now: datetime = NOW, model: str = "") -> int:
    try:
        access.check({b"authorization": b"Bearer " + secret.encode()}, scope, model, now)
    except ProblemError as problem:
        return PROBLEMS[problem.code].status
    return 200


def test_only_the_hash_is_kept_for_the_owners_eyes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, secret = add_key(path, "shop", ["predict"], 30, 60, NOW)
    assert secret.split("_", 2)[2] not in path.read_text()
    assert key.id in secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_keys(path) == [key]


def test_a_key_works_in_its_scopes_until_it_expires_or_is_revoked(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, secret = add_key(path, "shop", ["predict", "feedback"], 30, 6000, NOW)
    access = Access(path, True)
    assert access.check({b"x-api-key": secret.encode()}, "predict", now=NOW) == key
    scopes: list[Scope] = ["feedback", "explain", "admin"]
    assert [_status(access, secret, scope) for scope in scopes] == [200, 403, 403]
    assert _status(access, secret, now=NOW + timedelta(days=29, hours=23)) == 200
    assert _status(access, secret, now=NOW + timedelta(days=30)) == 401
    for wrong in ("", "rk", "rk_", f"rk_{key.id}_", secret[:-1], secret + "x", secret.upper()):
        assert _status(access, wrong) == 401
    revoke_key(path, key.id)
    access.refresh()
    assert _status(access, secret) == 401
    assert Access(path, False).check({}, "admin") is None


def test_a_key_may_be_for_some_models(tmp_path: Path) -> None:
    _, secret = add_key(tmp_path / "keys.json", "shop", ["predict"], 30, 6000, NOW, ["mail"])
    access = Access(tmp_path / "keys.json", True)
    assert [_status(access, secret, model=model) for model in ("mail", "default")] == [200, 403]


def test_keys_of_an_earlier_version_work(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    _, secret = add_key(path, "shop", ["predict"], 30, 6000, NOW)
    stored = json.loads(path.read_text())
    stored["keys"][0]["requests_per_minute"] = stored["keys"][0].pop("texts_per_minute")
    del stored["keys"][0]["mark"], stored["keys"][0]["models"]
    path.write_text(json.dumps(stored))
    assert _status(Access(path, True), secret) == 200


def test_rotation_overlaps_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, old = add_key(path, "shop", ["explain"], 30, 60, NOW)
    successor, new = rotate_key(path, key.id, 90, 24, NOW)
    assert (successor.name, successor.scopes, successor.texts_per_minute) == ("shop", ["explain"], 60)
    later = NOW + timedelta(hours=25)
    statuses = [_status(Access(path, True), secret, "explain", at) for secret in (old, new) for at in (NOW, later)]
    assert statuses == [200, 401, 200, 200]
    with pytest.raises(ParamsError, match="no such key that works"):
        rotate_key(path, key.id, 90, 24, later)


def test_answers_belong_to_the_key_that_asked_and_to_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, _ = add_key(path, "shop", ["predict"], 30, 60, NOW)
    other, _ = add_key(path, "shop", ["predict"], 30, 60, NOW)
    successor, _ = rotate_key(path, key.id, 90, 24, NOW)
    ids = [new_id(key.owner) for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(belongs(name, successor.owner) and not belongs(name, other.owner) for name in ids)


def test_a_rate_is_in_texts_and_apart_from_other_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, start = tmp_path / "keys.json", 60.0 * (time.time() // 60 + 1)
    at = [start]
    monkeypatch.setattr("time.time", lambda: at[0])
    key, slow = add_key(path, "slow", ["predict"], 1, 60, NOW)
    _, other = add_key(path, "other", ["predict"], 1, 60, NOW)
    access = Access(path, True)
    assert [_status(access, slow) for _ in range(61)] == [200] * 60 + [429]
    with pytest.raises(ProblemError) as limited:
        access.spend(key, "", 1)
    assert 0 < limited.value.retry_after_s <= 60
    assert _status(access, other) == 200
    with pytest.raises(ProblemError) as large:  # more than it may ever send: waiting would not help
        access.spend(key, "", 60)
    assert large.value.code == "too_large"
    n_allowed = 0
    for _ in range(6000):  # ten minutes, ten tries a second
        at[0] += 0.1
        n_allowed += _status(access, slow) == 200
    assert 540 <= n_allowed <= 600


@pytest.mark.parametrize("damage", ["damaged", "not readable"])
def test_keys_that_cannot_be_read_work_for_a_while_and_then_nobody_is_let_in(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "ratchet.serving")
    path, clock = tmp_path / "keys.json", Clock()
    _, secret = add_key(path, "shop", ["predict"], 1, 60, NOW)
    whole = path.read_text()
    access = Access(path, True, 60.0, clock)
    assert _status(access, secret) == 200
    with monkeypatch.context() as broken:
        if damage == "damaged":
            path.write_text("{")
            with pytest.raises(ParamsError, match="damaged"):
                read_keys(path)
        else:
            broken.setattr(Path, "read_text", _not_allowed)
        for seconds, status, is_stale in ((59, 200, False), (2, 503, True), (600, 503, True)):
            clock.at += seconds
            access.refresh()
            assert (_status(access, secret), access.is_stale) == (status, is_stale)
    assert len(caplog.messages) == 1  # said once, not every second
    path.write_text(whole)
    access.refresh()
    assert (_status(access, secret), access.problem) == (200, "")
    path.unlink()
    access.refresh()
    assert _status(access, secret) == 401


def _not_allowed(*arguments: object, **named: object) -> str:
    raise PermissionError(13, "Permission denied")


def test_wrong_keys_cost_little(tmp_path: Path) -> None:
    """What refusing costs is a hash of some bytes: far from what a password hash costs (about 50 ms)."""
    path = tmp_path / "keys.json"
    key, _ = add_key(path, "shop", ["predict"], 1, 60, NOW)
    access = Access(path, True)
    cpu = time.process_time()
    assert {_status(access, f"rk_{key.id}_wrong{n}") for n in range(1000)} == {401}
    assert time.process_time() - cpu < 10


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """The command line, on a file of its own."""
    settings = tmp_path / "live.yaml"
    settings.write_text(LIVE_FILE.read_text().replace(".ratchet/keys.json", f"{tmp_path}/keys.json"))

    def call(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["keys", *arguments, "--settings", str(settings)])
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    return call


def test_the_command_line_adds_lists_rotates_and_revokes(run: Callable[..., str], tmp_path: Path) -> None:
    secret = run("add", "shop", "--scope", "predict", "--scope", "feedback")
    key_id = secret.split("_")[1]
    assert run("list").startswith(f"{key_id}  shop  predict,feedback  6000/min  until ")
    assert secret not in run("list")
    successor = run("rotate", key_id, "--overlap-hours", "0")
    assert run("revoke", successor.split("_")[1]) == "shop is revoked"
    assert [line.rsplit("  ", 1)[1] for line in run("list").splitlines()] == ["expired", "revoked"]
