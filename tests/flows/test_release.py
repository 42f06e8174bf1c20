"""The release flow under Prefect: it pauses for approvals, goes on when it is resumed, and ends when it is told to."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from flows import release
from flows.release import REJECTED, WAITING
from ratchet.registry.audit_log import entries
from tests.support.registry import V1


def _resume(answers: list[dict[str, object]]) -> None:
    """Answer each pause of any run, one after the other."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.flow_runs import resume_flow_run

    paused = FlowRunFilter.model_validate({"state": {"type": {"any_": ["PAUSED"]}}})
    end = time.monotonic() + 180
    with get_client(sync_client=True) as client:
        while answers and time.monotonic() < end:
            for run in client.read_flow_runs(flow_run_filter=paused):
                try:
                    resume_flow_run(run.id, run_input=answers[0])
                except RuntimeError:  # it is paused, and Prefect has not stored yet what it asks
                    continue
                answers.pop(0)
                break
            time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.service
def test_it_pauses_while_approvals_are_missing_and_looks_again_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.testing.utilities import prefect_test_harness

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RATCHET_WHO", "ann")
    states = [(WAITING, "0 of 2 approvals"), (WAITING, "1 of 2 approvals")]
    monkeypatch.setattr(release, "propose", lambda request: V1)
    monkeypatch.setattr(release, "promote", lambda request, version: states.pop(0))
    monkeypatch.setattr(release, "POLL_S", 1)
    answers: list[dict[str, object]] = [{"go_on": True, "why": "bob signed"}, {"go_on": False, "why": "too slow"}]
    with prefect_test_harness(server_startup_timeout=180):
        helper = threading.Thread(target=_resume, args=(answers,), daemon=True)
        helper.start()
        end = release.release("ann", "better", wait=True, return_state=True)
        helper.join(10)
    assert end.name == REJECTED
    assert states == []
    (rejection,) = entries(tmp_path / ".ratchet" / "audit.jsonl")
    assert (rejection.action, rejection.subject, rejection.why) == ("rejection", V1.tag, "too slow")
