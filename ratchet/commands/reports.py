"""`ratchet results` and `ratchet cost`: tables of the reports, printed or put into a Markdown file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ratchet.reporting.marked_block import write_block

Into = Annotated[
    Path | None,
    typer.Option(metavar="PAGE", help="Write it between the marks of this Markdown file instead of printing it."),
]
Reports = Annotated[Path, typer.Option(metavar="FOLDER", help="The folder of reports.")]


def results(into: Into = None, reports: Reports = Path("reports")) -> None:
    """Print the verdict and a row for each bundle.

    The columns: accuracy, macro-F1, latency in ms, size in MB, cost in US dollars a million texts, gates."""
    from ratchet.gates.measured_reports import read_report
    from ratchet.reporting.results_table import results_table

    table = results_table(read_report(reports / "evaluate.json"), read_report(reports / "decision.json"))
    _show(table, "results", into)


def cost(
    into: Into = None,
    reports: Reports = Path("reports"),
    settings: Annotated[Path, typer.Option(help="The file that states the load.")] = Path("live.yaml"),
    params: Annotated[Path, typer.Option(help="The file with the prices, US dollars an hour.")] = Path("params.yaml"),
) -> None:
    """Print what a month costs, and what each optimization saves.

    In US dollars; cost.json among the reports holds the figures."""
    from ratchet.files import write_json
    from ratchet.reporting.cost import make_report, tables

    report = make_report(settings, params, reports)
    write_json(reports / "cost.json", report)
    _show(tables(report), "cost", into)


def _show(table: str, name: str, into: Path | None) -> None:
    if into is None:
        print(table)
    else:
        write_block(into, name, table)
