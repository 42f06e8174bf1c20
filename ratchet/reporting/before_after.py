"""A picture of values before and now, a row a name."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from ratchet.measure.formats import number
from ratchet.reporting.chart import INK, SERIES, SOFT, chart
from ratchet.reporting.figures import NAMES_WIDTH, row_box

PAD = 0.02
"""Share of the way from the lowest to the highest value that is added at both ends."""


def before_after(rows: Mapping[str, tuple[float, float]], x_label: str) -> Markup:
    """Two values a row, before and now, joined by a line; empty text without rows."""
    if not rows:
        return Markup("")
    words = ", ".join(f"{name} {number(before)} to {number(now)}" for name, (before, now) in rows.items())
    with chart(f"{x_label}, before and now: {words}", x_label, "", *row_box(len(rows), 24)) as drawing:
        values = [value for pair in rows.values() for value in pair]
        pad = max(PAD * (max(values) - min(values)), PAD / 2)
        drawing.axes.set_xlim(min(values) - pad, max(values) + pad)
        drawing.axes.set_ylim(len(rows) - 0.5, -0.5)
        drawing.axes.set_yticks([])
        for index, (name, (before, now)) in enumerate(rows.items()):
            drawing.write(name, (NAMES_WIDTH - 14, drawing.height_of(index) - 4), INK, "label", ha="right")
            drawing.axes.hlines(index, min(before, now), max(before, now), SOFT, lw=1.5, alpha=0.65)
            drawing.axes.plot([before], [index], "o", ms=7, mfc="none", color=SOFT, gid="mark")
            drawing.axes.plot([now], [index], "o", ms=7, color=SERIES[0], gid="mark best")
    return drawing.svg
