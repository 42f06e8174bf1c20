"""`ratchet registry`: versions, roles, reviews, verification and rollback."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ratchet.errors import ReleaseError
from ratchet.files import replace_file
from ratchet.models.discovery import CHAMPION, MARK
from ratchet.registry import attesting, operations
from ratchet.registry.attestation import attestation_path, sign_attestation
from ratchet.registry.audit_entry import Action
from ratchet.registry.audit_log import append, entries, log_path, verify
from ratchet.registry.clone import Clone
from ratchet.registry.fetching import check_bundle, fetch, find_version, reserve, take_reserved
from ratchet.registry.listing import list_versions, roles_of
from ratchet.registry.names import Version
from ratchet.registry.signatures import PERSON
from ratchet.registry.verification import check_tag

app = typer.Typer(no_args_is_help=True, help="Releases: signed tags in Git, in GTO's naming.")
Root = Annotated[Path, typer.Option(help="The clone.")]
Key = Annotated[str, typer.Option(help="The key that signs; by default user.signingKey of Git.")]
Why = Annotated[str, typer.Option(help="The reason, kept for good.")]
Who = Annotated[str, typer.Option(help="Your name in .allowed_signers.")]
Ref = Annotated[str, typer.Argument(help="A version (tickets@v1.2.0, 1.2.0), a role (champion), or high_water_mark.")]
Subject = Annotated[str, typer.Argument(help="A version, or a commit that changes a protected path.")]


@app.command(name="list")
def list_command(root: Root = Path(), as_json: Annotated[bool, typer.Option("--json", help="JSON.")] = False) -> None:
    """Print all versions, newest first, with their roles; a version that fails verification says why: see verify."""
    view = Clone(root).view()
    rows = list_versions(view)
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        figures = [f"accuracy {row['accuracy']:.3f}"] if row["accuracy"] is not None else []
        print(
            "  ".join([row["version"], row["released"], row["bundle"], *figures, ", ".join(row["roles"]), row["error"]])
        )


@app.command()
def show(ref: Ref, root: Root = Path()) -> None:
    """Print what a version binds, with its roles and reviews, as JSON."""
    view = Clone(root).view()
    version = find_version(view, ref)
    tag = view.tag(version.tag)
    reviews = {name: view.tag(name).statement.why for name in view.tags if f"/{_dashed(version)}-" in name}
    facts = {
        "record": view.record(version),
        "signed_by": tag.signer,
        "released": tag.time.isoformat(),
        "why": tag.statement.why,
        "roles": roles_of(view, version),
        "reviews": reviews,
    }
    print(json.dumps(facts, indent=1, sort_keys=True))


@app.command()
def compare(before: Ref, after: Ref, root: Root = Path()) -> None:
    """Print in what two versions differ: figures, files, params and data, a line each."""
    view = Clone(root).view()
    records = [view.record(find_version(view, ref)) for ref in (before, after)]
    old, new = (_flat({key: item for key, item in record.items() if key != "gates"}) for record in records)
    for key in sorted(set(old) | set(new)):
        if old.get(key) != new.get(key):
            print(f"{key}: {old.get(key, '–')} → {new.get(key, '–')}")


@app.command(name="fetch")
def fetch_command(
    ref: Ref, root: Root = Path(), into: Annotated[Path | None, typer.Option(help="The folder to fill.")] = None
) -> None:
    """Get a bundle from DVC, by default the champion's into the folder its pointer names, and check every byte."""
    view = Clone(root).view()
    version = find_version(view, ref)
    folder = into or root / view.rules.policy.paths.models / (MARK if ref == MARK else CHAMPION)
    fetch(view, version, folder)
    print(f"{version.tag} is in {folder}")


@app.command(name="verify")
def verify_command(
    ref: Annotated[str, typer.Argument(help="A version or role; by default all tags.")] = "",
    root: Root = Path(),
    pushed: Annotated[str, typer.Option(help="A tag that has just come: its key must count now.")] = "",
    bundle: Annotated[Path | None, typer.Option(help="Check these bytes instead of fetching them.")] = None,
    fetch_bytes: Annotated[bool, typer.Option("--bytes/--no-bytes", help="Check the bundle's bytes too.")] = True,
) -> None:
    """Verify signatures, rights, approvals, gates, hashes and bytes, and report what fails."""
    clone = Clone(root)
    view, failures = clone.view(), clone.verification_failures(frozenset({pushed} - {""}))
    if ref:
        version = find_version(view, ref)
        names = [version.tag, "champion", *roles_of(view, version)]
        failures = {name: why for name, why in failures.items() if name in names}
        check_tag(view, version.tag)
        if fetch_bytes:
            with tempfile.TemporaryDirectory(prefix="ratchet-") as name:
                folder = bundle or Path(name) / "bundle"
                if bundle is None:
                    fetch(view, version, folder)
                check_bundle(view, version, folder)
    if failures:
        lines = [f"{name} fails verification: {why}" for name, why in sorted(failures.items())]
        raise ReleaseError("\n".join(lines))
    subject = f"{ref} ({find_version(view, ref).tag})" if ref else f"all {len(view.tags)} tags"
    print(f"verified: {subject}" + (", to the last byte" if ref and fetch_bytes else ""))


@app.command()
def attest(
    ref: Ref,
    signing_key: Annotated[Path, typer.Option(help="PEM key of the policy's model_keys.")],
    root: Root = Path(),
    bundle: Annotated[Path | None, typer.Option(help="The bundle; by default that of the pointer.")] = None,
) -> None:
    """Verify a version whole, and sign beside its bundle what a replica needs to know: no clone, no Git, no torch.

    The version is judged by the policy that it was released under."""
    view = Clone(root).view()
    version = find_version(view, ref)
    folder = bundle or root / view.rules.policy.paths.models / CHAMPION
    attestation = attesting.attest(view, version, folder)
    path = attestation_path(folder)
    with replace_file(path) as partial:
        partial.write_bytes(sign_attestation(attestation, signing_key.read_bytes()))
    print(f"{version.tag} is attested in {path}")


@app.command()
def approve(subject: Subject, why: Why, who: Who, root: Root = Path(), key: Key = "") -> None:
    """Sign that a version may become champion next (or that the policy may change), and push it."""
    _review("approval", subject, why, who, Clone(root, key=key))


@app.command()
def reject(subject: Subject, why: Why, who: Who, root: Root = Path(), key: Key = "") -> None:
    """Sign that a version must not become champion next, and push it: one rejection outweighs all approvals."""
    _review("rejection", subject, why, who, Clone(root, key=key))


@app.command()
def rollback(
    why: Why,
    who: Who,
    to: Annotated[str, typer.Option(help="A version; by default the champion before.")] = "",
    root: Root = Path(),
    key: Key = "",
    fetch_bytes: Annotated[bool, typer.Option("--bytes/--no-bytes", help="Fetch the bundle too.")] = True,
) -> None:
    """Make an earlier champion the champion again: check it, sign, move the pointer, push, fetch its bundle."""
    clone = Clone(root, key=key)
    clone.update()
    if (unfinished := _unfinished_rollback(clone, to)) is None:
        view = clone.view()
        version = operations.rollback_target(view, find_version(view, to) if to else None)
        if fetch_bytes:
            reserve(view, version)
        unfinished = operations.roll_back(clone, why, verify(log_path(root)), version).tag
    view = clone.view()
    version = find_version(view, "champion")
    if fetch_bytes:
        take_reserved(view, version)
    # last: what is logged is finished, and the command given again would go back further
    _log(root, who, "rollback", version.tag, view.tag(unfinished).statement.why, tag=unfinished)
    print(f"{version.tag} is the champion again, by {unfinished}")


def _unfinished_rollback(clone: Clone, to: str) -> str | None:
    """The tag of a rollback that was pushed and never logged: the command was killed, and is finished, not repeated.

    Repeated it would go back one champion further.
    """
    view = clone.view()
    held = view.holder("champion")
    if held is None or held[1].action != "roll_back" or (to and find_version(view, to).tag != held[1].version):
        return None
    log = log_path(clone.root)
    mine = held[1].audit_n == verify(log).n  # of this very log, which has not gone on since
    logged = any(entry.details.get("tag") == held[0].tag for entry in entries(log))
    return held[0].tag if mine and not logged else None


def _review(kind: Literal["approval", "rejection"], subject: str, why: str, who: str, clone: Clone) -> None:
    if not PERSON.fullmatch(who):
        raise ReleaseError("This is no name of .allowed_signers.", got=who)
    name = operations.review(clone, kind, who, subject, why)
    _log(clone.root, who, kind, subject, why, tag=name)
    print(f"pushed {name}")


def _log(root: Path, who: str, action: Action, subject: str, why: str, *, tag: str) -> None:
    append(log_path(root), who=who, action=action, subject=subject, why=why, details={"tag": tag})


def _dashed(version: Version) -> str:
    return f"{version.artifact}-v{version.number}"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """A nested value as one level: `metrics.accuracy.value` → 0.8."""
    if not isinstance(value, dict):
        return {name: value}
    return {
        key: item for part, inner in value.items() for key, item in _flat(inner, f"{name}.{part}".strip(".")).items()
    }
