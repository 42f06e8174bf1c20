"""Progress of long loops: a line every two seconds, which a flow shows beside the stage at work."""

from __future__ import annotations

import time
from collections.abc import Callable


class Progress:
    """Counts what is done and prints a line, but never sooner than `every_s` seconds after the one before.

    Short work prints nothing.

    >>> seconds = iter([0.0, 1.0, 2.5, 3.0])
    >>> progress = Progress("rows", 4000, clock=lambda: next(seconds))
    >>> for _ in range(3):
    ...     progress.add(1000)
    2,000 of 4,000 rows (50 %)
    """

    def __init__(
        self, what: str, total: int | None = None, *, every_s: float = 2.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._total, self._every_s, self._clock = what, total, every_s, clock
        self._n, self._last_s = 0, clock()

    def add(self, n: int) -> None:
        """Count `n` more, and print where it is time."""
        self._n += n
        now_s = self._clock()
        if now_s - self._last_s >= self._every_s:
            self._last_s = now_s
            rate = f" ({self._n / self._total:.0%})".replace("%", " %") if self._total else ""
            of = f" of {self._total:,}" if self._total else ""
            print(f"{self._n:,}{of} {self._what}{rate}", flush=True)
