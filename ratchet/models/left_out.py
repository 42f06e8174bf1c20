"""Bundles that a stage leaves out: its output is then the reason, so that what follows leaves its own out too."""

from __future__ import annotations

from pathlib import Path

from ratchet.files import read_json, write_json

LEFT_OUT = "left_out.json"
"""Stands in the bundle's folder instead of a manifest."""


def leave_out(folder: Path, reason: str) -> dict[str, str]:
    """Write the reason in place of the bundle; the stage's report of it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / LEFT_OUT, {"built": False, "left_out": reason})
    print(f"{folder.name} is left out: {reason}", flush=True)
    return {"left_out": reason}


def reason_left_out(folder: Path) -> str:
    """Why the folder holds no bundle; empty where it is not left out."""
    path = folder / LEFT_OUT
    return str(read_json(path)["left_out"]) if path.is_file() else ""


def left_out_of(folder: Path) -> dict[str, str]:
    """Name → reason of every bundle below `folder` that a stage left out, in the order of the names."""
    return {path.parent.name: reason_left_out(path.parent) for path in sorted(folder.glob(f"*/{LEFT_OUT}"))}
