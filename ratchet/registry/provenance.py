"""Provenance of a release: an in-toto statement in SLSA's vocabulary, signed beside the bundle.

It says which bytes were made (every file of the bundle), from what (the commit, `dvc.lock`, params, pinned packages,
the data by DVC's hashes, the champion they were compared with) and how (the DVC pipeline). All of it follows from the
commit, so a verifier computes it again and compares; the envelope is signed with the key that signs bundles.

Source: in-toto attestation, https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md; SLSA provenance v1,
https://slsa.dev/spec/v1.0/provenance; envelope, https://github.com/secure-systems-lab/dsse.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.errors import ReleaseError
from ratchet.registry.model_signature import PAYLOAD_TYPE, encode_payload, is_signed

if TYPE_CHECKING:
    from ratchet.registry.record import Measured

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://dvc.org/doc/command-reference/repro"
BUILDER = "https://dvc.org"
BUNDLE_MANIFEST = "bundle.json"


def make_statement(version: str, manifest: bytes, measured: Measured, data: dict[str, str]) -> bytes:
    """The statement as JSON, the same bytes for the same commit.

    Args:
        version: its tag.
        manifest: the bundle's manifest, which names its files and their hashes.
        measured: of the commit.
        data: path → MD5 of the data that the pipeline made.
    """
    import hashlib

    files = json.loads(manifest)["files"] | {BUNDLE_MANIFEST: hashlib.sha256(manifest).hexdigest()}
    materials: list[dict[str, Any]] = [{"uri": "git+.", "digest": {"gitCommit": measured.revision}}]
    materials += [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(measured.sha256.items())]
    materials += [{"name": name, "digest": {"md5": md5}} for name, md5 in sorted(data.items())]
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(files.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": version, "bundle": measured.decision["chosen"]},
                "internalParameters": {},
                "resolvedDependencies": materials,
            },
            "runDetails": {"builder": {"id": BUILDER}, "metadata": {"invocationId": measured.revision}},
        },
    }
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()


def sign_statement(statement: bytes, private_key: Path) -> bytes:
    """The statement in a DSSE envelope, signed with the key that signs bundles.

    Raises:
        ReleaseError: the key is missing, or is none on P-256, P-384 or P-521.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    sizes: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    try:
        key = serialization.load_pem_private_key(private_key.read_bytes(), None)
        curve: Any = key  # a key of another kind has no curve
        signature = curve.sign(encode_payload(statement), ec.ECDSA(sizes[curve.curve.key_size]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReleaseError("The provenance cannot be signed.", where=private_key, got=error) from None
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(statement).decode(),
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    return (json.dumps(envelope, indent=1, sort_keys=True) + "\n").encode()


def signed_statement(envelope: bytes, public_keys: Sequence[bytes]) -> bytes:
    """The statement that one of the keys signed.

    Raises:
        ReleaseError: none of them did, or it is no envelope.
    """
    try:
        found = json.loads(envelope)
        payload = base64.b64decode(found["payload"], validate=True)
        (signature,) = found["signatures"]
        signed = found["payloadType"] == PAYLOAD_TYPE and is_signed(
            payload, base64.b64decode(signature["sig"], validate=True), public_keys
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError("The provenance cannot be read.", got=repr(error)) from None
    if not signed:
        raise ReleaseError("The provenance is signed by none of the policy's model keys.")
    return payload


def describe(statement: bytes) -> str:
    """One line for people: what was made, from how much."""
    found = json.loads(statement)
    build = found["predicate"]["buildDefinition"]
    materials = build["resolvedDependencies"]
    commit = materials[0]["digest"]["gitCommit"][:12]
    return f"{len(found['subject'])} files of {build['externalParameters']['bundle']}, from commit {commit} and " + (
        f"{len(materials) - 1} inputs"
    )
