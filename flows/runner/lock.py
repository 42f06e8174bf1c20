"""Checks that the committed dvc.lock belongs to this tree, and that a run reproduced the committed reports.

    python -m flows.runner.lock                  what of the tree dvc.lock was not made of; runs nothing, pulls nothing
    python -m flows.runner.lock --reproduced     after a run: which committed reports it did not give again

Hashes of outputs are not compared: weights differ in their last bits from one instruction set to another. Hashes of
what is in Git, of params and of commands do not, so they must be those of the tree. Where a run gives the committed
outputs, it must give the committed reports too, but for those that rest on the machine's measurements.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.runner.openings import MODELS, SHORTLIST, TEST, enter_opening
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.files import read_json

LOCK = "dvc.lock"
MEASUREMENTS = "measurements/"
CONFIGURED = "data/init.json"
"""Written by `ratchet init`, which takes the lock of the task before away."""
FIX = "make run, and commit dvc.lock with the reports"

Lock = Mapping[str, Mapping[str, Any]]
"""Stage → its entry of dvc.lock."""


def stale_entries(root: Path) -> list[str]:
    """Differences between the tree and dvc.lock: commands, params, files of Git that stages read, reports."""
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    found = []
    with Repo(str(root)) as repo:
        stages = [stage for stage in repo.index.stages if getattr(stage, "name", "")]
        outputs = {Path(out.fs_path) for stage in stages for out in stage.outs}
        for stage in stages:
            if stage.cmd_changed:
                found.append(f"{stage.name}: its command")
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency):
                    found += [f"{stage.name}: {dep} {name}" for name in _changed_params(dep)]
                elif not _made(Path(dep.fs_path), outputs) and _differs(dep):
                    found.append(f"{stage.name}: {dep}")
            reports = [out for out in stage.outs if not out.use_cache]
            found += [f"{stage.name}: {out}, which it writes" for out in reports if _differs(out)]
    return found


def unreproduced(committed: Lock, run: Lock, changed: set[str]) -> tuple[list[str], list[str]]:
    """Reports that differ though none of their dependencies does, and the outputs that were not reproduced.

    Args:
        committed: the lock of the commit.
        run: the lock after the run.
        changed: files of Git that the run changed.
    """
    measured = _measured(run)
    before, after = _hashes(committed), _hashes(run)
    other = sorted(path for path, md5 in after.items() if path not in measured | changed and before.get(path) != md5)
    reports = sorted(changed - measured - {LOCK})
    return ([] if other else reports), other


def read_lock(text: str) -> Lock:
    """The stages of a dvc.lock."""
    from ruamel.yaml import YAML

    stages: Lock = (YAML(typ="safe", pure=True).load(text) or {}).get("stages", {})
    return stages


def _changed_params(dep: Any) -> list[str]:
    """Params whose values differ from the lock."""
    status = dep.status()
    changes = status.get(str(dep), status) if isinstance(status, dict) else status
    return sorted(changes) if isinstance(changes, dict) else [str(changes)]


def _differs(file: Any) -> bool:
    """Whether a file of DVC's index is missing, or is not as the lock has it."""
    return not file.exists or bool(file.changed_checksum())


def _made(path: Path, outputs: set[Path]) -> bool:
    """Whether a stage writes the path, a folder above it, or a file below it."""
    return any(path == out or path in out.parents or out in path.parents for out in outputs)


def _hashes(lock: Lock) -> dict[str, str]:
    return {out["path"]: str(out.get("md5")) for stage in lock.values() for out in stage.get("outs", [])}


def _measured(lock: Lock) -> set[str]:
    """The outputs that hold a machine's measurements, and everything derived from them."""
    found = {path for path in _hashes(lock) if path.startswith(MEASUREMENTS)}
    n_before = -1
    while n_before < len(found):
        n_before = len(found)
        for stage in lock.values():
            if any(dep["path"] in found for dep in stage.get("deps", [])):
                found |= {out["path"] for out in stage.get("outs", [])}
    return found


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError("Git cannot list the committed files.", where=root, got=done.stderr.strip())
    return done.stdout


def check_tree(root: Path) -> str:
    """Check that dvc.lock was made of this very tree; what there is to say of it.

    Raises:
        PipelineError: it was not.
    """
    if not (root / LOCK).is_file():
        if (root / CONFIGURED).is_file():
            return "no run of this task yet: make run"
        raise PipelineError("No run is committed.", where=root / LOCK, fix=FIX)
    if found := stale_entries(root):
        raise PipelineError(
            "dvc.lock is not of this tree: these differ from what it records.", got="\n  " + "\n  ".join(found), fix=FIX
        )
    return f"{LOCK} is of this tree"


def is_judged(root: Path) -> bool:
    """Whether the shortlisted bundles and the test texts at hand are those of dvc.lock. In a checkout that has others,
    as one whose outputs are older than its reports, nobody has judged this pair."""
    from dvc.repo import Repo

    if not (root / SHORTLIST).is_file():
        return False
    named = {root / MODELS / name for name in read_json(root / SHORTLIST)["shortlist"]}
    with Repo(str(root)) as repo:
        outs = {Path(out.fs_path): out for stage in repo.index.stages for out in stage.outs}
        judged = [out for path, out in outs.items() if path in named or path in (root / TEST).parents]
        return len(judged) > len(named) and not any(map(_differs, judged))


def check_reproduced(root: Path) -> None:
    """Check that the run which has just ended gave the committed reports.

    Raises:
        PipelineError: it did not, though the outputs are the committed ones.
    """
    changed = set(_git(root, "diff", "--name-only", "HEAD").split())
    committed, run = read_lock(_git(root, "show", f"HEAD:{LOCK}")), read_lock((root / LOCK).read_text(encoding="utf-8"))
    reports, other = unreproduced(committed, run, changed)
    if other:
        print(f"not compared, since this machine's arithmetic gives other outputs than the commit: {', '.join(other)}")
    if moved := sorted(changed & _measured(run) - {LOCK}):
        print(f"these rest on what the machine measures, and differ: {', '.join(moved)}")
    if reports:
        raise PipelineError("The run gave other reports than those committed.", got=", ".join(reports), fix=FIX)


def main() -> None:
    """Check the tree, or with --reproduced the run."""
    parser = argparse.ArgumentParser(prog="python -m flows.runner.lock", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--reproduced", action="store_true", help="compare what a run gave with what is committed")
    if parser.parse_args().reproduced:
        check_reproduced(Path.cwd())
    else:
        print(check_tree(Path.cwd()))
        if is_judged(Path.cwd()):
            enter_opening(Path.cwd())  # of a plain `dvc repro`


if __name__ == "__main__":
    entry(main)
