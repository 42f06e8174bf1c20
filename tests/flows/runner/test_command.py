"""What every flow says on the command line: its message, its fault once, and an exit code that a scheduler can read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed

from flows.runner.command import run_flow, say_start
from ratchet.errors import PipelineError


def test_the_end_is_told_and_named_when_it_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_flow(lambda: Completed(message="5 rows")) == 0
    assert run_flow(lambda: Completed(name="Rejected", message="by a gate")) == 0
    assert capsys.readouterr().out == "5 rows\nRejected: by a gate\n"


def test_a_fault_of_ours_is_told_as_it_is_and_one_of_prefect_by_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    fault = PipelineError("The key is missing.", where="live.yaml", fix="name one")
    assert run_flow(lambda: Failed(message="Flow run encountered an exception", data=fault)) == 1
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"\nerror: {fault}\n")
    assert "what to do: name one" in told.err
    assert run_flow(lambda: Failed(message="2 of 3 stages failed.")) == 1
    assert "2 of 3 stages failed." in capsys.readouterr().err


def test_what_is_refused_before_the_start_and_what_is_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> State[None]:
        raise PipelineError("The workspace is taken.")

    def interrupt() -> State[None]:
        raise KeyboardInterrupt

    assert (run_flow(refuse), run_flow(interrupt)) == (1, 130)
    assert "The workspace is taken." in (told := capsys.readouterr().err)
    assert "the same command carries on" in told


@pytest.mark.parametrize(("url", "said"), [("", True), ("http://127.0.0.1:4200/api", False)])
def test_a_wait_is_announced_only_where_there_is_one(
    url: str, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url)
    say_start()
    assert ("embedded server" in capsys.readouterr().out) is said


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
        say_start()
        raise AssertionError("it ran")

    with temporary_settings({PREFECT_API_URL: no_prefect}):
        assert run_flow(begin) == 1
    told = capsys.readouterr().err.partition("\nerror: ")[2]  # the other server logs what it was asked, before
    assert told.startswith("The Prefect server does not answer.\n")
    assert f"PREFECT_API_URL={no_prefect}" in told
    assert "unset PREFECT_API_URL" in told
    assert len(told.strip().splitlines()) == 5
