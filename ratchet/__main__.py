"""The command `ratchet`, also `python -m ratchet`."""

from __future__ import annotations

import typer

from ratchet.commands import audit, registry
from ratchet.entry import entry

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Releases, the audit log, and what a change did.",
)  # fmt: skip
app.add_typer(registry.app, name="registry")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line."""
    entry(app)


if __name__ == "__main__":
    main()
