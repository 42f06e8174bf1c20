"""A miniature repository to run for real: four stages in a diamond, which fail or hang when a file says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.imports import closure

ROOT = Path(__file__).parents[2]
RATCHET = Path(sys.executable).parent / "ratchet"
"""The installed command line: the miniature holds a few modules of ratchet only."""
LIBRARY = ("__init__", "entry", "errors", "files", "params", "task")
REGISTRY = ("__init__", "audit_entry", "audit_log")

STEP = '''"""Adds its number to the sum of what it reads."""
import os, sys, time
from pathlib import Path
from pydantic import Field
from ratchet.entry import entry
from ratchet.errors import ValidationError
from ratchet.params import Params as Base, load_params

NAME, READS, WRITES = {name!r}, {reads!r}, {writes!r}

class Params(Base):
    """Its params."""

    number: int = Field(ge=0)
    """What to add."""

def main() -> None:
    with Path("ran.txt").open("a") as file:
        file.write(NAME + "\\n")
    total = sum(int(Path(path).read_text()) for path in READS.values())
    paths = [Path(path) for path in WRITES.values()]
    if Path("hang-" + NAME).exists():
        paths[0].write_text("half")
        Path("pid-" + NAME).write_text(str(os.getpid()))
        time.sleep(600)
    if Path("fail-" + NAME).exists():
        raise ValidationError("The number is bad.", where="somewhere", fix="choose a better one")
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(total + load_params(Params, NAME).number))

if __name__ == "__main__":
    entry(main)
'''
GRAPH = {"source": [], "left": ["source"], "right": ["source"], "end": ["left", "right"]}


def make_repository(root: Path) -> Path:
    """The repository in `root`, with its own copy of the flows; nothing has run yet."""
    shutil.copytree(ROOT / "flows", root / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "ratchet").mkdir()
    for name in LIBRARY:
        shutil.copy(ROOT / "ratchet" / f"{name}.py", root / "ratchet")
    (root / "ratchet" / "registry").mkdir()
    for name in REGISTRY:
        shutil.copy(ROOT / "ratchet" / "registry" / f"{name}.py", root / "ratchet" / "registry")
    (root / "pipeline_steps").mkdir()
    (root / "data").mkdir()
    (root / "pipeline_steps" / "__init__.py").touch()
    lines = ["stages:"]
    for name, needs in GRAPH.items():
        reads, report = {need: f"data/{need}" for need in needs}, f"data/{name}.json"
        writes = {"data": f"data/{name}", "report": report}
        text = STEP.replace("{name!r}", repr(name)).replace("{reads!r}", repr(reads))
        (root / "pipeline_steps" / f"{name}.py").write_text(text.replace("{writes!r}", repr(writes)))
        step = f"pipeline_steps/{name}.py"
        deps = [step, *sorted(map(str, closure(root, Path(step)))), *reads.values()]
        lines += [
            f"  {name}:",
            f"    cmd: python -m pipeline_steps.{name}",
            f"    params: [{name}]",
            f"    deps: [{', '.join(deps)}]",
            f"    outs: [data/{name}]",
            f"    metrics: [{report}: {{cache: false}}]",
        ]
    (root / "dvc.yaml").write_text("\n".join(lines) + "\n")
    write_params(root)
    _run(root, "git", "init", "--quiet")
    _run(root, sys.executable, "-m", "dvc", "init", "--quiet")
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n    check_update = false\n")
    return root


def write_params(root: Path, **numbers: int) -> None:
    """params.yaml with 1 for every stage but the named ones."""
    values = {name: {"number": numbers.get(name, 1)} for name in GRAPH}
    (root / "params.yaml").write_text(json.dumps(values))


def stages_run(root: Path) -> list[str]:
    """The stages whose code has run, in order, since the last call."""
    path = root / "ran.txt"
    names = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return names


def wait_for(path: Path, seconds: float = 60.0) -> None:
    """Until the file is there and not empty."""
    end = time.monotonic() + seconds
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end, f"{path} has not appeared"
        time.sleep(0.05)


def environment() -> dict[str, str]:
    """The environment for commands in the miniature: nothing of this run's Prefect or coverage of it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "RATCHET_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, "PATH": path, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _run(root: Path, *command: str) -> None:
    subprocess.run(command, cwd=root, env=environment(), check=True, capture_output=True)
