"""Bundles: a model folder with a manifest that pins every file by its hash.

`bundle.json` names the model, its kind, labels, token limit, parent, the hashes of the params and data it was
made with, the versions that made it, and the SHA-256 of every other file. `write_bundle` makes one whole or not
at all; `read_manifest` verifies it before anything in it is parsed.
"""

from __future__ import annotations

import importlib.metadata
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pydantic

from ratchet.data.cleaning_params import NO_CLEANING, Cleaning
from ratchet.errors import BundleError
from ratchet.files import read_json, replace_folder, sha256_file, write_json

MANIFEST = "bundle.json"


class Manifest(pydantic.BaseModel):
    """The manifest `bundle.json`."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Name by which reports know the bundle."""
    kind: str = pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")
    """The module of `ratchet.engines.kinds` that loads it."""
    precision: str
    """Number format of the weights: fp32, int8, nf4."""
    labels: list[str] = pydantic.Field(min_length=2)
    """Class names, in the order of the probability columns."""
    max_tokens: int = pydantic.Field(ge=0)
    """Longer texts are cut to this many tokens; 0: no limit."""
    parent: str
    """Name of the bundle this one was made from; empty for a first one."""
    cleaning: Cleaning = NO_CLEANING
    """What was done to the texts it was trained on, and is done to those of a request; a bundle that does not say takes
    texts as they come."""
    params_sha256: str
    """Hash of the params block that made it."""
    data_sha256: str
    """Hash of the training ids and labels."""
    versions: dict[str, str] = {}
    """Packages that made it, and by which it is read."""
    files: dict[str, str] = {}
    """SHA-256 of every other file of the folder, by relative path."""


def write_bundle(path: Path, manifest: Manifest, save: Callable[[Path], None], packages: Sequence[str]) -> Manifest:
    """Fill a folder with `save`, add its manifest, and put it at `path` in one step; the manifest as written.

    The manifest keeps the versions of the `packages` by which the bundle is made and read.
    """
    with replace_folder(path) as folder:
        save(folder)
        written = manifest.model_copy(
            update={
                "versions": {name: importlib.metadata.version(name) for name in packages},
                "files": {name: sha256_file(folder / name) for name in _files(folder)},
            }
        )
        _refuse_pickle(folder, written.files)
        write_json(folder / MANIFEST, written.model_dump())
    return written


def read_manifest(path: Path) -> Manifest:
    """The manifest of a bundle whose every byte was verified.

    Raises:
        BundleError: not a bundle, a file is missing, added or altered, or a file could run code when read.
    """
    try:
        manifest = Manifest.model_validate(read_json(path / MANIFEST))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            "This is no model bundle.",
            where=path,
            expected=f"a folder with {MANIFEST}",
            fix="check the path; `dvc repro` makes the bundles of this repository, `dvc pull` fetches them",
        ) from None
    except ValueError as error:
        raise BundleError("The manifest is damaged.", where=path / MANIFEST, got=error, fix=_REMAKE) from None
    found = _files(path)
    if extra := sorted(set(found) - set(manifest.files)):
        raise BundleError(
            "The bundle holds files its manifest does not name.", where=path, got=", ".join(extra), fix=_REMAKE
        )
    for name, expected in manifest.files.items():
        if name not in found:
            raise BundleError("A file of the bundle is missing.", where=path / name, fix=_REMAKE)
        if (got := sha256_file(path / name)) != expected:
            raise BundleError(
                "A file of the bundle is corrupted: its SHA-256 differs.",
                where=path / name,
                got=got,
                expected=expected,
                fix=_REMAKE,
            )
    _refuse_pickle(path, found)
    return manifest


def size_mb(path: Path) -> float:
    """Size of all the bundle's files on disk, in megabytes (10^6 bytes)."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6


_REMAKE = "fetch it again with `dvc checkout`, or make it again with `dvc repro --force STAGE`"


def _files(folder: Path) -> list[str]:
    return sorted(
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and file.relative_to(folder).as_posix() != MANIFEST
    )


def _refuse_pickle(folder: Path, names: Sequence[str] | dict[str, str]) -> None:
    """Unpickling runs code, so a file that starts like a pickle, or like torch's archive of one, is refused."""
    for name in names:
        path = folder / name
        with path.open("rb") as file:
            head = file.read(2)
        pickled = head[:1] == b"\x80" and head[1:] in (b"\x02", b"\x03", b"\x04", b"\x05")
        if not pickled and head == b"PK" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                pickled = any(entry.endswith(".pkl") for entry in archive.namelist())
        if pickled or path.suffix in {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt"}:
            raise BundleError(
                "The bundle holds a pickle, which runs code when it is read.",
                where=path,
                expected="safetensors, JSON, or the compiler's own format",
                fix="export the weights to safetensors",
            )
