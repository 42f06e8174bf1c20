"""The names of tags: GTO's for versions and roles, and those of approvals and rejections.

Source: https://github.com/iterative/gto, `gto/constants.py` of 1.10.1: `ARTIFACT@vX.Y.Z` registers a version,
`ARTIFACT#STAGE#N` gives the version at its commit a stage. The number counts all role changes of an artifact, so that
they have one order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ratchet.errors import ReleaseError

Role = Literal["challenger", "champion", "archived"]
NUMBER = r"(?:0|[1-9][0-9]{0,8})"
ARTIFACT = re.compile(r"[a-z][a-z0-9-]{0,58}[a-z0-9]")
VERSION = re.compile(rf"({ARTIFACT.pattern})@v({NUMBER})\.({NUMBER})\.({NUMBER})")
ROLE = re.compile(rf"({ARTIFACT.pattern})#(challenger|champion|archived)#([1-9][0-9]{{0,8}})")
REVIEW = re.compile(r"(approval|rejection)/([a-z0-9.-]{1,120})/([a-z0-9][a-z0-9._-]{0,49})")
RESERVED = re.compile(r"[@#!=]|(?i:^(?:approval|rejection)(?:/|$))")
"""Tag names reserved for the registry: those that GTO reads, or could."""


@dataclass(frozen=True, order=True)
class Version:
    """A version of an artifact."""

    artifact: str
    major: int
    minor: int
    patch: int

    @property
    def number(self) -> str:
        """`1.2.0`"""
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def tag(self) -> str:
        """`tickets@v1.2.0`"""
        return f"{self.artifact}@v{self.number}"

    def next(self, part: Literal["major", "minor", "patch"]) -> Version:
        """The version after this one.

        >>> Version("tickets", 1, 2, 3).next("minor").tag
        'tickets@v1.3.0'
        """
        bumped = {
            "major": (self.major + 1, 0, 0),
            "minor": (self.major, self.minor + 1, 0),
            "patch": (self.major, self.minor, self.patch + 1),
        }
        return Version(self.artifact, *bumped[part])


@dataclass(frozen=True, order=True)
class RoleChange:
    """Assignment of a role."""

    number: int
    role: Role
    artifact: str

    @property
    def tag(self) -> str:
        """`tickets#champion#3`"""
        return f"{self.artifact}#{self.role}#{self.number}"


def parse_version(tag: str) -> Version | None:
    """The version that a tag names; None where it names none.

    >>> parse_version("tickets@v1.2.0").number, parse_version("tickets@v01.2.0")
    ('1.2.0', None)
    """
    found = VERSION.fullmatch(tag)
    return Version(found[1], int(found[2]), int(found[3]), int(found[4])) if found else None


def parse_role(tag: str) -> RoleChange | None:
    """The role change that a tag names; None where it names none.

    >>> parse_role("tickets#champion#3")
    RoleChange(number=3, role='champion', artifact='tickets')
    """
    found = ROLE.fullmatch(tag)
    return RoleChange(int(found[3]), found[2], found[1]) if found else None  # type: ignore[arg-type]


def review_subject(version: Version, change: RoleChange) -> str:
    """Name of the subject of a role change's review: `tickets-v1.2.0-champion-3`."""
    return f"{version.artifact}-v{version.number}-{change.role}-{change.number}"


def policy_subject(commit: str) -> str:
    """Name of the subject of a policy change's review, by the commit that makes it."""
    return f"policy-{commit}"


def need_version(tag: str) -> Version:
    """The version that a tag names.

    Raises:
        ReleaseError: it names none.
    """
    if (version := parse_version(tag)) is None:
        raise ReleaseError("This is no version.", got=tag, expected="a name like tickets@v1.2.0")
    return version
