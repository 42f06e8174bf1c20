"""Attributions to look at: one self-contained HTML page a bundle, and its most important words as a figure."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ratchet.trust.attributions import Attribution

N_BARS = 20
COLOURS = {"for": (0, 114, 178), "against": (213, 94, 0)}
"""Blue and vermilion, told apart by colour-blind readers. Source: Okabe & Ito 2008, https://jfly.uni-koeln.de/color/."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>Explanations of {{ bundle }}</title>
<style>
  body { font: 16px/1.6 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 60rem;
         margin: 2rem auto; padding: 0 1rem; }
  article { border-top: 1px solid #ddd; padding: .8rem 0; }
  article p { margin: .3rem 0; }
  .words { font-size: 1.1rem; line-height: 2; }
  .words span { padding: .1rem .15rem; border-radius: .2rem; }
  .for { border-bottom: 2px solid rgb({{ colours.for | join(",") }}); }
  .against { border-bottom: 2px dotted rgb({{ colours.against | join(",") }}); }
  .wrong { font-weight: bold; }
  .small { color: #555; font-size: .85rem; }
  table { border-collapse: collapse; } th, td { text-align: left; padding: .15rem 1rem .15rem 0; }
  img { max-width: 100%; height: auto; }
</style>
</head>
<body>
<h1>Explanations of {{ bundle }}</h1>
<p>Each word is marked by its SHAP value: how much it changes the probability of the predicted class.
<span class="for">Solid blue</span> speaks for that class, <span class="against">dotted orange</span> against it;
the stronger the colour, the more. Point at a word to read its value.</p>
<table>
{% for name, value in figures.items() %}<tr><th scope="row">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</table>
<h2>Most important words</h2>
<img src="data:image/png;base64,{{ figure }}" alt="Bar chart: {{ alt }}">
<h2>Confidence without the named words, and with these alone</h2>
<table><tr><th>share of the words</th><th>deleted</th><th>as many random ones</th><th>kept alone</th>
<th>as many random ones</th></tr>
{% for row in curves %}<tr><td>{{ row.rate }}</td>{% for key in ("deleted", "deleted_random", "kept", "kept_random") %}
<td>{{ "%.3f" | format(row[key].value) }}
[{{ "%.3f" | format(row[key].low) }}, {{ "%.3f" | format(row[key].high) }}]</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Stems, slices, kinds of error</h2>
<p>Mean |SHAP| with its 95 % interval, the number of texts that hold the word, and the class it speaks for.</p>
{% for title, rows in lists.items() %}<details><summary>{{ title }}</summary>
<table>{% for row in rows %}<tr><th scope="row">{{ row.word }}</th><td>{{ "%.3f" | format(row.mean_abs_shap.value) }}
[{{ "%.3f" | format(row.mean_abs_shap.low) }}, {{ "%.3f" | format(row.mean_abs_shap.high) }}]</td>
<td>{{ row.n_texts }}</td><td>{{ row.towards }}</td></tr>
{% endfor %}</table></details>
{% endfor %}<h2>Texts</h2>
{% for item in texts %}<article>
<p class="words">{% for part in item.parts %}{% if part.kind %}<span class="{{ part.kind }}" title="{{ part.title }}"
 style="background: rgba({{ part.colour }})">{{ part.text }}</span>{% else %}{{ part.text }}{% endif %}{% endfor %}</p>
<p class="small">predicted {{ item.predicted }} ({{ "%.3f" | format(item.confidence) }});
labelled {{ item.label }}{% if item.wrong %}; <span class="wrong">wrong</span>{% endif %};
without any word {{ "%.3f" | format(item.base) }}; {{ item.id }}</p>
</article>
{% endfor %}
</body>
</html>
"""


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
    import jinja2

    words = report["words"]
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(PAGE)
    return template.render(
        bundle=bundle,
        figures=figures,
        colours=COLOURS,
        texts=[_text(name, label, attribution, labels) for name, label, attribution in explained],
        figure=base64.b64encode(render_figure(words, labels)).decode("ascii"),
        alt=", ".join(f"{row['word']} {_size(row):.3f} towards {row['towards']}" for row in words[:N_BARS]),
        curves=report["curves"],
        lists={"Stems": report["stems"][:N_BARS]}
        | {f"{name} ({group['n_texts']} texts)": group["words"] for name, group in report["groups"].items()},
    )


def render_figure(words: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> bytes:
    """A PNG of the most important words, one colour a class; equal words give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = list(reversed(words[:N_BARS]))
    figure = Figure(figsize=(7, 1.2 + 0.26 * len(shown)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    palette = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999"]
    colour = {label: palette[index % len(palette)] for index, label in enumerate(labels)}
    ends = [[_size(r) - r["mean_abs_shap"]["low"], r["mean_abs_shap"]["high"] - _size(r)] for r in shown]
    axes.barh(
        range(len(shown)),
        [_size(row) for row in shown],
        color=[colour[r["towards"]] for r in shown],
        xerr=np.array(ends).reshape(-1, 2).T,
        error_kw={"ecolor": "#555555", "elinewidth": 0.8},
    )
    axes.set_yticks(range(len(shown)), [f"{row['word']} ({row['n_texts']})" for row in shown], parse_math=False)
    axes.set_xlabel("mean |SHAP| over the explained texts (in brackets: texts with the word; whiskers: 95 %)")
    handles = [Patch(color=colour[label], label=f"towards {label}") for label in labels]
    axes.legend(handles=handles, loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _size(row: Mapping[str, Any]) -> float:
    return float(row["mean_abs_shap"]["value"])


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
        "confidence": float(attribution.proba[predicted]),
        "base": float(attribution.base[predicted]),
        "parts": [*parts, {"kind": "", "text": attribution.text[at:]}],
    }
