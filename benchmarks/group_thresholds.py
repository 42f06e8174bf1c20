"""Effect of thresholds by group on the released bundle, by the audit's own code; takes seconds.

    python -m benchmarks.group_thresholds
    python -m benchmarks.group_thresholds --attribute origin
    python -m benchmarks.group_thresholds --into docs/decisions/gates-that-can-fail.md    the table into a page

It reads the predictions of `evaluate`, and reports for each constraint the figures of an audit whose `audit.thresholds`
is that constraint: a text is judged by thresholds of the half of the texts that it is not in.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from benchmarks.material import REPORTS, write_report
from pipeline_steps import audit, promote
from ratchet.entry import entry
from ratchet.files import read_json
from ratchet.gates.measured_reports import read_report
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_text, metric_name
from ratchet.params import load_params
from ratchet.reporting.marked_block import write_block
from ratchet.reporting.results_table import described_bundle
from ratchet.table_files import read_table
from ratchet.tables import PREDICTIONS, SPLIT
from ratchet.trust.audited_groups import Rules
from ratchet.trust.group_thresholds import Constraint
from ratchet.trust.slices import LENGTH_EDGES, read_length_edges


def thresholds_of(predictions: pd.DataFrame, texts: pd.DataFrame, rules: Rules, params: audit.Params) -> dict[str, Any]:
    """`before` and each constraint → the figures, of the one bundle that predicted."""
    found: dict[str, Any] = {}
    for constraint in get_args(Constraint):
        asked = params.model_copy(update={"thresholds": constraint})
        (bundle,) = audit.run(predictions, texts, rules, {}, asked)["bundles"].values()
        found |= {"before": bundle["thresholds"]["before"], constraint: bundle["thresholds"]["after"]}
    return found


def table(report: Mapping[str, Any]) -> str:
    """A row a figure and a column a constraint, in Markdown."""
    thresholds = report["thresholds"]
    lines = [
        f"| {report['bundle']} | {' | '.join(map(metric_name, thresholds))} |",
        f"|---|{'---:|' * len(thresholds)}",
    ]
    for name in thresholds["before"]:
        values = [estimate_text(Estimate.from_json(figures[name])) for figures in thresholds.values()]
        lines.append(f"| {metric_name(name)} | {' | '.join(values)} |")
    return f"`{report['command']}`, {report['n_texts']:,} validation texts by {report['attribute']}:\n\n" + "\n".join(
        lines
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.group_thresholds", description="Thresholds by group.")
    parser.add_argument("--attribute", default="gender", help="whom a text speaks of, by the lexicon")
    parser.add_argument("--into", type=Path, help="instead, a Markdown file whose block `thresholds` gets the table")
    options = parser.parse_args(arguments)
    if options.into:
        write_block(options.into, "thresholds", table(read_json(REPORTS / "group_thresholds.json")))
        return
    params = load_params(audit.Params, "audit", length_edges=read_length_edges(LENGTH_EDGES)).model_copy(
        update={"threshold_attribute": options.attribute}
    )
    bundle = described_bundle(read_report(Path(promote.WRITES["decision"])))
    predictions = read_table(Path(audit.READS["predictions"]), PREDICTIONS)
    texts = pd.concat(
        [read_table(Path(audit.READS["splits"]) / f"{name}.parquet", SPLIT) for name in params.splits],
        ignore_index=True,
    ).dropna(subset="label")
    of_bundle = predictions[predictions["bundle"] == bundle]
    figures = {
        "bundle": bundle,
        "attribute": options.attribute,
        "n_texts": len(texts),
        "thresholds": thresholds_of(of_bundle, texts, audit.load_rules(), params),
    }
    path = write_report(
        "group_thresholds", figures, 1, "" if options.attribute == "gender" else f"--attribute {options.attribute}"
    )
    print(table(read_json(path)))


if __name__ == "__main__":
    entry(main)
