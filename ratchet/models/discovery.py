"""Discovery of bundles: every folder with a manifest is one, under its manifest's name."""

from __future__ import annotations

from pathlib import Path

from ratchet.models.bundle import MANIFEST

MODELS = Path("models")
"""The folder of the bundles, below the root."""
CHAMPION, MARK = "champion", "high_water_mark"
"""The folders that hold released bundles beside those of the run: what serves, and the best ever released."""
RELEASED = (CHAMPION, MARK)


def discover(folder: Path) -> dict[str, Path]:
    """Name → folder of every bundle below `folder`, in the order of the names; released ones are none of the run's.

    A new engine or model family is found by its manifest: no table of bundles has to name it.

    >>> discover(Path("nowhere"))
    {}
    """
    return {
        path.parent.name: path.parent
        for path in sorted(folder.glob(f"*/{MANIFEST}"))
        if path.parent.name not in RELEASED
    }
