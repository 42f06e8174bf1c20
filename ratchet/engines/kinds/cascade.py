"""Two bundles in one: the first answers the texts that it is sure of, the second all others; the stage `cascade`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

import ratchet.params
from ratchet.errors import BundleError
from ratchet.files import read_json, write_json
from ratchet.models.bundle import Manifest, read_manifest, write_bundle
from ratchet.models.predictor import Predictor, Proba

FIRST, SECOND, SETTINGS = "first", "second", "cascade.json"
PARTS = (FIRST, SECOND)
"""The folders of the bundles within, which are loaded before."""


class Settings(ratchet.params.Params):
    """The content of `cascade.json`."""

    threshold: float = Field(ge=0)
    """Least probability of the predicted class at which the first bundle answers."""


def load(
    path: Path, manifest: Manifest, _n_threads: int, _batch_size: int, first: Predictor, second: Predictor
) -> Predictor:
    """The verified bundle at `path` as a predictor, of its two loaded parts."""
    return CascadePredictor(manifest, first, second, Settings.model_validate(read_json(path / SETTINGS)).threshold)


class CascadePredictor(Predictor):
    """The first predictor where it is sure, the second elsewhere."""

    def __init__(self, manifest: Manifest, first: Predictor, second: Predictor, threshold: float) -> None:
        super().__init__(manifest)
        self.first, self.second, self._threshold = first, second, threshold

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        proba = self.first.predict_proba(texts)
        unsure = np.flatnonzero(proba.max(axis=1, initial=0.0) < self._threshold)
        if len(unsure):
            proba[unsure] = self.second.predict_proba([texts[row] for row in unsure.tolist()])
        return proba

    def branches(self, texts: Sequence[str]) -> list[Predictor]:
        sure = self.first.predict_proba(texts).max(axis=1, initial=0.0) >= self._threshold
        return [self.first if is_sure else self.second for is_sure in sure]


def write_cascade(path: Path, name: str, first: Path, second: Path, threshold: float, params_sha256: str) -> Manifest:
    """A bundle that holds copies of two others; its manifest is the second's but for what is said here.

    Raises:
        BundleError: the two know different classes, or clean texts differently.
    """
    ours, theirs = read_manifest(first), read_manifest(second)
    for what in ("labels", "cleaning"):
        if getattr(ours, what) != getattr(theirs, what):
            raise BundleError(
                f"The bundles of a cascade have different {what}.",
                where=f"{first} and {second}",
                got=getattr(ours, what),
                expected=getattr(theirs, what),
                fix="make both from one teacher",
            )
    update = {"name": name, "kind": "cascade", "parent": theirs.name, "params_sha256": params_sha256}

    def save(folder: Path) -> None:
        for part, source in zip(PARTS, (first, second), strict=True):
            shutil.copytree(source, folder / part)
        write_json(folder / SETTINGS, Settings(threshold=threshold).model_dump())

    return write_bundle(path, theirs.model_copy(update=update), save, sorted({*ours.versions, *theirs.versions}))
