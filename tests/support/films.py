"""The demo's task files, of English film reviews in two classes, as examples/films holds them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ratchet.params import read_params
from ratchet.trust.language import Language
from ratchet.trust.slices import PatternFeatures
from ratchet.trust.text_edits import Contrast, Invariance

ROOT = Path(__file__).parents[2]
FILMS = ROOT / "examples/films"
CONTRAST = read_params(Contrast, FILMS / "data/challenge/contrast.yaml")
INVARIANCE = read_params(Invariance, FILMS / "data/challenge/invariance.yaml")
PATTERNS = read_params(PatternFeatures, FILMS / "data/lexicons/features.yaml").patterns
LANGUAGE = read_params(Language, FILMS / "data/lexicons/language.yaml")
ARTICLES = LANGUAGE.articles
of_the_demo = pytest.mark.skipif(
    (ROOT / "params.yaml").read_bytes() != (FILMS / "params.yaml").read_bytes(),
    reason="the repository's task is another than the demo, or its reports are: ratchet init --example films, make run",
)
"""Of tests that look at the reports of the demo's run, which are the root's while that is its task."""


def copy_task_files(root: Path, *folders: str) -> None:
    """The named folders of the demo's data, such as lexicons, in another repository."""
    for name in folders:
        shutil.copytree(FILMS / "data" / name, root / "data" / name, dirs_exist_ok=True)
