"""Windows of the prediction log, by time and by count, and random samples of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow

CHAMPION, ANSWERED = "champion", 200


class Window(NamedTuple):
    """Requests that are judged together."""

    start: datetime
    """When its first request was answered."""
    end: datetime
    """When its last was: the next window begins after it."""
    rows: pyarrow.Table
    """All requests of the log in it, answered or not."""


def cut_windows(log: pyarrow.Table, minutes: int, most_rows: int, least_rows: int, now: datetime) -> list[Window]:
    """The windows that have ended, earliest first; what follows the last one is left for later.

    A window ends after `minutes`, if it holds `least_rows` requests by then or else as soon as it does, and after
    `most_rows` however short it is.

    Args:
        log: rows in the order of `timestamp`.
        minutes: length of a window.
        most_rows: its most rows.
        least_rows: its fewest rows.
        now: a window that is younger than `minutes` is still open.
    """
    times = log.column("timestamp").to_numpy().astype("datetime64[us]")
    length = np.timedelta64(minutes, "m")
    latest = np.datetime64(now.replace(tzinfo=None), "us")
    found, first = [], 0
    while first < len(times):
        by_time = int(np.searchsorted(times, times[first] + length, side="left"))
        end = min(max(by_time, first + least_rows), first + most_rows)
        full = end - first == most_rows
        if end > len(times) or (not full and end == len(times) and latest - times[first] < length):
            break
        found.append(Window(_aware(times[first], now), _aware(times[end - 1], now), log.slice(first, end - first)))
        first = end
    return found


def answered(rows: pyarrow.Table, version: str) -> pyarrow.Table:
    """The rows that this version answered as champion, with a text and probabilities."""
    import pyarrow.compute as pc

    kept = pc.and_(pc.equal(rows.column("status"), ANSWERED), pc.equal(rows.column("arm"), CHAMPION))
    kept = pc.and_(kept, pc.equal(rows.column("model_version"), version))
    for name in ("text", "proba", "predicted"):
        kept = pc.and_(kept, pc.is_valid(rows.column(name)))
    return rows.filter(kept)


def draw(rows: pyarrow.Table, n: int, rng: np.random.Generator) -> pyarrow.Table:
    """`n` of the rows at random, in their order."""
    return rows.take(np.sort(rng.choice(len(rows), n, replace=False)))


def proba_of(rows: pyarrow.Table, n_classes: int) -> NDArray[np.float64]:
    """The probabilities, (n_rows, n_classes)."""
    flat = rows.column("proba").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    proba: NDArray[np.float64] = flat.astype(np.float64).reshape(len(rows), n_classes)
    return proba


def _aware(moment: np.datetime64, like: datetime) -> datetime:
    microseconds = int(moment.astype("datetime64[us]").astype(np.int64))
    return datetime(1970, 1, 1, tzinfo=like.tzinfo) + timedelta(microseconds=microseconds)
