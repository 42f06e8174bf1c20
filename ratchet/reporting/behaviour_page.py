"""Failing behavioural test cases of a bundle, as a Markdown page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_or_reason, markdown_text
from ratchet.reporting.templates import show_controls


def failures_page(name: str, report: Mapping[str, Any]) -> str:
    """Every test with its failure rate and examples; then swaps of identity terms and trigger words."""
    lines = [f"# What {name} does", "", "## Tests"]
    for test in report["tests"]:
        lines += ["", f"### {test['test']} ({test['kind']}): failure rate {_rate(test['failure_rate'])}", ""]
        lines += [_example(item) for item in test["examples"]] or ["No case failed."]
    lines += ["", "## Swaps of identity terms"]
    for attribute, part in report["swaps"].items():
        flips, gap = _rate(part["counterfactual_flip_rate"]), _rate(part["counterfactual_gap"])
        lines += ["", f"### {attribute}: flip rate {flips}, mean change {gap}", ""]
        lines += [
            f"- {item['change']:+.3f}{', turned' if item['flipped'] else ''}: {_line(item['before'])} → "
            f"{_line(item['after'])}"
            for item in part["examples"]
        ]
    triggers = report["triggers"]
    lines += ["", f"## Trigger words, of {triggers['n_words']} tried", ""]
    lines += [
        f"- `{item['word']}` turns {_rate(item['flip_rate'])} of the confidently classified texts to {item['towards']}"
        for item in triggers["words"]
    ]
    return "\n".join(lines) + "\n"


def _example(item: Mapping[str, str]) -> str:
    before = f"{_line(item['before'])} → " if item["before"] else ""
    return f"- {item['told']}: {before}{_line(item['text'])}"


def _rate(value: Mapping[str, Any]) -> str:
    estimate = Estimate.from_json(dict(value))
    return f"{estimate_or_reason(estimate)} (n = {estimate.n})"


def _line(text: str) -> str:
    """On one line, with nothing that Markdown or HTML would read, or that reorders what stands after it."""
    return str(show_controls(markdown_text(text))).replace("`", "'")
