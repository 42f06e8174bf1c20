"""Loading of served models: the verified champion or any bundle, and detection of a change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from ratchet.data.cleaning import clean
from ratchet.engines.loading import load
from ratchet.errors import BundleError
from ratchet.experiments.assignment import OFF, Experiment, parse_experiment, read_experiment
from ratchet.files import sha256_file
from ratchet.models.bundle import MANIFEST
from ratchet.models.predictor import Predictor
from ratchet.serving.pace import Pace, measure_pace
from ratchet.serving.pointer import Pointer, parse_pointer, read_pointer
from ratchet.serving.shared_state import SharedState

_WARM_UP = [" ".join(["word"] * n_words) for n_words in (2, 10, 64)]
"""Texts of several lengths, so that the first request meets code and buffers that ran before."""


class Passes(NamedTuple):
    """How a model's forward passes are made."""

    n_threads: int
    """Of the arithmetic of each."""
    batch_size: int | Literal["auto"]
    """Texts of each at most; auto: measured when the model is loaded."""
    max_batch: int = 32
    """The most that `auto` may come to."""


@dataclass(frozen=True)
class ServedModel:
    """A loaded, warmed-up model."""

    predictor: Predictor
    version: str
    """The release's tag, or the name of the bundle."""
    manifest_sha256: str
    """Pins every byte of it."""
    load_s: float
    """Seconds for verifying, loading, warming up and measuring."""
    folder: Path = Path()
    """Of the bundle."""
    pace: Pace = field(default_factory=Pace)
    """What its forward passes cost here."""

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
    """Location of the model to serve, and of its experiment."""

    pointer: Path
    """The pointer that names and pins the champion."""
    bundle: Path | None
    """A bundle to serve instead of the champion."""
    check: Callable[[Path], None] | None
    """Raises a `ReleaseError` unless the bundle was released; None where the pointer is trusted as it is."""
    passes: Passes
    experiment: Path | None = None
    """The experiment's file; None: there is none."""
    shared: SharedState | None = None
    """Where pointer and experiment are instead of in files."""
    name: str = ""
    """Suffix of their names there: empty for the first model."""

    def look(self) -> tuple[str, Experiment]:
        """Hash of the manifest to serve now, empty where there is none; and the experiment to run.

        Raises:
            BundleError, ParamsError: pointer or experiment cannot be read.
        """
        return self.pinned(), self._read_experiment()

    def pinned(self) -> str:
        """Hash of the manifest that should be served now; empty where there is none.

        Raises:
            BundleError: the pointer cannot be read.
        """
        if self.bundle is not None:
            manifest = self.bundle / MANIFEST
            return sha256_file(manifest) if manifest.is_file() else ""
        return self._read_pointer().manifest_sha256 or ""

    def load(self) -> ServedModel:
        """The champion, or the bundle that was named, every byte verified.

        Raises:
            BundleError: there is none, or it is not what it should be.
            ReleaseError: it was not released.
        """
        if self.bundle is not None:
            return load_model(self.bundle, "", self.passes)
        named = self._read_pointer()
        if named.bundle is None or named.manifest_sha256 is None:
            raise BundleError(
                "There is no champion yet.",
                where=self._pointer_place,
                expected="a bundle that was released",
                fix="release one (docs/release.md), or serve a bundle: ratchet serve --bundle models/NAME",
            )
        if self.check is not None:
            self.check(Path(named.bundle))
        version = named.version or ""
        return load_model(Path(named.bundle), version, self.passes, named.manifest_sha256)

    @property
    def _pointer_place(self) -> object:
        return self.pointer if self.shared is None else f"champion{self.name}, {self.shared}"

    def _read_pointer(self) -> Pointer:
        if self.shared is None:
            return read_pointer(self.pointer)
        return parse_pointer(self.shared.read(f"champion{self.name}") or "{}", self._pointer_place)

    def _read_experiment(self) -> Experiment:
        if self.shared is not None:
            text = self.shared.read(f"experiment{self.name}")
            return parse_experiment(text, f"experiment{self.name}, {self.shared}") if text else OFF
        return OFF if self.experiment is None else read_experiment(self.experiment)


def load_model(path: Path, version: str, passes: Passes, manifest_sha256: str = "") -> ServedModel:
    """The bundle at `path`, verified, loaded, warm and measured.

    Raises:
        BundleError: it is damaged, or its manifest is not the pinned one.
    """
    start = time.perf_counter()
    if not (path / MANIFEST).is_file():
        raise BundleError("There is no bundle.", where=path, fix="ratchet registry fetch champion")
    found = sha256_file(path / MANIFEST)
    if manifest_sha256 and found != manifest_sha256:
        raise BundleError("The bundle is not the one that was pinned.", where=path, got=found, expected=manifest_sha256)
    n_threads, size, max_batch = passes
    predictor = load(path, n_threads, max_batch if size == "auto" else size)
    predictor.predict_proba(_WARM_UP)
    pace = measure_pace(predictor, max_batch)
    if size != "auto":
        pace = pace._replace(batch_size=size)
    return ServedModel(predictor, version or predictor.manifest.name, found, time.perf_counter() - start, path, pace)


def attestation_check(key_files: Sequence[str]) -> Callable[[Path], None]:
    """Check that a bundle is one of a release, by the attestation beside it and these files of public keys."""

    def check(bundle: Path) -> None:
        from ratchet.registry.attestation import check_attested

        check_attested(bundle, [Path(file).read_bytes() for file in key_files])

    return check


def registry_check(root: Path) -> Callable[[Path], None]:
    """Check that the registry's champion is a bundle's bytes, by signatures, rights and hashes."""

    def check(bundle: Path) -> None:
        from ratchet.registry.clone import Clone
        from ratchet.registry.fetching import check_bundle, find_version
        from ratchet.registry.verification import check_tag

        view = Clone(root).view()
        version = find_version(view, "champion")
        check_tag(view, version.tag)
        check_bundle(view, version, bundle)

    return check
