"""Loading of served models: the verified champion or any bundle, and detection of a change."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ratchet.data.cleaning import clean
from ratchet.engines.loading import load
from ratchet.errors import BundleError
from ratchet.files import read_json, sha256_file
from ratchet.models.bundle import MANIFEST
from ratchet.models.champion import champion_path
from ratchet.models.predictor import Predictor

_WARM_UP = [" ".join(["word"] * n_words) for n_words in (2, 10, 64)]
"""Texts of several lengths, so that the first request meets code and buffers that ran before."""


@dataclass(frozen=True)
class ServedModel:
    """A loaded, warmed-up model."""

    predictor: Predictor
    version: str
    """The release's tag, or the name of the bundle."""
    manifest_sha256: str
    """Pins every byte of it."""
    load_s: float
    """Seconds for verifying, loading and warming up."""

    @property
    def log_version(self) -> str:
        """The model as the log names it: its tag, which pins the bytes, or of an unreleased bundle name@hash.

        By name alone a bundle that is made anew would be taken for the one before.
        """
        released = self.version != self.predictor.manifest.name
        return self.version if released else f"{self.version}@{self.manifest_sha256[:12]}"

    @property
    def labels(self) -> list[str]:
        """Class names, in the order of the probabilities."""
        return self.predictor.labels

    def read(self, texts: Sequence[str]) -> list[str]:
        """The texts as the model learned to read them: repaired and masked like those it was trained on."""
        return clean(texts, self.predictor.manifest.cleaning).texts


@dataclass(frozen=True)
class ModelSource:
    """Location of the model to serve."""

    pointer: Path
    """The pointer that names and pins the champion."""
    bundle: Path | None
    """A bundle to serve instead of the champion."""
    registry: Path | None
    """The clone whose signed tags must agree; None where the pointer is trusted as it is."""
    n_threads: int
    batch_size: int

    def pinned(self) -> str:
        """Hash of the manifest that should be served now; empty where there is none.

        Raises:
            BundleError: the pointer cannot be read.
        """
        if self.bundle is not None:
            manifest = self.bundle / MANIFEST
            return sha256_file(manifest) if manifest.is_file() else ""
        try:
            return str(read_json(self.pointer).get("manifest_sha256") or "")
        except (OSError, ValueError, AttributeError):
            raise BundleError("The pointer to the champion cannot be read.", where=self.pointer) from None

    def load(self) -> ServedModel:
        """The champion, or the bundle that was named, every byte verified.

        Raises:
            BundleError: there is none, or it is not what it should be.
            ReleaseError: the registry says otherwise than the pointer.
        """
        if self.bundle is not None:
            return load_model(self.bundle, "", self.n_threads, self.batch_size)
        path = champion_path(self.pointer)
        if path is None:
            raise BundleError(
                "There is no champion yet.",
                where=self.pointer,
                expected="a bundle that was released",
                fix="release one (docs/release.md), or serve a bundle: ratchet serve --bundle models/NAME",
            )
        version = str(read_json(self.pointer).get("version") or "")
        if self.registry is not None:
            _check_release(self.registry, path)
        return load_model(path, version, self.n_threads, self.batch_size)


def load_model(path: Path, version: str, n_threads: int, batch_size: int, manifest_sha256: str = "") -> ServedModel:
    """The bundle at `path`, verified, loaded and warm.

    Raises:
        BundleError: it is damaged, or its manifest is not the pinned one.
    """
    start = time.perf_counter()
    predictor = load(path, n_threads, batch_size)
    found = sha256_file(path / MANIFEST)
    if manifest_sha256 and found != manifest_sha256:
        raise BundleError("The bundle is not the one that was pinned.", where=path, got=found, expected=manifest_sha256)
    predictor.predict_proba(_WARM_UP)
    return ServedModel(predictor, version or predictor.manifest.name, found, time.perf_counter() - start)


def _check_release(root: Path, bundle: Path) -> None:
    """Check that the registry's champion is these bytes, by signatures, rights and hashes."""
    from ratchet.registry.clone import Clone
    from ratchet.registry.fetching import check_bundle, find_version
    from ratchet.registry.verification import check_tag

    view = Clone(root).view()
    version = find_version(view, "champion")
    check_tag(view, version.tag)
    check_bundle(view, version, bundle)
