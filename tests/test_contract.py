"""dvc.yaml, params.yaml and the code agree; and each rule of that contract, broken once, is reported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.params import read_yaml
from tests import contract
from tests.imports import closure, direction_violations, imported, rendered, room_violations, template_violations

ROOT = Path(__file__).parents[1]
STEPS = contract.step_names(ROOT)

# What is true of this repository


def test_names_and_order_are_the_same_everywhere() -> None:
    stages, blocks = list(contract.read_stages(ROOT)), list(read_yaml(ROOT / "params.yaml"))
    assert [blocks.pop(0), blocks.pop(0)] == [contract.TASK, contract.LADDER]
    assert contract.name_violations(stages, blocks, STEPS, contract.ORDER) == []


@pytest.mark.parametrize("name", STEPS)
def test_stage_is_wired_as_its_module_says(name: str) -> None:
    found = contract.wiring_violations(ROOT, contract.read_stages(ROOT)[name])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", STEPS)
def test_params_are_complete_and_accepted(name: str) -> None:
    found = contract.params_violations(ROOT, name)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", STEPS)
def test_step_has_a_test_file(name: str) -> None:
    assert (ROOT / "tests" / "pipeline_steps" / f"test_{name}.py").is_file()


def test_stages_stand_in_the_order_of_execution() -> None:
    found = contract.order_violations(ROOT, list(contract.read_stages(ROOT).values()))
    assert not found, "\n".join(found)


def test_imports_run_one_way() -> None:
    found = direction_violations(ROOT)
    assert not found, "\n".join(found)


def test_rooms_import_downwards_only() -> None:
    found = room_violations(ROOT)
    assert not found, "\n".join(found)


def test_every_template_is_rendered_and_every_rendered_template_is_there() -> None:
    assert template_violations(ROOT) == []


def test_a_page_s_stage_depends_on_its_templates() -> None:
    """So that an edit of a template, or of a part it includes, makes `dvc repro` render the page again."""
    pages = {"report": "report.html", "explain": "explanations.html", "validate": "data_docs.html"}
    stages = contract.read_stages(ROOT)
    for name, page in pages.items():
        templates = {Path(dep).name for dep in stages[name].deps if dep.startswith("ratchet/reporting/templates/")}
        assert {page, "_base.html", "_style.css"} <= templates
        assert templates.isdisjoint({*pages.values(), "monitor.html"} - {page})
    assert not any("templates/" in dep for dep in stages["train"].deps)


def test_a_room_that_imports_one_above_it_is_reported(tmp_path: Path) -> None:
    for name, source in {"data/low": "import ratchet.trust.high", "trust/high": "import ratchet.data.low"}.items():
        path = tmp_path / "ratchet" / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text(source)
    upwards, circle = room_violations(tmp_path)
    assert upwards == "ratchet/data/low.py: must not import ratchet/trust/high.py, which stands above it"
    assert "in a circle" in circle


def test_the_command_line_alone_stands_above_the_flows(tmp_path: Path) -> None:
    """A room of another name may not import flows, and neither a flow nor a step may import the command line."""
    sources = {
        "ratchet/__main__": "from ratchet.commands import run",
        "ratchet/commands/run": "def run():\n    from flows import pipeline",
        "ratchet/commands_of_old": "def run():\n    from flows import pipeline",
        "ratchet/commands/heavy": "import prefect",
        "flows/pipeline": "import ratchet.commands.run",
        "pipeline_steps/use": "from ratchet import __main__",
    }
    for name, source in sources.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    assert direction_violations(tmp_path) == [
        "ratchet/commands/heavy.py: must not import prefect",
        "ratchet/commands_of_old.py: must not import flows",
        "ratchet/commands_of_old.py: must not import flows.pipeline",
        "pipeline_steps/use.py: must not import ratchet.__main__",
        "flows/pipeline.py: must not import ratchet.commands.run",
    ]


def test_importing_every_step_loads_no_heavy_library() -> None:
    heavy = "torch transformers lightning peft bitsandbytes openvino optimum onnxruntime shap great_expectations dvc"
    program = (
        "import importlib, sys\n"
        f"for name in {STEPS!r}: importlib.import_module(f'pipeline_steps.{{name}}')\n"
        f"print(*[name for name in {heavy.split()!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# A made-up tree that keeps the contract, and what is said when it does not

STEP = '''"""A step."""
from pydantic import Field
from ratchet.params import Params

READS = {READS}
WRITES = {WRITES}

class Params(Params):
    """Its params."""

    seed: int = Field(ge=0)
    """Random seed."""

def run():
    {IMPORT}
'''
DVC_YAML = """stages:
  make:
    cmd: python -m pipeline_steps.make
    params: [make]
    deps:
      - pipeline_steps/make.py
      - ratchet/deep.py
      - ratchet/shared.py
    outs:
      - data/made
    plots:
      - reports/make.json: {cache: false}
  use:
    matrix: {model: [a, b], engine: [x]}
    cmd: python -m pipeline_steps.use ${item.model} ${item.engine}
    params: [use]
    deps:
      - pipeline_steps/use.py
      - data/made/${item.model}
    outs:
      - models/${item.model}-${item.engine}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "dvc.yaml": DVC_YAML,
        "params.yaml": "make: {seed: 1}\nuse: {seed: 2}\n",
        "pipeline_steps/__init__.py": '"""Steps."""\n',
        "pipeline_steps/make.py": _step(
            {}, {"made": "data/made", "report": "reports/make.json"}, "from ratchet import shared"
        ),
        "pipeline_steps/use.py": _step({"made": "data/made/{model}"}, {"model": "models/{model}-{engine}"}, "pass"),
        "ratchet/__init__.py": '"""Library."""\n',
        "ratchet/shared.py": "from typing import TYPE_CHECKING\nfrom .deep import thing\n"
        "if TYPE_CHECKING:\n    import ratchet.other\n",
        "ratchet/deep.py": "thing = 1\n",
        "ratchet/other.py": "",
        "flows/__init__.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def _step(reads: dict[str, str], writes: dict[str, str], imports: str) -> str:
    return STEP.replace("{READS}", repr(reads)).replace("{WRITES}", repr(writes)).replace("{IMPORT}", imports)


def test_a_tree_that_keeps_the_contract_has_no_violations(tree: Path) -> None:
    # the made-up steps import ratchet.params from the repository, not from the tree
    assert contract.violations(tree, ["make", "use"]) == []


BREAKS = {
    "a module without a stage": ("pipeline_steps/new.py", None, STEP, "'new' is missing in dvc.yaml and params.yaml"),
    "a stage without a module": ("dvc.yaml", "stages:", "stages:\n  ghost: {cmd: x}", "missing in params.yaml and pip"),
    "a block without a stage": ("params.yaml", "make:", "extra: {}\nmake:", "'extra' is missing in dvc.yaml and pipel"),
    "another command": ("dvc.yaml", "pipeline_steps.make", "make", "expected 'python -m pipeline_steps.make'"),
    "matrix values in another order": (
        "dvc.yaml",
        "${item.model} ${item.engine}",
        "${item.engine} ${item.model}",
        "expected 'python -m pipeline_steps.use ${item.model} ${item.engine}'",
    ),
    "another block of params": ("dvc.yaml", "[make]", "[make, use]", "expected [make]"),
    "a key of a block only": ("dvc.yaml", "[make]", "[make.seed]", "expected [make]"),
    "an imported module is no dep": ("dvc.yaml", "      - ratchet/deep.py\n", "", "deps: add    - ratchet/deep.py"),
    "its own file is no dep": ("dvc.yaml", "      - pipeline_steps/use.py\n", "", "add    - pipeline_steps/use.py"),
    "a dep that is not read": (
        "dvc.yaml",
        "      - ratchet/deep.py",
        "      - ratchet/deep.py\n      - ratchet/x.py",
        "deps: remove - ratchet/x.py",
    ),
    "a dep named twice": (
        "dvc.yaml",
        "      - ratchet/deep.py",
        "      - ratchet/deep.py\n      - ratchet/deep.py",
        "deps: twice  - ratchet/deep.py",
    ),
    "an import inside a function is new": (
        "pipeline_steps/use.py",
        "    pass",
        "    import ratchet.other",
        "deps: add    - ratchet/other.py",
    ),
    "an input that the stage does not name": (
        "dvc.yaml",
        "      - data/made/${item.model}\n",
        "",
        "deps: add    - data/made/${item.model}",
    ),
    "an output that the stage does not name": (
        "dvc.yaml",
        "      - data/made\n",
        "      - data/other\n",
        "outs: add    - data/made",
    ),
    "a report that git does not keep": (
        "dvc.yaml",
        ": {cache: false}",
        "",
        "reports/make.json must have {cache: false}",
    ),
    "a report among the outs": ("dvc.yaml", "    plots:\n", "", "plots: reports/make.json must stand here"),
    "a model that git keeps": ("dvc.yaml", "-${item.engine}\n", "-${item.engine}: {cache: false}\n", "must be cached"),
    "a param with a default": ("pipeline_steps/use.py", "Field(ge=0)", "3", "Params.seed: has a default"),
    "a param without a docstring": ("pipeline_steps/use.py", '    """Random seed."""', "", "seed: has no docstring"),
    "a param out of range": ("params.yaml", "seed: 2", "seed: -2", "use.seed = -2"),
    "an unknown param": ("params.yaml", "seed: 2", "seed: 2, sed: 3", "use.sed: unknown key"),
    "a step without Params": (
        "pipeline_steps/use.py",
        "class Params(Params)",
        "class Other(Params)",
        "pipeline_steps/use.py, Params: is missing",
    ),
    "the library imports a step": (
        "ratchet/deep.py",
        "thing",
        "import pipeline_steps.use\nthing",
        "ratchet/deep.py: must not import pipeline_steps.use",
    ),
    "the library imports dvc": ("ratchet/deep.py", "thing", "import dvc.repo\nthing", "must not import dvc.repo"),
    "a step imports a step": (
        "pipeline_steps/use.py",
        "    pass",
        "    from pipeline_steps import make",
        "pipeline_steps/use.py: must not import pipeline_steps.make",
    ),
    "a step imports Prefect": ("pipeline_steps/use.py", "    pass", "    import prefect", "must not import prefect"),
    "a package that runs code": ("ratchet/__init__.py", '"""Library."""', "import json", "may hold a docstring only"),
    "a file that nobody writes": (
        "dvc.yaml",
        "      - data/made\n",
        "      - data/other\n",
        "reads data/made/a, which no stage writes",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_rule_is_reported(tree: Path, name: str) -> None:
    file, old, new, message = BREAKS[name]
    path = tree / file
    if old is None:
        path.write_text(_step({}, {}, "pass"))
    else:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    assert message in "\n".join(contract.violations(tree, ["make", "use"]))
    assert contract.violations(tree, ["make", "use"]) != []


def test_a_stage_before_what_it_reads_is_reported(tree: Path) -> None:
    stages = list(contract.read_stages(tree).values())
    assert contract.order_violations(tree, stages[::-1]) == [
        "stage 'use' reads data/made/a, which the later stage 'make' writes",
        "stage 'use' reads data/made/b, which the later stage 'make' writes",
    ]
    assert contract.name_violations(["use", "make"], ["use", "make"], ["make", "use"], ["make", "use"]) == [
        "dvc.yaml names its stages as\n  use make\nexpected\n  make use"
    ]


def test_the_lines_to_paste_are_the_right_ones(tree: Path) -> None:
    stages = contract.read_stages(tree)
    lines = "\n".join(["stages:", *(contract.expected_lines(tree, name, stages[name].matrix) for name in stages)])
    (tree / "dvc.yaml").write_text(lines + "\n")
    assert contract.violations(tree, ["make", "use"]) == []


def test_a_path_from_params_must_exist_too(tree: Path) -> None:
    path = tree / "params.yaml"
    (tree / "dvc.yaml").write_text(DVC_YAML.replace("data/made/${item.model}", "${use.watch}"))
    path.write_text("use: {seed: 2, watch: dvc.yaml}\n")
    assert contract.order_violations(tree, list(contract.read_stages(tree).values())) == []
    path.write_text("use: {seed: 2, watch: gone.csv}\n")
    (violation,) = contract.order_violations(tree, list(contract.read_stages(tree).values()))
    assert violation.startswith("stage 'use' reads gone.csv, which no stage writes")


def test_imports_are_found_wherever_they_run() -> None:
    source = (
        "import a.b\ndef f():\n    from c import d\n    import_module('e.f')\n"
        "if TYPE_CHECKING:\n    import g\nelse:\n    import h"
    )
    assert imported(source, "x.y") == {"a.b", "c", "c.d", "e.f", "h"}


def test_templates_are_followed_to_what_they_extend_include_and_import(tree: Path) -> None:
    folder = tree / "ratchet/reporting/templates"
    folder.mkdir(parents=True)
    for name, text in {
        "page.html": '{% extends "_base.html" %}{% from "_macros.html" import table %}',
        "_base.html": '{% include "_style.css" %}',
        "_macros.html": '{% from "_macros.html" import table %}',
        "_style.css": "",
        "other.html": "",
    }.items():
        (folder / name).write_text(text)
    (tree / "ratchet/deep.py").write_text("thing = lambda: templates.render_template('page.html', thing=1)\n")
    followed = ["_base.html", "_macros.html", "_style.css", "page.html"]
    found = sorted(path.name for path in closure(tree, Path("pipeline_steps/make.py")) if path.suffix != ".py")
    assert found == followed
    violations = "\n".join(contract.violations(tree, ["make", "use"]))
    for name in followed:
        assert f"deps: add    - ratchet/reporting/templates/{name}" in violations
    assert "ratchet/reporting/templates/other.html: no module of ratchet renders it" in violations


@pytest.mark.parametrize("call", ["render_template(name)", "render_template()", "render_template('gone.html')"])
def test_a_template_that_nobody_can_tell_is_reported(tree: Path, call: str) -> None:
    (tree / "ratchet/other.py").write_text(call)
    (violation,) = template_violations(tree)
    assert violation.startswith("ratchet/other.py: ")
    if "gone" not in call:
        with pytest.raises(ValueError, match="as a literal"):
            rendered(call)


def test_what_is_imported_by_a_name_of_the_run_is_any_module_of_its_package(tree: Path) -> None:
    kinds = tree / "ratchet/data/kinds"
    kinds.mkdir(parents=True)
    for name, source in {"__init__": "", "one": "import ratchet.other", "two": ""}.items():
        (kinds / f"{name}.py").write_text(source)
    (tree / "ratchet/deep.py").write_text("thing = lambda name: import_module(f'ratchet.data.kinds.{name}')\n")
    found = {path.as_posix().removeprefix("ratchet/") for path in closure(tree, Path("pipeline_steps/make.py"))}
    assert found == {"shared.py", "deep.py", "data/kinds/one.py", "data/kinds/two.py", "other.py"}
    (tree / "ratchet/data/kinds/two.py").write_text("import ratchet.deep")
    assert "in a circle" in "\n".join(room_violations(tree))


def test_closure_ends_at_a_cycle(tree: Path) -> None:
    (tree / "ratchet/deep.py").write_text("from ratchet import shared\n")
    assert closure(tree, Path("pipeline_steps/make.py")) == {Path("ratchet/deep.py"), Path("ratchet/shared.py")}
