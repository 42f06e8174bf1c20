"""API keys: what is kept, what works, until when, how often."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ratchet.__main__ import app
from ratchet.errors import ParamsError
from ratchet.serving.auth import Access, DeniedError, add_key, read_keys, revoke_key, rotate_key
from ratchet.serving.settings import LIVE_FILE

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Clock:
    """A clock that is advanced by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def _status(access: Access, secret: str, scope: str = "predict", now: datetime = NOW) -> int:
    try:
        access.check(secret, scope, now)  # type: ignore[arg-type]
    except DeniedError as denied:
        return denied.status
    return 200


def test_only_the_hash_is_kept_for_the_owners_eyes(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, secret = add_key(path, "shop", ["predict"], 30, 60, NOW)
    assert secret.split("_", 2)[2] not in path.read_text()
    assert key.id in secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_keys(path) == [key]


def test_a_key_works_in_its_scopes_until_it_expires_or_is_revoked(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.json", Clock()
    key, secret = add_key(path, "shop", ["predict", "feedback"], 30, 6000, NOW)
    access = Access(path, True, clock)
    assert access.check(secret, "predict", NOW) == key.id
    assert [_status(access, secret, scope) for scope in ("feedback", "explain", "admin")] == [200, 403, 403]
    assert _status(access, secret, now=NOW + timedelta(days=29, hours=23)) == 200
    assert _status(access, secret, now=NOW + timedelta(days=30)) == 401
    for wrong in ("", "rk", "rk_", f"rk_{key.id}_", secret[:-1], secret + "x", secret.upper()):
        assert _status(access, wrong) == 401
    revoke_key(path, key.id)
    clock.at += 2
    assert _status(access, secret) == 401
    assert Access(path, False).check("", "admin", NOW) == ""


def test_rotation_overlaps_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, old = add_key(path, "shop", ["explain"], 30, 60, NOW)
    successor, new = rotate_key(path, key.id, 90, 24, NOW)
    assert (successor.name, successor.scopes, successor.requests_per_minute) == ("shop", ["explain"], 60)
    later = NOW + timedelta(hours=25)
    statuses = [_status(Access(path, True), secret, "explain", at) for secret in (old, new) for at in (NOW, later)]
    assert statuses == [200, 401, 200, 200]
    with pytest.raises(ParamsError, match="no such key that works"):
        rotate_key(path, key.id, 90, 24, later)


def test_a_rate_is_kept_over_time_and_apart_from_other_keys(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.json", Clock()
    _, slow = add_key(path, "slow", ["predict"], 1, 60, NOW)
    _, other = add_key(path, "other", ["predict"], 1, 60, NOW)
    access = Access(path, True, clock)
    assert [_status(access, slow) for _ in range(11)] == [200] * 10 + [429]  # ten seconds' worth at once
    with pytest.raises(DeniedError) as denied:
        access.check(slow, "predict", NOW)
    assert denied.value.retry_after_s == pytest.approx(1)
    assert _status(access, other) == 200
    n_allowed = 0
    for _ in range(6000):  # ten minutes, ten tries a second
        clock.at += 0.1
        n_allowed += _status(access, slow) == 200
    assert n_allowed == pytest.approx(600, abs=1)


def test_a_damaged_file_is_one_clear_error_and_leaves_a_server_as_it_is(tmp_path: Path) -> None:
    path, clock = tmp_path / "keys.json", Clock()
    _, secret = add_key(path, "shop", ["predict"], 1, 60, NOW)
    access = Access(path, True, clock)
    assert _status(access, secret) == 200
    path.write_text("{")
    clock.at += 2
    assert _status(access, secret) == 200
    with pytest.raises(ParamsError, match="damaged"):
        read_keys(path)
    path.unlink()
    clock.at += 2
    assert _status(access, secret) == 401


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
