"""The release policy: who may release, promote, roll back and change it; read from the protected branch alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pydantic
from pydantic import Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ratchet.errors import ReleaseError
from ratchet.params import Params
from ratchet.registry.git import Repository
from ratchet.registry.signatures import Signers, read_signers

POLICY, SIGNERS = "policy.yaml", ".allowed_signers"
RightName = Literal["release", "promote", "roll_back", "change_policy"]


class Right(Params):
    """A right: who has it, and how many approvals its use needs."""

    who: list[str]
    """People who have the right, by their names in the file of keys."""
    approvers: list[str]
    """Who may approve or reject; nobody counts who made what is approved."""
    approvals: int = Field(ge=0, le=20)
    """Approvals needed."""


class Paths(Params):
    """Paths, in a commit, of the files that a version binds."""

    lock: str
    """DVC's hashes of all outputs."""
    params: str
    """The params, the gates among them in the block `promote`."""
    constraints: str
    """The pinned packages."""
    champion: str
    """The pointer to the bundle that serves."""
    high_water_mark: str = ""
    """The pointer to the best bundle ever released; empty where none is kept, as in policies of earlier commits."""
    releases: str
    """The folder in which each version leaves its record."""
    models: str
    """The folder of the bundles, one a folder."""
    data: str
    """The folder of the data."""
    decision: str
    """The report with the verdict on every gate."""
    evaluate: str
    """The report that measured the bundles."""
    measured: list[str]
    """Further reports whose metrics the gates read."""
    model_card: str
    """The model card, among the outputs in DVC."""
    measurements: str = ""
    """Machine measurements of the bundles, among the outputs in DVC; empty where `evaluate` holds it, as in
    policies of earlier commits."""


class Policy(Params):
    """The whole file."""

    artifact: str = Field(pattern=r"^[a-z][a-z0-9-]{0,58}[a-z0-9]$")
    """The name under which versions are registered."""
    release: Right
    """Make a version and its challenger."""
    promote: Right
    """Make a version the champion, and archive the one before it."""
    roll_back: Right
    """Make an earlier champion the champion again."""
    change_policy: Right
    """Change a protected path."""
    protected: list[str]
    """Paths that only `change_policy` may change, besides this file and the keys."""
    required_gates: list[str] = Field(min_length=1)
    """Metrics that must be gated, however the params read."""
    model_keys: list[str]
    """Public keys (PEM, elliptic curve) of which one must have signed the bundle; protected paths as well."""
    provenance: bool = False
    """Whether a version carries a signed statement of its provenance; false in policies of earlier commits."""
    paths: Paths
    """Paths of the bound files."""

    def right(self, name: RightName) -> Right:
        """The right of that name."""
        found: Right = getattr(self, name)
        return found

    def protected_paths(self) -> list[str]:
        """All paths that only `change_policy` may change."""
        return list(dict.fromkeys([POLICY, SIGNERS, *self.protected, *self.model_keys]))


@dataclass(frozen=True)
class Rules:
    """The policy and the keys of one commit of the protected branch."""

    policy: Policy
    signers: Signers


def read_rules(repository: Repository, commit: str) -> Rules:
    """The policy and the keys of a commit.

    Raises:
        ReleaseError: one of them is missing or invalid; then nobody may do anything.
    """
    texts = {name: repository.file(commit, name) for name in (POLICY, SIGNERS)}
    if missing := [name for name, text in texts.items() if text is None]:
        raise ReleaseError(
            "The protected branch has no policy.",
            where=commit,
            got=f"no {' and no '.join(missing)}",
            fix="set one up as docs/release.md describes",
        )
    return Rules(read_policy(texts[POLICY] or b""), read_signers((texts[SIGNERS] or b"").decode("utf-8", "replace")))


def read_policy(text: bytes) -> Policy:
    """The policy that a file holds.

    Raises:
        ReleaseError: it is no policy.
    """
    try:
        return Policy.model_validate(YAML(typ="safe", pure=True).load(text))
    except pydantic.ValidationError as error:
        errors = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ReleaseError(
            "The policy is invalid.", where=POLICY, got=errors, fix="see ratchet.registry.policy"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ReleaseError("The policy is no YAML.", where=POLICY, got=error) from None
