"""The story of a release: train, review, approve, promote, verify elsewhere, refuse what is worse, roll back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from flows import release
from flows.release import PROMOTED, WAITING, Request
from ratchet.__main__ import app
from ratchet.errors import ReleaseError
from ratchet.registry.audit_log import entries, log_path
from ratchet.registry.workshop import Clone
from tests.registry import (
    POLICY,
    ROOT,
    V1,
    V2,
    commit,
    environment,
    git,
    judge_at_work,
    make_keys,
    make_server,
    push,
    signers_text,
)
from tests.story_line import DVC_YAML

GATES = [
    {
        "metric": "accuracy",
        "against": "absolute",
        "comparison": "at_least",
        "bound": 0.6,
        "rule": "value",
        "scope": "bundle",
        "when_undefined": "fail",
    },
    {
        "metric": "accuracy",
        "against": "champion",
        "comparison": "at_least",
        "bound": -0.01,
        "rule": "value",
        "scope": "bundle",
        "when_undefined": "fail",
    },
]


def _dvc(root: Path, *words: str) -> str:
    env = {**environment(), "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{environment()['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=root, capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _ratchet(*words: str) -> None:
    get_command(app).main(list(words), standalone_mode=False)


def _params(root: Path, n: int, noise: float) -> None:
    (root / "params.yaml").write_text(json.dumps({"texts": {"n": n, "noise": noise}, "promote": {"gates": GATES}}))


def _team(folder: Path, hook: str) -> Path:
    """A clone with a policy, a line that has not run, and a place for DVC's data that everybody reaches."""
    make_keys(folder / "keys")
    make_server(folder, hook)
    root = folder / "ann"
    git(folder, "clone", "--quiet", "server.git", "ann")
    git(root, "remote", "set-url", "origin", str(folder / "server.git"))
    for name, value in {"user.name": "Ann", "user.email": "ann@example.org", "gpg.format": "ssh"}.items():
        git(root, "config", name, value)
    _dvc(root, "init", "--quiet")
    _dvc(root, "config", "core.analytics", "false")
    _dvc(root, "remote", "add", "--quiet", "--default", "storage", str(folder / "storage"))
    for path, text in {"policy.yaml": json.dumps(POLICY), ".allowed_signers": signers_text(folder / "keys"),
                       "constraints.txt": "scikit-learn==1.9.1\n", "dvc.yaml": DVC_YAML,
                       ".gitignore": "/models/champion/\n/.ratchet/\n",
                       "models/champion.json": '{"bundle": null}\n'}.items():  # fmt: skip
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    (root / "keys").mkdir()
    (root / "reports").mkdir()
    shutil.copy(folder / "keys" / "model.pub", root / "keys")
    return root


def _train(root: Path, n: int, noise: float, text: str) -> None:
    _params(root, n, noise)
    _dvc(root, "repro", "--quiet")
    commit(root, text)


def _approve(root: Path, keys: Path) -> None:
    """Bob and Cay approve whatever version is the latest."""
    version = Clone(root).view().versions()[-1].tag
    for person in ("bob", "cay"):
        key = str(keys / person)
        _ratchet(
            "registry", "approve", version, "--who", person, "--why", "looks good", "--key", key, "--root", str(root)
        )


@pytest.mark.slow
def test_the_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("RATCHET_WHO", "ann")
    keys = tmp_path / "keys"
    with judge_at_work(tmp_path) as hook:
        root = _team(tmp_path, hook)
        monkeypatch.chdir(root)
        request = Request(root, "ann", "as measured", key=str(keys / "ann"), model_key=str(keys / "model.pem"))

        _train(root, 150, 0.05, "Measure")
        assert push(root, "main") == ""
        assert release.propose(request) == V1
        assert release.promote(request, V1)[0] == WAITING
        _approve(root, keys)
        assert release.promote(request, V1)[0] == PROMOTED
        assert release.propose(request) == V1, "the same decision is the same version"

        git(root, "switch", "--quiet", "--create", "more-labels")
        _train(root, 400, 0.0, "Buy more labels")
        capsys.readouterr()
        _ratchet("diff", "main", "more-labels", "--md", "--plots", str(tmp_path / "plots"))
        page = capsys.readouterr().out
        assert "Before: accepted, **words**. After: accepted, **words**." in page
        assert "`texts.n`: `150` → `400`" in page
        assert "| words | accuracy |" in page
        assert "`data/labeled.parquet`: 150 → 400 rows, 250 added, 0 removed" in page
        assert "`reports/curve.csv` differs: curve.png, before and after" in page
        assert (tmp_path / "plots" / "curve.png").read_bytes().startswith(b"\x89PNG")
        git(root, "switch", "--quiet", "main")
        git(root, "merge", "--quiet", "--ff-only", "more-labels")
        assert push(root, "main") == ""
        _dvc(root, "push", "--quiet", "--all-commits")
        assert release.propose(request) == V2
        _approve(root, keys)
        assert release.promote(request, V2)[0] == PROMOTED

        fresh = tmp_path / "fresh"
        git(tmp_path, "clone", "--quiet", "server.git", "fresh")
        capsys.readouterr()
        _ratchet("registry", "verify", "champion", "--root", str(fresh))
        assert "champion (sentiment@v1.1.0) holds, to the last byte" in capsys.readouterr().out
        _ratchet("registry", "list", "--root", str(fresh))
        told = capsys.readouterr().out.splitlines()
        assert [row.split()[0] for row in told] == [V2.tag, V1.tag]
        assert "sentiment#champion#4" in told[0]
        assert "sentiment#archived#5" in told[1]
        other = shutil.copytree(root / "models" / "champion", tmp_path / "other")
        weights = bytearray((other / "weights.safetensors").read_bytes())
        weights[-1] ^= 1
        (other / "weights.safetensors").write_bytes(weights)
        with pytest.raises(ReleaseError, match="bytes are not those that were released"):
            _ratchet("registry", "verify", "champion", "--root", str(fresh), "--bundle", str(other))

        _train(root, 400, 0.5, "Try noisy labels")
        assert json.loads((root / "reports/decision.json").read_text())["verdict"] == "rejected"
        assert push(root, "main") == ""
        assert release.propose(request) is None
        assert len(Clone(root).view().versions()) == 2

        _ratchet("registry", "rollback", "--who", "bob", "--why", "complaints", "--key", str(keys / "bob"))
        assert "sentiment@v1.0.0 is the champion again" in capsys.readouterr().out
        assert json.loads((root / "models/champion.json").read_text())["version"] == V1.tag
        assert (root / "models/champion/bundle.json").read_bytes() == git(
            root, "show", f"{V1.tag}:releases/v1.0.0/bundle.json").encode() + b"\n"  # fmt: skip
        assert Clone(root).faults() == {}

    log = log_path(root)
    assert [entry.action for entry in entries(log)] == [
        "decision", "release", "approval", "approval", "promotion",
        "decision", "release", "approval", "approval", "promotion", "decision", "rollback",
    ]  # fmt: skip
    _ratchet("audit", "verify")
    assert "12 entries hold" in capsys.readouterr().out
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:8]))
    with pytest.raises(ReleaseError, match="was cut"):
        _ratchet("audit", "verify")
