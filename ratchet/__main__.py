"""The command `ratchet`, also `python -m ratchet`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ratchet.commands import audit, keys, registry, serve
from ratchet.entry import entry

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Releases, the audit log, what a change did; serving.",
)
app.add_typer(registry.app, name="registry")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")
app.command()(serve.serve)
app.command()(serve.compact)


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
