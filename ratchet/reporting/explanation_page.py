"""Attributions to look at: one self-contained HTML page a bundle, and its most important words as a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.measure.formats import number
from ratchet.reporting.cells import Cell, Row, Table, cell, estimate_cell, head
from ratchet.reporting.templates import render_template
from ratchet.reporting.words_chart import N_BARS, waterfall_chart, words_chart

if TYPE_CHECKING:
    from ratchet.trust.attributions import Attribution

COLOURS = {"for": (0, 114, 178), "against": (213, 94, 0)}
"""Blue and vermilion, told apart by colour-blind readers. Source: Okabe & Ito 2008, https://jfly.uni-koeln.de/color/."""
N_WATERFALLS = 3
"""Texts that are also shown word by word."""
CURVES = {
    "deleted": "deleted",
    "deleted_random": "as many random ones deleted",
    "kept": "kept alone",
    "kept_random": "as many random ones kept alone",
}
"""Curve of the report → the head of its column."""


def render_page(
    bundle: str,
    labels: Sequence[str],
    explained: Sequence[tuple[str, str, Attribution]],
    report: Mapping[str, Any],
    figures: Mapping[str, str],
) -> str:
    """One HTML page that loads nothing and runs nothing; every text is escaped.

    Args:
        bundle: name of the bundle.
        labels: class names.
        explained: id, true label and attribution of each text.
        report: `words` and `stems` as `global_words` gives them, `groups` as `words_by_group`, and `curves`.
        figures: name and value of what is known of the explanations' quality.
    """
    groups = {f"{name} ({group['n_texts']} texts)": group["words"] for name, group in report["groups"].items()}
    return render_template(
        "explanations.html",
        bundle=bundle,
        unit=explained[0][2].unit if explained else "probability",
        figures=figures,
        colours={kind: f"rgb{colour}" for kind, colour in COLOURS.items()},
        texts=[_text(name, label, attribution, labels) for name, label, attribution in explained],
        steps=[
            {"label": label, "chart": waterfall_chart(attribution, labels)}
            for _, label, attribution in _most_wrong(explained, labels)
        ],
        chart=words_chart(report["words"], labels),
        curves=_curves(report["curves"]),
        lists={name: _words(rows) for name, rows in {"Stems": report["stems"][:N_BARS], **groups}.items()},
    )


def _most_wrong(
    explained: Sequence[tuple[str, str, Attribution]], labels: Sequence[str]
) -> list[tuple[str, str, Attribution]]:
    """The `N_WATERFALLS` texts with the lowest probability of their true class, the lowest first."""

    def of_true_class(item: tuple[str, str, Attribution]) -> float:
        return float(item[2].proba[labels.index(item[1])]) if item[1] in labels else 1.0

    return sorted(explained, key=of_true_class)[:N_WATERFALLS]


def _curves(points: Sequence[Mapping[str, Any]]) -> Table:
    """A row a share of the words, deleted or kept alone, each beside as many random ones."""
    rows = [Row(f"{100 * point['rate']:g} %", [estimate_cell(point[key]) for key in CURVES]) for point in points]
    return Table(head("share of the words", CURVES.values()), rows)


def _words(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row a word, with the class it speaks for."""
    return Table(
        [*head("word", ["mean |SHAP|", "texts"]), Cell("speaks for")],
        [
            Row(row["word"], [estimate_cell(row["mean_abs_shap"]), cell(row["n_texts"]), Cell(row["towards"])])
            for row in rows
        ],
    )


def _text(name: str, label: str, attribution: Attribution, labels: Sequence[str]) -> dict[str, Any]:
    predicted = attribution.predicted
    values = attribution.values[:, predicted]
    largest = float(np.abs(values).max()) or 1.0
    parts, at = [], 0
    for (start, end), value in zip(attribution.spans, values, strict=True):
        kind = "for" if value >= 0 else "against"
        red, green, blue = COLOURS[kind]
        parts += [
            {"kind": "", "text": attribution.text[at:start]},
            {
                "kind": kind,
                "text": attribution.text[start:end],
                "title": f"{value:+.3f} towards {labels[predicted]}",
                "colour": f"{red},{green},{blue},{0.55 * abs(float(value)) / largest:.3f}",
            },
        ]
        at = end
    return {
        "id": name,
        "label": label,
        "predicted": labels[predicted],
        "wrong": labels[predicted] != label,
        "confidence": number(float(attribution.proba[predicted])),
        "base": number(float(attribution.base_proba[predicted])),
        "parts": [*parts, {"kind": "", "text": attribution.text[at:]}],
    }
