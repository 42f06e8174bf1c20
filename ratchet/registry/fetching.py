"""Fetches released bundles from DVC and verifies their bytes against the record."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ratchet.errors import ReleaseError
from ratchet.files import replace_folder
from ratchet.models.discovery import CHAMPION, MARK
from ratchet.registry.bundle_check import check_bytes, release_folder
from ratchet.registry.high_water_mark import mark_of
from ratchet.registry.names import Version, need_version, parse_version
from ratchet.registry.record import SIGNATURE
from ratchet.registry.view import View

RESERVED = Path(".ratchet/next_champion")
"""Where the bundle of the next champion waits for its promotion."""


def find_version(view: View, name: str) -> Version:
    """The version that a tag, a number or a role names: `tickets@v1.2.0`, `1.2.0`, `v1.2.0`, `champion`.

    `high_water_mark` names the best one ever released.

    Raises:
        ReleaseError: it names none.
    """
    if name == MARK:
        if (mark := mark_of(view)) is None:
            raise ReleaseError("Nothing was released yet that could be the high-water mark.", got=name)
        return mark
    if name in ("challenger", "champion", "archived"):
        held = view.holder(name)
        if held is None:
            raise ReleaseError("Nobody has this role.", got=name)
        return need_version(held[1].version)
    version = parse_version(name) or parse_version(f"{view.rules.policy.artifact}@v{name.removeprefix('v')}")
    if version is None or version.tag not in view.tags:
        raise ReleaseError("There is no such version.", got=name, expected="a version, or a role that one has")
    return version


def fetch(view: View, version: Version, into: Path) -> None:
    """Put a version's bundle into a folder, from DVC's cache or remote, whole or not at all.

    Raises:
        ReleaseError: the version fails verification, DVC has not got it, or its bytes differ.
    """
    record, root = view.record(version), view.repository.root
    with tempfile.TemporaryDirectory(prefix="ratchet-") as folder:
        bundle = Path(folder) / record["bundle"]
        get(root, record["revision"], record["folder"], bundle)
        check_bundle(view, version, bundle)
        with replace_folder(into) as target:
            shutil.copytree(bundle, target, dirs_exist_ok=True)


def held(view: View, version: Version, folder: Path) -> bool:
    """Whether a folder holds the version's bundle, to the last byte."""
    try:
        check_bundle(view, version, folder)
    except (ReleaseError, OSError):
        return False
    return True


def get(root: Path, revision: str, path: str, into: Path) -> None:
    """Put an output of the pipeline, as it was at a revision, into a file or folder, from DVC's cache or remote.

    Raises:
        ReleaseError: DVC has not got it.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dvc", "get", "--quiet", "--rev", revision, str(root.resolve()), path]
    done = subprocess.run(
        [*command, "--out", str(into.resolve())], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ReleaseError(
            "DVC cannot get what was released.",
            where=path,
            got=done.stderr.strip()[-2000:],
            fix="configure the remote that holds it: dvc remote list",
        )


def check_bundle(view: View, version: Version, bundle: Path) -> None:
    """Check that a folder is the bundle of a version, to the last byte.

    Raises:
        ReleaseError: it is not.
    """
    path = f"{release_folder(view.rules_of(version.tag).policy, version)}/{SIGNATURE}"
    signature = view.repository.file(view.tag(version.tag).commit, path) or b""
    check_bytes(view.record(version), bundle, signature, view.model_keys(version))


def fetch_released(view: View) -> None:
    """Put the bundles of the champion and of the high-water mark where the next run compares with them.

    What is there already is not fetched again.

    Raises:
        ReleaseError: see `fetch`.
    """
    models = view.repository.root / view.rules.policy.paths.models
    wanted = {CHAMPION: find_version(view, CHAMPION)}
    if (mark := mark_of(view)) is not None:
        wanted[MARK] = mark
    for name, version in wanted.items():
        if not held(view, version, models / name):
            fetch(view, version, models / name)


def reserve(view: View, version: Version) -> None:
    """Fetch the bundle of the next champion, before the pointer names it: bytes come first.

    Raises:
        ReleaseError: see `fetch`.
    """
    folder = view.repository.root / RESERVED
    if not held(view, version, folder):
        fetch(view, version, folder)


def take_reserved(view: View, version: Version) -> None:
    """Put the bundle that `reserve` fetched where the pointer points, if it is there; then `fetch_released`."""
    models = view.repository.root / view.rules.policy.paths.models
    reserved, folder = view.repository.root / RESERVED, models / CHAMPION
    if not held(view, version, folder) and held(view, version, reserved):
        with replace_folder(folder) as target:
            shutil.copytree(reserved, target, dirs_exist_ok=True)
    fetch_released(view)
    shutil.rmtree(reserved, ignore_errors=True)
