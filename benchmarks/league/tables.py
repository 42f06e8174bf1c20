"""The league as Markdown: an overview for the first page, and every block with intervals and costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.league.contestants import CONTESTANTS, OURS
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import MISSING, estimate_text, markdown_table, markdown_text, metric_name, number

COSTS = {"cpu_s": "CPU-s to train", "p95_ms": "p95 latency, ms", "size_mb": "MB to serve"}


def overview(found: Mapping[str, Any]) -> str:
    """Contestants as columns, blocks as rows, the best in bold; then ranks, costs, and where Ratchet loses."""
    if not found["blocks"]:
        return "No cell has been run."
    names = [name for name in CONTESTANTS if any(name in block["contestants"] for block in found["blocks"])]
    rows = [[_block_name(found, block), *_values(block, names)] for block in found["blocks"]]
    if found["ranks"]:
        average = found["ranks"]["average"]
        rows.append(["average rank", *(number(average.get(name)) for name in names)])
    for cost, words in COSTS.items():
        rows.append([f"{words}, median", *(_median(found, name, cost) for name in names)])
    table = markdown_table(["set, labels (metric)", *(CONTESTANTS[name].title for name in names)], rows)
    return "\n".join([*table, "", *_notes(found)]).strip()


def details(found: Mapping[str, Any]) -> str:
    """A table for each block."""
    parts: list[str] = []
    for block in found["blocks"]:
        rows = [
            [
                CONTESTANTS[name].title,
                estimate_text(Estimate.from_json(row["metric"])),
                _difference(row.get("ratchet_minus_it")),
                *(number(row[cost]) for cost in COSTS),
                str(row["n_draws"]),
            ]
            for name, row in block["contestants"].items()
        ]
        head = ["contestant", "mean over draws", "Ratchet minus it, points", *COSTS.values(), "draws"]
        parts += [f"### {_block_name(found, block)}", "", *markdown_table(head, rows), ""]
    return "\n".join(parts).strip() or "No cell has been run."


def _block_name(found: Mapping[str, Any], block: Mapping[str, Any]) -> str:
    return f"{block['data']}, {block['n_labels']} ({metric_name(found['sets'][block['data']]['metric'])})"


def _values(block: Mapping[str, Any], names: list[str]) -> list[str]:
    values = [block["contestants"].get(name, {}).get("metric", {}).get("value") for name in names]
    best = max(value for value in values if value is not None)
    return [MISSING if v is None else f"**{number(v)}**" if v == best else number(v) for v in values]


def _median(found: Mapping[str, Any], name: str, cost: str) -> str:
    values = [block["contestants"][name][cost] for block in found["blocks"] if name in block["contestants"]]
    return number(float(np.median(values)))


def _difference(value: dict[str, Any] | None) -> str:
    """In points, with its corrected interval."""
    if value is None:
        return ""
    low, middle, high = (f"{100 * value[k]:+.1f}".replace("-", "−") for k in ("low", "value", "high"))
    return f"{middle} [{low}, {high}]"


def _notes(found: Mapping[str, Any]) -> list[str]:
    """The tests, the losses, what is lacking, and where it was measured."""
    lines = []
    if ranks := found["ranks"]:
        p = ranks.get("wilcoxon_holm_p", {})
        against = ", ".join(f"{CONTESTANTS[name].title} {number(value)}" for name, value in p.items())
        lines.append(
            f"Over {ranks['n_blocks']} rows: Friedman's test p = {number(ranks['friedman_p'])}; ranks closer than "
            f"{number(ranks['critical_difference'])} are no different (Nemenyi). Ratchet against each, Wilcoxon's "
            f"test with Holm's correction, p: {against}."
        )
        if ranks["left_out"]:
            lines.append("Not ranked, because not in every row: " + _titles(ranks["left_out"]) + ".")
    losses = [
        f"{row['data']} with {row['n_labels']} labels against {CONTESTANTS[row['contestant']].title} "
        f"{_difference(row['difference'])} points"
        for row in found["behind"]
    ]
    said = "; ".join(losses) if losses else "nowhere"
    if any(OURS in block["contestants"] for block in found["blocks"]):
        lines.append(f"Ratchet is behind beyond noise (Holm-corrected 95 % intervals): {said}.")
    else:
        lines.append("Ratchet's own cells have not been run yet.")
    if found["failed"]:
        counts: dict[tuple[str, str], int] = {}
        for row in found["failed"]:
            at = (row["contestant"], row["reason"])
            counts[at] = counts.get(at, 0) + 1
        named = [f"{CONTESTANTS[name].title} in {n}: {markdown_text(why)}" for (name, why), n in counts.items()]
        lines.append("Failed cells: " + "; ".join(named) + ".")
    if found["not_installed"]:
        named = [f"{name}: {markdown_text(reason)}" for name, reason in found["not_installed"].items()]
        lines.append("Not installable here: " + "; ".join(named) + ".")
    machines = ", ".join(markdown_text(cpu) for cpu in found["machines"])
    lines.append(
        f"{found['n_cells']} cells, {found['hours']:.1f} hours of training, {found['n_threads']} cores of {machines}; "
        f"commits {', '.join(found['commits'])}. `python -m benchmarks.league tables`."
    )
    return [part for line in lines for part in (line, "")]


def _titles(names: list[str]) -> str:
    return ", ".join(CONTESTANTS[name].title for name in names)
