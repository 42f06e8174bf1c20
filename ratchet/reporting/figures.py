"""Charts as inline SVG, drawn by matplotlib.

Text stays text and colours are the page's CSS variables, so that a chart follows the page's font and its light or dark
mode, is searched and copied, and needs no script. Each has a title that says in words what it shows. The same data give
the same bytes.
"""

from __future__ import annotations

import io
import math
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import number
from ratchet.reporting.templates import show_controls

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 720, 380
"""Of a chart in points, which are the units of its view box."""
LEFT, TOP, BOTTOM = 56, 14, 46
LABEL_WIDTH, LABEL_HEIGHT, KEY_WIDTH = 160, 14, 200
VARIABLES = {
    "#1b2024": "--ink",
    "#5a646e": "--soft",
    "#dfe2e0": "--line",
    "#ffffff": "--card",
    "#19703f": "--good",
    "#0c6b66": "--s0",
    "#b4552d": "--s1",
    "#4a5fb0": "--s2",
    "#8a6d12": "--s3",
    "#8b3f86": "--s4",
    "#557a2a": "--s5",
}
"""Colour as matplotlib draws it → the variable of templates/_base.css that the page shows instead."""
INK, SOFT, LINE, CARD, GOOD, *SERIES = VARIABLES
MARKS = {"chosen": (GOOD, GOOD), "best": (SERIES[0], SERIES[0]), "other": (SOFT, CARD)}
"""Kind of point → its edge and its face."""
SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Point:
    """A bundle in the plane of cost (`x`, smaller is better) and quality (`y`, larger is better)."""

    name: str
    x: float
    y: Estimate


class Chart:
    """One pair of axes, and after the `with` block of `_chart` the SVG they became."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.svg = Markup("")

    def height_of(self, y: float) -> float:
        """Where a value stands, in points from the lower edge."""
        return float(self.axes.transData.transform((self.axes.get_xlim()[0], y))[1])

    def place_of(self, x: float) -> float:
        """Where a value stands, in points from the left edge."""
        return float(self.axes.transData.transform((x, self.axes.get_ylim()[0]))[0])

    def write(self, text: str, at: tuple[float, float], colour: str, kind: str, **options: str) -> None:
        """Text at a place in points, as a group of the class `kind`."""
        self.axes.text(*at, _clean(text), color=colour, gid=kind, transform=None, **options)


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
    with _chart(f"{y_label} against {x_label}: {words}", x_label, y_label, right=KEY_WIDTH) as chart:
        axes = chart.axes
        axes.set_xscale("log")
        axes.set_xlim(min(p.x for p in shown) / 1.4, max(p.x for p in shown) * 1.4)
        axes.set_ylim(*_range([p.y for p in shown], 0.08))
        axes.step([p.x for p in on_front], [p.y.value for p in on_front], SERIES[0], where="post", ls="--", lw=1.5)
        labels: list[tuple[float, float]] = []
        for index, p in enumerate(shown, start=1):
            kind = "chosen" if p.name == chosen else "best" if p.name in best else "other"
            edge, face = MARKS[kind]
            if _ends(p.y):
                axes.vlines(p.x, p.y.low, p.y.high, SOFT, lw=1.5, alpha=0.65)
            axes.plot([p.x], [p.y.value], "o", ms=8, mec=edge, mew=2, mfc=face, gid=f"mark {kind}")
            at = (chart.place_of(p.x) + 8, chart.height_of(p.y.value) + 4)
            labels.append(_free(at, labels, 18))
            key_y = HEIGHT - TOP - 12 - (index - 1) * 19
            weight = "bold" if kind == "chosen" else "normal"
            chart.write(str(index), labels[-1], edge, f"label {kind}", weight=weight)
            chart.write(str(index), (WIDTH - KEY_WIDTH + 24, key_y), SOFT, "tick", ha="right")
            chart.write(p.name, (WIDTH - KEY_WIDTH + 32, key_y), edge, f"key {kind}", weight=weight)
    return chart.svg


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
    with _chart(f"{y_label} by {x_label}: {words}", x_label, y_label, height, right=132) as chart:
        axes = chart.axes
        marks = [] if threshold is None else [Estimate(threshold, threshold, threshold, 0)]
        axes.set_ylim(*_range([*(e for points in drawn.values() for _, e in points), *marks], 0.04))
        xs = [at for points in drawn.values() for at, _ in points]
        axes.set_xlim(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1)
        if threshold is not None:
            axes.axhline(threshold, color=SOFT, ls="--", lw=1.5, gid="threshold")
        labels: list[tuple[float, float]] = []
        for name in by_end:
            points, colour = drawn[name], SERIES[list(drawn).index(name) % len(SERIES)]
            at, values = [at for at, _ in points], [e.value for _, e in points]
            axes.fill_between(
                at, [e.low for _, e in points], [e.high for _, e in points], color=colour, alpha=0.13, lw=0
            )
            axes.plot(at, values, color=colour, lw=2.2, marker="o", ms=3, gid="line")
            place = (chart.place_of(last[name][0]) + 8, chart.height_of(last[name][1].value) - 4)
            labels.append(_free(place, labels, LABEL_WIDTH))
            chart.write(name, labels[-1], colour, "label")
    return chart.svg


def forest(rows: Mapping[str, Estimate], reference: Estimate, x_label: str) -> Markup:
    """A value with its interval a row, and the overall value as a line; empty text when all are undefined."""
    shown = {name: e for name, e in rows.items() if not math.isnan(e.value)}
    if not shown:
        return Markup("")
    height, left, right = TOP + 26 * len(shown) + BOTTOM, 220, 86
    words = ", ".join(f"{name} {number(e.value)}" for name, e in shown.items())
    with _chart(f"{x_label}: {words}", x_label, "", height, left, right) as chart:
        axes = chart.axes
        axes.set_xlim(*_range([*shown.values(), reference], 0.04))
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_yticks([])
        if not math.isnan(reference.value):
            axes.axvline(reference.value, color=SERIES[0], ls="--", lw=1.5)
        for index, (name, e) in enumerate(shown.items()):
            if _ends(e):
                axes.hlines(index, e.low, e.high, SOFT, lw=1.5, alpha=0.65)
            axes.plot([e.value], [index], "o", ms=7, color=SERIES[0], gid="mark best")
            at = chart.height_of(index) - 4
            chart.write(name, (left - 14, at), INK, "label", ha="right")
            chart.write(f"n = {e.n:,}", (WIDTH - right + 12, at), SOFT, "tick")
    return chart.svg


@contextmanager
def _chart(
    words: str, x_label: str, y_label: str, height: float = HEIGHT, left: float = LEFT, right: float = 16
) -> Iterator[Chart]:
    """Axes with a grid and no frame, at a place that no text moves; after the block, the chart has its SVG."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": _clean(words),
        "text.parse_math": False,
        "font.size": 12,
        "text.color": INK,
        "axes.labelcolor": SOFT,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "grid.color": LINE,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing")  # the reader's browser has the font
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, frameon=False)
        box = (left / WIDTH, BOTTOM / height, (WIDTH - left - right) / WIDTH, (height - TOP - BOTTOM) / height)
        axes = figure.add_axes(box, xlabel=_clean(x_label), ylabel=_clean(y_label), frame_on=False, axisbelow=True)
        chart = Chart(axes)
        yield chart
        if axes.get_xscale() == "log":
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.tick_params(bottom=False, left=False)
        axes.grid()
        for artist in figure.findobj():
            artist.set_clip_on(False)  # the limits leave room for everything, and a clip path is a `url(...)`
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    chart.svg = _inline(buffer.getvalue(), words)


def _inline(drawn: str, words: str) -> Markup:
    """matplotlib's SVG as a part of a page: titled, in the page's colours, without ids that another chart has too."""
    ET.register_namespace("", SVG[1:-1])
    root = ET.fromstring(drawn)
    for element in list(root.iter()):
        element.tail = ""
        for child in list(element):
            if child.tag in (f"{SVG}metadata", f"{SVG}defs") and not child.findall(f"{SVG}path"):
                element.remove(child)
        if element.tag == f"{SVG}g":
            element.text = ""
            if not re.search(r"_\d+$", name := element.attrib.pop("id", "_0")):  # a name of ours, not a number of its
                element.set("class", name)
        if element.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
        if target := element.attrib.pop(f"{XLINK}href", None):
            element.set("href", target)
        for name in {"d", "x", "y", "transform"} & set(element.attrib):
            element.set(name, re.sub(r"\d+\.\d+", lambda match: f"{float(match[0]):.2f}", element.attrib[name]))
        if style := element.get("style"):
            style = re.sub("#[0-9a-f]{6}", lambda match: f"var({VARIABLES[match[0]]})", style)
            element.set("style", re.sub(r"font-(family|size): [^;]*; ?", "", style))  # they are the page's
    title = ET.Element(f"{SVG}title")
    title.text = _clean(words)
    root.text = ""
    root.insert(0, title)
    root.attrib = {"class": "figure", "role": "img", "viewBox": root.attrib["viewBox"]}
    return Markup(ET.tostring(root, encoding="unicode"))  # ElementTree has escaped every text


def _clean(text: str) -> str:
    """Text on one line that XML can hold and that cannot reorder what stands beside it."""
    return str(show_controls(NOT_XML.sub("\ufffd", " ".join(text.split()))))


def _ends(estimate: Estimate) -> tuple[float, ...]:
    return () if math.isnan(estimate.low) or math.isnan(estimate.high) else (estimate.low, estimate.high)


def _range(estimates: Sequence[Estimate], share: float) -> tuple[float, float]:
    """From the lowest to the highest end, and a share of the way (at least 0.01) beyond both."""
    ends = [end for e in estimates for end in (e.value, *_ends(e)) if not math.isnan(end)]
    pad = max((max(ends) - min(ends)) * share, 0.01)
    return min(ends) - pad, max(ends) + pad


def _free(at: tuple[float, float], taken: Sequence[tuple[float, float]], width: float) -> tuple[float, float]:
    """The place at or above `at` where a label of that width covers none of the labels at the taken places."""
    x, y = at
    while any(abs(x - other_x) < width and abs(y - other_y) < LABEL_HEIGHT for other_x, other_y in taken):
        y += 2
    return x, y
