"""The results as one Markdown table, for a README or a card: what `ratchet results` prints."""

from __future__ import annotations

from ratchet.gates.measured_reports import Report, metric_of
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import MISSING, estimate_text, markdown_text, metric_name, number

COLUMNS = ("accuracy", "test_accuracy", "latency_p95_ms", "size_mb", "cost_per_million_usd")
HEADS = {"accuracy": "accuracy, validation"}
"""Metric → its heading, where another than its name: the sealed test stands beside it."""
WITH_INTERVAL = ("accuracy", "test_accuracy")


def results_table(evaluate: Report, decision: Report) -> str:
    """The verdict in a sentence, and one row a bundle: the ranked candidates first, then the others by name.

    Args:
        evaluate: the evaluation with the judgement, see `with_judgement`.
        decision: that of `promote`.
    """
    lines = [
        verdict_sentence(decision),
        "",
        "| bundle | " + " | ".join(HEADS.get(metric, metric_name(metric)) for metric in COLUMNS) + " | gates |",
    ]
    lines.append("|---" + "|---:" * len(COLUMNS) + "|---|")
    for name in ordered_names(evaluate, decision):
        cells = [_cell(metric, metric_of(evaluate["bundles"][name], metric)) for metric in COLUMNS]
        shown = f"**{markdown_text(name)}**" if name == decision.get("chosen") else markdown_text(name)
        lines.append(f"| {shown} | {' | '.join(cells)} | {gates_text(decision, name)} |")
    return "\n".join(lines)


def verdict_sentence(decision: Report) -> str:
    """The verdict in one line of Markdown."""
    chosen, reason = decision.get("chosen"), markdown_text(" ".join(decision.get("reasons", [])[:1]))
    return f"Accepted: **{markdown_text(chosen)}**. {reason}" if chosen else f"Rejected. {reason}"


def ordered_names(evaluate: Report, decision: Report) -> list[str]:
    """The evaluated bundles: those that were ranked in their order, then the others by name."""
    ranked = [name for name in decision.get("ranking", []) if name in evaluate["bundles"]]
    return ranked + sorted(name for name in evaluate["bundles"] if name not in ranked)


def described_bundle(decision: Report) -> str | None:
    """The chosen bundle; without one, the candidate that failed the fewest gates (the first of them in the ranking)."""
    if decision.get("chosen"):
        return str(decision["chosen"])
    failed = {name: n_failed(decision, name) for name in decision.get("ranking", [])}
    return min(failed, key=lambda name: failed[name]) if failed else None


def n_failed(decision: Report, name: str) -> int:
    """Number of gates that the candidate failed."""
    return sum(not gate["passed"] for gate in decision["bundles"][name]["gates"])


def gates_text(decision: Report, name: str) -> str:
    """`passed`, `2 of 11 failed`, or a dash for what was no candidate."""
    if name not in decision.get("bundles", {}):
        return MISSING
    failed = n_failed(decision, name)
    return f"{failed} of {len(decision['bundles'][name]['gates'])} failed" if failed else "passed"


def _cell(metric: str, estimate: Estimate) -> str:
    return estimate_text(estimate) if metric in WITH_INTERVAL else number(estimate.value)
