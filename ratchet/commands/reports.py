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
Root = Annotated[Path, typer.Option(help="The workspace, whose reports and measurements are read.")]


def results(into: Into = None, root: Root = Path()) -> None:
    """Print the verdict and a row for each bundle.

    The columns: accuracy on validation and test, latency in ms, size in MB, US dollars a million texts, gates."""
    from ratchet.gates.measured_reports import read_report, read_whole, with_judgement
    from ratchet.reporting.results_table import results_table

    evaluated = read_whole(root / "reports/evaluate.json", root / "measurements/evaluate.json")
    judged = with_judgement(evaluated, read_report(root / "reports/judge.json"))
    table = results_table(judged, read_report(root / "reports/decision.json"))
    _show(table, "results", into)


def cost(
    into: Into = None,
    root: Root = Path(),
    settings: Annotated[Path, typer.Option(help="The file that states the load.")] = Path("live.yaml"),
    params: Annotated[Path, typer.Option(help="The file with the prices, US dollars an hour.")] = Path("params.yaml"),
) -> None:
    """Print what a month costs, and what each optimization saves.

    In US dollars."""
    from ratchet.params import load_params
    from ratchet.reporting.cost import make_report, tables
    from ratchet.reporting.ownership import Prices

    _show(tables(make_report(settings, load_params(Prices, "", params), root)), "cost", into)


def _show(table: str, name: str, into: Path | None) -> None:
    if into is None:
        print(table)
    else:
        write_block(into, name, table)
