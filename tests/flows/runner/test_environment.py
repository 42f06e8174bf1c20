"""What flows find in the environment where it is not the usual one."""

from __future__ import annotations

import getpass
import os
import pwd
import urllib.request
from pathlib import Path

import pytest

from flows.runner.environment import set_environment
from ratchet.registry.audit_log import actor


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "example.org"}, "example.org,localhost,127.0.0.1,::1"),
        ({"no_proxy": "127.0.0.1, .example.org"}, "127.0.0.1,.example.org,localhost,::1"),
        ({"NO_PROXY": "a.example", "no_proxy": "b.example"}, "b.example,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_loopback_is_never_asked_of_a_proxy(
    given: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"HTTP_PROXY": "http://127.0.0.1:9", **given}
    set_environment(environ, tmp_path)
    assert environ["NO_PROXY"] == environ["no_proxy"] == expected
    assert environ["HTTP_PROXY"] == "http://127.0.0.1:9"
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, environ[name])
    assert urllib.request.proxy_bypass("127.0.0.1:4200")
    assert urllib.request.proxy_bypass("localhost")
    assert bool(urllib.request.proxy_bypass("prefect.example")) == (expected == "*")


def test_a_user_without_a_name_or_a_home_gets_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "RATCHET_WHO"):
        monkeypatch.delenv(name, raising=False)
    assert actor() == f"uid-{os.getuid()}"
    with pytest.raises(KeyError):
        getpass.getuser()  # as DVC asks
    for home in ("/nonexistent", None):
        environ = {} if home is None else {"HOME": home}
        set_environment(environ, tmp_path)
        assert environ["HOME"] == str(tmp_path / ".scratch" / "home")
        monkeypatch.setenv("LOGNAME", environ["LOGNAME"])
        assert getpass.getuser() == f"uid-{os.getuid()}"


def test_a_name_and_a_home_that_are_there_stay(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "LOGNAME": "ann"}
    set_environment(environ, tmp_path)
    assert (environ["HOME"], environ["LOGNAME"]) == (str(tmp_path), "ann")
