"""Released bundles that a pointer names and pins: the champion, and the high-water mark of all releases."""

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
    return _pinned(pointer, "The champion is not the bundle that was promoted.", "ratchet registry fetch champion")


def mark_path(pointer: Path) -> Path | None:
    """The folder of the high-water mark, the best bundle ever released; None before the first release.

    Raises:
        BundleError: its bundle is gone, or is not the one that was pinned.
    """
    fix = (
        "ratchet registry fetch high_water_mark gets it from DVC's remote; where it is lost for good, whoever may roll "
        "back makes the champion the mark: ratchet registry rollback --to champion"
    )
    return _pinned(pointer, "The high-water mark's bundle is gone: nothing can be held against it.", fix)


def _pinned(pointer: Path, problem: str, fix: str) -> Path | None:
    named = read_json(pointer)
    if named["bundle"] is None:
        return None
    path = Path(named["bundle"])
    manifest = path / MANIFEST
    if not manifest.is_file() or (got := sha256_file(manifest)) != named["manifest_sha256"]:
        raise BundleError(
            problem,
            where=path,
            got=got if manifest.is_file() else "none",
            expected=f"{named['manifest_sha256']}, of {named.get('version', 'a release')}",
            fix=f"{fix}, or correct {pointer}",
        )
    return path


def champion_proba(champion: Predictor, texts: Sequence[str], labels: Sequence[str]) -> Proba:
    """A released bundle's probabilities of the texts, (n_texts, n_classes), columns in the order of `labels`.

    Raises:
        BundleError: it knows other classes than these.
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
