"""The story of a release, by the commands of docs/release.md as they are written.

Set up, train, review, approve, promote, verify elsewhere, refuse what is worse, roll back.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from ratchet.__main__ import app
from ratchet.errors import ReleaseError
from ratchet.registry.audit_log import entries, log_path
from ratchet.registry.clone import Clone
from tests.support.registry import ROOT, V1, V2, environment, git, judge_at_work
from tests.support.release_page import PEOPLE, Team, commands, policy
from tests.support.release_reports import gate_at
from tests.support.story_pipeline import DVC_YAML

SET_UP, RELEASE, LOOK = (commands(heading) for heading in ("Set it up", "Release", "Look, check"))
GATES = [gate_at(0.6), gate_at(-0.01, against="champion")]
Printed = Callable[[], str]


def _dvc(root: Path, *words: str) -> None:
    env = {**environment(), "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{environment()['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=root, capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _ratchet(*words: str) -> None:
    get_command(app).main(list(words), standalone_mode=False)


def _params(root: Path, n: int, noise: float, text: str) -> None:
    (root / "params.yaml").write_text(
        json.dumps({"texts": {"n": n, "noise": noise}, "promote": {"gates": GATES, "max_total_loss": 0.03}})
    )
    git(root, "commit", "--quiet", "--all", "-m", text)


def _a_pipeline_that_has_not_run(root: Path) -> None:
    _dvc(root, "init", "--quiet")
    _dvc(root, "config", "core.analytics", "false")
    for path, text in {
        "constraints.txt": "scikit-learn==1.9.1\n",
        "dvc.yaml": DVC_YAML,
        "params.yaml": "",
        ".gitignore": "/models/champion/\n/models/high_water_mark/\n/.ratchet/\n/.prefect/\n",
        "models/champion.json": '{"bundle": null}\n',
    }.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    (root / "reports").mkdir()
    git(root, "checkout", "--quiet", "-B", "main")
    git(root, "add", "--all")
    _params(root, 150, 0.05, "Start")


def _set_up(team: Team) -> None:
    """Everyone's keys; then the rest, by ann; then everyone's clone has it."""
    everyone = [command for command in SET_UP if command.startswith(("ssh-keygen", "git config"))]
    for person in PEOPLE:
        for command in everyone:
            team.follow(command, person)
    root = team.clone("ann")
    _a_pipeline_that_has_not_run(root)
    (root / ".allowed_signers").write_text(team.signers())
    (root / "policy.yaml").write_text(json.dumps(policy()))
    for command in SET_UP[len(everyone) :]:
        team.follow(command, **{"s3://bucket/path": str(team.folder / "storage"), "/srv/ratchet": str(team.folder)})
    for person in PEOPLE[1:]:
        git(team.clone(person), "pull", "--quiet")


def _release(team: Team, printed: Printed, version: str, *, measured: bool = False) -> None:
    """The page's commands for the first version, run for this one; `measured` leaves out those up to the push."""
    for command in RELEASE[2 if measured else 0 :]:
        person = "bob" if "--who bob" in command else "cay" if "--who cay" in command else "ann"
        team.follow(command, person, **{V1.tag: version})
        if "--model-key" in command:
            assert f"Waiting: {version} has 0 of 2 approvals: ratchet registry approve {version}" in printed()
    assert f"Promoted: {version} is the champion" in printed()


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.deep
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")  # Prefect's
def test_the_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from prefect.testing.utilities import prefect_test_harness

    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def printed() -> str:
        return capsys.readouterr().out

    with judge_at_work(tmp_path) as hook, prefect_test_harness(server_startup_timeout=180):
        root = tmp_path / "ann"
        team = Team(tmp_path, hook, monkeypatch, lambda: _dvc(root, "repro", "--quiet"))
        _set_up(team)
        _release(team, printed, V1.tag)

        git(root, "switch", "--quiet", "--create", "more-labels")
        _params(root, 400, 0.0, "Buy more labels")
        team.run_pipeline()
        git(root, "commit", "--quiet", "--all", "-m", "Measure")
        team.follow(LOOK[-1])
        page = printed()
        assert "Before: accepted, words. After: accepted, words." in page
        assert "| texts.n | 150 | 400 |" in page
        assert "| evaluate.json | words.accuracy | 0.825 | 1 | 0.175 |" in page
        assert "| data/labeled.parquet | rows | 150 | 400 |" in page
        assert "| data/labeled.parquet | 250 came, 5 relabelled |" in page
        assert "`reports/curve.csv` differs: curve.png, before and after" in page
        assert (root / "review" / "curve.png").read_bytes().startswith(b"\x89PNG")
        shutil.rmtree(root / "review")
        git(root, "switch", "--quiet", "main")
        git(root, "merge", "--quiet", "--ff-only", "more-labels")
        git(root, "push", "--quiet")
        _release(team, printed, V2.tag, measured=True)

        fresh = tmp_path / "fresh"
        git(tmp_path, "clone", "--quiet", "server.git", "fresh")
        printed()
        _ratchet("registry", "verify", "champion", "--root", str(fresh))
        assert "verified: champion (sentiment@v1.1.0), to the last byte" in printed()
        _ratchet("registry", "list", "--root", str(fresh))
        rows = printed().splitlines()
        assert [row.split()[0] for row in rows] == [V2.tag, V1.tag]
        assert "sentiment#champion#4" in rows[0]
        assert "sentiment#archived#5" in rows[1]
        other = shutil.copytree(root / "models" / "champion", tmp_path / "other")
        weights = bytearray((other / "weights.safetensors").read_bytes())
        weights[-1] ^= 1
        (other / "weights.safetensors").write_bytes(weights)
        with pytest.raises(ReleaseError, match="bytes are not those that were released"):
            _ratchet("registry", "verify", "champion", "--root", str(fresh), "--bundle", str(other))

        _params(root, 400, 0.5, "Try noisy labels")
        for command in (RELEASE[0], RELEASE[1], RELEASE[3]):
            team.follow(command)
        assert "Rejected: the gates rejected every bundle; nothing is released" in printed()
        assert len(Clone(root).view().versions()) == 2

        for command in LOOK[:-1]:
            team.follow(command, "cay")
            if "rollback" in command:
                assert "sentiment@v1.0.0 is the champion again" in printed()
        cay = team.clone("cay")
        assert json.loads((cay / "models/champion.json").read_text())["version"] == V1.tag
        assert (cay / "models/champion/bundle.json").read_bytes() == git(
            cay, "show", f"{V1.tag}:releases/v1.0.0/bundle.json"
        ).encode() + b"\n"
        assert Clone(cay).verification_failures() == {}
        assert set(team.followed) == {*SET_UP, *RELEASE, *LOOK}

        log = log_path(root)
        assert log == tmp_path / "audit.jsonl"
        assert [entry.action for entry in entries(log)] == [
            "decision",
            "release",
            "approval",
            "approval",
            "promotion",
            "decision",
            "release",
            "approval",
            "approval",
            "promotion",
            "decision",
            "rollback",
        ]
        monkeypatch.setenv("RATCHET_AUDIT_LOG", "of-her-own.jsonl")
        with pytest.raises(ReleaseError, match="The audit log was cut since the last promotion"):
            team.follow(next(command for command in LOOK if "rollback" in command), "cay")
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:8]))
        with pytest.raises(ReleaseError, match="was cut"):
            _ratchet("audit", "verify", "--log", str(log))
