"""The pages that people read: each command runs, or a table says why not; links lead somewhere; examples are accepted.

Every command of a fenced block is of one class: it runs in a clone (`test_commands_run_as_written`), has a quick form
that a test runs (`QUICK`), takes minutes and names the report that it wrote (`MINUTES`), or needs what no clone has
(`NEEDS`). All of them are held against the options that there are.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple
from unittest.mock import Mock

import pytest
from ruamel.yaml import YAML

from flows.init.task_state import STATE
from pipeline_steps import ingest
from ratchet.data.sources.source import Source
from ratchet.params import read_yaml
from ratchet.serving.client_routes import client_routes
from ratchet.task import Task

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS_PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

QUICK = {
    "python -m benchmarks.efficiency --quick": "tests/benchmarks/test_quick.py",
    "python -m benchmarks.engines --quick": "tests/benchmarks/test_quick.py",
    "python -m benchmarks.prove_verdict --quick": "tests/benchmarks/test_prove_verdict.py",
}
"""Command → the test that runs it, on a miniature."""
MINUTES = {
    "make ablate": "reports/ablation",
    "make bench-ab": "reports/bench/ab_tests.json",
    "make bench-data": "reports/bench/data_scale.json",
    "make bench-drift": "reports/bench/drift.json",
    "make bench-ppi": "reports/bench/prediction_powered.json",
    "make chaos": "reports/bench/chaos.json",
    "make bench-explain": "reports/bench/explanations.json",
    "make bench-league": "reports/bench/league",
    "make bench-recipes": "reports/bench/few_labels.json",
    "make bench-serving": "reports/bench/serving.json",
    "make demo": "reports/demo.html",
    "make explain-deep": ".scratch/explain-deep",
    "make fuzz": "docs/fuzzing.md",
    "make fuzz-sources": "reports/bench/fuzz_sources.json",
    "make mutants": "reports/bench/mutants.json",
    "make prove-gates": "reports/bench/prove_gates.json",
    "make prove-verdict": "reports/bench/prove_verdict.json",
    "python -m benchmarks.data_scale": "reports/bench/data_scale.json",
    "python -m benchmarks.efficiency": "reports/bench/",
    "python -m benchmarks.engines": "reports/bench/",
    "python -m benchmarks.group_thresholds": "decisions/gates-that-can-fail.md",
    "python -m benchmarks.readers": "reports/bench/readers.json",
    "python -m benchmarks.label_forecast": "reports/bench/label_forecast.json",
    "python -m benchmarks.label_noise": "reports/bench/label_noise.json",
    "python -m benchmarks.league": "reports/bench/league",
    "python -m benchmarks.recipes": "reports/bench/",
    "python -m benchmarks.mitigation": "decisions/gates-that-can-fail.md",
    "python -m benchmarks.training": "reports/bench/",
    "python -m benchmarks.tuning": "reports/bench/",
    "python -m tests.support.registry_mutants": "tests/registry/test_attacks.py",
}
"""Beginning of a command that takes minutes → what it writes, which its page names."""
NEEDS = {
    "make run": "a quarter of an hour: `.ci/run` runs it twice",
    "make init": "data: tests/flows/test_init.py",
    "make test": "it is what runs this test",
    "make evidently-env": "an environment of its own",
    "make labels-server": "Label Studio's environment, 1 GB",
    "make s3-env gcs-env": "environments of their own",
    "dvc repro": "a quarter of an hour: `.ci/run` runs the same stages",
    "dvc push": "a remote of DVC's",
    "dvc remote add": "a remote of DVC's",
    "git ": "keys and a remote: tests/registry/test_release_story.py",
    "ssh-keygen": "a key for good: tests/registry make theirs",
    "openssl": "a key for good: tests/registry make theirs",
    "mkdir": "part of making keys",
    "source": "a shell's state",
    "export": "a shell's state",
    "curl": "a server: tests/serving asks each route",
    "prefect": "a server: tests/flows/test_deployment.py",
    "ratchet alerts": "a server: tests/flows/test_alerts.py",
    "ratchet audit": "an audit log: tests/registry/test_release_story.py",
    "ratchet diff": "another branch: tests/reporting/test_change_page.py",
    "ratchet dossier": "the reports of a run: tests/reporting/test_dossier.py",
    "ratchet doctor": "a workspace of its own: tests/flows/test_doctor.py",
    "ratchet forget": "a text to forget: tests/flows/test_forgetting.py",
    "ratchet keys": "it would make a key: tests/serving/test_auth.py",
    "ratchet cost": "the measurements of a run, in DVC: tests/reporting/test_cost.py",
    "ratchet results": "the measurements of a run, in DVC: tests/reporting/test_pages.py",
    "ratchet label ": "people: tests/studio/test_labelling.py",
    "ratchet labels": "a model and people: tests/flows/test_labelling.py",
    "ratchet monitor": "a prediction log: tests/flows/test_monitoring.py",
    "ratchet reference": "a model: tests/flows/test_monitoring.py",
    "ratchet registry": "releases: tests/registry/test_release_story.py",
    "ratchet release": "an accepted run and keys: tests/flows/test_release.py",
    "ratchet retrain": "answers of people: tests/flows/test_monitoring.py",
    "ratchet rollout": "a server and two models: tests/flows/test_rollout.py",
    "ratchet studio": "it serves until Ctrl-C: tests/studio",
    "ratchet try": "the bundles of a run: tests/flows/test_techniques.py",
    "ratchet verify": "a release: tests/flows/test_verification.py",
    "ratchet score": "a model: tests/scoring/test_scoring.py",
    "ratchet serve": "a model: tests/serving/test_serving.py",
}
"""Beginning of a command → what it needs that a clone has not, or which test does it on a miniature."""


class Command(NamedTuple):
    """One command of a page, as it is written."""

    page: str
    text: str


def fenced(text: str, language: str) -> list[str]:
    """The blocks of one language, without the indent of the list that they stand in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return [dedent(block) for _, block in found]


def commands() -> list[Command]:
    """Every command of a shell's block of any page; `a && b` is two, what stands after a backslash belongs to it."""
    found = []
    for page in PAGES:
        for block in fenced(page.read_text(encoding="utf-8"), "bash"):
            lines = block.replace("\\\n", " ").splitlines()
            parts = [part.strip() for line in lines if line.strip() for part in line.split(" && ")]
            found += [Command(page.relative_to(ROOT).as_posix(), part) for part in parts]
    return found


def matches(command: str, table: dict[str, str]) -> list[str]:
    """The entries of a table that the command begins with, word by word."""
    return [start for start in table if f"{command} ".startswith(start if start.endswith(" ") else f"{start} ")]


def runs_here(command: str) -> bool:
    return not (matches(command, QUICK) or matches(command, MINUTES) or matches(command, NEEDS))


def command_error(command: str) -> str:
    """What is wrong with a command; empty when its program, module, options and files exist."""
    program, *words = shlex.split(command, comments=True)
    if program == "make":
        targets = re.findall(r"^([\w-]+)\s*:", MAKEFILE, re.MULTILINE)
        asked = {word for word in words if "=" not in word}  # NAME=value sets a variable
        return "" if asked <= set(targets) else f"no such target: {words}"
    if program == "python":
        return _module_error(words)
    if program == "dvc":
        return _dvc_error(words)
    if program == "prefect":
        spec = importlib.util.find_spec(program)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        folder = Path(spec.submodule_search_locations[0]) / "cli"
        name = words[0].replace("-", "_")
        return "" if (folder / f"{name}.py").is_file() or (folder / name).is_dir() else f"no such command: {words[0]}"
    if program == "ratchet":
        return _ratchet_error(words)
    if program in ("source", "export", "git", "ssh-keygen", "openssl", "mkdir"):
        return ""
    if program == "curl":
        return _route_error(words)
    return f"no known program: {program}"


def _dvc_error(words: list[str]) -> str:
    """Whether DVC's own parser takes the command with its options."""
    from dvc.cli import DvcParserError
    from dvc.cli.parser import get_main_parser

    # DVC logs what it refuses, to a stream that belongs to whichever test first set its logging up
    logging.disable(logging.CRITICAL)
    try:
        get_main_parser().parse_args(words)
    except (DvcParserError, SystemExit):
        return f"no such command or option: {words}"
    finally:
        logging.disable(logging.NOTSET)
    return ""


def _route_error(words: list[str]) -> str:
    """Whether the server has the route that is asked."""
    path = "/" + words[0].partition("/")[2]
    routes = {route.path for route in client_routes({"default": Mock()}, Mock())}
    return "" if path in routes else f"no such route: {path}"


@cache
def command_line() -> Any:
    """The command `ratchet`, as click has it."""
    from typer.main import get_command

    from ratchet.__main__ import app

    return get_command(app)


@cache
def all_commands() -> dict[str, Any]:
    """Each command of the command line by the words that call it."""
    return dict(_leaves(command_line(), "ratchet"))


def _leaves(group: Any, words: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


def _module_error(words: list[str]) -> str:
    if words[0] != "-m":
        return "" if (ROOT / words[0]).is_file() else f"no such file: {words[0]}"
    module = ROOT / words[1].replace(".", "/")
    path = module / "__main__.py" if module.is_dir() else module.with_suffix(".py")
    if not path.is_file():
        return f"no such module: {words[1]}"
    text = path.read_text(encoding="utf-8")
    unknown = [word for word in words[2:] if word.startswith("--") and word not in text]
    missing = [word for word in words[2:] if word.endswith(".md") and not (ROOT / word).is_file()]
    return f"no such option or page: {unknown + missing}" if unknown or missing else ""


def _ratchet_error(words: list[str]) -> str:
    """Follow the words through the groups of the command line, then look at the options."""
    command = command_line()
    while words and words[0] in getattr(command, "commands", {}):
        command, *words = command.commands[words[0]], *words[1:]
    options = {option for param in command.params for option in param.opts}
    unknown = [word for word in words if word.startswith("--") and word not in options]
    return f"no such command or option: {words}" if hasattr(command, "commands") or unknown else ""


@pytest.mark.parametrize("command", sorted({command.text for command in commands()}))
def test_every_command_exists(command: str) -> None:
    assert not command_error(command)


@pytest.mark.parametrize(
    "command",
    [
        "make nonsense",
        "python -m flows.nonsense",
        "python -m tests.contract --nonsense",
        "python -m benchmarks.table docs/nonsense.md",
        "ratchet nonsense",
        "ratchet audit show --nonsense",
        "dvc nonsense",
        "dvc push --nonsense",
        "prefect nonsense",
        "nonsense",
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str) -> None:
    assert command_error(command)


def test_every_exception_is_of_one_class_and_used() -> None:
    """A quick form is no exception of the long one; an entry that no page needs any more goes."""
    texts = [command.text for command in commands()]
    for text in texts:
        if text not in QUICK:
            assert len(matches(text, MINUTES)) + len(matches(text, NEEDS)) <= 1, text
    unused = [
        start for table in (QUICK, MINUTES, NEEDS) for start in table if not any(matches(t, {start: ""}) for t in texts)
    ]
    assert not unused


def test_a_command_of_minutes_names_on_its_page_what_it_wrote() -> None:
    unnamed = []
    for page, text in commands():
        for start in matches(text, MINUTES) if text not in QUICK else ():
            if MINUTES[start] not in f"{page} {(ROOT / page).read_text(encoding='utf-8')}":
                unnamed.append((page, text, MINUTES[start]))
    assert not unnamed


def test_what_a_table_points_to_is_there() -> None:
    """The tests that run a quick form or do it on a miniature, and the reports that are committed."""
    paths = [*QUICK.values(), *(word for reason in NEEDS.values() for word in re.findall(r"tests/\S+", reason))]
    paths += [path for path in MINUTES.values() if path.startswith(("reports/bench", "reports/ablation", "tests/"))]
    of_a_task = {item.path for item in STATE}  # `ratchet init` takes them away
    assert [path for path in paths if path not in of_a_task and not (ROOT / path).exists()] == []


@pytest.mark.slow
def test_commands_run_as_written(tmp_path: Path) -> None:
    """In a clone; and what they write into the pages is what the pages hold."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    chosen = list(dict.fromkeys(command.text for command in commands() if runs_here(command.text)))
    assert len(chosen) >= 8
    for command in chosen:
        program, *words = shlex.split(command, comments=True)
        run = [sys.executable, *([] if program == "python" else ["-m", program]), *words]
        done = subprocess.run(run, cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    moved = subprocess.run(
        ["git", "diff", "--exit-code", "--", "README.md", "docs"], cwd=clone, capture_output=True, text=True
    )
    assert not moved.returncode, f"a page is not of the committed reports:\n{moved.stdout}"


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


def test_targets_that_pages_name_exist() -> None:
    targets = set(re.findall(r"^([\w-]+)\s*:", MAKEFILE, re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([\w-]+)", page.read_text(encoding="utf-8"))}
    assert named <= targets


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


def test_every_page_is_in_the_index_and_found_from_the_first_page() -> None:
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    index, first = ((ROOT / path).read_text(encoding="utf-8") for path in ("docs/README.md", "README.md"))
    assert pages == set(re.findall(r"\]\(([\w-]+\.md)", index))
    assert pages | {"README.md"} == set(re.findall(r"\]\(docs/([\w-]+\.md)", first))


def test_the_files_of_each_change_exist() -> None:
    """docs/extending.md: every path in backticks, and ten changes of at most six lines each."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    paths = [path for path in re.findall(r"`([\w./-]+)`", text) if "/" in path and "NAME" not in path]
    assert len(paths) > 30
    written = {"models/reference"}  # by a promotion
    assert [path for path in paths if path not in written and not (ROOT / path).exists()] == []
    changes = [part for part in text.split("\n## ")[1:] if part.startswith("Add a")]
    assert len(changes) == 10
    assert all(3 <= len(re.findall(r"^\d\. ", change, re.MULTILINE)) <= 6 for change in changes)


@pytest.mark.parametrize("page", ["README.md", "docs/your-data.md"])
def test_the_example_of_your_own_data_is_accepted(page: str) -> None:
    """Its keys and values, in place of those of params.yaml."""
    from pydantic import TypeAdapter

    block, *_ = fenced((ROOT / page).read_text(encoding="utf-8"), "yaml")
    example, values = YAML(typ="safe").load(block), read_yaml(ROOT / "params.yaml")
    Task.model_validate({**values["task"], "selected": [], **example["task"]})
    TypeAdapter(Source).validate_python(example["ingest"]["source"])
    assert set(example["ingest"]) <= set(ingest.Params.model_fields)


def test_each_deep_test_is_listed_with_the_quick_one() -> None:
    """docs/ci.md has a row for each, with files that are there."""
    rows = dict(
        re.findall(r"^\| `(tests/\S+::\w+)` \| [\d.]+ \| (.+) \|$", (ROOT / "docs/ci.md").read_text("utf-8"), re.M)
    )
    marked = {
        f"{path.relative_to(ROOT).as_posix()}::{name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^@pytest\.mark\.deep\n(?:@.*\n)*def (\w+)", path.read_text(encoding="utf-8"), re.M)
    }
    assert marked == set(rows)
    assert all((ROOT / path).exists() for quick in rows.values() for path in re.findall(r"`(tests/\S+)`", quick))
