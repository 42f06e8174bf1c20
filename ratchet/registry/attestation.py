"""Attestation of a release: what a replica needs to know of it, under one signature, without clone, Git or torch.

A machine with the clone verifies a version whole (tags, rights, approvals, gates, bytes) by the policy that it was
released under, and then signs: this manifest is that version, accepted under that commit of the policy. A replica
checks the bundle's bytes against its manifest, and the manifest against this. The envelope is DSSE around an in-toto
statement, the signature ECDSA by a key of the policy's `model_keys`.

Source: https://github.com/in-toto/attestation/tree/main/spec/v1 and
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from ratchet.errors import ReleaseError
from ratchet.files import sha256_file
from ratchet.registry.model_signature import PAYLOAD_TYPE, encode_payload, is_signed

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:ratchet:release:v1"
SCHEMA_VERSION = 1
"""Of the manifest and of what a server must understand of it."""
_FIX = "ratchet registry attest VERSION, where the clone is, and send the file with the bundle"


class Attestation(pydantic.BaseModel):
    """What is attested."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: str = pydantic.Field(min_length=1)
    """The version's tag."""
    manifest_sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")
    """Hash of the bundle's manifest, which pins every file."""
    verdict: str = pydantic.Field(pattern="^accepted$")
    """Of the gates."""
    policy_commit: str = pydantic.Field(pattern="^[0-9a-f]{40}$")
    """Commit whose policy and keys judged the version."""
    schema_version: int
    """See `SCHEMA_VERSION`."""


def attestation_path(bundle: Path) -> Path:
    """Where the attestation of a bundle is: beside its folder.

    >>> str(attestation_path(Path("models/champion")))
    'models/champion.attestation.json'
    """
    return bundle.with_name(f"{bundle.name}.attestation.json")


def sign_attestation(attestation: Attestation, private_key: bytes) -> bytes:
    """The signed envelope, as JSON.

    Raises:
        ReleaseError: the key is no PEM key of an elliptic curve.
    """
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": "bundle.json", "digest": {"sha256": attestation.manifest_sha256}}],
        "predicateType": PREDICATE,
        "predicate": attestation.model_dump(),
    }
    return sign_statement(statement, private_key)


def sign_statement(statement: Mapping[str, Any], private_key: bytes) -> bytes:
    """An in-toto statement in its signed envelope, as JSON.

    Raises:
        ReleaseError: the key is no PEM key of an elliptic curve.
    """
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    payload = json.dumps(statement, sort_keys=True).encode()
    try:
        key = serialization.load_pem_private_key(private_key, None)
    except (ValueError, TypeError) as error:
        raise ReleaseError("The signing key cannot be read.", got=error, expected="a PEM key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ReleaseError("The signing key is none of an elliptic curve.", expected="P-256")
    signature = key.sign(encode_payload(payload), ec.ECDSA(hashes.SHA256()))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(envelope, indent=1).encode() + b"\n"


def read_attestation(envelope: bytes, public_keys: Sequence[bytes]) -> Attestation:
    """What is attested, if one of the keys signed it.

    Raises:
        ReleaseError: none did, or it is something else than the attestation of a release.
    """
    statement = open_statement(envelope, public_keys)
    try:
        found = Attestation.model_validate(statement["predicate"])
        subject = [item["digest"]["sha256"] for item in statement["subject"]]
        kinds = statement["_type"], statement["predicateType"]
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError("The attestation is none of a release.", got=type(error).__name__, fix=_FIX) from None
    if kinds != (STATEMENT, PREDICATE) or subject != [found.manifest_sha256]:
        raise ReleaseError("The attestation is none of a release.", fix=_FIX)
    return found


def open_statement(envelope: bytes, public_keys: Sequence[bytes]) -> dict[str, Any]:
    """The statement in a signed envelope, if one of the keys signed it.

    Raises:
        ReleaseError: none did, or it is no envelope of a statement.
    """
    try:
        content = json.loads(envelope)
        payload, (signed,) = base64.b64decode(content["payload"], validate=True), content["signatures"]
        signature = base64.b64decode(signed["sig"], validate=True)
        kind = content["payloadType"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise ReleaseError("The attestation cannot be read.", fix=_FIX) from None
    if kind != PAYLOAD_TYPE or not is_signed(payload, signature, public_keys):
        raise ReleaseError("The attestation is signed by none of the keys that count.", fix=_FIX)
    try:
        return dict(json.loads(payload))
    except (TypeError, ValueError, RecursionError):
        raise ReleaseError("The attestation cannot be read.", fix=_FIX) from None


def check_attested(bundle: Path, public_keys: Sequence[bytes]) -> Attestation:
    """Check that the bundle's manifest is that of an accepted release; its files are checked when it is loaded.

    Raises:
        ReleaseError: it is not.
    """
    path = attestation_path(bundle)
    try:
        envelope, manifest = path.read_bytes(), sha256_file(bundle / "bundle.json")
    except OSError as error:
        raise ReleaseError("The bundle or its attestation is missing.", where=path, got=error, fix=_FIX) from None
    found = read_attestation(envelope, public_keys)
    if found.manifest_sha256 != manifest:
        raise ReleaseError(
            "The attestation is that of another bundle.", where=path, got=manifest, expected=found.manifest_sha256
        )
    if found.schema_version > SCHEMA_VERSION:
        raise ReleaseError(
            "The bundle is of a newer Ratchet.",
            where=path,
            got=found.schema_version,
            expected=f"at most {SCHEMA_VERSION}",
            fix="upgrade the server",
        )
    return found
