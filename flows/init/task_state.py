"""What of the repository belongs to one task, and what becomes of each when the task becomes another.

The one list of it: `ratchet init` prints and resets what stands here. A contract test looks for the paths that flows
and steps write, and fails when one of them is missing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from flows.checks.project import Project
from flows.checks.wiring import written_paths
from ratchet.errors import PipelineError

EXPERIMENTS = "refs/exps"
"""Where DVC keeps experiments in Git."""


@dataclass(frozen=True)
class State:
    """One kind of state."""

    path: str
    """A path or a glob, relative to the root."""
    what: str
    becomes: str = ""
    """The content of the file when nothing has happened yet; empty: it is removed."""


STATE: Sequence[State] = (
    State("dvc.lock", "record of the last run"),
    State("data/accepted_profile.json", "profile of the accepted data", '{\n  "profile": null\n}\n'),
    State("data/labels.json", "pointer to people's labels", '{\n  "batches": []\n}\n'),
    State("data/judging_labels.json", "pointer to the labels of production's random sample"),
    State("data/judging_labels", "labels of production's random sample"),
    State("data/judging_labels.dvc", "DVC's record of these labels"),
    State("data/judging_draws.jsonl", "draws of production's random sample"),
    State("data/label_queue", "queue of texts for people"),
    State("data/guidelines.md", "guidelines for the people who label"),
    State("data/source_changed.txt", "what is watched for a source that DVC cannot see"),
    State("reports/openings.json", "openings of the sealed test"),
    State("reports/cpu_kinds.json", "kinds of CPU on which releases were verified"),
    State("models/champion.json", "pointer to the champion", '{\n  "bundle": null\n}\n'),
    State("models/champion", "the champion's files"),
    State("models/high_water_mark.json", "pointer to the best bundle ever released", '{\n  "bundle": null\n}\n'),
    State("models/high_water_mark", "its files"),
    State("models/challenger", "the challenger's files"),
    State("models/reference", "reference of the drift tests"),
    State("reports/monitor", "windows, alerts and requests of the monitor"),
    State("reports/ablation", "search of compositions"),
    State("reports/demo.html", "page of the story"),
    State(".scratch/labels", "outbox of texts for people"),
    State(".scratch/live", "prediction log, experiment and rollout"),
    State(".scratch/ablation", "logs of the search"),
    State(".scratch/architect", "checkpoints"),
    State(".scratch/architect_vocabulary", "the backbone with the task's tokens alone"),
    State(".scratch/distil", "checkpoints"),
    State(".scratch/prune", "checkpoints"),
    State(".scratch/train", "checkpoints"),
    State(".scratch/train_vocabulary", "the backbone with the task's tokens alone"),
    State(".scratch/logs", "logs of the stages"),
    State(".scratch/try", "trials of techniques"),
)
"""State beside the outputs of the stages, which dvc.yaml lists. People's labels (data/labels) stay: see `--force`."""


def state_of(root: Path, project: Project) -> list[State]:
    """All of it that is there and is not as it was before any run, the outputs of the stages included."""
    stages = [State(path, "output of a stage") for path in written_paths(project)]
    found = []
    for item in [*STATE, *stages]:
        path = root / item.path
        if path.is_file() and path.read_bytes() == item.becomes.encode():
            continue
        if path.exists():
            found.append(item)
    return found


def experiments(root: Path) -> list[str]:
    """DVC's experiments, as refs of Git."""
    return _git(root, "for-each-ref", "--format=%(refname)", EXPERIMENTS).split()


def forget_experiments(root: Path) -> None:
    """Remove them; what they made stays in DVC's cache."""
    for ref in experiments(root):
        _git(root, "update-ref", "-d", ref)


def committed_files(root: Path) -> set[str]:
    """The files that are as the last commit has them; empty where there is no commit."""
    try:
        return {*_git(root, "ls-files").splitlines()} - {*_git(root, "diff", "--name-only", "HEAD").splitlines()}
    except PipelineError:
        return set()


def n_labels(root: Path) -> int:
    """Rows of the batches that data/labels.json names: what people have said."""
    path = root / "data/labels.json"
    pointer = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return sum(batch["n_rows"] for batch in (pointer or {}).get("batches", []))


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError(
            "Git does not answer.", where=root, got=done.stderr.strip(), fix="run it in a clone of the repository"
        )
    return done.stdout
