"""A block of a Markdown file that a command writes, between two marks that people see only in the source."""

from __future__ import annotations

from pathlib import Path

from ratchet.errors import PipelineError
from ratchet.files import replace_file


def replace_block(text: str, name: str, block: str) -> str:
    """The text with the block of that name holding `block`, and everything else as it was.

    >>> replace_block("a <!-- cost:start -->old<!-- cost:end --> b", "cost", "new")
    'a <!-- cost:start -->\\nnew\\n<!-- cost:end --> b'

    Raises:
        PipelineError: the text has no block of that name.
    """
    opening, closing = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, start, rest = text.partition(opening)
    _, end, after = rest.partition(closing)
    if not (start and end):
        raise PipelineError(
            f"The file has no block for {name}.", expected=f"{opening} … {closing}", fix="add both marks"
        )
    return f"{before}{opening}\n{block}\n{closing}{after}"


def write_block(page: Path, name: str, block: str) -> None:
    """Put `block` into the block of that name in a Markdown file.

    Raises:
        PipelineError: the file has no block of that name.
    """
    text = replace_block(page.read_text(encoding="utf-8"), name, block)
    with replace_file(page) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")
