"""shap's plots of a bundle's words, in the colours of the page: the most important ones, and those of one text.

Source: `shap.plots.bar` and `shap.plots.waterfall`, https://shap.readthedocs.io/en/latest/api.html#plots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import number
from ratchet.reporting.chart import (
    BOTTOM,
    CARD,
    INK,
    LINE,
    SERIES,
    SOFT,
    WIDTH,
    chart,
    clean,
    drawn_as_the_page,
    to_svg,
)
from ratchet.reporting.figures import NAMES_WIDTH, ROW_HEIGHT, ends_of, row_box, whisker

if TYPE_CHECKING:
    from ratchet.trust.attributions import Attribution

N_BARS = 20
N_STEPS = 12
"""Words of one text that get a row of their own; the others share one."""
GROUP_WIDTH = 140
ROOM = 1.12
"""Right end of the axis, in times the longest whisker: room for the number behind it."""
COLOURS = {
    "primary_color_positive": SERIES[0],
    "primary_color_negative": SERIES[1],
    "secondary_color_positive": SERIES[0],
    "secondary_color_negative": SERIES[1],
    "hlines_color": LINE,
    "vlines_color": SOFT,
    "text_color": CARD,
    "tick_labels_color": SOFT,
}
"""Part of shap's plots → its colour on a page."""


def words_chart(words: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Markup:
    """The most important words in the colour of the class they speak for; empty text without words.

    Args:
        words: the largest first, as `global_words` gives them.
        labels: class names.
    """
    import shap
    from shap.plots._style import style_context

    shown = words[:N_BARS]
    if not shown:
        return Markup("")
    sizes = [Estimate.from_json(row["mean_abs_shap"]) for row in shown]
    names, groups = (
        [f"{row['word']} ({row['n_texts']})" for row in shown],
        [f"towards {row['towards']}" for row in shown],
    )
    order = list(dict.fromkeys([*(f"towards {label}" for label in labels), *groups]))
    told = ", ".join(
        f"{name} {number(size.value)} {group}" for name, size, group in zip(names, sizes, groups, strict=True)
    )
    axis = "mean |SHAP| (in brackets: texts with the word; whiskers: 95 %)"
    explanation = shap.Explanation(np.array([size.value for size in sizes]), feature_names=names)
    with chart(f"{axis}: {told}", axis, "", *row_box(len(shown), GROUP_WIDTH)) as drawing:
        axes = drawing.axes
        with style_context(**COLOURS):
            shap.plots.bar(explanation, len(shown), order=np.arange(len(shown)), show_data=False, ax=axes, show=False)
        for line in axes.lines:
            line.set_color(LINE)
        axes.set_xlabel(axis, fontsize=12)
        axes.set_xlim(0, ROOM * max(end for size in sizes for end in (size.value, *ends_of(size))) or 1)
        bars, lengths = list(axes.patches), list(axes.texts)
        axes.set_ylim(0.5, len(shown) + 0.5)  # the first row is the upper one, at len(shown)
        axes.set_yticks([])
        for index, (bar, text, size, group) in enumerate(zip(bars, lengths, sizes, groups, strict=True)):
            at = len(shown) - index
            colour = SERIES[order.index(group) % len(SERIES)]
            bar.set(facecolor=colour, edgecolor="none", gid="bar")
            text.set(
                color=colour, gid="length", x=max(size.value, *ends_of(size), 0) + text.get_position()[0] - size.value
            )
            whisker(drawing, at, size)
            drawing.write(names[index], (NAMES_WIDTH - 14, drawing.height_of(at) - 4), INK, "label", ha="right")
            drawing.write(group, (WIDTH - GROUP_WIDTH + 12, drawing.height_of(at) - 4), colour, "group")
    return drawing.svg


def waterfall_chart(attribution: Attribution, labels: Sequence[str]) -> Markup:
    """From the predicted class without any word to the whole text, a step a word; empty text without words."""
    import matplotlib.pyplot as plt
    import shap
    from shap.plots._style import style_context

    if not attribution.spans:
        return Markup("")
    label, k = labels[attribution.predicted], attribution.predicted
    values, base = attribution.values[:, k], float(attribution.base[k])
    names = [clean(word) for word in attribution.words]
    order = np.argsort(-np.abs(values), kind="stable")[:N_STEPS]
    steps = ", ".join(f"{names[index]} {values[index]:+.3f}" for index in order)
    told = f"{attribution.unit} of {label}: without words {number(base)}; {steps}; in all {number(base + values.sum())}"
    explanation = shap.Explanation(values, base_values=base, feature_names=[name.replace("=", "＝") for name in names])
    with drawn_as_the_page(told), style_context(**COLOURS):
        figure = plt.figure(dpi=72, frameon=False)
        try:
            shap.plots.waterfall(explanation, N_STEPS, show=False)
            _finish(figure, base, base + float(values.sum()), f"{attribution.unit} of {label}")
            return to_svg(figure, told)
        finally:
            plt.close(figure)


def _finish(figure: Any, base: float, total: float, label: str) -> None:
    """Names, ends and margins as those of a page's other charts; shap's own tell the value in gray before a name."""
    steps, start, end = figure.axes
    names = [text.get_text() for text in steps.get_yticklabels()]
    n_rows = len(names) // 2
    names = [name.replace(" other features", " other words") for name in names[:n_rows]]
    height = ROW_HEIGHT * n_rows + 2 * BOTTOM
    figure.set_size_inches(WIDTH / 72, height / 72)
    for axes in figure.axes:
        axes.set_position(
            (NAMES_WIDTH / WIDTH, BOTTOM / height, 1 - (NAMES_WIDTH + 40) / WIDTH, 1 - 2 * BOTTOM / height)
        )
        axes.tick_params(length=0)
    steps.set_yticks(range(n_rows), names, fontsize=12, color=INK)
    steps.xaxis.set_major_formatter("{x:g}")
    start.set_xticks([base], [f"\nwithout words {number(base)}"], fontsize=12, color=SOFT)
    end.set_xticks([total], [f"{clean(label)} {number(total)}"], fontsize=12, color=SOFT)
