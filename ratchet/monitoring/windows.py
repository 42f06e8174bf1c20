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


def cut_spans(
    times: NDArray[np.datetime64], minutes: int, most_rows: int, least_rows: int, now: datetime
) -> list[tuple[int, int]]:
    """First row, and the row after the last, of the windows that have ended; what follows is left for later.

    A window ends after `minutes`, if it holds `least_rows` requests by then or else as soon as it does, and after
    `most_rows` however short it is. Requests of one and the same moment stay together.

    Args:
        times: of all requests, in their order, (n,).
        minutes: length of a window.
        most_rows: its most rows.
        least_rows: its fewest rows.
        now: a window that is younger than `minutes` is still open.
    """
    length = np.timedelta64(minutes, "m")
    latest = np.datetime64(now.replace(tzinfo=None), "us")
    found, first = [], 0
    while first < len(times):
        by_time = int(np.searchsorted(times, times[first] + length, side="left"))
        end = min(max(by_time, first + least_rows), first + most_rows)
        full = end - first == most_rows
        if end > len(times) or (not full and end == len(times) and latest - times[first] < length):
            break
        end = int(np.searchsorted(times, times[end - 1], side="right"))
        found.append((first, end))
        first = end
    return found


def cut_windows(log: pyarrow.Table, minutes: int, most_rows: int, least_rows: int, now: datetime) -> list[Window]:
    """The windows of a log in the order of `timestamp` that have ended, earliest first; see `cut_spans`."""
    times = times_of(log)
    spans = cut_spans(times, minutes, most_rows, least_rows, now)
    return [
        Window(aware(times[first], now), aware(times[end - 1], now), log.slice(first, end - first))
        for first, end in spans
    ]


def times_of(log: pyarrow.Table) -> NDArray[np.datetime64]:
    """The moments of the rows, in microseconds, UTC."""
    times: NDArray[np.datetime64] = log.column("timestamp").to_numpy().astype("datetime64[us]")
    return times


def champions(rows: pyarrow.Table) -> dict[str, int]:
    """Version → rows that it answered as champion, in the order in which the versions first did."""
    import pyarrow.compute as pc

    ours = rows.filter(pc.and_(pc.equal(rows.column("status"), ANSWERED), pc.equal(rows.column("arm"), CHAMPION)))
    counts = ours.column("model_version").value_counts()
    return dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True))


def part_of(window: Window, version: str) -> Window:
    """The part of a window that this version answered."""
    import pyarrow.compute as pc

    rows = window.rows.filter(pc.equal(window.rows.column("model_version"), version))
    return Window(window.start, window.end, rows)


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


def aware(moment: np.datetime64, like: datetime) -> datetime:
    """A moment with the time zone of another."""
    microseconds = int(moment.astype("datetime64[us]").astype(np.int64))
    return datetime(1970, 1, 1, tzinfo=like.tzinfo) + timedelta(microseconds=microseconds)
