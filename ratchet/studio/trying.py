"""A text of one's own through a bundle: its probabilities, and the words behind them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.studio.texts import pieces

if TYPE_CHECKING:
    from ratchet.models.predictor import Predictor

MAX_CHARACTERS, MAX_CLASSES = 5_000, 10
"""Characters of a text that are read, and classes that are shown, the likeliest first."""
MAX_EVALS, N_THREADS = 64, 2
"""Masked texts that an explanation scores at most, and threads of the arithmetic."""


class Trying:
    """The bundles of a run, each loaded when it is first asked and again when a run has replaced it."""

    def __init__(self, folder: Path) -> None:
        """Args:
        folder: of the bundles.
        """
        self._folder, self._lock = folder, threading.Lock()
        self._loaded: dict[str, tuple[int, Predictor]] = {}

    def names(self) -> list[str]:
        """The bundles there are."""
        from ratchet.models.discovery import discover

        return list(discover(self._folder))

    def answer(self, name: str, text: str) -> dict[str, Any]:
        """What a bundle says of a text, which it reads as its training texts were cleaned.

        Raises:
            BundleError: it is damaged, or needs what is not installed.
        """
        import numpy as np

        from ratchet.data.cleaning import clean
        from ratchet.trust.attributions import attribute
        from ratchet.trust.lockstep import cached_score

        with self._lock:
            predictor = self._predictor(name)
            (read,) = clean([text[:MAX_CHARACTERS]], predictor.manifest.cleaning).texts
            (found,) = attribute(predictor, cached_score(predictor), [read], MAX_EVALS)
        order = np.argsort(-found.proba, kind="stable")
        spans = zip(found.spans, found.values[:, found.predicted], strict=True)
        return {
            "bundle": name,
            "predicted": predictor.labels[found.predicted],
            "classes": [
                {"label": predictor.labels[at], "probability": float(found.proba[at])} for at in order[:MAX_CLASSES]
            ],
            "n_more": max(len(order) - MAX_CLASSES, 0),
            "pieces": pieces(read, {start: (end, float(value)) for (start, end), value in spans}),
        }

    def _predictor(self, name: str) -> Predictor:
        from ratchet.engines.loading import load
        from ratchet.models.bundle import MANIFEST

        path = self._folder / name
        state = (path / MANIFEST).stat().st_mtime_ns
        if name not in self._loaded or self._loaded[name][0] != state:
            self._loaded[name] = state, load(path, N_THREADS)
        return self._loaded[name][1]
