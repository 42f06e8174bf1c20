"""Annotation guidelines: a Markdown file whose sections say when a text is of a class."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from ratchet.errors import TableError
from ratchet.labels.annotators import canonical_name


@dataclass(frozen=True)
class Guidelines:
    """What people are asked to keep to; empty: nobody wrote any."""

    text: str = ""
    """The whole file, in Markdown."""
    classes: dict[str, str] = field(default_factory=dict)
    """Class → its section as plain text on one line; a class without a section is left out."""

    @property
    def version(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the file; empty without guidelines.

        >>> Guidelines().version, len(Guidelines("a").version)
        ('', 12)
        """
        return hashlib.sha256(self.text.encode()).hexdigest()[:12] if self.text else ""

    @property
    def html(self) -> str:
        """The file as HTML; what is HTML in it already is shown as text.

        >>> Guidelines("*a* <b>").html
        '<p><em>a</em> &lt;b&gt;</p>\\n'
        """
        from markdown_it import MarkdownIt

        return str(MarkdownIt("commonmark", {"html": False}).render(self.text))

    def without_section(self, labels: Collection[str]) -> list[str]:
        """The classes that the guidelines have no section on."""
        return [name for name in labels if name not in self.classes]


NONE = Guidelines()


def read_guidelines(path: Path, labels: Collection[str]) -> Guidelines:
    """The guidelines in a Markdown file; empty ones where there is no such file.

    A heading that is the name of a class (whatever its level, case and spaces) opens the section on the class, which
    the next such heading closes, or any other of its level or above. What is in no such section is on all classes.

    Args:
        path: the file.
        labels: the classes.

    Raises:
        TableError: the file is no UTF-8, or a class has two sections.
    """
    from markdown_it import MarkdownIt

    if not path.is_file():
        return NONE
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeError) as error:
        raise TableError("The guidelines cannot be read.", where=path, got=error, expected="UTF-8") from None
    found: dict[str, list[str]] = {}
    tokens = MarkdownIt("commonmark", {"html": False}).parse(text)
    named = {canonical_name(name): name for name in labels}
    current, level = "", 0
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            name, depth = named.get(canonical_name(tokens[at + 1].content), ""), int(token.tag[1])
            if name in found:
                raise TableError("A class has two sections.", where=path, got=name, fix="join them")
            if name or depth <= level:
                current, level = name, depth
            if name:
                found[name] = []
        elif current and token.type in ("inline", "fence", "code_block") and token.content:
            found[current].append(" ".join(token.content.split()))
    return Guidelines(text, {name: " ".join(parts[1:]) for name, parts in found.items() if parts[1:]})
