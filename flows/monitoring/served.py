"""Which model answered: from the version that the log names to its reference profile and its tokenizer.

A window is judged against the model that answered it, whatever serves by the time the monitor runs. A released version
is looked up in its release record, which pins the manifest; a bundle that is served without a release is logged as
name@hash, and found by that hash.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.reference import FOLDER, TOKENIZER, reference_of
from ratchet.errors import BundleError
from ratchet.files import read_json, sha256_file

if TYPE_CHECKING:
    from ratchet.monitoring.reference import Reference
    from ratchet.monitoring.settings import MonitorParams

MODELS, POINTER, POLICY = Path("models"), Path("models/champion.json"), Path("policy.yaml")


@dataclass(frozen=True)
class Served:
    """What a window of one model is judged with."""

    reference: Reference
    """Under the version by which the log names the model."""
    pieces: Any | None
    """Its tokenizer, see `load_pieces`; None where it has none."""


def served(root: Path, version: str, params: MonitorParams) -> Served:
    """The reference of the model that the log calls `version`; made from its bundle, where there is none yet.

    Raises:
        BundleError: nobody knows which bundle that was, or neither its reference nor its bytes are here.
    """
    from ratchet.monitoring.features import load_pieces
    from ratchet.monitoring.reference import read_reference

    sha256 = manifest_of(root, version)
    kept = sorted((root / FOLDER).glob(f"*@{sha256[:12]}.safetensors")) if sha256 else []
    if kept and (tokenizer := kept[0].with_suffix(TOKENIZER)).is_dir():
        return Served(replace(read_reference(kept[0]), version=version), load_pieces(tokenizer))
    if sha256 and (bundle := bundle_of(root, sha256)) is not None:
        return Served(replace(reference_of(root, bundle, params), version=version), load_pieces(bundle))
    raise BundleError(
        "There is no reference of the model that answered.",
        where=root / FOLDER,
        got=version,
        expected=f"the reference or the bundle {sha256[:12]}"
        if sha256
        else "a version that was released, or name@hash",
        fix="git pull, and fetch the version's bundle: ratchet registry fetch VERSION --into models/NAME",
    )


def manifest_of(root: Path, version: str) -> str:
    """SHA-256 of the manifest of the bundle that the log calls `version`, or its start; empty where it is unknown."""
    from ratchet.registry.names import parse_version

    if (found := parse_version(version)) is not None:
        record = root / _releases(root) / f"v{found.number}" / "release.json"
        if record.is_file() and (content := read_json(record)).get("version") == version:
            return str(content["manifest_sha256"])
        pointer = read_json(root / POINTER) if (root / POINTER).is_file() else {}
        return str(pointer.get("manifest_sha256") or "") if pointer.get("version") == version else ""
    name, _, start = version.rpartition("@")
    if name and start:
        return start
    manifest = root / MODELS / version / "bundle.json"  # as servers of before wrote it
    return sha256_file(manifest) if "/" not in version and manifest.is_file() else ""


def bundle_of(root: Path, sha256: str) -> Path | None:
    """The folder under models/ whose manifest has this hash, or one that starts so; None where there is none."""
    for manifest in sorted((root / MODELS).glob("*/bundle.json")):
        if sha256_file(manifest).startswith(sha256):
            return manifest.parent
    return None


def _releases(root: Path) -> Path:
    from ratchet.registry.policy import read_policy

    path = root / POLICY
    return Path(read_policy(path.read_bytes()).paths.releases) if path.is_file() else Path("releases")
