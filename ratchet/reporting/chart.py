"""The surface that charts are drawn on: matplotlib's axes, which become inline SVG in the page's colours and fonts.

Text stays text and colours are the page's CSS variables, so that a chart follows the page's font and its light or dark
mode, is searched and copied, and needs no script. Each has a title that says in words what it shows. The same data give
the same bytes.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ratchet.reporting.templates import show_controls

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 720, 380
"""Of a chart in points, which are the units of its view box."""
LEFT, TOP, BOTTOM = 56, 14, 46
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
"""Colour as matplotlib draws it → the variable of templates/_style.css that the page shows instead."""
INK, SOFT, LINE, CARD, GOOD, *SERIES = VARIABLES
SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Chart:
    """One pair of axes, and after the `with` block of `chart` the SVG they became."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.svg = Markup("")

    def height_of(self, y: float) -> float:
        """Where a value stands, in points from the lower edge."""
        return float(self.axes.transData.transform((self.axes.get_xlim()[0], y))[1])

    def place_of(self, x: float) -> float:
        """Where a value stands, in points from the left edge."""
        return float(self.axes.transData.transform((x, self.axes.get_ylim()[0]))[0])

    def write(self, text: str, at: tuple[float, float], colour: str, kind: str, **options: Any) -> None:
        """Text at a place in points, as a group of the class `kind`."""
        self.axes.text(*at, clean(text), color=colour, gid=kind, transform=None, **options)


@contextmanager
def chart(
    words: str, x_label: str, y_label: str, height: float = HEIGHT, left: float = LEFT, right: float = 16
) -> Iterator[Chart]:
    """Axes with a grid and no frame, at a place that no text moves; after the block, the chart has its SVG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    with drawn_as_the_page(words):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72, frameon=False)
        box = (left / WIDTH, BOTTOM / height, (WIDTH - left - right) / WIDTH, (height - TOP - BOTTOM) / height)
        axes = figure.add_axes(box, xlabel=clean(x_label), ylabel=clean(y_label), frame_on=False, axisbelow=True)
        drawing = Chart(axes)
        yield drawing
        if axes.get_xscale() == "log":
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.tick_params(bottom=False, left=False)
        axes.grid()
        drawing.svg = to_svg(figure, words)


@contextmanager
def drawn_as_the_page(words: str) -> Iterator[None]:
    """matplotlib's settings for a figure that becomes a part of a page, whatever the reader's own are.

    Args:
        words: what the figure shows; two figures of a page with other words have other ids.
    """
    import matplotlib

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": clean(words),
        "text.parse_math": False,
        "font.size": 12,
        "text.color": INK,
        "axes.labelcolor": SOFT,
        "axes.edgecolor": LINE,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "grid.color": LINE,
    }
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # nobody's own matplotlibrc changes a page
        matplotlib.rcParams.update(settings)
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing")  # the reader's browser has the font
        yield


def to_svg(figure: Figure, words: str) -> Markup:
    """A figure of the colours of `VARIABLES` as a part of a page, with `words` as its title.

    Drawn within `drawn_as_the_page`; the same figure gives the same bytes.
    """
    for artist in figure.findobj():
        artist.set_clip_on(False)  # the limits leave room for everything, and a clip path is a `url(...)`
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _inline(buffer.getvalue(), words)


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
    title.text = clean(words)
    root.text = ""
    root.insert(0, title)
    root.attrib = {"class": "figure", "role": "img", "viewBox": root.attrib["viewBox"]}
    return Markup(ET.tostring(root, encoding="unicode"))  # ElementTree has escaped every text


def clean(text: str) -> str:
    """Text on one line that XML can hold and that cannot reorder what stands beside it."""
    return str(show_controls(NOT_XML.sub("\ufffd", " ".join(text.split()))))
