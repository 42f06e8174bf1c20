"""Release records: everything a version binds, computed from a commit alone, so that a verifier can recompute it.

The release commit adds one folder to the commit whose run was measured: `release.json` (the record), `bundle.json`
(the bundle's manifest), `sbom.cdx.json`, `model.sig`, `model_card.md`, `measurements.json` (what the machine measured
of the bundles, which gates ask for and only DVC keeps), and `provenance.intoto.json`. The record holds the hash of
each of them, of `dvc.lock`, the params and the reports, of the data, and the verdict on every gate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ratchet.errors import ReleaseError
from ratchet.measure.machine_figures import merge
from ratchet.models.discovery import MARK
from ratchet.registry.git import Repository
from ratchet.registry.names import Version
from ratchet.registry.policy import Policy

RECORD, BUNDLE, SBOM, SIGNATURE, CARD = "release.json", "bundle.json", "sbom.cdx.json", "model.sig", "model_card.md"
MEASUREMENTS, PROVENANCE = "measurements.json", "provenance.intoto.json"
SIDE_FILES = (BUNDLE, SBOM, SIGNATURE, CARD)


@dataclass(frozen=True)
class Measured:
    """Results of the pipeline run of a commit, from its files."""

    revision: str
    lock: dict[str, str]
    """Output → MD5, as `dvc.lock` has it."""
    params: dict[str, Any]
    decision: dict[str, Any]
    evaluate: dict[str, Any]
    reports: dict[str, dict[str, Any]]
    """The further reports with metrics, by path."""
    champion: dict[str, Any]
    """The pointer to the champion that the bundles were compared with."""
    mark: dict[str, Any] | None
    """The pointer to the high-water mark of that time; None where the commit keeps none."""
    constraints: str
    sha256: dict[str, str]
    """File → hash of everything that was read."""
    md5: dict[str, str]
    """The same files' hash by DVC's measure."""


def side_file_names(policy: Policy) -> tuple[str, ...]:
    """The files that a release adds beside its record."""
    return (
        *SIDE_FILES,
        *([MEASUREMENTS] if policy.paths.measurements else []),
        *([PROVENANCE] if policy.provenance else []),
    )


def read_measured(repository: Repository, revision: str, policy: Policy, measurements: bytes = b"{}") -> Measured:
    """The files of a commit that a version binds, with what the machine measured, which the commit has the hash of.

    Raises:
        ReleaseError: one is missing or damaged.
    """
    paths = policy.paths
    names = [
        paths.lock,
        paths.params,
        paths.constraints,
        paths.champion,
        paths.decision,
        paths.evaluate,
        *paths.measured,
    ]
    found: dict[str, bytes] = {}
    for name in names:
        content = repository.file(revision, name)
        if content is None:
            raise ReleaseError(
                "The commit lacks what a version binds.",
                where=revision,
                got=f"no {name}",
                fix="run the pipeline and commit its reports",
            )
        found[name] = content
    mark = repository.file(revision, paths.high_water_mark) if paths.high_water_mark else None
    if mark is not None:  # commits from before there was one lack it
        found[paths.high_water_mark] = mark
    try:
        yaml = YAML(typ="safe", pure=True)
        stages = yaml.load(found[paths.lock])["stages"]
        lock = {item["path"]: item["md5"] for stage in stages.values() for item in stage.get("outs", [])}
        return Measured(
            revision=revision,
            lock=lock,
            params=yaml.load(found[paths.params]),
            decision=_object(found[paths.decision]),
            evaluate=merge(_object(found[paths.evaluate]), _object(measurements)),
            reports={name: _object(found[name]) for name in paths.measured},
            champion=_object(found[paths.champion]),
            mark=None if mark is None else _object(mark),
            constraints=found[paths.constraints].decode(),
            sha256={name: hashlib.sha256(content).hexdigest() for name, content in found.items()},
            md5={name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in found.items()},
        )
    except (YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReleaseError("A file that a version binds is damaged.", where=revision, got=repr(error)) from None


def make_record(measured: Measured, policy: Policy, version: Version, side_files: Mapping[str, bytes]) -> bytes:
    """The record as JSON; the bundle is the one that the decision chose, which `check_decision` has verified.

    Raises:
        ReleaseError: the commit does not hold what a version binds.
    """
    name: str = measured.decision["chosen"]
    if "/" in name:
        raise ReleaseError("The chosen bundle's name is a path.", where=measured.revision, got=name)
    folder = f"{policy.paths.models}/{name}"
    try:
        record = {
            "version": version.tag,
            "revision": measured.revision,
            "bundle": name,
            "folder": folder,
            "bundle_md5": measured.lock[folder],
            "manifest_sha256": hashlib.sha256(side_files[BUNDLE]).hexdigest(),
            "files": json.loads(side_files[BUNDLE])["files"],
            "compared_with": measured.champion.get("manifest_sha256") or "",
            **_against_mark(measured, name),
            "data": data_hashes(measured, policy),
            "bound": measured.sha256,
            "side_files": {file: hashlib.sha256(side_files[file]).hexdigest() for file in side_file_names(policy)},
            "metrics": bundle_metrics(measured, name),
            "gates": measured.decision["bundles"][name]["gates"],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError(
            "The commit does not hold what a version binds.",
            where=measured.revision,
            got=repr(error),
            fix="run the pipeline to its end, and commit dvc.lock with the reports",
        ) from None
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def data_hashes(measured: Measured, policy: Policy) -> dict[str, str]:
    """Path → MD5 of the data that the pipeline made."""
    return {path: md5 for path, md5 in measured.lock.items() if path.startswith(f"{policy.paths.data}/")}


def bundle_metrics(measured: Measured, name: str) -> dict[str, Any]:
    """Metric → estimate of a bundle, of all reports."""
    found = dict(measured.evaluate["bundles"][name]["metrics"])
    for report in measured.reports.values():
        found |= report.get("bundles", {}).get(name, {}).get("metrics", {})
    return found


def _against_mark(measured: Measured, name: str) -> dict[str, Any]:
    """What the record says of the high-water mark: which, and by how much the bundle is better on the same texts.

    Nothing where the commit keeps none; the gain is null where there is none yet.
    """
    if measured.mark is None:
        return {}
    figures = (item.get("bundles", {}).get(name, {}).get("against", {}) for item in measured.reports.values())
    gained = [item[MARK]["primary"]["value"] for item in figures if MARK in item]
    sha256 = measured.mark.get("manifest_sha256") or ""
    return {"high_water_mark": {"manifest_sha256": sha256, "gained": gained[0] if sha256 and gained else None}}


def _object(content: bytes) -> dict[str, Any]:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise TypeError(f"a JSON object was expected, not {type(value).__name__}")
    return value
