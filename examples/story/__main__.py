"""`python -m examples.story`, which `make demo` runs: plays the story, and writes its page."""

from __future__ import annotations

from pathlib import Path

from examples.story.page import write_page
from examples.story.story import play
from flows.runner.environment import set_environment
from ratchet.entry import entry

FOLDER, PAGE = Path(".scratch/demo"), Path("reports/demo.html")


def main() -> None:
    """Play the story in a folder of its own, and write its page."""
    source, folder = Path.cwd(), FOLDER.resolve()
    set_environment(root=source)
    page = source / PAGE
    entries = play(folder, source)  # which changes the current folder
    write_page(page, entries, folder / "clone")
    print(f"the story: {page}")


if __name__ == "__main__":
    entry(main)
