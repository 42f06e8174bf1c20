"""Whether the tests notice when the code that decides a release is broken: mutation testing by cosmic-ray.

    python -m benchmarks.mutants [--each N] [--modules PATH ...]     what was tried is not tried again
    python -m benchmarks.mutants --into docs/gates.md                the report's table into a page

Of each module of `AREAS` so many mutants are drawn by a hash, each is written into a copy of the repository, and the
tests of that module run there. What differs in annotations and docstrings alone is no mutant, nor is what does not
parse. Those that no test notices are listed; what was found to change nothing stands in
`equivalent_mutants.json` with the reason.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.material import SCRATCH, write_report
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.files import read_json, write_json
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.formats import markdown_table
from ratchet.reporting.marked_block import write_block

ROOT = Path.cwd()
REPORT = Path("reports/bench/mutants.json")
TRIED = SCRATCH / "mutants.json"
"""Mutant → whether tests noticed, by the bytes of the module and of its tests: it outlives a kill, and no edit."""
AREAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ratchet/measure/bootstrap.py": (
        "intervals",
        ("ratchet/measure/bootstrap.py", "tests/measure/test_bootstrap.py", "tests/measure/test_confidence.py"),
    ),
    "ratchet/measure/significance.py": (
        "intervals",
        ("ratchet/measure/significance.py", "tests/measure/test_significance.py"),
    ),
    "ratchet/gates/gates.py": ("gates", ("ratchet/gates/gates.py", "tests/gates/test_gates.py")),
    "pipeline_steps/promote.py": ("gates", ("tests/pipeline_steps/test_promote.py",)),
    "ratchet/gates/ranking.py": ("choosing", ("ratchet/gates/ranking.py", "tests/gates/test_ranking.py")),
    "pipeline_steps/shortlist.py": ("choosing", ("tests/pipeline_steps/test_shortlist.py",)),
    "pipeline_steps/judge.py": ("judging", ("tests/pipeline_steps/test_judge.py",)),
    "ratchet/registry/high_water_mark.py": ("high-water mark", ("tests/registry/test_high_water_mark.py",)),
}
"""Module → what it decides, and the tests that are to notice; a module's own are its examples."""
EQUIVALENT: dict[str, str] = read_json(Path(__file__).with_name("equivalent_mutants.json"))
"""Mutant → why it changes nothing that a test could notice."""
OPERATORS = (
    "AddNot",
    "ExceptionReplacer",
    "NumberReplacer",
    "ReplaceAndWithOr",
    "ReplaceBinaryOperator",
    "ReplaceBreakWithContinue",
    "ReplaceComparisonOperator",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator",
    "ZeroIterationForLoop",
)
"""Beginnings of the names of cosmic-ray's operators that are used: all but decorators, keywords and its own example."""
COUNTS = ("tried", "noticed", "equivalent")
"""What is counted of each area."""
SLOWER = 5
"""Times as long as the unbroken code's tests a mutant's may take, and half a minute: then it hangs, and is noticed."""


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    name: str
    """Module, function, and the changed line before and after."""
    code: str
    """The changed module."""


def mutants(module: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a module that is another program, in an order that depends on nothing but their names."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes
    from cosmic_ray.mutating import mutate_code
    from parso import parse

    nodes = list(ast_nodes(parse(text)))
    found: dict[str, Mutant] = {}
    whole = _program(text)
    for name in plugins.operator_names():
        if not name.removeprefix("core/").startswith(OPERATORS):
            continue
        operator = plugins.get_operator(name)()
        for occurrence in range(sum(len(list(operator.mutation_positions(node))) for node in nodes)):
            code = mutate_code(text, operator, occurrence)
            if code is not None and _program(code) not in (None, whole):
                mutant = Mutant(f"{module} {_change(text, code)}", code)
                if "__name__" not in mutant.name:
                    found.setdefault(mutant.name, mutant)
    yield from sorted(found.values(), key=lambda mutant: hashlib.sha256(mutant.name.encode()).digest())


def _program(text: str) -> str | None:
    """What the text does: its syntax tree without annotations and docstrings; None: it does not parse."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.AnnAssign) and not _is_field(node):
            node.annotation = ast.Constant(None)
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            node.body = [item for item in node.body if not _is_text(item)]
    return ast.dump(tree)


def _is_field(node: ast.AnnAssign) -> bool:
    """Whether the annotation says more than a type: pydantic reads the bounds of `Annotated`."""
    return isinstance(node.annotation, ast.Subscript) and ast.unparse(node.annotation.value) == "Annotated"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _change(before: str, after: str) -> str:
    """The function and the line that differ, before and after; with its place among equal lines."""
    old, new = before.splitlines(), after.splitlines()
    at = next(place for place, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    holds = [
        node.name
        for node in ast.walk(ast.parse(before))
        if isinstance(node, ast.FunctionDef) and node.lineno <= at + 1 <= (node.end_lineno or 0)
    ]
    nth = sum(line == old[at] for line in old[:at])
    place = f" ({nth + 1})" if nth else ""
    return f"{holds[-1] if holds else 'module'}{place}: {old[at].strip()} → {new[at].strip()}"


def make_copy(root: Path) -> None:
    """Copy what Git tracks to `root`."""
    names = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)


def notices(root: Path, tests: Sequence[str], seconds: float | None = None) -> bool:
    """Whether the tests fail, or take longer than so many seconds."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not deep", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def try_all(modules: Sequence[str], each: int) -> list[dict[str, Any]]:
    """The drawn mutants of each module, each with whether it was noticed; what was tried before is not tried again.

    Raises:
        PipelineError: the tests of a module fail without any mutant.
    """
    tried: dict[str, bool] = read_json(TRIED) if TRIED.exists() else {}
    rows = []
    with tempfile.TemporaryDirectory(prefix="ratchet-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        make_copy(root)
        for module in modules:
            area, tests = AREAS[module]
            text, seconds = (ROOT / module).read_text(encoding="utf-8"), 0.0
            content = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in (module, *tests))).hexdigest()[:12]
            for mutant in list(mutants(module, text))[:each]:
                key = f"{content} {mutant.name}"
                if key not in tried:
                    seconds = seconds or _usual_s(root, tests)
                    (root / module).write_text(mutant.code, encoding="utf-8")
                    tried[key] = notices(root, tests, SLOWER * seconds + 30)
                    (root / module).write_text(text, encoding="utf-8")
                    write_json(TRIED, tried)
                    print(f"{'noticed' if tried[key] else 'NOT NOTICED'}: {mutant.name}", flush=True)
                rows.append({"area": area, "name": mutant.name, "is_noticed": tried[key]})
    return rows


def _usual_s(root: Path, tests: Sequence[str]) -> float:
    """Seconds of the tests of the unbroken code.

    Raises:
        PipelineError: they fail.
    """
    began = time.monotonic()
    if notices(root, tests):
        raise PipelineError("The tests fail without any mutant.", where=", ".join(tests), fix="make test")
    return time.monotonic() - began


def summed_up(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many were noticed of those that change something, by area and in all, and which were not."""
    areas: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = areas.setdefault(row["area"], dict.fromkeys(COUNTS, 0))
        counts["tried"] += 1
        counts["noticed"] += row["is_noticed"]
        counts["equivalent"] += not row["is_noticed"] and row["name"] in EQUIVALENT
    left = [row["name"] for row in rows if not row["is_noticed"] and row["name"] not in EQUIVALENT]
    different = [row["is_noticed"] for row in rows if row["is_noticed"] or row["name"] not in EQUIVALENT]
    share = proportion_estimate(sum(different), len(different)).to_json()
    return {
        "areas": areas,
        "share_noticed": share,
        "not_noticed": left,
        "equivalent": {row["name"]: EQUIVALENT[row["name"]] for row in rows if row["name"] in EQUIVALENT},
    }


def markdown(report: Mapping[str, Any]) -> str:
    """The table of a report, and what was not noticed."""
    rows = [[area, *(str(counts[name]) for name in COUNTS)] for area, counts in report["areas"].items()]
    share = report["share_noticed"]
    told = (
        f"{share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}] of those that change something were noticed."
    )
    left = [f"- `{name.replace('|', '/')}`" for name in report["not_noticed"]]
    lines = [*markdown_table(["what it decides", *COUNTS], rows), "", told]
    return "\n".join([*lines, *(["", "Not noticed:", "", *left] if left else [])])


def main() -> None:
    """Try mutants, print the table, and write the report; or put the report's table into a page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants")
    parser.add_argument("--each", type=int, default=15, help="mutants of each module")
    parser.add_argument("--modules", nargs="+", choices=AREAS, default=list(AREAS))
    parser.add_argument("--into", type=Path, help="instead, a Markdown file whose block `mutants` gets the table")
    given = parser.parse_args()
    if given.into:
        write_block(given.into, "mutants", markdown(read_json(REPORT)))
        return
    report = summed_up(try_all(given.modules, given.each))
    print(markdown(report))
    if given.modules == list(AREAS):
        write_report("mutants", report, n_threads=1, options=f"--each {given.each}")


if __name__ == "__main__":
    entry(main)
