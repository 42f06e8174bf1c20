"""The champion: the released bundle that a pointer names and pins, and its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ratchet.errors import BundleError
from ratchet.files import read_json, sha256_file
from ratchet.models.bundle import MANIFEST
from ratchet.models.predictor import Predictor, Proba


def champion_path(pointer: Path) -> Path | None:
    """The folder of the champion that `pointer` names and pins; None when there is none yet.

    Raises:
        BundleError: the champion is not there, or is not the one that was pinned.
    """
    champion = read_json(pointer)
    if champion["bundle"] is None:
        return None
    path = Path(champion["bundle"])
    manifest = path / MANIFEST
    if not manifest.is_file() or (got := sha256_file(manifest)) != champion["manifest_sha256"]:
        raise BundleError(
            "The champion is not the bundle that was promoted.",
            where=path,
            got=got if manifest.is_file() else "none",
            expected=champion["manifest_sha256"],
            fix=f"fetch it from where it was released, or correct {pointer}",
        )
    return path


def champion_proba(champion: Predictor, texts: Sequence[str], labels: Sequence[str]) -> Proba:
    """The champion's probabilities of the texts, (n_texts, n_classes), columns in the order of `labels`.

    Raises:
        BundleError: the champion knows other classes than these.
    """
    if sorted(champion.labels) != sorted(labels):
        raise BundleError(
            "The champion knows other classes than the data.",
            where=champion.manifest.name,
            got=champion.labels,
            expected=list(labels),
            fix="release a bundle for these classes, or point to none",
        )
    proba: Proba = champion.predict_proba(texts)[:, [champion.labels.index(label) for label in labels]]
    return proba
