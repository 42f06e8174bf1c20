"""The model card: the promoted model's details, intended use, evaluation and caveats.

Every figure comes from a measured report; what no report holds is left out. The texts that only people can give
(intended use, ethical considerations) are handed in.

Source: the sections are those of Mitchell et al., Model Cards for Model Reporting (FAT* 2019),
https://arxiv.org/abs/1810.03993, figure 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ratchet.gates.measured_reports import Report
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_text, humanise, markdown_table, markdown_text, metric_name
from ratchet.reporting.outline import outline
from ratchet.reporting.results_table import described_bundle, results_table

MEANINGS = {
    "accuracy": "share of validation texts, by which bundles are chosen, whose predicted class is the true one",
    "test_accuracy": "the same of the sealed test texts, whose labels nothing read before the shortlist was judged",
    "macro_f1": "mean over the classes of the harmonic mean of precision and recall",
    "ece": "expected calibration error: mean distance between confidence and accuracy, 0 is best",
    "transfer_accuracy": "accuracy on texts of another domain, which no training saw",
    "latency_p95_ms": "time that 95 % of single requests do not exceed",
    "size_mb": "size on disk of all that is needed to serve the model",
    "worst_slice_accuracy": "accuracy of the slice on which it is lowest",
    "selection_rate_difference": "largest difference between groups in how often texts are selected, 0 is best",
    "equalized_odds_difference": "largest difference between groups in true or false positive rates, 0 is best",
}


@dataclass(frozen=True)
class CardTexts:
    """Texts of the card that only people can write."""

    title: str
    description: str
    intended_use: str
    out_of_scope: str
    ethical_considerations: Sequence[str]
    caveats: Sequence[str]


def render_card(reports: Mapping[str, Report], texts: CardTexts) -> str:
    """The card as Markdown. `evaluate` and `decision` are needed; the card names what else is missing."""
    evaluate, decision = reports["evaluate"], reports["decision"]
    name = described_bundle(decision)
    bundle = evaluate["bundles"].get(name, {})
    sections = {
        "Model details": [*_details(name, evaluate, decision), texts.description],
        "Intended use": [texts.intended_use, f"Out of scope: {texts.out_of_scope}"],
        "Factors": _factors(bundle),
        "Metrics": _bullets(f"{metric_name(key)}: {text}" for key, text in MEANINGS.items()),
        "Evaluation data": [
            f"{evaluate.get('n_validation', 0):,} validation texts, {evaluate.get('n_test', 0):,} sealed test texts, "
            f"and {evaluate.get('n_transfer', 0):,} of another domain. None was trained on, nor was a near-duplicate "
            "of one.",
            *_report_section(reports, "split", "How the texts were split"),
        ],
        "Training data": [
            *_report_section(reports, "ingest", "Where the texts come from"),
            *_report_section(reports, "validate", "How they were checked"),
            *_report_section(reports, "sample", "Which of them were labelled"),
        ],
        "Quantitative analyses": [results_table(evaluate, decision), *_analyses(name, bundle, reports)],
        "Ethical considerations": _bullets(texts.ethical_considerations),
        "Caveats and recommendations": _bullets([*texts.caveats, *_measured_caveats(evaluate, decision)]),
    }
    blocks = [f"# Model card: {markdown_text(texts.title)}"]
    for heading, paragraphs in sections.items():
        blocks += [f"## {heading}", *paragraphs]
    return "\n\n".join(blocks) + "\n"


def _details(name: str | None, evaluate: Report, decision: Report) -> list[str]:
    if name is None:
        return ["No model is promoted, and there is no candidate to describe."]
    verdict = "Promoted" if decision["chosen"] else "Not promoted; described because it failed the fewest gates"
    bundle = evaluate["bundles"].get(name, {})
    lineage, parent = [name], str(bundle.get("parent") or "")
    while parent and parent not in lineage:
        lineage.append(parent)
        parent = str(evaluate["bundles"].get(parent, {}).get("parent") or "")
    facts = {
        "name": name,
        "verdict": verdict,
        "engine": bundle.get("kind"),
        "precision": bundle.get("precision"),
        "made from": " ← ".join(lineage),
        "classes": ", ".join(evaluate.get("labels", [])),
    }
    return _bullets(f"{key}: {value}" for key, value in facts.items() if value)


def _factors(bundle: Report) -> list[str]:
    slices = bundle.get("slices", {})
    if not slices:
        return ["No slices were measured."]
    features = list(dict.fromkeys(name.split("=")[0] for name in slices))
    return [f"Quality was measured separately by {', '.join(map(markdown_text, features))}."]


def _analyses(name: str | None, bundle: Report, reports: Mapping[str, Report]) -> list[str]:
    """Slices of the described bundle, then what audit and explain measured of it, each with its interval."""
    rows = [
        (humanise(key), Estimate.from_json(metrics["accuracy"]))
        for key, metrics in bundle.get("slices", {}).items()
        if "accuracy" in metrics
    ]
    found = [_table(("slice", "accuracy", "texts"), [(key, estimate_text(e), str(e.n)) for key, e in rows])] * bool(
        rows
    )
    for step, title in (("audit", "fairness"), ("explain", "explanation")):
        metrics = reports.get(step, {}).get("bundles", {}).get(name, {}).get("metrics", {})
        measured = [(metric_name(key), estimate_text(Estimate.from_json(value))) for key, value in metrics.items()]
        found.append(_table((f"{title} metric", "value"), measured) if measured else f"No {title} metric was measured.")
    return found


def _measured_caveats(evaluate: Report, decision: Report) -> list[str]:
    """Caveats that follow from how the figures were measured."""
    machine = evaluate.get("machine", {})
    caveats = ["Intervals are at 95 % and cover the choice of test texts, not the choice of training texts or seeds."]
    if machine:
        described = ", ".join(
            f"{humanise(key)}: {', '.join(v) if isinstance(v, list) else v}" for key, v in machine.items()
        )
        caveats.append(
            f"Latency, throughput, memory and cost hold for the machine they were measured on ({described})."
        )
    if decision.get("champion") is None:
        caveats.append("There was no champion to compare with.")
    return caveats


def _report_section(reports: Mapping[str, Report], step: str, title: str) -> list[str]:
    """The plain figures of a report of any form, a bullet each; its tables stay in the report page."""
    if step not in reports:
        return [f"{title}: the report of {step} is not available."]
    pairs = outline(reports[step]).get("pairs", [])
    figures = [f"{name}: {item['text']}" for name, item in pairs if item["kind"] == "text"]
    return [f"{title}:", *_bullets(figures)] if figures else [f"{title}: see the report page."]


def _bullets(items: Any) -> list[str]:
    lines = [f"- {markdown_text(str(item))}" for item in items]
    return ["\n".join(lines)] if lines else ["Nothing was stated."]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(markdown_table(head, [[markdown_text(text) for text in row] for row in rows], len(head)))
