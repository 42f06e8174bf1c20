"""Small figures as inline SVG: no script, no font and no colour of their own, so they follow the page's mode.

Colours are classes (`mark`, `grid`, `series-0`, ...) that the page's style sheet fills in for light and dark. Every
figure has a title that says in words what it shows, for readers who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import number

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 46
LABEL_WIDTH, LABEL_HEIGHT, KEY_WIDTH = 160, 14, 190


@dataclass(frozen=True)
class Point:
    """A bundle in the plane of cost (`x`, smaller is better) and quality (`y`, larger is better)."""

    name: str
    x: float
    y: Estimate


@dataclass(frozen=True)
class Scale:
    """Data → pixels, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / ((high - low) or 1.0) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers inside the range."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [factor * 10.0**power for power in decades for factor in (1, 2, 5)]
            return [tick for tick in found if self.low <= tick <= self.high]
        rough = (self.high - self.low) / 5 or 1.0
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = next(magnitude * factor for factor in (1, 2, 2.5, 5, 10) if magnitude * factor >= rough)
        first = math.ceil(self.low / step - 1e-9)
        return [round(step * index, 10) for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


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


def scatter(points: Sequence[Point], chosen: str | None, x_label: str, y_label: str) -> str:
    """Quality against cost on a logarithmic axis: intervals as whiskers, the front as steps.

    Points are numbered in the order given, with a key beside them. Points with an undefined or non-positive coordinate
    are left out; empty text when none is left.
    """
    shown = [p for p in points if p.x > 0 and not math.isnan(p.y.value)]
    if not shown:
        return ""
    ends = [end for p in shown for end in (p.y.low, p.y.high, p.y.value) if not math.isnan(end)]
    pad = max((max(ends) - min(ends)) * 0.08, 0.01)
    x = Scale(min(p.x for p in shown) / 1.4, max(p.x for p in shown) * 1.4, LEFT, WIDTH - RIGHT - KEY_WIDTH, log=True)
    y = Scale(min(ends) - pad, max(ends) + pad, HEIGHT - BOTTOM, TOP)
    best = front(shown)
    by_name = {p.name: p for p in shown}
    path = "".join(
        f"M{x(by_name[name].x):.1f},{y(by_name[name].y.value):.1f}"
        if index == 0
        else f"H{x(by_name[name].x):.1f}V{y(by_name[name].y.value):.1f}"
        for index, name in enumerate(best)
    )
    parts = [*_axes(x, y, x_label, y_label), f'<path class="front" d="{path}"/>']
    labels: list[tuple[float, float]] = []
    for index, p in enumerate(shown, start=1):
        at_x, at_y = x(p.x), y(p.y.value)
        kind = "chosen" if p.name == chosen else "best" if p.name in best else "other"
        if not math.isnan(p.y.low):
            parts.append(f'<path class="whisker" d="M{at_x:.1f},{y(p.y.low):.1f}V{y(p.y.high):.1f}"/>')
        text_y = _free(at_x, at_y - 4, labels, 18)
        labels.append((at_x, text_y))
        key_y = TOP + 12 + (index - 1) * 19
        parts.append(f'<circle class="mark {kind}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="5"/>')
        parts.append(f'<text class="label {kind}" x="{at_x + 8:.1f}" y="{text_y:.1f}">{index}</text>')
        parts.append(f'<text class="tick" text-anchor="end" x="{WIDTH - KEY_WIDTH + 16}" y="{key_y}">{index}</text>')
        parts.append(f'<text class="key {kind}" x="{WIDTH - KEY_WIDTH + 24}" y="{key_y}">{escape(p.name)}</text>')
    words = ", ".join(f"{p.name} {number(p.y.value)} at {number(p.x)}" for p in shown)
    return _svg(f"{y_label} against {x_label}: {words}", parts)


def curves(series: Mapping[str, Sequence[tuple[float, Estimate]]], x_label: str, y_label: str) -> str:
    """One line a series with its interval as a band, each named at its right end; empty text without points."""
    drawn = {
        name: sorted((point for point in points if not math.isnan(point[1].value)), key=lambda point: point[0])
        for name, points in series.items()
    }
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return ""
    xs = [at for points in drawn.values() for at, _ in points]
    ends = [end for points in drawn.values() for _, e in points for end in (e.value, *_finite(e))]
    x = Scale(min(xs), max(xs), LEFT, WIDTH - RIGHT - 120)
    y = Scale(min(ends), max(ends), HEIGHT - BOTTOM, TOP + 6)
    parts = _axes(x, y, x_label, y_label)
    labels: list[tuple[float, float]] = []
    by_end = sorted(drawn, key=lambda name: drawn[name][-1][1].value)
    for name in by_end:
        points, colour = drawn[name], f"series-{list(drawn).index(name) % 6}"
        upper = [f"{x(at):.1f},{y(e.high):.1f}" for at, e in points if _finite(e)]
        lower = [f"{x(at):.1f},{y(e.low):.1f}" for at, e in reversed(points) if _finite(e)]
        if upper:
            parts.append(f'<polygon class="band {colour}" points="{" ".join(upper + lower)}"/>')
        line = " ".join(f"{x(at):.1f},{y(e.value):.1f}" for at, e in points)
        parts.append(f'<polyline class="line {colour}" points="{line}"/>')
        at_x = x(points[-1][0]) + 6
        text_y = _free(at_x, y(points[-1][1].value), labels)
        labels.append((at_x, text_y))
        parts.append(f'<text class="label {colour}" x="{at_x:.1f}" y="{text_y + 4:.1f}">{escape(name)}</text>')
    words = ", ".join(f"{name} ends at {number(drawn[name][-1][1].value)}" for name in by_end)
    return _svg(f"{y_label} by {x_label}: {words}", parts)


def forest(rows: Mapping[str, Estimate], reference: Estimate, x_label: str) -> str:
    """A value with its interval a row, and the overall value as a line; empty text when all are undefined."""
    shown = {name: e for name, e in rows.items() if not math.isnan(e.value)}
    if not shown:
        return ""
    row_height, left = 26, 220
    height = TOP + row_height * len(shown) + BOTTOM
    ends = [end for e in (*shown.values(), reference) for end in (e.value, *_finite(e)) if not math.isnan(end)]
    x = Scale(min(ends) - 0.01, max(ends) + 0.01, left, WIDTH - RIGHT - 70)
    floor = height - BOTTOM
    parts = [_x_tick(x, tick, floor) for tick in x.ticks()]
    if not math.isnan(reference.value):
        at = x(reference.value)
        parts.append(f'<path class="front" d="M{at:.1f},{TOP}V{floor}"/>')
    for index, (name, e) in enumerate(shown.items()):
        at_y = TOP + row_height * (index + 0.5)
        if _finite(e):
            parts.append(f'<path class="whisker" d="M{x(e.low):.1f},{at_y:.1f}H{x(e.high):.1f}"/>')
        parts.append(f'<circle class="mark best" cx="{x(e.value):.1f}" cy="{at_y:.1f}" r="4.5"/>')
        parts.append(f'<text class="label" text-anchor="end" x="{left - 14}" y="{at_y + 4:.1f}">{escape(name)}</text>')
        parts.append(f'<text class="tick" x="{WIDTH - RIGHT - 58}" y="{at_y + 4:.1f}">n = {e.n}</text>')
    middle = (left + WIDTH - RIGHT - 70) / 2
    parts.append(f'<text class="axis" text-anchor="middle" x="{middle:.0f}" y="{height - 8}">{escape(x_label)}</text>')
    words = ", ".join(f"{name} {number(e.value)}" for name, e in shown.items())
    return _svg(f"{x_label}: {words}", parts, height)


def _finite(estimate: Estimate) -> tuple[float, ...]:
    return () if math.isnan(estimate.low) or math.isnan(estimate.high) else (estimate.low, estimate.high)


def _free(x: float, y: float, taken: Sequence[tuple[float, float]], width: float = LABEL_WIDTH) -> float:
    """The height at or above `y` (upwards is smaller) at which a label at `x` covers none of the taken places."""
    while any(abs(x - at_x) < width and abs(y - at_y) < LABEL_HEIGHT for at_x, at_y in taken):
        y -= 2
    return y


def _axes(x: Scale, y: Scale, x_label: str, y_label: str) -> list[str]:
    floor = HEIGHT - BOTTOM
    parts = [_x_tick(x, tick, floor) for tick in x.ticks()]
    for tick in y.ticks():
        at = y(tick)
        parts.append(f'<path class="grid" d="M{LEFT},{at:.1f}H{x.end:.1f}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{LEFT - 8}" y="{at + 4:.1f}">{tick:g}</text>')
    middle = (x.start + x.end) / 2
    parts.append(f'<text class="axis" text-anchor="middle" x="{middle:.0f}" y="{HEIGHT - 8}">{escape(x_label)}</text>')
    turn = f'transform="translate(14,{(TOP + floor) / 2:.0f}) rotate(-90)"'
    parts.append(f'<text class="axis" text-anchor="middle" {turn}>{escape(y_label)}</text>')
    return parts


def _x_tick(x: Scale, tick: float, floor: float) -> str:
    at = x(tick)
    return (
        f'<path class="grid" d="M{at:.1f},{TOP}V{floor}"/>'
        f'<text class="tick" text-anchor="middle" x="{at:.1f}" y="{floor + 18}">{tick:g}</text>'
    )


def _svg(title: str, parts: Sequence[str], height: float = HEIGHT) -> str:
    return (
        f'<svg class="figure" viewBox="0 0 {WIDTH} {height:.0f}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
