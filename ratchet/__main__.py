"""The command `ratchet`, also `python -m ratchet`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ratchet.commands import (
    audit,
    content,
    data,
    keys,
    labels,
    pipeline,
    production,
    registry,
    release,
    reports,
    rollout,
    serve,
)
from ratchet.entry import entry

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="From raw labels to a verified champion in production. Run it in the repository's root.",
)
for _command in (
    pipeline.run,
    pipeline.check,
    pipeline.ablate,
    data.raw_text,
    data.accept_data,
    content.content,
    reports.results,
    reports.cost,
    release.release,
    serve.serve,
    serve.compact,
    production.reference,
    production.monitor,
    production.alerts,
    production.retrain,
):
    app.command()(_command)
for _name, _group in {
    "labels": labels.app,
    "rollout": rollout.app,
    "registry": registry.app,
    "audit": audit.app,
    "keys": keys.app,
}.items():
    app.add_typer(_group, name=_name)


@app.command()
def diff(
    base: Annotated[str, typer.Argument(help="The revision before: a branch, a tag, a commit.")],
    head: Annotated[str, typer.Argument(help="The revision after.")] = "HEAD",
    md: Annotated[bool, typer.Option("--md", help="As Markdown; by default for a terminal.")] = False,
    plots: Annotated[Path | None, typer.Option(help="Draw the plots that differ into this folder.")] = None,
    root: Annotated[Path, typer.Option(help="The clone.")] = Path(),
    metrics: Annotated[str, typer.Option(help="The metrics to compare.")] = "reports/metrics.json",
    pipeline: Annotated[str, typer.Option(help="The pipeline, which declares the plots.")] = "dvc.yaml",
) -> None:
    """Print what a change did: verdict, leaderboard, gates, metrics, params, data, plots."""
    from ratchet.registry.policy import POLICY, read_policy
    from ratchet.reporting.change_page import Sources, review
    from ratchet.reporting.revisions import find_revision

    revisions = find_revision(root, base), find_revision(root, head)
    paths = read_policy((root / POLICY).read_bytes()).paths
    sources = Sources(metrics, paths.evaluate, paths.decision, paths.lock, pipeline, paths.data)
    text = review(*revisions, sources, plots)
    if md:
        print(text)
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(text))


def main() -> None:
    """Run the command line."""
    entry(app)


if __name__ == "__main__":
    main()
