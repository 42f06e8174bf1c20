"""The hook as a server runs it, the policy of this repository, and what GTO reads of our tags."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from pipeline_steps import evaluate, promote, report
from ratchet.errors import ReleaseError
from ratchet.params import load_params
from ratchet.registry.model_signature import sign_bundle, signed_digests, verify_bundle
from ratchet.registry.policy import read_policy
from ratchet.registry.sbom import make_sbom
from ratchet.registry.signatures import read_signers
from tests.support.registry import HOOK, ROOT, environment, git, make_clone, make_keys, make_server, push, raw_tag


def test_the_hook_accepts_a_branch_and_refuses_a_tag_of_the_registry(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    make_server(tmp_path, HOOK)
    clone = make_clone(tmp_path, tmp_path / "keys")
    git(clone.root, "tag", "sentiment@v1.0.0", "main")
    reply = push(clone.root, "sentiment@v1.0.0")
    assert "ratchet: refused refs/tags/sentiment@v1.0.0: The tag is lightweight" in reply
    assert git(tmp_path / "server.git", "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def test_a_first_push_without_a_policy_is_refused(tmp_path: Path) -> None:
    make_server(tmp_path, HOOK)
    git(tmp_path, "clone", "--quiet", "server.git", "clone")
    git(
        tmp_path / "clone",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b.example",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "Start",
    )
    assert "The protected branch has no policy" in push(tmp_path / "clone", "HEAD:refs/heads/main")


def test_a_first_push_brings_the_branch_alone(tmp_path: Path) -> None:
    """A tag that came with the first policy would be judged by nothing that stood before it."""
    make_keys(tmp_path / "keys")
    (tmp_path / "other").mkdir()
    make_server(tmp_path / "other", "#!/bin/sh\nexit 0\n")
    clone = make_clone(tmp_path / "other", tmp_path / "keys")
    make_server(tmp_path, HOOK)
    git(clone.root, "remote", "set-url", "origin", str(tmp_path / "server.git"))
    git(clone.root, "tag", "sentiment@v1.0.0", "main")
    assert "The first push must bring the protected branch alone" in push(clone.root, "main", "sentiment@v1.0.0")
    assert push(clone.root, "main") == ""


def test_the_policy_of_this_repository_lets_nobody_do_anything_and_names_what_is_there() -> None:
    policy = read_policy((ROOT / "policy.yaml").read_bytes())
    assert read_signers((ROOT / ".allowed_signers").read_text()).people == frozenset()
    assert not any(policy.right(name).who for name in ("release", "promote", "roll_back", "change_policy"))
    paths = policy.paths
    judged = {*promote.REPORTS.values(), promote.READS["measurements"]} - {
        promote.READS["shortlist"]
    }  # which only ranks
    assert {paths.evaluate, paths.measurements, *paths.measured} == judged
    assert (paths.decision, paths.evaluate) == (promote.WRITES["decision"], evaluate.WRITES["report"])
    assert (paths.champion, paths.model_card) == (evaluate.READS["champion"], report.WRITES["card"])
    assert all((ROOT / name).is_file() for name in (paths.lock, paths.params, paths.constraints))
    gates = load_params(promote.Params, "promote", ROOT / paths.params).gates
    assert set(policy.required_gates) <= {gate.metric for gate in gates}
    assert all((ROOT / path).exists() for path in policy.protected)


@pytest.mark.parametrize(
    "line",
    [
        "ann ssh-ed25519 AAAA",
        'ann namespaces="git,file" ssh-ed25519 AAAA',
        '* namespaces="git" ssh-ed25519 AAAA',
        'ann,bob namespaces="git" ssh-ed25519 AAAA',
        'ann namespaces="git",cert-authority ssh-ed25519 AAAA',
        'ann namespaces="git" ssh-dss AAAA',
        'ann namespaces="git" ssh-ed25519 AAAA\nbob namespaces="git" ssh-ed25519 AAAA',
    ],
)
def test_a_line_of_the_signers_that_could_mean_more_is_refused(line: str) -> None:
    with pytest.raises(ReleaseError):
        read_signers(line)


def test_the_signed_digests_are_those_that_the_reference_implementation_verifies(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    keys = [(tmp_path / "keys" / f"{name}.pub").read_bytes() for name in ("model", "other-model")]
    bundle = tmp_path / "bundle"
    (bundle / "deep").mkdir(parents=True)
    (bundle / "bundle.json").write_text("{}")
    (bundle / "deep" / "weights").write_bytes(b"\0" * 70_000)
    signature = sign_bundle(bundle, tmp_path / "keys" / "model.pem")
    verify_bundle(bundle, signature, keys)
    digests = signed_digests(signature, keys)
    done = subprocess.run(
        ["sha256sum", "bundle.json", "deep/weights"], cwd=bundle, capture_output=True, text=True, check=True
    )
    assert digests == {name: digest for digest, name in (line.split() for line in done.stdout.splitlines())}
    for wrong in (keys[1:], []):
        with pytest.raises(ReleaseError, match="none of the policy's model keys"):
            signed_digests(signature, wrong)
    envelope = json.loads(signature)
    envelope["dsseEnvelope"]["payload"] = envelope["dsseEnvelope"]["payload"][:-8] + "AAAAAAA="
    with pytest.raises(ReleaseError):
        signed_digests(json.dumps(envelope).encode(), keys)
    (bundle / "deep" / "weights").write_bytes(b"\1" * 70_000)
    with pytest.raises(ReleaseError, match="not the one that was signed"):
        verify_bundle(bundle, signature, keys)


def test_a_bill_of_materials_keeps_its_schema_and_its_bytes() -> None:
    bundle = {
        "name": "small-int8",
        "kind": "onnx",
        "precision": "int8",
        "labels": ["no", "yes"],
        "files": {"a": "0" * 64},
    }
    metrics = {"accuracy": {"value": 0.8, "low": 0.78, "high": 0.82}, "ece": {"value": None}}
    made = [
        make_sbom("sentiment@v1.0.0", bundle, metrics, {"data/splits": "a" * 32 + ".dir"}, text)
        for text in ("numpy==2.4.6\n", "# pins\nnumpy==2.4.6\n", "numpy==2.4.5\n")
    ]
    assert made[0] == made[1] != made[2]
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(made[0].decode()) is None
    sbom = json.loads(made[0])
    assert sbom["specVersion"] == "1.6"
    card = sbom["metadata"]["component"]["modelCard"]
    assert [metric["type"] for metric in card["quantitativeAnalysis"]["performanceMetrics"]] == ["accuracy"]
    assert {item["purl"] for item in sbom["components"] if "purl" in item} == {"pkg:pypi/numpy@2.4.6"}
    assert validator.validate_str(made[0].decode().replace('"library"', '"librarian"')) is not None


@pytest.mark.slow
def test_gto_reads_our_tags(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "repository")
    root = tmp_path / "repository"
    for name, text in {"sentiment@v1.0.0": "one", "sentiment@v1.1.0": "two"}.items():
        git(root, "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "--quiet", "--allow-empty", "-m", text)
        raw_tag(root, name, git(root, "rev-parse", "HEAD"), "x\n", None)
    for number, commit in enumerate(("HEAD~1", "HEAD", "HEAD~1"), start=1):
        target = git(root, "rev-parse", commit)
        raw_tag(root, f"sentiment#champion#{number}", target, "x\n", None, time=1_800_000_000 + number)
    command = [
        sys.executable,
        "-c",
        "from gto.cli import app; app()",
        "show",
        "sentiment#champion",
        "--repo",
        str(root),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    assert [version["version"] for version in json.loads(done.stdout)] == ["v1.0.0"]
