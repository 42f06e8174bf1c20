"""A dvc.lock that is not of the tree is refused; clones share what they made through a folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runner.lock import check_reproduced, check_tree, is_judged, read_lock, unreproduced
from ratchet.errors import PipelineError
from tests.support.miniature import ROOT, environment, make_repository, stages_run, write_params


def run(root: Path, *command: str) -> str:
    """What a command prints in a clone."""
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def dvc(root: Path, *arguments: str) -> str:
    return run(root, sys.executable, "-m", "dvc", *arguments)


def commit(root: Path, text: str) -> None:
    run(root, "git", "add", "--all")
    run(root, "git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "--quiet", "-m", text)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A miniature of which a run is committed, and pushed to a bare repository and a remote that is a folder."""
    folder = tmp_path_factory.mktemp("lock")
    root = make_repository(folder / "author")
    (root / ".gitignore").write_text("__pycache__/\n/ran.txt\n")
    dvc(root, "remote", "add", "--default", "--quiet", "folder", str(folder / "remote"))
    shutil.copytree(ROOT / ".ci", root / ".ci")
    dvc(root, "repro", "--quiet")
    stages_run(root)
    commit(root, "Measure")
    run(folder, "git", "clone", "--quiet", "--bare", str(root), "server.git")
    run(root, "git", "remote", "add", "origin", "../server.git")
    dvc(root, "push", "--quiet", "--run-cache")
    return folder


def clone(folder: Path, name: str) -> Path:
    run(folder, "git", "clone", "--quiet", "server.git", name)
    return folder / name


def test_a_fresh_clone_without_any_data_is_of_its_lock(measured: Path) -> None:
    check_tree(clone(measured, "fresh"))


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("pipeline_steps/left.py", "# edited\n", "left: pipeline_steps/left.py"),
        ("params.yaml", None, "left: params.yaml left"),
        ("dvc.yaml", None, "right: its command"),
        ("data/end.json", "5", "end: data/end.json, which it writes"),
    ],
)
def test_what_dvc_lock_was_not_made_of_is_named(measured: Path, path: str, text: str | None, expected: str) -> None:
    root = clone(measured, f"changed-{path.replace('/', '-')}")
    if path == "params.yaml":
        write_params(root, left=7)
    elif path == "dvc.yaml":
        wiring = (root / path).read_text()
        (root / path).write_text(wiring.replace("-m pipeline_steps.right", "-B -m pipeline_steps.right"))
    else:
        (root / path).write_text((root / path).read_text() + str(text))
    with pytest.raises(PipelineError, match=expected) as caught:
        check_tree(root)
    assert str(caught.value).count("\n  ") >= 1
    assert "make run, and commit" in str(caught.value)


def test_another_clone_runs_only_what_it_touches_and_ci_nothing_that_was_pushed(measured: Path) -> None:
    author, ci = clone(measured, "second"), clone(measured, "ci")
    pull = "env", f"PYTHON={sys.executable}", ".ci/pull"
    run(author, *pull)
    write_params(author, right=5)
    dvc(author, "repro", "--quiet")
    assert stages_run(author) == ["right", "end"]
    check_tree(author)
    commit(author, "Another right")
    run(author, "git", "push", "--quiet", "origin", "HEAD")

    run(ci, "git", "pull", "--quiet")
    run(ci, *pull)
    dvc(ci, "repro", "--quiet")
    assert stages_run(ci) == ["right", "end"]  # the author has not pushed what she made
    check_reproduced(ci)
    dvc(ci, "push", "--quiet", "--run-cache")

    later = clone(measured, "later")
    run(later, *pull)
    dvc(later, "repro", "--quiet")
    assert stages_run(later) == []
    assert run(later, "git", "status", "--porcelain") == ""


def test_without_a_remote_nothing_is_pulled(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "alone")
    shutil.copytree(ROOT / ".ci", root / ".ci")
    done = subprocess.run(
        [".ci/pull"],
        cwd=root,
        env={**environment(), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no DVC remote" in done.stdout


def lock(**hashes: str) -> str:
    """A lock of train → model, evaluate → report and measurements, promote → decision."""
    made = {"model": "m", "report": "r", "measured": "t", "decision": "d", **hashes}

    def outs(**paths: str) -> list[dict[str, str]]:
        return [{"path": path, "md5": made[name]} for name, path in paths.items()]

    evaluate = {"report": "reports/evaluate.json", "measured": "measurements/evaluate.json"}
    stages = {
        "train": {"outs": outs(model="models/teacher")},
        "evaluate": {"deps": [{"path": "models/teacher"}], "outs": outs(**evaluate)},
        "promote": {
            "deps": [{"path": "measurements/evaluate.json"}],
            "outs": outs(decision="reports/decision.json"),
        },
    }
    return json.dumps({"schema": "2.0", "stages": stages})


def test_only_measurements_and_what_rests_on_them_may_differ_where_the_outputs_are_equal() -> None:
    committed = read_lock(lock())
    states = {
        ("t2", "d2", "r"): {"dvc.lock", "reports/decision.json"},
        ("t2", "d", "r2"): {"dvc.lock", "reports/evaluate.json"},
    }
    found = [
        unreproduced(committed, read_lock(lock(measured=t, decision=d, report=r)), changed)
        for (t, d, r), changed in states.items()
    ]
    assert found == [([], []), (["reports/evaluate.json"], [])]


def test_where_the_weights_differ_reports_are_not_compared() -> None:
    run_here = read_lock(lock(model="m2", report="r2"))
    assert unreproduced(read_lock(lock()), run_here, {"dvc.lock", "reports/evaluate.json"}) == ([], ["models/teacher"])


def test_every_script_of_ci_can_be_run() -> None:
    assert [path.name for path in (ROOT / ".ci").iterdir() if not os.access(path, os.X_OK)] == []


def test_an_opening_is_that_of_bundles_and_texts_that_the_lock_records(tmp_path: Path) -> None:
    """In a checkout with older models, or with none, nobody has judged what is at hand."""
    make = "mkdir -p models/a data/splits && echo 1 > models/a/bundle.json && echo 2 > data/splits/test.parquet"
    stage = {"cmd": make, "outs": ["models/a", "data/splits"]}
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": {"make": stage}}))
    run(tmp_path, "git", "init", "--quiet")
    dvc(tmp_path, "init", "--quiet")
    dvc(tmp_path, "repro", "--quiet")
    assert not is_judged(tmp_path)  # no shortlist
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/shortlist.json").write_text('{"shortlist": ["a"]}')
    assert is_judged(tmp_path)
    (tmp_path / "models/a/bundle.json").write_text("older")
    assert not is_judged(tmp_path)
    dvc(tmp_path, "checkout", "--quiet", "--force")
    assert is_judged(tmp_path)
    shutil.rmtree(tmp_path / "models")
    assert not is_judged(tmp_path)
