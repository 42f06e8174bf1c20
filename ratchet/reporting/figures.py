"""The charts of the pages: quality against cost, curves, intervals by row; each is empty text without data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import number
from ratchet.reporting.chart import BOTTOM, CARD, GOOD, HEIGHT, INK, SERIES, SOFT, TOP, WIDTH, Chart, chart

LABEL_WIDTH, LABEL_HEIGHT, KEY_WIDTH, KEY_HEIGHT = 160, 14, 200, 19
ROW_HEIGHT, NAMES_WIDTH = 26, 220
MARKS = {"chosen": (GOOD, GOOD), "best": (SERIES[0], SERIES[0]), "other": (SOFT, CARD)}
"""Kind of point → its edge and its face."""


@dataclass(frozen=True)
class Point:
    """A bundle in the plane of cost (`x`, smaller is better) and quality (`y`, larger is better)."""

    name: str
    x: float
    y: Estimate


def front(points: Sequence[Point]) -> list[str]:
    """Names of the points that none other beats in both x and y, the smallest x first.

    >>> front([Point("a", 1, Estimate(.7, .7, .7, 9)), Point("b", 2, Estimate(.6, .6, .6, 9))])
    ['a']
    """
    best, names = -math.inf, []
    for point in sorted(points, key=lambda item: (item.x, -item.y.value, item.name)):
        if point.y.value > best:
            best = point.y.value
            names.append(point.name)
    return names


def scatter(points: Sequence[Point], chosen: str | None, x_label: str, y_label: str) -> Markup:
    """Quality against cost on a logarithmic axis: intervals as whiskers, the front as steps.

    Points are numbered in the order given, with a key beside them. Points with an undefined or non-positive coordinate
    are left out; empty text when none is left.
    """
    shown = [p for p in points if p.x > 0 and not math.isnan(p.y.value)]
    if not shown:
        return Markup("")
    best = front(shown)
    on_front = sorted((p for p in shown if p.name in best), key=lambda p: p.x)
    words = ", ".join(f"{p.name} {number(p.y.value)} at {number(p.x)}" for p in shown)
    height = max(HEIGHT, TOP + BOTTOM + KEY_HEIGHT * len(shown))
    with chart(f"{y_label} against {x_label}: {words}", x_label, y_label, height, right=KEY_WIDTH) as drawing:
        axes = drawing.axes
        axes.set_xscale("log")
        axes.set_xlim(min(p.x for p in shown) / 1.4, max(p.x for p in shown) * 1.4)
        axes.set_ylim(*_range([p.y for p in shown], 0.08))
        axes.step([p.x for p in on_front], [p.y.value for p in on_front], SERIES[0], where="post", ls="--", lw=1.5)
        places: list[tuple[float, float]] = []
        for index, p in enumerate(shown, start=1):
            kind = "chosen" if p.name == chosen else "best" if p.name in best else "other"
            edge, face = MARKS[kind]
            if ends_of(p.y):
                axes.vlines(p.x, p.y.low, p.y.high, SOFT, lw=1.5, alpha=0.65)
            axes.plot([p.x], [p.y.value], "o", ms=8, mec=edge, mew=2, mfc=face, gid=f"mark {kind}")
            at = (drawing.place_of(p.x) + 8, drawing.height_of(p.y.value) + 4)
            places.append(_free(at, places, 18))
            key_y = height - TOP - 12 - (index - 1) * KEY_HEIGHT
            weight = "bold" if kind == "chosen" else "normal"
            drawing.write(str(index), places[-1], edge, f"label {kind}", weight=weight)
            drawing.write(str(index), (WIDTH - KEY_WIDTH + 24, key_y), SOFT, "tick", ha="right")
            drawing.write(p.name, (WIDTH - KEY_WIDTH + 32, key_y), edge, f"key {kind}", weight=weight)
    return drawing.svg


def curves(
    series: Mapping[str, Sequence[tuple[float, Estimate]]],
    x_label: str,
    y_label: str,
    threshold: float | None = None,
    height: float = HEIGHT,
) -> Markup:
    """One line a series with its interval as a band, each named at its right end; empty text without points.

    An undefined value is a gap in its line. A threshold is a dashed line across.
    """
    drawn = {
        name: sorted(points, key=lambda point: point[0])
        for name, points in series.items()
        if any(not math.isnan(estimate.value) for _, estimate in points)
    }
    if not drawn:
        return Markup("")
    last = {name: next(p for p in reversed(points) if not math.isnan(p[1].value)) for name, points in drawn.items()}
    by_end = sorted(drawn, key=lambda name: last[name][1].value)
    words = ", ".join(f"{name} ends at {number(last[name][1].value)}" for name in by_end)
    with chart(f"{y_label} by {x_label}: {words}", x_label, y_label, height, right=132) as drawing:
        axes = drawing.axes
        marks = [] if threshold is None else [Estimate(threshold, threshold, threshold, 0)]
        axes.set_ylim(*_range([*(e for points in drawn.values() for _, e in points), *marks], 0.04))
        xs = [at for points in drawn.values() for at, _ in points]
        axes.set_xlim(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1)
        if threshold is not None:
            axes.axhline(threshold, color=SOFT, ls="--", lw=1.5, gid="threshold")
        places: list[tuple[float, float]] = []
        for name in by_end:
            points, colour = drawn[name], SERIES[list(drawn).index(name) % len(SERIES)]
            at, values = [at for at, _ in points], [e.value for _, e in points]
            axes.fill_between(
                at, [e.low for _, e in points], [e.high for _, e in points], color=colour, alpha=0.13, lw=0
            )
            axes.plot(at, values, color=colour, lw=2.2, marker="o", ms=3, gid="line")
            place = (drawing.place_of(last[name][0]) + 8, drawing.height_of(last[name][1].value) - 4)
            places.append(_free(place, places, LABEL_WIDTH))
            drawing.write(name, places[-1], colour, "label")
    return drawing.svg


def forest(rows: Mapping[str, Estimate], reference: Estimate, x_label: str) -> Markup:
    """A value with its interval a row, and the overall value as a line; empty text when all are undefined."""
    shown = {name: e for name, e in rows.items() if not math.isnan(e.value)}
    if not shown:
        return Markup("")
    words = ", ".join(f"{name} {number(e.value)}" for name, e in shown.items())
    right = 86
    with chart(f"{x_label}: {words}", x_label, "", *row_box(len(shown), right)) as drawing:
        drawing.axes.set_xlim(*_range([*shown.values(), reference], 0.04))
        _rows(drawing, list(shown))
        if not math.isnan(reference.value):
            drawing.axes.axvline(reference.value, color=SERIES[0], ls="--", lw=1.5)
        for index, e in enumerate(shown.values()):
            whisker(drawing, index, e)
            drawing.axes.plot([e.value], [index], "o", ms=7, color=SERIES[0], gid="mark best")
            drawing.write(f"n = {e.n:,}", (WIDTH - right + 12, drawing.height_of(index) - 4), SOFT, "tick")
    return drawing.svg


def row_box(n_rows: int, right: float) -> tuple[float, float, float]:
    """Height, left and right of a chart with a row a name."""
    return TOP + ROW_HEIGHT * n_rows + BOTTOM, NAMES_WIDTH, right


def _rows(drawing: Chart, names: Sequence[str]) -> None:
    """The rows from top to bottom, each with its name at the left; the limits of x are set already."""
    drawing.axes.set_ylim(len(names) - 0.5, -0.5)
    drawing.axes.set_yticks([])
    for index, name in enumerate(names):
        drawing.write(name, (NAMES_WIDTH - 14, drawing.height_of(index) - 4), INK, "label", ha="right")


def whisker(drawing: Chart, row: int, estimate: Estimate) -> None:
    """The interval as a line in a row."""
    if ends_of(estimate):
        drawing.axes.hlines(row, estimate.low, estimate.high, SOFT, lw=1.5, alpha=0.65)


def ends_of(estimate: Estimate) -> tuple[float, ...]:
    """Low and high end of the interval; nothing where it has none."""
    return () if math.isnan(estimate.low) or math.isnan(estimate.high) else (estimate.low, estimate.high)


def _range(estimates: Sequence[Estimate], share: float) -> tuple[float, float]:
    """From the lowest to the highest end, and a share of the way (at least 0.01) beyond both."""
    ends = [end for e in estimates for end in (e.value, *ends_of(e)) if not math.isnan(end)]
    pad = max((max(ends) - min(ends)) * share, 0.01)
    return min(ends) - pad, max(ends) + pad


def _free(at: tuple[float, float], taken: Sequence[tuple[float, float]], width: float) -> tuple[float, float]:
    """The place at or above `at` where a label of that width covers none of the labels at the taken places."""
    x, y = at
    while any(abs(x - other_x) < width and abs(y - other_y) < LABEL_HEIGHT for other_x, other_y in taken):
        y += 2
    return x, y
