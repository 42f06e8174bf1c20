"""The demo's environment: people with keys, a Git server with its hook, a clone with texts and a small pipeline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from flows.runner.environment import stage_environment
from ratchet.errors import PipelineError
from ratchet.files import write_json
from ratchet.registry.names import Version

TEAM = ("ann", "bob", "cay", "dan")
"""ann releases and promotes, bob and cay approve and may roll back, dan keeps the policy."""
TASK = "examples/films"
"""Whose settings, suites and lexicons the story has, whatever the repository's task is."""
POLICY = {
    "artifact": "sentiment",
    "release": {"who": ["ann"], "approvers": [], "approvals": 0},
    "promote": {"who": ["ann"], "approvers": ["bob", "cay"], "approvals": 2},
    "roll_back": {"who": ["bob", "cay"], "approvers": [], "approvals": 0},
    "change_policy": {"who": ["dan"], "approvers": ["ann", "bob"], "approvals": 1},
    "protected": ["hooks"],
    "required_gates": ["accuracy"],
    "model_keys": ["keys/model.pub"],
    "paths": {
        "lock": "dvc.lock",
        "params": "params.yaml",
        "constraints": "constraints.txt",
        "data": "data",
        "champion": "models/champion.json",
        "releases": "releases",
        "models": "models",
        "decision": "reports/decision.json",
        "evaluate": "reports/evaluate.json",
        "measured": ["reports/audit.json", "reports/explain.json"],
        "model_card": "reports/model_card.md",
    },
}
LINE = """
stages:
  line:
    cmd: python -m examples.story.pipeline
    params: [promote]
    deps: [data/splits, data/labels.json, models/champion.json]
    outs: [models/words, data/labeled.parquet, reports/model_card.md]
    metrics:
      - reports/evaluate.json: {cache: false}
      - reports/audit.json: {cache: false}
      - reports/explain.json: {cache: false}
      - reports/decision.json: {cache: false}
"""
GATE = {"metric": "accuracy", "scope": "bundle", "comparison": "at_least", "rule": "value", "when_undefined": "fail"}
GATES = [{**GATE, "against": "absolute", "bound": 0.6}, {**GATE, "against": "champion", "bound": -0.01}]
PROMOTE = {"gates": GATES, "max_total_loss": 0.03}
N_SEED_LABELS, N_TRAFFIC = 1500, 20_000


@dataclass(frozen=True)
class World:
    """Paths of the demo."""

    folder: Path
    source: Path
    """The repository whose program and texts these are."""

    @property
    def root(self) -> Path:
        """The clone that everything happens in."""
        return self.folder / "clone"

    @property
    def keys(self) -> Path:
        """Everybody's keys, which stand in one folder only here."""
        return self.folder / "keys"

    def environment(self) -> dict[str, str]:
        """This repository's program, and nothing of the user's own Git."""
        kept = {name: value for name, value in stage_environment().items() if not name.startswith("GIT_")}
        return {**kept, "PYTHONPATH": str(self.source), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Output of a command.

        Raises:
            PipelineError: it failed.
        """
        done = subprocess.run(
            command, cwd=cwd or self.root, env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise PipelineError(f"`{' '.join(command[:4])}` failed.", where=self.root, got=done.stderr.strip()[-1500:])
        return done.stdout.strip()


def make_world(folder: Path, source: Path) -> World:
    """A world from nothing, in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    world = World(folder, source)
    (folder / "keys").mkdir(parents=True)
    _make_keys(world)
    world.run("git", "init", "--quiet", "--bare", "--initial-branch=main", "server.git", cwd=folder)
    hook = folder / "server.git" / "hooks" / "pre-receive"
    hook.write_text(
        f'#!/bin/sh\nPYTHONPATH="{source}" RATCHET_PYTHON="{sys.executable}" exec "{source}/hooks/pre-receive"\n'
    )
    hook.chmod(0o755)
    world.run("git", "clone", "--quiet", "server.git", "clone", cwd=folder)
    for name, value in {
        "user.name": "Ann",
        "user.email": "ann@example.org",
        "gpg.format": "ssh",
        "user.signingKey": str(world.keys / "ann"),
    }.items():
        world.run("git", "config", name, value)
    world.run("git", "remote", "set-url", "origin", str(folder / "server.git"))
    world.run(sys.executable, "-m", "dvc", "init", "--quiet")
    world.run(sys.executable, "-m", "dvc", "remote", "add", "--quiet", "--default", "storage", str(folder / "storage"))
    _write_files(world)
    _write_texts(world)
    return world


def commit_and_push(world: World, text: str) -> None:
    """Everything that changed, through the server's hook."""
    world.run("git", "add", "--all")
    world.run("git", "commit", "--quiet", "-m", text)
    world.run("git", "push", "--quiet", "origin", "HEAD:main")
    world.run(sys.executable, "-m", "dvc", "push", "--quiet")


def run_pipeline(world: World) -> dict[str, Any]:
    """Bring the pipeline up to date with DVC; returns its decision."""
    world.run(sys.executable, "-m", "dvc", "repro", "--quiet")
    decision: dict[str, Any] = json.loads((world.root / "reports/decision.json").read_text())
    return decision


def approve(world: World, version: Version, who: str, why: str) -> None:
    """A person's signed approval, pushed."""
    world.run(
        sys.executable,
        "-m",
        "ratchet",
        "registry",
        "approve",
        version.tag,
        "--who",
        who,
        "--why",
        why,
        "--key",
        str(world.keys / who),
    )


@contextmanager
def serving(world: World) -> Iterator[tuple[str, str]]:
    """`ratchet serve` in a process of its own: its address, and a key."""
    ratchet = [sys.executable, "-m", "ratchet"]
    secret = world.run(
        *ratchet,
        "keys",
        "add",
        "demo",
        "--scope",
        "predict",
        "--scope",
        "feedback",
        "--scope",
        "admin",
        "--per-minute",
        "1000000",
    )
    log = (world.folder / "server.log").open("w+")
    with log, subprocess.Popen([*ratchet, "serve"], cwd=world.root, env=world.environment(), stderr=log) as process:
        try:
            yield _address(world.folder / "server.log", process), secret
        finally:
            process.terminate()
            process.wait(60)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    import re
    import time

    while process.poll() is None:
        if match := re.search(r"serves on (\S+),", log.read_text()):
            return match[1]
        time.sleep(0.1)
    raise PipelineError("The server did not start.", where=log, got=log.read_text()[-1500:])


def _make_keys(world: World) -> None:
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    for person in TEAM:
        world.run(
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            person,
            "-f",
            str(world.keys / person),
            cwd=world.folder,
        )
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
    (world.keys / "model.pem").write_bytes(secret)
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    (world.keys / "model.pub").write_bytes(public)


def _write_files(world: World) -> None:
    root, yaml = world.root, YAML(typ="safe", pure=True)
    for name in ("data/splits", "data/suites", "data/lexicons", "models", "keys", "reports"):
        (root / name).mkdir(parents=True)
    signers = {person: (world.keys / f"{person}.pub").read_text().split()[:2] for person in TEAM}
    live = yaml.load((world.source / TASK / "live.yaml").read_text())
    live["serve"] |= {"port": 0, "access_log": ".scratch/live/access.jsonl", "watch_s": 0.2, "max_wait_ms": 5000.0}
    live["log"] |= {"interval_ms": 50}
    live["monitor"] |= {"window_rows": 500, "n_to_label": 300, "max_share_of_key": 1.0, "rate_factor": 1e6}
    live["rollout"] |= {
        "feedback_delay_s": 0.0,
        "steps": [
            {"name": "shadow", "share": 0.0, "margin": 0.02, "min_units": 300, "max_units": 4000},
            {"name": "small", "share": 0.05, "margin": 0.1, "min_units": 600, "max_units": 8000},
            {"name": "half", "share": 0.5, "margin": 0.05, "min_units": 600, "max_units": 6000},
        ],
    }
    live["rollout"]["guardrails"] |= {"slow_ms": 2000.0}  # the machine does everything else, too
    params = yaml.load((world.source / TASK / "params.yaml").read_text())
    kept = {name: params[name] for name in ("task", "validate", "shortlist")} | {"promote": PROMOTE}
    for name, value in {"live.yaml": live, "params.yaml": kept}.items():
        with (root / name).open("w") as file:
            yaml.dump(value, file)
    for path, text in {
        "policy.yaml": json.dumps(POLICY),
        "dvc.yaml": LINE,
        ".allowed_signers": "".join(f'{who} namespaces="git" {kind} {key}\n' for who, (kind, key) in signers.items()),
        ".gitignore": "/models/champion/\n/models/bad/\n/models/reference/\n/models/challenger/\n/.ratchet/\n"
        "/.scratch/\n/.prefect/\n/reports/monitor/\n/data/label_queue/\n",
        "data/labels.json": '{\n  "batches": []\n}\n',
    }.items():
        (root / path).write_text(text)
    write_json(root / "models/champion.json", {"bundle": None})
    shutil.copy(world.keys / "model.pub", root / "keys")
    shutil.copy(world.source / "constraints.txt", root)
    for name in ("suites/production_log.json", "lexicons/identity.yaml", "lexicons/features.yaml"):
        shutil.copy(world.source / TASK / "data" / name, root / "data" / name)


def _write_texts(world: World) -> None:
    """The texts of the splits, and the traffic: Rotten Tomatoes first, IMDb later, none of it learned."""
    splits, target = world.source / "data/splits", world.root / "data/splits"
    if not (splits / "train.parquet").is_file():
        raise PipelineError("The texts are missing.", where=splits, fix="make run, or dvc checkout, first")
    train = pd.read_parquet(splits / "train.parquet").sample(frac=1.0, random_state=13)
    train.head(N_SEED_LABELS).to_parquet(target / "train.parquet")
    for name in ("validation", "test", "transfer"):
        shutil.copy(splits / f"{name}.parquet", target)
    held_out = pd.read_parquet(splits / "transfer.parquet")["id"]
    imdb = pd.read_parquet(world.source / "data/validated.parquet", columns=["id", "text", "label", "source"])
    imdb = imdb[(imdb["source"] == "imdb") & ~imdb["id"].isin(held_out)].sample(N_TRAFFIC, random_state=13)
    train.iloc[N_SEED_LABELS:][["id", "text", "label"]].to_parquet(world.folder / "known_traffic.parquet")
    imdb[["id", "text", "label"]].to_parquet(world.folder / "new_traffic.parquet")
