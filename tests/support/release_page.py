"""A team that follows docs/release.md: its commands as they are written, each in the clone of whoever it is for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from ratchet.__main__ import app
from tests.support.registry import POLICY, ROOT, environment, git, make_server

PAGE = (ROOT / "docs" / "release.md").read_text(encoding="utf-8")
PEOPLE = ("ann", "bob", "cay", "dan")


def commands(heading: str) -> list[str]:
    """The shell commands under a heading of the page, in their order."""
    part = PAGE.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", part, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def policy() -> dict[str, object]:
    """The policy of the tests with the lines that the page gives."""
    (lines,) = re.findall(r"^ *```yaml\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)
    return {**POLICY, **YAML(typ="safe", pure=True).load(lines)}


class Team:
    """Clones, homes and keys by person, a server, a folder for DVC's remote, and what was run of the page."""

    def __init__(
        self, folder: Path, hook: str, monkeypatch: pytest.MonkeyPatch, run_pipeline: Callable[[], None]
    ) -> None:
        self.folder, self.patch, self.run_pipeline = folder, monkeypatch, run_pipeline
        self.followed: list[str] = []
        self.server = make_server(folder, hook)
        for person in PEOPLE:
            git(folder, "clone", "--quiet", "server.git", person)
            git(self.clone(person), "remote", "set-url", "origin", str(self.server))
            for name, value in {"user.name": person, "user.email": f"{person}@example.org"}.items():
                git(self.clone(person), "config", name, value)
            (self.home(person) / ".ssh").mkdir(parents=True)

    def clone(self, person: str) -> Path:
        return self.folder / person

    def home(self, person: str) -> Path:
        return self.folder / "home" / person

    def signers(self) -> str:
        """A line a key, as the page describes it."""
        public = {person: (self.home(person) / ".ssh" / "release.pub").read_text().split() for person in PEOPLE}
        return "".join(f'{person} namespaces="git" {words[0]} {words[1]}\n' for person, words in public.items())

    def follow(self, command: str, person: str = "ann", **instead: str) -> None:
        """Run a command of the page, with these words in the place of the page's."""
        self.followed.append(command)
        for name, value in instead.items():
            command = command.replace(name, value)
        self.patch.chdir(self.clone(person))
        self.patch.setenv("RATCHET_WHO", person)
        words = shlex.split(command.replace("~/", f"{self.home(person)}/"))
        if words[0] == "ratchet":
            assert get_command(app).main(words[1:], standalone_mode=False) in (None, 0), command
        elif words[0] == "export":
            self.patch.setenv(*words[1].split("=", 1))
        elif words == ["make", "run"]:
            self.run_pipeline()
        else:
            self._shell(command, person)

    def _shell(self, command: str, person: str) -> None:
        no_passphrase = " -q -N ''" if command.startswith("ssh-keygen") else ""
        env = {
            **environment(),
            "HOME": str(self.home(person)),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["bash", "-c", command + no_passphrase],
            cwd=self.clone(person),
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
