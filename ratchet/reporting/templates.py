"""Pages from the Jinja files in `templates/`: values are escaped, missing ones raise, equal values give equal bytes.

The contract test (tests/imports.py) reads the names in `render_template("name.html", ...)` and lists these files, and
those they extend, include or import, among the dependencies of every stage that renders them: an edited template makes
its stages stale.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

FOLDER = Path(__file__).with_suffix("")
BIDI_CONTROLS = {code: f"[U+{code:04X}]" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}
"""Embeddings, overrides and isolates: they reorder what stands after them. Source: Unicode UAX #9 and UTR #36."""


def render_template(name: str, /, folder: Path | None = None, **values: Any) -> str:
    """The page of a template in `templates/`, or in `folder`, whose templates may extend those of `templates/`."""
    return _environment(folder).get_template(name).render(values)


def show_controls(value: Any) -> Any:
    """Text with its bidirectional controls spelled out, so that no text can reorder the page around it.

    >>> show_controls("a\\u202eb"), show_controls(3)
    ('a[U+202E]b', 3)
    """
    return value.translate(BIDI_CONTROLS) if isinstance(value, str) else value


@cache
def _environment(folder: Path | None) -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*([folder] if folder else []), FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=show_controls,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
