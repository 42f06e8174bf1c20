"""Duration of a rollback: from the command to the earlier bundle in its place, verified to the last byte.

    python -m benchmarks.rollback [--runs 5]

In a scratch clone of this repository, whose remote is a bare repository with the hook of `hooks/`, the bundle that the
committed decision chose is released and promoted twice: the second time measured beside itself as champion, which it
equals. Each run is then `ratchet registry rollback` as a process of its own, forth and back between the two: it judges
what it is about to push, signs, pushes through the hook, and fetches that revision's bundle from a DVC remote, because
the clone's own cache is empty. The remotes are folders: a network's time comes on top.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.material import median_estimate, write_report
from pipeline_steps import evaluate, promote, report, shortlist
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.gates.measured_reports import DIFFERENCES, read_report, read_whole
from ratchet.measure.estimate import exact
from ratchet.measure.machine_figures import drop
from ratchet.measure.report_files import write_parts
from ratchet.models.bundle import size_mb
from ratchet.params import load_params, read_yaml
from ratchet.registry import operations
from ratchet.registry.audit_entry import NO_HASH, Head
from ratchet.registry.clone import Clone
from ratchet.registry.names import Version

ROOT = Path.cwd()
TEAM = ("ann", "bob")
FIRST, SECOND = Version("sentiment", 1, 0, 0), Version("sentiment", 1, 1, 0)
HEAD = Head(0, NO_HASH)
MODEL_KEY = "model-signing.pem"


def prepare(scratch: Path) -> Clone:
    """The clone in which version 1.1.0 is champion after 1.0.0; its DVC cache is empty, its DVC remote is not."""
    clone = _clone(scratch)
    chosen = read_report(clone.root / promote.WRITES["decision"])["chosen"]
    if chosen is None:
        raise PipelineError("The committed decision chose no bundle.", fix="make run, and commit what it measured")
    outs = [f"models/{chosen}", report.WRITES["card"], evaluate.WRITES["measurements"], promote.WRITES["measurements"]]
    _dvc(clone.root, "config", "--local", "cache.dir", _dvc(ROOT, "cache", "dir"))
    _dvc(clone.root, "checkout", *outs)
    _dvc(clone.root, "push", *outs)
    _dvc(clone.root, "config", "--local", "cache.dir", str(scratch / "empty"))
    _promoted(clone, FIRST, scratch / MODEL_KEY)
    _measure_beside_itself(clone.root, chosen)
    _push(clone, "Measure again")
    _promoted(clone, SECOND, scratch / MODEL_KEY)
    return clone


def roll_back(clone: Clone) -> tuple[float, float]:
    """Wall and CPU seconds of one rollback, of all the processes it starts, the hook's among them.

    Raises:
        PipelineError: it failed, or another bundle than the one in the record is in its place.
    """
    shutil.rmtree(clone.root / "models" / operations.CHAMPION_FOLDER, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "ratchet",
        "registry",
        "rollback",
        "--who",
        "bob",
        "--why",
        "timed",
        "--root",
        str(clone.root),
        "--key",
        str(clone.root.parent / "bob"),
    ]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall_s, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    manifest = clone.root / "models" / operations.CHAMPION_FOLDER / "bundle.json"
    if done.returncode or not manifest.is_file():
        raise PipelineError("The rollback failed.", got=done.stderr.strip())
    return wall_s, (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def _clone(scratch: Path) -> Clone:
    """A clone with a team of two, pushed to a bare repository that has the hook."""
    for person in TEAM:
        _run(scratch, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", person)
    _run(scratch, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", MODEL_KEY)
    _run(scratch, "git", "init", "--quiet", "--bare", "--initial-branch=main", "server.git")
    _run(scratch, "git", "clone", "--quiet", "--no-hardlinks", str(ROOT), "clone")
    root = scratch / "clone"
    (root / "keys").mkdir()
    _run(root, "openssl", "ec", "-in", f"../{MODEL_KEY}", "-pubout", "-out", "keys/model-signing.pub")
    public = {person: " ".join((scratch / f"{person}.pub").read_text().split()[:2]) for person in TEAM}
    signers = "".join(f'{person} namespaces="git" {key}\n' for person, key in public.items())
    (root / ".allowed_signers").write_text(signers)
    right = {"who": ["ann"], "approvers": [], "approvals": 0}
    policy = read_yaml(root / "policy.yaml") | {
        "release": right,
        "promote": right | {"approvers": ["bob"], "approvals": 1},
        "roll_back": right | {"who": ["bob"]},
        "model_keys": ["keys/model-signing.pub"],
    }
    (root / "policy.yaml").write_text(json.dumps(policy))
    _run(root, "git", "remote", "set-url", "origin", str(scratch / "server.git"))
    _run(root, "git", "checkout", "--quiet", "-B", "main")
    for name, value in {"user.name": "Ann", "user.email": "ann@example.org", "gpg.format": "ssh"}.items():
        _run(root, "git", "config", name, value)
    _dvc(root, "remote", "add", "--default", "storage", str(scratch / "storage"))
    hook = scratch / "server.git" / "hooks" / "pre-receive"
    program = ROOT / "hooks" / "pre-receive"
    hook.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" RATCHET_PYTHON="{sys.executable}" exec "{program}"\n')
    hook.chmod(0o755)
    clone = Clone(root, key=str(scratch / "ann"))
    _push(clone, "Set up the team")
    return clone


def _push(clone: Clone, text: str) -> None:
    clone.git("add", "--all")
    clone.git("commit", "--quiet", "-m", text)
    clone.git("push", "--quiet", "origin", "main")


def _promoted(clone: Clone, version: Version, model_key: Path) -> None:
    operations.propose(clone, version, model_key, "measured", HEAD)
    operations.review(Clone(clone.root, key=str(clone.root.parent / "bob")), "approval", "bob", version.tag, "good")
    operations.promote(clone, version, "better", HEAD)


def _measure_beside_itself(root: Path, chosen: str) -> None:
    """Reports and `dvc.lock` as a run leaves them whose champion is the very bundle that is chosen."""
    measured = read_whole(root / evaluate.WRITES["report"], root / evaluate.WRITES["measurements"])
    bundle = measured["bundles"][chosen]
    measured["bundles"]["champion"] = {**bundle, "deployable": False}
    bundle["against"]["champion"] = _equal(bundle["metrics"])
    bundle["slices_against"] = {"champion": {key: _equal(values) for key, values in bundle["slices"].items()}}
    reports = {name: read_report(root / path) for name, path in promote.REPORTS.items()} | {"evaluate": measured}
    ranked = load_params(shortlist.Params, "shortlist", root / "params.yaml")
    reports["shortlist"] = shortlist.run(measured, ranked)
    decision = promote.run(reports, load_params(promote.Params, "promote", root / "params.yaml"))
    lock = (root / "dvc.lock").read_text(encoding="utf-8")
    written = [
        root / step.WRITES[name]
        for step, name in (
            (evaluate, "report"),
            (evaluate, "measurements"),
            (promote, "decision"),
            (promote, "measurements"),
        )
    ]
    before = [_md5(path) for path in written]
    write_parts(written[0], written[1], measured, drop(measured))
    write_parts(written[2], written[3], decision, promote.committed(decision))
    for path, md5 in zip(written, before, strict=True):
        lock = lock.replace(md5, _md5(path))
    (root / "dvc.lock").write_text(lock, encoding="utf-8")


def _equal(metrics: Iterable[str]) -> dict[str, Any]:
    """What a comparison of each metric with its own value gives."""
    return {metric: exact(0.0 if metric in DIFFERENCES else 1.0).to_json() for metric in metrics}


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _dvc(root: Path, *words: str) -> str:
    return _run(root, sys.executable, "-m", "dvc", *words)


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError(f"`{' '.join(command[:4])}` failed.", where=folder, got=done.stderr.strip()[-2000:])
    return done.stdout.strip()


def main() -> None:
    """Time the rollbacks, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollback")
    parser.add_argument("--runs", type=int, default=5, help="rollbacks, each adding to the registry")
    given = parser.parse_args()
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        clone = prepare(Path(folder))
        runs = [roll_back(clone) for _ in range(given.runs)]
        size, n_tags = size_mb(clone.root / "models" / operations.CHAMPION_FOLDER), len(clone.view().tags)
    wall_s, cpu_s = (median_estimate([run[index] for run in runs]) for index in (0, 1))
    figures: dict[str, Any] = {"wall_s": wall_s, "cpu_s": cpu_s, "bundle_mb": size, "n_tags": n_tags}
    for name in ("wall_s", "cpu_s"):
        print(f"{name}: {figures[name]['value']:.1f} ({figures[name]['low']:.1f} to {figures[name]['high']:.1f})")
    write_report("rollback", figures, n_threads=1, options=f"--runs {given.runs}")


if __name__ == "__main__":
    entry(main)
