"""The command `ratchet`, also `python -m ratchet`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ratchet.commands import (
    audit,
    backbones,
    content,
    data,
    doctor,
    dossier,
    forget,
    init,
    keys,
    label,
    labels,
    pipeline,
    production,
    registry,
    release,
    reports,
    rollout,
    score,
    serve,
    studio,
    trial,
    verify,
)
from ratchet.entry import entry

PIPELINE, STEPS = "dvc.yaml", "pipeline_steps"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="From raw labels to a verified champion in production. Run it in the repository's root.",
)
for _command in (
    init.init,
    pipeline.run,
    pipeline.check,
    pipeline.ablate,
    backbones.backbones,
    data.raw_text,
    data.accept_data,
    forget.forget,
    doctor.doctor,
    content.content,
    reports.results,
    reports.cost,
    studio.studio,
    label.label,
    release.release,
    verify.verify,
    score.score,
    serve.serve,
    serve.publish,
    serve.compact,
    production.reference,
    production.monitor,
    production.alerts,
    production.retrain,
):
    app.command()(_command)
app.command("try")(trial.try_)
for _name, _group in {
    "labels": labels.app,
    "rollout": rollout.app,
    "registry": registry.app,
    "audit": audit.app,
    "dossier": dossier.app,
    "keys": keys.app,
}.items():
    app.add_typer(_group, name=_name)


@app.command()
def diff(
    base: Annotated[str, typer.Argument(help="The revision before: a branch, a tag, a commit.")] = "HEAD",
    head: Annotated[str | None, typer.Argument(help="The revision after; by default the working tree.")] = None,
    md: Annotated[bool, typer.Option("--md", help="As Markdown; by default for a terminal.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page into this file.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Draw the plots that differ into this folder.")] = None,
    root: Annotated[Path, typer.Option(help="The clone.")] = Path(),
) -> None:
    """Show what a change did: verdict, ladder, gates, figures that moved beyond their interval, params, data, plots.

    As with `git diff`: without revisions the working tree against HEAD, with one the working tree against that.
    """
    from ratchet.files import replace_file
    from ratchet.registry.policy import POLICY, read_policy
    from ratchet.reporting.change import Sources, describe
    from ratchet.reporting.change_page import markdown, page, print_change
    from ratchet.reporting.revisions import find_revisions

    before, after = find_revisions(root, base, head)
    paths = read_policy((root / POLICY).read_bytes()).paths
    predictions = f"{paths.data}/predictions.parquet"
    sources = Sources(paths.evaluate, paths.decision, predictions, paths.lock, PIPELINE, paths.data, STEPS)
    change = describe(before, after, sources, plots)
    if html:
        with replace_file(html) as partial:
            partial.write_text(page(change), encoding="utf-8")
    if md:
        print(markdown(change))
    elif not html:
        from rich.console import Console

        print_change(change, Console())


def main() -> None:
    """Run the command line."""
    entry(app)


if __name__ == "__main__":
    main()
