"""A team with keys, a server with the hook, a clone, a run with made-up figures: to release from, and to attack."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ratchet.files import write_json
from ratchet.measure.report_files import write_report
from ratchet.models.bundle import Manifest, write_bundle
from ratchet.registry.audit_entry import Head
from ratchet.registry.bundle_check import folder_md5
from ratchet.registry.clone import Clone
from ratchet.registry.hook import judge_lines
from ratchet.registry.names import Version
from tests.support.release_reports import (
    audit_report,
    estimate,
    evaluate_report,
    explain_report,
    gate_at,
    shortlist_report,
)

ROOT = Path(__file__).parents[2]
TEAM = ("ann", "bob", "cay", "dan", "eve")
"""ann releases and promotes, bob and cay approve and may roll back, dan keeps the policy, eve is nobody."""
V1, V2 = Version("sentiment", 1, 0, 0), Version("sentiment", 1, 1, 0)
HEAD = Head(7, "7" * 64)
GATES = [gate_at(0.75), gate_at(0.25, "size_mb", "teacher", "at_most"), gate_at(-0.005, against="champion")]
POLICY = {
    "artifact": "sentiment",
    "release": {"who": ["ann"], "approvers": [], "approvals": 0},
    "promote": {"who": ["ann", "bob"], "approvers": ["ann", "bob", "cay"], "approvals": 2},
    "roll_back": {"who": ["bob", "cay"], "approvers": [], "approvals": 0},
    "change_policy": {"who": ["dan"], "approvers": ["ann", "bob", "dan"], "approvals": 1},
    "protected": ["hooks"],
    "required_gates": ["accuracy"],
    "model_keys": ["keys/model.pub"],
    "provenance": True,
    "paths": {
        "lock": "dvc.lock",
        "params": "params.yaml",
        "constraints": "constraints.txt",
        "champion": "models/champion.json",
        "high_water_mark": "models/high_water_mark.json",
        "releases": "releases",
        "models": "models",
        "data": "data",
        "decision": "reports/decision.json",
        "evaluate": "reports/evaluate.json",
        "measured": ["reports/audit.json", "reports/explain.json", "reports/judge.json"],
        "model_card": "reports/model_card.md",
        "measurements": "measurements/evaluate.json",
    },
}


def make_keys(folder: Path) -> None:
    """A signing key for everyone, and the pair that signs models."""
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(exist_ok=True)
    for person in TEAM:
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", person, "-f", str(folder / person)]
        subprocess.run(command, check=True)
    for name in ("model", "other-model"):
        key = ec.generate_private_key(ec.SECP256R1())
        secret = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())
        (folder / f"{name}.pem").write_bytes(secret)
        public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pub").write_bytes(public)


def signers_text(keys: Path, people: Sequence[str] = TEAM[:4]) -> str:
    """The file of allowed signers for these people."""
    public = {person: (keys / f"{person}.pub").read_text().split()[:2] for person in people}
    return "".join(f'{person} namespaces="git" {kind} {key}\n' for person, (kind, key) in public.items())


HOOK = f'#!/bin/sh\nPYTHONPATH="{ROOT}" RATCHET_PYTHON="{sys.executable}" exec "{ROOT}/hooks/pre-receive"\n'
"""The hook as a server has it."""
QUICK_HOOK = """#!/bin/sh
{ printf '%s\\n' "$PWD" "$GIT_OBJECT_DIRECTORY" "$GIT_ALTERNATE_OBJECT_DIRECTORIES" "$GIT_QUARANTINE_PATH"; cat; } > ASK
{ read -r code; cat >&2; exit "$code"; } < ANSWER
"""
"""The same program, asked in a process that runs already: starting Python takes longer than judging."""


def make_server(folder: Path, hook: str) -> Path:
    """A bare repository with a pre-receive hook."""
    server = folder / "server.git"
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(server))
    (server / "hooks" / "pre-receive").write_text(hook)
    (server / "hooks" / "pre-receive").chmod(0o755)
    return server


@contextmanager
def judge_at_work(folder: Path) -> Iterator[str]:
    """A quick hook, and a thread that answers it with what the real one runs, on the environment Git gave the hook."""
    ask, answer = folder / "ask", folder / "answer"
    for pipe in (ask, answer):
        os.mkfifo(pipe)
    names = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH")

    def serve() -> None:
        while question := ask.read_text():
            root, *values = question.splitlines()[:4]
            os.environ.update({name: value for name, value in zip(names, values, strict=True) if value})
            try:
                code, messages = judge_lines(Path(root), question.splitlines()[4:], "main")
            finally:
                for name in names:
                    os.environ.pop(name, None)
            answer.write_text("\n".join([str(code), *messages, ""]))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield QUICK_HOOK.replace("ASK", str(ask)).replace("ANSWER", str(answer))
    ask.write_text("")
    thread.join(10)


def make_clone(folder: Path, keys: Path) -> Clone:
    """A clone with policy, keys and an accepted run, which is the server's first commit."""
    clone = folder / "clone"
    git(folder, "clone", "--quiet", "server.git", str(clone))
    git(clone, "remote", "set-url", "origin", "../server.git")
    git(clone, "checkout", "--quiet", "-B", "main")
    for name, value in {"user.name": "Ann", "user.email": "ann@example.org", "gpg.format": "ssh"}.items():
        git(clone, "config", name, value)
    (clone / "policy.yaml").write_text(json.dumps(POLICY))
    (clone / ".allowed_signers").write_text(signers_text(keys))
    (clone / "keys").mkdir()
    shutil.copy(keys / "model.pub", clone / "keys")
    (clone / ".gitignore").write_text("/models/*/\n/data\n/measurements\n/reports/model_card.md\n")
    (clone / "constraints.txt").write_text("numpy==2.4.6\nruamel.yaml==0.19.1\n")
    (clone / "params.yaml").write_text(json.dumps({"promote": {"gates": GATES, "max_total_loss": 0.03}}))
    for name in ("champion", "high_water_mark"):
        write_json(clone / "models" / f"{name}.json", {"bundle": None})
    write_run(clone)
    commit(clone, "Measure")
    git(clone, "push", "--quiet", "origin", "main")
    return Clone(clone, key=str(keys / "ann"))


def write_run(root: Path, accuracy: float = 0.79, weights: str = "weights", *, forced: bool = False) -> None:
    """Bundle, reports, card and dvc.lock, as a run of the pipeline leaves them; `forced` accepts regardless."""
    from pipeline_steps.promote import Params, run

    def save(folder: Path) -> None:
        (folder / "model.onnx").write_text(weights)

    manifest = Manifest(
        name="small-int8",
        kind="onnx",
        precision="int8",
        labels=["negative", "positive"],
        max_tokens=64,
        parent="teacher",
        params_sha256="1" * 64,
        data_sha256="2" * 64,
    )
    write_bundle(root / "models" / "small-int8", manifest, save, ())
    pointer = json.loads((root / "models" / "champion.json").read_text())
    evaluate = evaluate_report(with_champion=pointer["bundle"] is not None)
    for name in ("small-int8", "small-nf4"):
        figures = evaluate["bundles"][name]
        figures["metrics"]["accuracy"] |= {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02}
        if "champion" in evaluate["bundles"]:
            figures["against"]["champion"]["accuracy"]["value"] = accuracy - 0.79
    params = Params.model_validate(json.loads((root / "params.yaml").read_text())["promote"])
    judged = judge_report_of(root, accuracy)
    measured = {"evaluate": evaluate, "audit": audit_report(), "explain": explain_report(), "judge": judged}
    decision = run({**measured, "shortlist": shortlist_report(evaluate)}, params)
    if forced:
        decision |= {"verdict": "accepted", "chosen": "small-int8"}
        for gate in decision["bundles"]["small-int8"]["gates"]:
            gate["passed"] = True
    for name, report in {**measured, "decision": decision}.items():
        write_report(root / "reports" / f"{name}.json", report, root / "measurements" / f"{name}.json")
    (root / "reports" / "model_card.md").write_text(f"# Card\n\naccuracy {accuracy}\n")
    write_lock(root)


def judge_report_of(root: Path, accuracy: float) -> dict[str, Any]:
    """The sealed test's figures of the bundle, against the high-water mark, if any, whose accuracy is 0.79."""
    if json.loads((root / "models" / "high_water_mark.json").read_text())["bundle"] is None:
        return {"bundles": {}}
    gained = {"primary": estimate(accuracy - 0.79, 0.005)}
    return {"bundles": {"high_water_mark": {"metrics": {}}, "small-int8": {"against": {"high_water_mark": gained}}}}


def write_lock(root: Path) -> None:
    """dvc.lock for what lies in the clone."""
    files = [*sorted((root / "reports").iterdir()), root / "measurements" / "evaluate.json"]
    outs = [{"path": path.relative_to(root).as_posix(), "md5": _md5(path)} for path in files]
    outs.append({"path": "models/small-int8", "md5": folder_md5(root / "models" / "small-int8")})
    outs.append({"path": "data/splits", "md5": "0123456789abcdef" * 2 + ".dir"})
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"line": {"outs": outs}}}))


def commit(root: Path, text: str, key: Path | None = None, *, author: str = "ann", date: str = "") -> str:
    """Commit everything, signed where a key is given."""
    git(root, "add", "--all")
    signed = ["-c", f"user.signingKey={key}", "commit", "-S"] if key else ["commit"]
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} if date else {}
    person = ["-c", f"user.name={author}", "-c", f"user.email={author}@example.org"]
    git(root, *person, *signed, "--quiet", "--allow-empty", "-m", text, extra=dates)
    return git(root, "rev-parse", "HEAD")


def raw_tag(
    root: Path, name: str, target: str, text: str, key: Path | None, *, kind: str = "commit", time: int | None = None
) -> str:
    """A tag object made by hand, under any name and with any content, and the ref on it."""
    import time as clock

    moment = int(clock.time()) if time is None else time
    header = f"object {target}\ntype {kind}\ntag {name}\ntagger Ann <ann@example.org> {moment} +0000\n\n"
    payload = (header + text).encode()
    if key is not None:
        signing = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(key)]
        payload += subprocess.run(signing, input=payload, capture_output=True, check=True).stdout
    done = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin", "--literally"],
        cwd=root,
        input=payload,
        capture_output=True,
        check=True,
    )
    oid = done.stdout.decode().strip()
    git(root, "update-ref", f"refs/tags/{name}", oid)
    return oid


def push(root: Path, *refs: str) -> str:
    """What the server says to a push; empty where it accepts it."""
    command = ["git", "push", "--quiet", "--atomic", "origin", *dict.fromkeys(refs)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode in (0, 1), done.stderr
    return "" if done.returncode == 0 else done.stderr


def git(root: Path, *arguments: str, extra: dict[str, str] | None = None) -> str:
    """What Git prints."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        env={**environment(), **(extra or {})},
        check=False,
    )
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def environment() -> dict[str, str]:
    """No configuration of this machine's user or of the repository around the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def statement(root: Path, tag: str) -> dict[str, Any]:
    """What a tag says."""
    text = git(root, "cat-file", "tag", f"refs/tags/{tag}").split("\n\n", 2)[2].split("-----BEGIN")[0]
    found: dict[str, Any] = json.loads(text)
    return found


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
