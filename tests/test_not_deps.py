"""The modules that no stage depends on cannot change what a stage writes."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from flows.runner.stages import Pipeline
from ratchet import errors
from ratchet.progress import Progress
from tests import contract
from tests.imports import NOT_DEPS, closure, imported
from tests.support.miniature import GRAPH, ROOT, environment, make_repository


def _tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", NOT_DEPS)
def test_it_imports_nothing_of_ours_and_no_stage_lists_it(path: str) -> None:
    assert not [name for name in imported((ROOT / path).read_text(), path) if name.startswith("ratchet")]
    assert [name for name, stage in contract.read_stages(ROOT).items() if path in stage.deps] == []


def test_errors_are_exception_classes_alone() -> None:
    docstring, future, *classes = _tree("ratchet/errors.py").body
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(future) == "from __future__ import annotations"
    for node in classes:
        assert isinstance(node, ast.ClassDef)
        assert issubclass(getattr(errors, node.name), Exception)
    called = {ast.unparse(node.func) for node in ast.walk(_tree("ratchet/errors.py")) if isinstance(node, ast.Call)}
    assert called == {"super", "super().__init__", "details.items", "'\\n'.join"}


def test_no_stage_keeps_what_an_error_of_ours_says() -> None:
    """A stage that caught one and wrote its message down, would write another when it is reworded."""
    ours = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    steps = [Path(f"pipeline_steps/{name}.py") for name in contract.step_names(ROOT)]
    modules = {path for step in steps for path in closure(ROOT, step) if path.suffix == ".py"}  # and no templates
    for path in {*steps, *modules}:
        for handler in [node for node in ast.walk(_tree(str(path))) if isinstance(node, ast.ExceptHandler)]:
            if handler.name and handler.type and ours & _names(handler.type):
                left = [node for node in handler.body if not ast.unparse(node).startswith("print(")]
                assert handler.name not in {name for node in left for name in _names(node)}, path


def _names(node: ast.AST) -> set[str]:
    return {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}


def test_progress_prints_and_gives_nothing_back() -> None:
    assert imported((ROOT / "ratchet/progress.py").read_text(), "ratchet.progress") == {
        "__future__",
        "__future__.annotations",
        "collections.abc",
        "collections.abc.Callable",
        "time",
    }
    calls = [node for node in ast.walk(_tree("ratchet/progress.py")) if isinstance(node, ast.Call)]
    called = {ast.unparse(node.func).split(".")[-1] for node in calls}
    assert called == {"print", "_clock", "clock", "replace"}  # the last of the string that is printed
    public = {name for name in vars(Progress("rows")) | vars(Progress) if not name.startswith("_")}
    assert public == {"add"}
    assert inspect.signature(Progress.add).return_annotation == "None"


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's use of pygtrie
def test_rewording_a_message_reruns_nothing_and_another_module_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_repository(tmp_path)
    monkeypatch.chdir(root)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=root, env=environment(), check=True)
    message, code = root / "ratchet/errors.py", root / "ratchet/params.py"
    message.write_text(message.read_text().replace("what to do", "next"))
    assert Pipeline(root).stale(list(GRAPH)) == []
    code.write_text(code.read_text().replace("PARAMS_FILE", "FILE"))
    assert Pipeline(root).stale(list(GRAPH)) == list(GRAPH)
