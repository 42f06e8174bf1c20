"""Entries of the audit log: their fields, and the hash that pins each."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import pydantic

from ratchet.errors import ReleaseError

Action = Literal[
    "run",
    "decision",
    "release",
    "approval",
    "rejection",
    "promotion",
    "rollback",
    "rollout",
    "label_batch",
    "personal_data",
    "forget",
    "repair",
]
Scalar = str | int | float | bool
MAX_LINE_BYTES = 16_384
NO_HASH = "0" * 64
"""`previous` of the first entry."""
IDENTIFIER = re.compile(r"[\w@#./:+=,~^-]{0,200}")
"""Allowed details: names, versions, hashes, paths. No spaces: prose, and so personal data, does not fit."""
SECRET = re.compile(
    r"-----BEGIN|\bgh[pousr]_\w{20}|\bgithub_pat_|\bglpat-|\bAKIA[0-9A-Z]{16}|\bxox[bap]-|\beyJ[\w-]{10,}\.eyJ"
    r"|://[^/\s:@]+:[^/\s@]+@|(?i:password|passwd|secret|token|api_?key)\s*[=:]\s*\S"
)


class Head(NamedTuple):
    """The last entry: how many there are, and the hash that pins them all."""

    n: int
    sha256: str


class Entry(pydantic.BaseModel):
    """One line of the log."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)

    n: int = pydantic.Field(ge=1)
    """Its place: 1, 2, 3, …"""
    time: str = pydantic.Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$")
    """When, in UTC, by the clock of the machine that wrote it."""
    who: str = pydantic.Field(min_length=1, max_length=200)
    """A person's or a service's name."""
    action: Action
    """The action."""
    subject: str = pydantic.Field(max_length=200)
    """To what: a version, a decision, a table."""
    why: str = pydantic.Field(max_length=500)
    """The reason, in the actor's words."""
    details: dict[str, Scalar] = {}
    """Figures and identifiers."""
    previous: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    """Hash of the entry before this one."""
    sha256: str = pydantic.Field(default="", pattern=r"^(|[0-9a-f]{64})$")
    """Hash of all of the above."""

    def digest(self) -> str:
        """The SHA-256 of everything but the hash itself."""
        return hashlib.sha256(_canonical(self.model_dump(exclude={"sha256"}))).hexdigest()

    def line(self) -> bytes:
        """The entry as it stands in the log."""
        return _canonical(self.model_dump()) + b"\n"

    def head(self) -> Head:
        """The head of a log that ends with this entry."""
        return Head(self.n, self.sha256)


def parse_line(line: bytes, where: str) -> Entry:
    """The entry of a line that is byte for byte what its entry would write.

    Raises:
        ReleaseError: it is not.
    """
    try:
        entry = Entry.model_validate_json(line)
    except ValueError as error:
        reason = str(error).splitlines()[0]
    else:
        if entry.digest() == entry.sha256 and entry.line() == line:
            return entry
        reason = "its bytes are not those of its entry"
    raise ReleaseError(
        "The audit log was altered: a line fails verification.",
        where=where,
        got=reason,
        fix="restore the log from a copy",
    )


def refuse_secrets(who: str, subject: str, why: str, details: Mapping[str, Scalar]) -> None:
    """Refuse an entry that looks like it holds a secret.

    >>> refuse_secrets("ann", "tickets@v1.0.0", "token: abc", {})
    Traceback (most recent call last):
    ...
    ratchet.errors.ReleaseError: The entry holds what looks like a secret.
      where: why
      what to do: leave it out: the log is kept for good

    Raises:
        ReleaseError: a secret, or a detail that is prose.
    """
    texts = {"who": who, "subject": subject, "why": why, **{f"details.{k}": str(v) for k, v in details.items()}}
    for name, text in texts.items():
        if SECRET.search(text):
            raise ReleaseError(
                "The entry holds what looks like a secret.", where=name, fix="leave it out: the log is kept for good"
            )
    for key, value in details.items():
        if not re.fullmatch(r"\w{1,60}", key) or (isinstance(value, str) and not IDENTIFIER.fullmatch(value)):
            raise ReleaseError(
                "A detail of a log entry must be a figure or an identifier.",
                where=f"details.{key}",
                expected="a number, or up to 200 characters without spaces",
                fix="log a count or a hash of it",
            )


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
