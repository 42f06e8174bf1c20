"""The most important words of a bundle as a chart, for its own page and for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ratchet.measure.estimate import Estimate
from ratchet.reporting.figures import Bar, bars

N_BARS = 20


def words_chart(words: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Markup:
    """The most important words, in the colour of the class they speak for."""
    shown = [
        Bar(f"{row['word']} ({row['n_texts']})", Estimate.from_json(row["mean_abs_shap"]), f"towards {row['towards']}")
        for row in words[:N_BARS]
    ]
    axis = "mean |SHAP| (in brackets: texts with the word; whiskers: 95 %)"
    return bars(shown, [f"towards {label}" for label in labels], axis)
