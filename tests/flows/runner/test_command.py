"""A flow on the command line: its message, its error once, and an exit code that a scheduler can read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed

from flows.runner.command import announce_start, run_flow
from ratchet.errors import PipelineError
from tests.support.miniature import ROOT


def test_the_message_is_printed_with_the_name_of_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_flow(lambda: Completed(message="5 rows")) == 0
    assert run_flow(lambda: Completed(name="Rejected", message="by a gate")) == 0
    assert capsys.readouterr().out == "5 rows\nRejected: by a gate\n"


def test_an_error_of_ours_is_printed_whole_and_one_of_prefect_by_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = PipelineError("The key is missing.", where="live.yaml", fix="name one")
    assert run_flow(lambda: Failed(message="Flow run encountered an exception", data=error)) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"\nerror: {error}\n")
    assert "what to do: name one" in printed.err
    assert run_flow(lambda: Failed(message="2 of 3 stages failed.")) == 1
    assert "2 of 3 stages failed." in capsys.readouterr().err


def test_what_is_refused_before_the_start_and_what_is_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> State[None]:
        raise PipelineError("The workspace is taken.")

    def interrupt() -> State[None]:
        raise KeyboardInterrupt

    assert (run_flow(refuse), run_flow(interrupt)) == (1, 130)
    assert "The workspace is taken." in (printed := capsys.readouterr().err)
    assert "the same command carries on" in printed


@pytest.mark.parametrize(("url", "announced"), [("", True), ("http://127.0.0.1:4200/api", False)])
def test_a_wait_is_announced_only_where_there_is_one(
    url: str, announced: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url)
    announce_start()
    assert ("embedded server" in capsys.readouterr().out) is announced


@pytest.fixture(params=["nobody", "somebody else"])
def no_prefect(request: pytest.FixtureRequest) -> Iterator[str]:
    """An address at which nobody answers, and that of a server that is not Prefect's."""
    if request.param == "nobody":
        yield "http://127.0.0.1:1/api"
        return
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_a_server_that_is_named_must_answer_before_anything_runs(
    no_prefect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def begin() -> State[None]:
        announce_start()
        raise AssertionError("it ran")

    with temporary_settings({PREFECT_API_URL: no_prefect}):
        assert run_flow(begin) == 1
    printed = capsys.readouterr().err.partition("\nerror: ")[2]  # the other server logs what it was asked, before
    assert printed.startswith("The Prefect server does not answer.\n")
    assert f"PREFECT_API_URL={no_prefect}" in printed
    assert "unset PREFECT_API_URL" in printed
    assert len(printed.strip().splitlines()) == 5


_SETTINGS = """
from flows.runner.command import announce_start
announce_start()
from prefect.settings import get_current_settings
found = get_current_settings()
print(found.home, found.server.analytics_enabled, found.server.ephemeral.startup_timeout_seconds)
"""


def test_prefect_is_set_up_before_a_command_imports_it(tmp_path: Path) -> None:
    """Prefect reads its settings once: those of a flow's module came too late for commands that begin a flow."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environ |= {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _SETTINGS]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{tmp_path / '.prefect'} False 120"
