"""Attacks on what a version holds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from ratchet.registry import operations
from ratchet.registry.model_signature import PAYLOAD_TYPE, sign_bundle
from ratchet.registry.provenance import make_statement, sign_statement
from tests.support.registry import (
    GATES,
    V1,
    V2,
    commit,
    git,
    write_lock,
    write_run,
)
from tests.support.registry_site import (
    Site,
    approve,
    attack,
    promote_to_champion,
    release,
    remeasure,
    version_tag,
)

# what a version holds


def _rewrite(site: Site, report: str, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a report by hand, and `dvc.lock` with it, as if the pipeline had written it."""
    path = site.root / "reports" / f"{report}.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    write_lock(site.root)
    commit(site.root, "Measure again")


def _carried_over(site: Site, change: Callable[[], object]) -> list[str]:
    """What a right release commit added, on a commit on which no tool would make a release; the refs to push."""
    release(site)
    git(site.root, "checkout", "--quiet", "--force", "main")
    change()
    files = {
        path: git(site.root, "show", f"HEAD:{path}").encode() + b"\n"
        for path in git(site.root, "ls-files", "releases").splitlines()
    }
    later = {path.replace("v1.0.0", "v1.1.0"): content for path, content in files.items()}
    tip = site.clone().commit(commit(site.root, "Change the pipeline"), later, "Release\n")
    git(site.root, "update-ref", "refs/heads/main", tip)
    version_tag(site, V2, tip, "ann")
    return ["main", V2.tag]


@attack("measured", "The chosen bundle fails a gate")
def _a_decision_written_by_hand(site: Site) -> list[str]:
    remeasure(site, accuracy=0.71, forced=True)
    return release(site)


@attack("measured", "The gates rejected every bundle")
def _a_rejected_decision(site: Site) -> list[str]:
    _rewrite(site, "decision", lambda decision: decision.update(verdict="rejected"))
    return release(site)


@attack("measured", "The commit lacks what a version binds")
def _no_gate_report(site: Site) -> list[str]:
    return _carried_over(site, lambda: (site.root / "reports" / "decision.json").unlink())


@attack("measured", "does not answer the gates of the params")
def _a_gate_left_out_of_the_decision(site: Site) -> list[str]:
    _rewrite(site, "decision", lambda decision: decision["bundles"]["small-int8"]["gates"].pop())
    return release(site)


@attack("measured", "A gate that the policy requires is missing")
def _a_required_gate_left_out_of_the_params(site: Site) -> list[str]:
    gates = [gate for gate in GATES if gate["metric"] != "accuracy"]
    (site.root / "params.yaml").write_text(json.dumps({"promote": {"gates": gates, "max_total_loss": 0.03}}))
    write_run(site.root, forced=True)
    _rewrite(site, "decision", lambda decision: decision.update(chosen="small-int8"))
    return release(site)


@attack("measured", "A report is not the one that the pipeline wrote")
def _a_report_that_the_pipeline_did_not_write(site: Site) -> list[str]:
    path = site.root / "reports" / "evaluate.json"
    path.write_text(path.read_text().replace("0.79", "0.99"))
    commit(site.root, "Better figures")
    return release(site)


@attack("measured", "The measurements are not those that the pipeline wrote")
def _latencies_that_the_machine_did_not_measure(site: Site) -> list[str]:
    return release(site, change=lambda files: files.update({f"releases/v{V1.number}/measurements.json": b"{}"}))


@attack("promoted", "were not compared with the champion")
def _a_run_that_left_the_champion_out(site: Site) -> list[str]:
    pointer = (site.root / "models" / "champion.json").read_bytes()
    (site.root / "models" / "champion.json").write_text('{"bundle": null}')
    write_run(site.root, 0.80, "other")
    (site.root / "models" / "champion.json").write_bytes(pointer)
    commit(site.root, "Measure again")
    return release(site, V2)


@attack("measured", "The record is not what the commit gives")
def _a_bundle_whose_bytes_differ(site: Site) -> list[str]:
    """The record names other bytes than the bundle's manifest and its signature."""

    def change(files: dict[str, bytes]) -> None:
        path = "releases/v1.0.0/release.json"
        record = json.loads(files[path])
        record["files"]["model.onnx"] = "f" * 64
        files[path] = (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()

    return release(site, change=change)


@attack("measured", "The bundle that was signed is not the one of the record")
def _a_bundle_swapped_after_it_was_signed(site: Site) -> list[str]:
    signature: dict[str, bytes] = {}
    release(site, change=lambda files: signature.update(files))
    git(site.root, "reset", "--quiet", "--hard", "HEAD~1")
    remeasure(site, weights="evil weights")
    clone_files: dict[str, bytes] = {}
    release(site, change=lambda files: clone_files.update(files))
    git(site.root, "reset", "--quiet", "--hard", "HEAD~1")
    return _resigned(site, signature["releases/v1.0.0/model.sig"])


def _resigned(site: Site, signature: bytes) -> list[str]:
    """A release whose record is right for a signature that is not the bundle's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "sign_bundle", lambda *_: signature)
        return release(site)


@attack("measured", "by none of the policy's model keys")
def _a_bundle_signed_with_another_model_key(site: Site) -> list[str]:
    return release(site, model="other-model")


@attack("measured", "adds its own folder, and nothing else")
def _a_release_commit_that_changes_code(site: Site) -> list[str]:
    return release(site, change=lambda files: files.update({"params.yaml": b"{}"}))


@attack("measured", "bill of materials is not that of the commit")
def _a_bill_of_materials_that_leaves_something_out(site: Site) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "make_sbom", lambda *_: b"{}")
        return release(site)


@attack("measured", "The provenance is not that of the commit")
def _a_provenance_that_names_another_commit(site: Site) -> list[str]:
    def other(*words: Any) -> bytes:
        return make_statement(*words).replace(site.oid("HEAD").encode(), b"0" * 40)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "make_statement", other)
        return release(site)


@attack("measured", "The provenance is signed by none of the policy's model keys")
def _a_provenance_signed_with_another_key(site: Site) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        other = site.keys / "other-model.pem"
        patch.setattr(operations, "sign_statement", lambda text, _: sign_statement(text, other))
        return release(site)


@attack("measured", "The model card is not the one that the pipeline wrote")
def _a_model_card_written_by_hand(site: Site) -> list[str]:
    (site.root / "reports" / "model_card.md").write_text("Perfect.\n")
    return release(site)


@attack("measured", "The commit is not on the protected branch")
def _a_version_on_another_branch(site: Site) -> list[str]:
    refs = release(site)
    git(site.root, "branch", "side", "main")
    return ["side", refs[1]]


@attack("measured", "The chosen bundle may not serve")
def _a_bundle_that_may_not_serve(site: Site) -> list[str]:
    _rewrite(site, "evaluate", lambda evaluate: evaluate["bundles"]["small-int8"].update(deployable=False))
    return release(site)


@attack("measured", "A release commit has one parent")
def _a_release_commit_that_merges_another_history(site: Site) -> list[str]:
    """What the other parent brings shows in no difference to the first."""
    release(site)
    aside = git(site.root, "commit-tree", "-m", "Aside", site.oid("main^{tree}"))
    merge = ["-c", f"user.signingkey={site.keys / 'ann'}", "commit-tree", "-S", "-p", "main~1", "-p", aside]
    tip = git(site.root, *merge, "-m", "Release", site.oid("main^{tree}"))
    git(site.root, "update-ref", "refs/heads/main", tip)
    version_tag(site, V1, tip, "ann")
    return ["main", V1.tag]


@attack("measured", "The gates rejected every bundle")
def _an_accepted_decision_that_chose_nothing(site: Site) -> list[str]:
    return _carried_over(site, lambda: _rewrite(site, "decision", lambda decision: decision.update(chosen=None)))


@attack("measured", "A file that a version binds is damaged")
def _a_decision_that_is_none(site: Site) -> list[str]:
    return _carried_over(site, lambda: (site.root / "reports" / "decision.json").write_text("[]"))


@attack("measured", "does not answer the gates of the params")
def _a_decision_that_accepts_what_failed(site: Site) -> list[str]:
    def edit(decision: dict[str, Any]) -> None:
        decision["bundles"]["small-int8"]["gates"][0]["passed"] = False

    _rewrite(site, "decision", edit)
    return release(site)


@attack("measured", "The chosen bundle's name is a path")
def _a_bundle_that_is_called_by_a_path(site: Site) -> list[str]:
    """What is fetched and verified would lie elsewhere than among the bundles."""
    name = "../models/small-int8"

    def rename(report: dict[str, Any]) -> None:
        report["bundles"][name] = report["bundles"].pop("small-int8")
        report |= {"chosen": name} if "chosen" in report else {}

    def change() -> None:
        for report in ("decision", "evaluate"):
            _rewrite(site, report, rename)

    return _carried_over(site, change)


def _edited_signature(site: Site, edit: Callable[[dict[str, Any]], object], *, sign: bool = True) -> bytes:
    """The bundle's signature with another statement, signed again with the team's key; or its envelope changed."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = site.keys / "model.pem"
    whole = json.loads(sign_bundle(site.root / "models" / "small-int8", key))
    envelope = whole["dsseEnvelope"]
    if not sign:
        edit(envelope)
        return json.dumps(whole).encode()
    statement = json.loads(base64.b64decode(envelope["payload"]))
    edit(statement)
    payload = json.dumps(statement).encode()
    signer = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    encoded = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    envelope["signatures"][0]["sig"] = base64.b64encode(signer.sign(encoded, ec.ECDSA(hashes.SHA256()))).decode()
    envelope["payload"] = base64.b64encode(payload).decode()
    return json.dumps(whole).encode()


@attack("measured", "by none of the policy's model keys")
def _a_model_signature_of_another_type(site: Site) -> list[str]:
    return _resigned(site, _edited_signature(site, lambda envelope: envelope.update(payloadType="text/x"), sign=False))


@attack("measured", "is not one of its files' SHA-256")
def _a_model_signature_with_another_predicate(site: Site) -> list[str]:
    return _resigned(
        site, _edited_signature(site, lambda statement: statement.update(predicateType="https://slsa.dev/x"))
    )


@attack("measured", "is not one of its files' SHA-256")
def _a_model_signature_by_another_method(site: Site) -> list[str]:
    def edit(statement: dict[str, Any]) -> None:
        statement["predicate"]["serialization"]["method"] = "shards"

    return _resigned(site, _edited_signature(site, edit))


@attack("measured", "names a file twice")
def _a_model_signature_that_names_a_file_twice(site: Site) -> list[str]:
    """Of two digests of one file, a reader might take either."""

    def edit(statement: dict[str, Any]) -> None:
        resources = statement["predicate"]["resources"]
        resources.insert(0, resources[0] | {"digest": "f" * 64})

    return _resigned(site, _edited_signature(site, edit))


def _without_the_mark(site: Site, *, pointer: str | None) -> list[str]:
    """A run that was not compared with the mark; its pointer comes back after the release."""
    path = site.root / "models" / "high_water_mark.json"
    before = path.read_bytes()
    path.write_text('{"bundle": null}')
    write_run(site.root, 0.80, "other")
    if pointer is None:
        path.unlink()
    else:
        path.write_text(pointer)
    commit(site.root, "Measure again")
    refs = release(site, V2)
    if path.is_file() and path.read_bytes() == before:
        return refs
    path.write_bytes(before)
    commit(site.root, "Put the mark back")
    return [*refs, *(approve(site, person, V2, 3) for person in ("bob", "cay")), *promote_to_champion(site, V2)]


@attack("promoted", "were not compared with the high-water mark")
def _a_run_that_left_the_mark_out(site: Site) -> list[str]:
    before = (site.root / "models" / "high_water_mark.json").read_text()
    return _without_the_mark(site, pointer=before)


@attack("promoted", "The version was not compared with the high-water mark")
def _a_run_that_knew_no_mark(site: Site) -> list[str]:
    return _without_the_mark(site, pointer='{"bundle": null}')


@attack("promoted", "The version was not compared with the high-water mark")
def _a_run_without_the_pointer_to_the_mark(site: Site) -> list[str]:
    return _without_the_mark(site, pointer=None)
