"""README: every command exists, the tree is the real one, links lead somewhere, the results are the committed ones."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ratchet.measure.machine_figures import MACHINE_METRICS, drop
from ratchet.reporting.results_table import COLUMNS, results_table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RESULTS = ("reports/evaluate.json", "reports/decision.json")
MEASUREMENTS = "measurements/evaluate.json"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line.strip()]


def tree() -> dict[str, str]:
    """Path → its label, of the tree in the README; two spaces of indent are one folder."""
    (block,) = blocks("text")
    found, folder = {}, ""
    for line in block.splitlines():
        name, _, label = line.strip().partition(" ")
        folder = folder if line.startswith("  ") else name
        found[folder + name if line.startswith("  ") else name] = label.strip()
    return found


def fault(command: str) -> str:
    """What is wrong with a command; empty when its program, module, options and files exist."""
    program, *words = shlex.split(command, comments=True)
    if program == "make":
        targets = re.findall(r"^([\w-]+)\s*:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return "" if set(words) <= set(targets) else f"no such target: {words}"
    if program == "python":
        return _module_fault(words)
    if program in ("dvc", "prefect"):
        spec = importlib.util.find_spec(program)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        folder = Path(spec.submodule_search_locations[0]) / ("commands" if program == "dvc" else "cli")
        name = words[0].replace("-", "_")
        return "" if (folder / f"{name}.py").is_file() or (folder / name).is_dir() else f"no such command: {words[0]}"
    if program == "ratchet":
        return _ratchet_fault(words)
    if program in ("source", "export", "git", "ssh-keygen", "openssl"):
        return ""
    if program == "curl":
        return _route_fault(words)
    return f"no known program: {program}"


def _route_fault(words: list[str]) -> str:
    """Whether the server has the route that is asked."""
    path = "/" + words[0].partition("/")[2]
    routes = (ROOT / "ratchet" / "serving" / "routes.py").read_text(encoding="utf-8")
    return "" if f'("{path}"' in routes else f"no such route: {path}"


def all_commands(group: Any = None, words: str = "ratchet") -> dict[str, Any]:
    """Each command of the command line by the words that call it."""
    from typer.main import get_command

    from ratchet.__main__ import app

    top: Any = group or get_command(app)
    found: dict[str, Any] = {}
    for name, command in top.commands.items():
        inner = hasattr(command, "commands")
        found |= all_commands(command, f"{words} {name}") if inner else {f"{words} {name}": command}
    return found


def _module_fault(words: list[str]) -> str:
    if words[0] != "-m":
        return "" if (ROOT / words[0]).is_file() else f"no such file: {words[0]}"
    path = ROOT / (words[1].replace(".", "/") + ".py")
    if not path.is_file():
        return f"no such module: {words[1]}"
    text = path.read_text(encoding="utf-8")
    unknown = [word for word in words[2:] if word.startswith("--") and word not in text]
    return f"no such option: {unknown}" if unknown else ""


def _ratchet_fault(words: list[str]) -> str:
    """Follow the words through the groups of the command line, then look at the options."""
    from typer.main import get_command

    from ratchet.__main__ import app

    command: Any = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, *words = command.commands[words[0]], *words[1:]
    options = {option for param in command.params for option in param.opts}
    unknown = [word for word in words if word.startswith("--") and word not in options]
    return f"no such command or option: {words}" if hasattr(command, "commands") or unknown else ""


@pytest.mark.parametrize("command", commands())
def test_every_command_exists(command: str) -> None:
    assert not fault(command)


@pytest.mark.parametrize(
    "command",
    [
        "make nonsense",
        "python -m flows.nonsense",
        "python -m tests.contract --nonsense",
        "ratchet nonsense",
        "ratchet audit show --nonsense",
        "dvc nonsense",
        "nonsense",
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str) -> None:
    assert fault(command)


def test_the_page_of_commands_names_each_and_says_what_its_help_says() -> None:
    rows = dict(re.findall(r"^\| `(ratchet [^`]+)` \| (.+) \|$", COMMANDS_PAGE, re.MULTILINE))
    helps = {words: command.help.partition("\n\n")[0].replace("\n", " ") for words, command in all_commands().items()}
    assert rows == helps


def mentioned(text: str) -> list[str]:
    """The commands that a text calls: in backticks, on a line of its own, after `fix=` or a colon.

    >>> mentioned("see `ratchet keys add|list NAME`, or: ratchet run --verbose")
    ['ratchet keys add', 'ratchet keys list', 'ratchet run']
    """
    found = []
    for first, others in re.findall(r"(?:`|^ *|[=:] ?f?\"?)ratchet ([a-z][a-z-]*)((?: [a-z|-]+)?)", text, re.MULTILINE):
        group = any(words.startswith(f"ratchet {first} ") for words in all_commands())
        found += [f"ratchet {first} {word}".strip() for word in (others.strip().split("|") if group else [""])]
    return found


SOURCES = [path for package in ("ratchet", "flows", "pipeline_steps") for path in (ROOT / package).rglob("*.py")]


def test_what_pages_and_messages_call_exists() -> None:
    known = {*all_commands(), *(words.rpartition(" ")[0] for words in all_commands())}
    texts = {path: path.read_text(encoding="utf-8") for path in [*PAGES, *SOURCES]}
    unknown = {(path.name, words) for path, text in texts.items() for words in mentioned(text) if words not in known}
    assert not unknown


@pytest.mark.parametrize("path", tree())
def test_every_path_of_the_tree_exists_and_has_a_label(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()
    assert tree()[path]


def test_the_tree_leaves_nothing_out() -> None:
    """Top-level files and folders that git tracks, and what stands directly in ratchet/."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    tracked = [Path(line) for line in done.stdout.splitlines()]
    if not tracked:
        pytest.skip("no files in git's index: run in a clone")
    top = {path.parts[0] + ("/" if len(path.parts) > 1 else "") for path in tracked}
    inside = {path for path in tracked if path.parts[0] == "ratchet" and path.name != "__init__.py"}
    library = {"ratchet/" + path.parts[1] + ("/" if len(path.parts) > 2 else "") for path in inside}
    hidden = {
        ".dvc/",
        ".dvcignore",
        ".gitignore",
        ".gitattributes",
        ".allowed_signers",
        ".pre-commit-config.yaml",
        ".gitlab-ci.yml",
        ".python-version",
    }
    assert (top - hidden) | library <= set(tree())


def test_every_stage_is_in_the_diagram_and_the_table() -> None:
    steps = {path.stem for path in (ROOT / "pipeline_steps").glob("*.py")} - {"__init__"}
    (diagram,) = blocks("mermaid")
    table = {name for row in re.findall(r"^\| ([a-z, ]+) \|", README, re.MULTILINE) for name in row.split(", ")}
    assert [step for step in sorted(steps) if not re.search(rf"\b{step}\b", diagram)] == []
    assert steps <= table


def anchors(page: Path) -> set[str]:
    """What a link may name after `#`: the headings of a page as platforms write them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_inside_the_repository_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_and_every_section_can_be_found_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+)", README))
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in linked] == []
    sections = re.findall(r"^## (.+)$", README.partition("## What is where")[2], re.MULTILINE)
    overview = README.partition("## What is where")[2].partition("\n## ")[0]
    later = {"Why two runs agree", "When something fails", "License"}
    assert [name for name in sections if f"[{name}](#" not in overview] == [n for n in sections if n in later]


def test_the_results_are_those_of_the_committed_reports() -> None:
    """Of git's index, so that measuring again on another machine does not fail the tests; that machine's latencies and
    costs are in DVC alone, so their columns are left out."""
    reports: list[dict[str, Any]] = []
    for path in RESULTS:
        done = subprocess.run(["git", "show", f":{path}"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert not done.returncode, f"{path} is not in git's index: `make run`, then `git add {path}`"
        reports.append(json.loads(done.stdout))
    block = README.partition("<!-- results:start -->")[2].partition("<!-- results:end -->")[0].strip()
    assert _without_times(block) == _without_times(results_table(drop(reports[0]), reports[1])), (
        "refresh it: ratchet results --into README.md"
    )


def _without_times(table: str) -> list[list[str]]:
    """The cells of the lines of a table of results, without the columns that depend on the machine."""
    timed = {index + 1 for index, metric in enumerate(COLUMNS) if metric in MACHINE_METRICS}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [[cell for index, cell in enumerate(row) if index not in timed] for row in rows]


NEEDS_MORE = (
    "dvc repro",
    "python -m benchmarks.",
    *(f"ratchet {name}" for name in ("labels", "reference", "monitor", "alerts", "retrain", "rollout")),
    *(f"ratchet {name}" for name in ("diff", "registry", "audit", "keys", "serve")),
)
"""What needs the outputs of a run, keys, another branch or a server."""
RUN_HERE = [
    command
    for command in commands()
    if command.split()[0] in ("dvc", "python", "ratchet") and not command.startswith(NEEDS_MORE)
]
"""Commands that a clone can run at once; CI runs `make` and the pipeline, the deployment test Prefect's."""


@pytest.mark.slow
def test_the_commands_that_a_clone_can_run_run_as_written(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    assert (clone / RESULTS[0]).is_file(), "no reports are committed: `make run`, then commit reports/"
    assert len(RUN_HERE) >= 5
    for command in RUN_HERE:
        program, *words = shlex.split(command)
        run = [sys.executable, *([] if program == "python" else ["-m", program]), *words]
        done = subprocess.run(run, cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
