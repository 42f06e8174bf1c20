"""Lineage of a bundle: its parent, its parent's parent, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ratchet.models.bundle import MANIFEST, Manifest, read_manifest
from ratchet.models.torch_predictor import TorchPredictor


def lineage_of(name: str, paths: Mapping[str, Path]) -> list[Manifest]:
    """The manifest of a bundle, of its parent, and so on, as far as `paths` (name → folder) knows them."""
    found: list[Manifest] = []
    while name in paths and paths[name].is_dir() and all(item.name != name for item in found):
        found.append(read_manifest(paths[name]))
        name = found[-1].parent
    return found


def ancestors_of(name: str, paths: Mapping[str, Path]) -> list[Manifest]:
    """All manifests whose training data a bundle's answers rest on: its lineage, the bundles within it, and theirs."""
    found = lineage_of(name, paths)
    folder = paths.get(name)
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")) if folder else []:
        part = read_manifest(manifest.parent)
        found += [part, *lineage_of(part.parent, paths)]
    return found


WITHOUT_LAYERS = ("static", "tfidf")
"""Kinds of bundles that no gradient reaches: a teacher's labels are all they have of it."""


def torch_parent(name: str, paths: Mapping[str, Path], n_threads: int) -> TorchPredictor | None:
    """The full-precision torch bundle that a bundle is, or was made from by quantizing or exporting; None: none, as of
    a model without layers that a torch bundle taught."""
    lineage = lineage_of(name, paths)
    for known_as, manifest in zip([name, *(item.parent for item in lineage)], lineage, strict=False):
        if manifest.kind in WITHOUT_LAYERS:
            return None
        if manifest.kind == "torch":
            return TorchPredictor(manifest, paths[known_as], n_threads)
    return None
