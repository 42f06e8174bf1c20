"""The pointer that names and pins the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pydantic

from ratchet.errors import BundleError


class Pointer(pydantic.BaseModel):
    """What a pointer says; nothing before the first release."""

    bundle: str | None = None
    """Folder of the bundle."""
    manifest_sha256: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Hash of its manifest."""
    version: str | None = None
    """Tag of the release."""


def read_pointer(path: Path) -> Pointer:
    """The pointer of a file.

    Raises:
        BundleError: it cannot be read, or is none.
    """
    try:
        return parse_pointer(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError):
        raise unreadable(path) from None


def parse_pointer(text: str, where: object) -> Pointer:
    """The pointer that a text says.

    Raises:
        BundleError: it says none.
    """
    try:
        return Pointer.model_validate_json(text)
    except pydantic.ValidationError:
        raise unreadable(where) from None


def unreadable(where: object) -> BundleError:
    """The error of a pointer that cannot be read."""
    return BundleError(
        "The pointer to the champion cannot be read.",
        where=where,
        expected="a JSON object: bundle, manifest_sha256, version",
        fix="restore it: git checkout, or ratchet registry rollback",
    )
