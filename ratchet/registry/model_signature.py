"""The detached signature of a bundle: OpenSSF model signing with an elliptic-curve key, made and verified offline.

`sign_bundle` and `verify_bundle` are the reference implementation's; `signed_digests` reads the same signature where
the bundle is not at hand, as in a server's hook, and says which bytes it is about.

Source: https://github.com/sigstore/model-transparency; the envelope is DSSE,
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
"""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ratchet.errors import MissingExtraError, ReleaseError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE = "https://model_signing/signature/v1.0"


def sign_bundle(bundle: Path, private_key: Path) -> bytes:
    """The signature of every file of a bundle.

    Raises:
        ReleaseError: the key is missing, or is none on P-256, P-384 or P-521.
    """
    signing = _module("model_signing.signing")
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        signature = Path(folder) / "model.sig"
        try:
            config = signing.Config().use_elliptic_key_signer(private_key=private_key)  # type: ignore[attr-defined]
            config.sign(bundle, signature)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ReleaseError(
                "The bundle cannot be signed.",
                where=private_key,
                got=error,
                expected="a PEM key on the curve P-256",
                fix="openssl ecparam -name prime256v1 -genkey -noout -out model-signing.pem",
            ) from None
        return signature.read_bytes()


def verify_bundle(bundle: Path, signature: bytes, public_keys: Sequence[bytes]) -> None:
    """Check that one of the keys signed the bundle as it lies there.

    Raises:
        ReleaseError: none did.
    """
    verifying = _module("model_signing.verifying")
    errors = []
    with tempfile.TemporaryDirectory(prefix="ratchet-") as name:
        folder = Path(name)
        (folder / "model.sig").write_bytes(signature)
        for key in public_keys:
            (folder / "key.pub").write_bytes(key)
            try:
                config = verifying.Config().use_elliptic_key_verifier(public_key=folder / "key.pub")  # type: ignore[attr-defined]
                config.verify(bundle, folder / "model.sig")
            except Exception as error:  # the library lets any error of the formats it reads through
                errors.append(str(error) or type(error).__name__)
            else:
                return
    raise ReleaseError(
        "The bundle is not the one that was signed.",
        where=bundle,
        got="; ".join(errors) or "no key",
        expected="a signature by one of the policy's model keys",
    )


def signed_digests(signature: bytes, public_keys: Sequence[bytes]) -> dict[str, str]:
    """File → SHA-256 of a bundle that one of the keys signed.

    Raises:
        ReleaseError: none of them signed this, or it is something else than digests of files.
    """
    try:
        envelope = json.loads(signature)["dsseEnvelope"]
        payload, (signed,) = base64.b64decode(envelope["payload"], validate=True), envelope["signatures"]
        if envelope["payloadType"] != PAYLOAD_TYPE or not is_signed(
            payload, base64.b64decode(signed["sig"]), public_keys
        ):
            raise ReleaseError("The bundle's signature is by none of the policy's model keys.")
        statement = json.loads(payload)
        predicate = statement["predicate"]
        method = predicate["serialization"]
        if statement["predicateType"] != PREDICATE or (method["method"], method["hash_type"]) != ("files", "sha256"):
            raise ReleaseError("The bundle's signature is not one of its files' SHA-256.")
        names = [item["name"] for item in predicate["resources"]]
        if len(set(names)) != len(names):
            raise ReleaseError("The bundle's signature names a file twice.")
        return {item["name"]: item["digest"] for item in predicate["resources"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ReleaseError("The bundle's signature cannot be read.", got=repr(error)) from None


def encode_payload(payload: bytes) -> bytes:
    """The bytes that DSSE signs, its pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def is_signed(payload: bytes, signature: bytes, public_keys: Sequence[bytes]) -> bool:
    """Whether one of the keys signed a DSSE payload."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    encoded = encode_payload(payload)
    sizes: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    for text in public_keys:
        key = serialization.load_pem_public_key(text)
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size in sizes:
            with contextlib.suppress(InvalidSignature):
                key.verify(signature, encoded, ec.ECDSA(sizes[key.curve.key_size]))
                return True
    return False


def _module(name: str) -> object:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            "Model signing is not installed.", got=error, fix="pip install -c constraints.txt model-signing pyOpenSSL"
        ) from None
