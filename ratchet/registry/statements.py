"""Statements in the registry's tags: a summary line and the same as JSON, under one signature.

Every statement names its own tag, so that it cannot be moved under another name, and the objects it is about, so that
it cannot be replayed for others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from ratchet.errors import ReleaseError
from ratchet.registry.git import Repository
from ratchet.registry.names import Role
from ratchet.registry.signatures import Signers, signer_of, split_tag

Sha1 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Why = Annotated[str, Field(min_length=1, max_length=500)]


class Statement(pydantic.BaseModel):
    """Fields of all statements."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)

    tag: str
    """The name of the tag that holds this."""
    why: Why
    """The reason, in the signer's words."""


class Release(Statement):
    """A version is made."""

    kind: Literal["release"] = "release"
    record_sha256: Sha256
    """Hash of its record."""


class RoleGiven(Statement):
    """Assignment of a role to a version."""

    kind: Literal["role"] = "role"
    action: Literal["challenge", "promote", "roll_back", "archive"]
    """By which right."""
    role: Role
    """The role."""
    version: str
    """The version's tag."""
    version_oid: Sha1
    """The version's tag object."""
    audit_n: int = Field(ge=0)
    """Entries of the audit log before this."""
    audit_sha256: Sha256
    """Hash of the last of them."""


class Review(Statement):
    """Approval or rejection of a role assignment, or of a change of the policy."""

    kind: Literal["approval", "rejection"]
    action: Literal["promote", "roll_back", "change_policy"]
    """The action under review."""
    subject: str
    """The tag of the role change that this is about, and of no other one; or the commit that changes the policy."""
    subject_oid: Sha1
    """The version's tag object that is to get the role; or the commit."""


AnyStatement = Release | RoleGiven | Review
ADAPTER: pydantic.TypeAdapter[AnyStatement] = pydantic.TypeAdapter(Annotated[AnyStatement, Field(discriminator="kind")])


@dataclass(frozen=True)
class Tag:
    """A tag object that is signed by somebody who counts."""

    name: str
    oid: str
    commit: str
    signer: str
    time: datetime
    statement: AnyStatement


def message(summary: str, statement: AnyStatement) -> str:
    """The text of a tag."""
    return f"{summary}\n\n{json.dumps(statement.model_dump(), sort_keys=True, indent=1)}\n"


def read_tag(repository: Repository, name: str, oid: str, signers: Signers, at: datetime | None = None) -> Tag:
    """The tag of that name, if it is one of the registry's: annotated, on a commit, signed, and under its own name.

    `at` is when its key must have counted: now for a tag that is being pushed; by default the tag's own time.

    Raises:
        ReleaseError: it is anything else.
    """
    kind = repository.kind(oid)
    if kind != "tag":
        raise ReleaseError(
            "The tag is lightweight: nobody signed it.",
            where=name,
            got=kind or "no such object",
            expected="a signed, annotated tag",
        )
    content = repository.read(oid, "tag")
    payload, signature = split_tag(content)
    target, text, own_name, time = _parse(payload, name)
    if own_name != name:
        raise ReleaseError("The tag was made under another name.", where=name, got=own_name)
    signer = signer_of(payload, signature, signers, at or time)
    try:
        statement = ADAPTER.validate_json(text.partition("\n\n")[2])
    except pydantic.ValidationError as error:
        raise ReleaseError("The tag does not say what it should.", where=name, got=error.errors()[0]["msg"]) from None
    if statement.tag != name:
        raise ReleaseError("The tag's statement is that of another tag.", where=name, got=statement.tag)
    return Tag(name, oid, target, signer, time, statement)


def _parse(payload: bytes, name: str) -> tuple[str, str, str, datetime]:
    """Target, message, name and time of a tag object whose header is exactly the four lines that Git writes."""
    try:
        head, _, text = payload.decode("utf-8").partition("\n\n")
        lines = head.split("\n")
        keys = [line.partition(" ")[0] for line in lines]
        values = [line.partition(" ")[2] for line in lines]
        if keys != ["object", "type", "tag", "tagger"]:
            raise ReleaseError("The tag's header is not the usual one.", where=name, got=", ".join(keys))
        time = datetime.fromtimestamp(int(values[3].rsplit(" ", 2)[1]), UTC)
    except (UnicodeDecodeError, ValueError, IndexError, OverflowError):
        raise ReleaseError("The tag's header is damaged.", where=name) from None
    if values[1] != "commit":
        raise ReleaseError("The tag is nested, or is not on a commit.", where=name, got=values[1], expected="commit")
    return values[0], text, values[2], time
