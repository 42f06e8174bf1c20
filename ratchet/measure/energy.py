"""Energy by the processor's own counters, where it has them."""

from __future__ import annotations

from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


def read_joules(root: Path = POWERCAP) -> float | None:
    """Current reading of the energy counters of all processor packages, in joules; None where none can be read.

    They count the whole package, with all that runs on it, and wrap around after some hours under load.
    Source: Linux powercap, intel-rapl (also on AMD), https://docs.kernel.org/power/powercap/powercap.html
    """
    total, found = 0.0, False
    for package in sorted(root.glob("intel-rapl:[0-9]*")):
        if package.name.count(":") > 1:  # a part of a package, such as its cores, which the package counts too
            continue
        try:
            total += int((package / "energy_uj").read_text()) / 1e6
        except (OSError, ValueError):  # readable by root alone on many machines
            continue
        found = True
    return total if found else None


def joules_between(before: float | None, after: float | None) -> float | None:
    """The energy between two readings; None where there is no counter, or it wrapped around."""
    if before is None or after is None or after < before:
        return None
    return after - before
