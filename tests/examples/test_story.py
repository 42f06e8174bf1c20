"""The story of `make demo`, played as an integration test: every act happens, in its order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from examples.story.page import Timeline, write_page
from examples.story.story import play

ROOT = Path(__file__).parents[2]
ACTS = [
    "world",
    "train and gate",
    "release",
    "approval",
    "promotion",
    "serve",
    "ordinary traffic",
    "new traffic",
    "alert",
    "labels",
    "train and gate",
    "release",
    "shadow",
    "rollout: small",
    "rollout: half",
    "approval",
    "promotion",
    "planted bad model",
    "rollback",
]


def test_a_page_escapes_what_it_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timeline = Timeline()
    timeline.add("alert", "<script>1</script>", accuracy=0.5, challenger=None)
    write_page(tmp_path / "demo.html", timeline.entries, tmp_path)
    page = (tmp_path / "demo.html").read_text()
    assert "<script>" not in page
    assert "<code>accuracy 0.500</code>" in page
    assert "challenger" not in page
    assert "alert" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.deep
def test_the_story_is_played_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "PYTHONPATH", "RATCHET_WHO", "RATCHET_PSEUDONYM_KEY"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # put back what the story sets
    monkeypatch.chdir(ROOT)
    events = [entry["what"] for entry in play(tmp_path / "demo", ROOT)]
    following = iter(events)
    assert all(act in following for act in ACTS), events
