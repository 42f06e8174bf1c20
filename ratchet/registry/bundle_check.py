"""Verification of a version's commit: record recomputed, gates judged again, signature checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ratchet.errors import RatchetError, ReleaseError
from ratchet.models.discovery import CHAMPION, MARK
from ratchet.registry.git import Repository
from ratchet.registry.model_signature import signed_digests, verify_bundle
from ratchet.registry.names import Version
from ratchet.registry.policy import Policy
from ratchet.registry.provenance import make_statement, signed_statement
from ratchet.registry.record import (
    BUNDLE,
    CARD,
    MEASUREMENTS,
    PROVENANCE,
    RECORD,
    SBOM,
    SIGNATURE,
    Measured,
    bundle_metrics,
    data_hashes,
    make_record,
    read_measured,
    side_file_names,
)
from ratchet.registry.sbom import make_sbom


def release_folder(policy: Policy, version: Version) -> str:
    """Where a version's commit holds its record: `releases/v1.2.0`."""
    return f"{policy.paths.releases}/v{version.number}"


def check_release_commit(
    repository: Repository, commit: str, version: Version, policy: Policy, model_keys: list[bytes]
) -> dict[str, Any]:
    """Verify a version's release commit; returns its record.

    Raises:
        ReleaseError: the first check that fails.
    """
    parents = repository.run("rev-list", "--parents", "--max-count=1", commit).decode().split()[1:]
    if len(parents) != 1:
        raise ReleaseError("A release commit has one parent: the commit whose pipeline run was measured.", where=commit)
    folder = release_folder(policy, version)
    expected = sorted(f"{folder}/{name}" for name in (RECORD, *side_file_names(policy)))
    if (changed := sorted(repository.changed(parents[0], commit))) != expected:
        raise ReleaseError(
            "A release commit adds its own folder, and nothing else.",
            where=commit,
            got=", ".join(changed),
            expected=", ".join(expected),
        )
    side = {name: repository.file(commit, f"{folder}/{name}") or b"" for name in side_file_names(policy)}
    measured = read_measured(repository, parents[0], policy, side.get(MEASUREMENTS, b"{}"))
    check_measurements(measured, policy, side)
    check_decision(measured, policy)
    record = make_record(measured, policy, version, side)
    if repository.file(commit, f"{folder}/{RECORD}") != record:
        raise ReleaseError(
            "The record is not what the commit gives.",
            where=f"{commit}:{folder}/{RECORD}",
            fix="make the version by `ratchet release`",
        )
    found: dict[str, Any] = json.loads(record)
    _check_side_files(found, measured, policy, side, model_keys)
    return found


def check_measurements(measured: Measured, policy: Policy, side: Mapping[str, bytes]) -> None:
    """Check that what the machine measured is what the pipeline wrote, by the hash that `dvc.lock` has of it.

    Raises:
        ReleaseError: it is not.
    """
    if not policy.paths.measurements:
        return
    got = hashlib.md5(side[MEASUREMENTS], usedforsecurity=False).hexdigest()
    if got != (expected := measured.lock.get(policy.paths.measurements)):
        raise ReleaseError(
            "The measurements are not those that the pipeline wrote.",
            where=policy.paths.measurements,
            got=got,
            expected=expected,
            fix="dvc checkout, or dvc pull",
        )


def check_decision(measured: Measured, policy: Policy) -> None:
    """Check that the chosen bundle passed every gate of the params, judged anew from the reports.

    Raises:
        ReleaseError: it did not; or the reports are not those that the pipeline wrote.
    """
    paths, decision = policy.paths, measured.decision
    for path in (paths.decision, paths.evaluate, *paths.measured):
        if measured.lock.get(path) != measured.md5[path]:
            raise ReleaseError(
                "A report is not the one that the pipeline wrote.",
                where=path,
                got=measured.md5[path],
                expected=measured.lock.get(path),
                fix="dvc repro, and commit",
            )
    if decision.get("verdict") != "accepted" or not decision.get("chosen"):
        raise ReleaseError(
            "The gates rejected every bundle.", where=paths.decision, got=decision.get("verdict"), expected="accepted"
        )
    with_champion = bool(measured.champion.get("bundle"))
    if with_champion != ("champion" in measured.evaluate["bundles"]):
        raise ReleaseError("The bundles were not compared with the champion.", where=paths.evaluate)
    with_mark = bool((measured.mark or {}).get("bundle"))
    if with_mark and not any(MARK in report.get("bundles", {}) for report in measured.reports.values()):
        raise ReleaseError("The bundles were not compared with the high-water mark.", where=paths.decision)
    _judge_again(measured, policy, {name for name, there in ((CHAMPION, with_champion), (MARK, with_mark)) if there})


def check_bytes(record: dict[str, Any], bundle: Path, signature: bytes, model_keys: list[bytes]) -> None:
    """Check that a bundle on disk is, byte for byte, the one that was released.

    Raises:
        ReleaseError: it is not.
    """
    from ratchet.models.bundle import MANIFEST, read_manifest

    try:
        read_manifest(bundle)  # all bytes are those of its manifest
    except RatchetError as error:
        raise ReleaseError("The bundle's bytes are not those that were released.", got=error) from None
    content = (bundle / MANIFEST).read_bytes()
    if hashlib.sha256(content).hexdigest() != record["manifest_sha256"]:
        raise ReleaseError(
            "The bundle's bytes are not those that were released.",
            where=bundle / MANIFEST,
            expected=record["manifest_sha256"],
        )
    if (got := folder_md5(bundle)) != record["bundle_md5"]:
        raise ReleaseError(
            "The bundle is not the one that the pipeline made.", where=bundle, got=got, expected=record["bundle_md5"]
        )
    verify_bundle(bundle, signature, model_keys)


def folder_md5(folder: Path) -> str:
    """The hash by which DVC knows a folder: that of the sorted list of its files and their hashes."""
    listed = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            listed.append({"md5": md5, "relpath": path.relative_to(folder).as_posix()})
    listed.sort(key=lambda item: item["relpath"])
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _judge_again(measured: Measured, policy: Policy, there: set[str]) -> None:
    from ratchet.gates.gates import TEACHER, Gate, check_gates, mark_gate
    from ratchet.gates.measured_reports import merge_bundles
    from ratchet.params import check_params

    chosen = measured.decision["chosen"]
    try:
        declared = [check_params(Gate, "promote.gates", item) for item in measured.params["promote"]["gates"]]
        if (max_total_loss := measured.params["promote"].get("max_total_loss")) is not None:
            declared.append(mark_gate(max_total_loss))
        bundles = merge_bundles(measured.evaluate, *measured.reports.values())
        if not bundles[chosen].get("deployable"):
            raise ReleaseError("The chosen bundle may not serve.", got=chosen)
        verdict = check_gates(
            declared, chosen, bundles[chosen], there=there | {TEACHER} & set(measured.evaluate["bundles"])
        )
    except (KeyError, TypeError) as error:
        raise ReleaseError("The gates cannot be judged again.", where=measured.revision, got=repr(error)) from None
    if missing := sorted(set(policy.required_gates) - {gate.metric for gate in declared}):
        raise ReleaseError(
            "A gate that the policy requires is missing.", where=policy.paths.params, got=", ".join(missing)
        )
    reported = measured.decision.get("bundles", {}).get(chosen, {})
    if failed := [gate["reason"] for gate in verdict["gates"] if not gate["passed"]]:
        raise ReleaseError("The chosen bundle fails a gate.", where=chosen, got="; ".join(failed))
    asked = [gate.model_dump() for gate in declared]
    answered = [{key: gate.get(key) for key in Gate.model_fields} for gate in reported.get("gates", [])]
    if answered != asked or not all(gate.get("passed") is True for gate in reported["gates"]):
        raise ReleaseError(
            "The decision does not answer the gates of the params.",
            where=policy.paths.decision,
            fix="dvc repro promote, and commit",
        )


def _check_side_files(
    record: dict[str, Any], measured: Measured, policy: Policy, side: dict[str, bytes], model_keys: list[bytes]
) -> None:
    digests = signed_digests(side[SIGNATURE], model_keys)
    if digests != {**record["files"], BUNDLE: record["manifest_sha256"]}:
        raise ReleaseError("The bundle that was signed is not the one of the record.", where=record["version"])
    md5 = hashlib.md5(side[CARD], usedforsecurity=False).hexdigest()
    if md5 != measured.lock.get(policy.paths.model_card):
        raise ReleaseError("The model card is not the one that the pipeline wrote.", where=record["version"])
    sbom = make_sbom(
        record["version"],
        json.loads(side[BUNDLE]),
        bundle_metrics(measured, record["bundle"]),
        data_hashes(measured, policy),
        measured.constraints,
    )
    if side[SBOM] != sbom:
        raise ReleaseError("The bill of materials is not that of the commit.", where=record["version"])
    if policy.provenance:
        expected = make_statement(record["version"], side[BUNDLE], measured, data_hashes(measured, policy))
        if signed_statement(side[PROVENANCE], model_keys) != expected:
            raise ReleaseError("The provenance is not that of the commit.", where=record["version"])
