"""The seal of a dossier: each document's hash and each figure with its file's, under one signature; and its check."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.errors import ReleaseError
from ratchet.files import sha256_file
from ratchet.registry.attestation import open_statement, sign_statement
from ratchet.reporting.dossier.figures import Figure, NotMeasuredError, Place, Reports

SEAL = "dossier.json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "urn:ratchet:dossier:v1"


@dataclass(frozen=True)
class Checked:
    """What a check of a dossier found."""

    n_documents: int
    n_figures: int
    is_signed: bool
    faults: list[str]
    """Empty: everything is as it was sealed."""


def make_seal(documents: Mapping[str, bytes], figures: Sequence[Figure], private_key: bytes | None) -> bytes:
    """The seal of files by their names; signed where there is a key.

    Raises:
        ReleaseError: the key is no PEM key of an elliptic curve.
    """
    statement = {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
            for name, content in sorted(documents.items())
        ],
        "predicateType": PREDICATE,
        "predicate": {"figures": [figure.to_json() for figure in figures]},
    }
    if private_key is not None:
        return sign_statement(statement, private_key)
    return json.dumps(statement, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def check_seal(seal: Path, root: Path, public_keys: Sequence[bytes] = ()) -> Checked:
    """Whether documents and figures are what was sealed, and the figures what the reports hold now.

    Args:
        seal: the file; its documents lie beside it.
        root: the repository.
        public_keys: PEM; where there are any, one of them must have signed.

    Raises:
        ReleaseError: the file is no seal, or it is signed by none of the keys.
    """
    statement, is_signed = _read(seal, public_keys)
    faults, reports = [], Reports(root)
    for subject in statement["subject"]:
        name = subject["name"]
        path = seal.parent / Path(name).name
        if not path.is_file():
            faults.append(f"{name}: the document is missing")
        elif sha256_file(path) != subject["digest"]["sha256"]:
            faults.append(f"{name}: the document was changed after it was sealed")
    for sealed in statement["predicate"]["figures"]:
        faults += _faults_of(sealed, reports)
    return Checked(len(statement["subject"]), len(statement["predicate"]["figures"]), is_signed, faults)


def _faults_of(sealed: Mapping[str, Any], reports: Reports) -> list[str]:
    place = Place(sealed["file"], sealed["pointer"])
    name = f"{place.file}#{place.pointer}"
    try:
        now = reports.figure(place)
    except NotMeasuredError:
        return [f"{name}: the figure is no longer there"]
    if now.value == sealed["value"]:
        return []
    if now.sha256 == sealed["file_sha256"]:
        return [f"{name}: false, the file that was sealed says {now.value!r} and not {sealed['value']!r}"]
    return [f"{name}: stale, it was {sealed['value']!r} and is {now.value!r}"]


def _read(seal: Path, public_keys: Sequence[bytes]) -> tuple[dict[str, Any], bool]:
    fix = "name the dossier.json that ratchet dossier wrote"
    try:
        content = json.loads(seal.read_bytes())
        is_signed = "payload" in content
        statement = open_statement(seal.read_bytes(), public_keys) if is_signed else content
        kinds = statement["_type"], statement["predicateType"]
        for subject in statement["subject"]:
            str(subject["name"]), str(subject["digest"]["sha256"])
        for figure in statement["predicate"]["figures"]:
            str(figure["file"]), str(figure["pointer"]), figure["value"], str(figure["file_sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReleaseError("The seal of the dossier cannot be read.", where=seal, got=error, fix=fix) from None
    if kinds != (STATEMENT, PREDICATE):
        raise ReleaseError("This is the seal of something else.", where=seal, got=kinds, fix=fix)
    if public_keys and not is_signed:
        raise ReleaseError("The dossier is not signed.", where=seal, fix="ratchet dossier write --signing-key FILE")
    return statement, is_signed
