"""The flow itself, with Prefect's embedded server: kill -9, a failure, and the same results as plain `dvc repro`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ratchet.registry.audit_log import entries
from tests.support.miniature import RATCHET, environment, make_repository, stages_run, wait_for

HOSTILE = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "HOME": "/nonexistent"}
"""What a container or an office may have in its environment: a proxy that cannot reach this machine, no home."""


def _start(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(RATCHET), "run"],
        cwd=root,
        env={**environment(), **HOSTILE},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _at_work(root: Path) -> list[psutil.Process]:
    """The processes whose working directory lies in the repository: flow, guard, server, supervisors, DVC, stages."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(root):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.slow
@pytest.mark.service
def test_killed_and_started_again_it_ends_as_plain_dvc_does(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "flow")
    sides = ("left", "right")  # both hang: neither may end before the flow is killed
    for side in sides:
        (root / f"hang-{side}").touch()
    with _start(root) as flow:
        for side in sides:
            wait_for(root / f"pid-{side}", 300)
        assert len(_at_work(root)) >= 6
        flow.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(_at_work(root), timeout=60)
    assert alive == []

    for side in sides:
        (root / f"hang-{side}").unlink()
    (root / "fail-end").touch()
    with _start(root) as flow:
        out, err = flow.communicate(timeout=500)
    assert flow.returncode == 1
    assert err.count("The number is bad.") == 1
    assert "end: The number is bad.\n  where: somewhere\n  what to do: choose a better one" in err
    assert "Traceback" not in err
    assert "[1/4] source — cached" in out
    assert "left — ran" in out
    assert "[4/4] end — failed" in out
    assert stages_run(root).count("source") == 1

    (run,) = entries(root / ".ratchet/audit.jsonl")  # the killed flow never came to its end
    assert (run.action, run.subject) == ("run", "pipeline")
    assert run.details == {"n_stages": 4, "n_cached": 1, "n_ran": 2, "n_failed": 1, "revision": "none"}

    (root / "fail-end").unlink()
    other = make_repository(tmp_path / "plain")
    for where in (root, other):
        subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=where, env=environment(), check=True)
    assert (root / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()
    assert stages_run(root) == ["end"]
    for path in (other / "data").iterdir():
        if path.name != ".gitignore":
            assert (root / "data" / path.name).read_bytes() == path.read_bytes()
