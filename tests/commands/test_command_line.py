"""The command line: each command explains itself, ends with the right code, and calls its flow as that expects."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from prefect.states import Completed
from typer.main import get_command

from ratchet.__main__ import app
from tests.support.miniature import ROOT

HEAVY = ["prefect", "torch", "dvc", "transformers", "sklearn", "lightning"]
FLOWS = {
    "labels push": ("flows.labelling.flow", "push"),
    "labels pull": ("flows.labelling.flow", "pull"),
    "monitor": ("flows.monitoring.flow", "monitor"),
    "retrain": ("flows.retraining.flow", "retrain"),
    "rollout check": ("flows.rollout.flow", "check"),
    "release": ("flows.release", "release"),
    "ablate": ("flows.ablation", "ablate"),
}
"""Command → the module and the name of the flow that it runs; `ratchet run` goes by `flows.runner.launch`."""
NEEDED = {"release": ["--who", "ann", "--why", "better"]}
"""Command → the options that it cannot do without."""


def commands(group: Any = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it."""
    top: Any = group or get_command(app)
    for name, command in top.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield " ".join([*words, name]), command


COMMANDS = dict(commands())


def ratchet(*words: str) -> int:
    """The exit code of a command line."""
    try:
        return int(get_command(app).main(list(words), "ratchet") or 0)
    except SystemExit as error:
        return int(error.code or 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_argument_and_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ratchet(*name.split(), "--help") == 0
    printed = " ".join(capsys.readouterr().out.split())
    for param in COMMANDS[name].params:
        explanation = str(getattr(param, "help", None) or "")
        assert explanation[-1:] == ".", f"{name} {param.name}: {explanation!r}"
        assert " ".join(explanation.split()) in printed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_number_has_a_range(name: str) -> None:
    numbers = {"integer", "float", "integer range", "float range"}
    for param in COMMANDS[name].params:
        assert param.type.name not in numbers or param.type.name.endswith("range"), f"{name} {param.name}"


@pytest.mark.parametrize("words", ["", "nonsense", "run --nonsense", "run --max-workers 0", "rollout start --name a"])
def test_what_the_command_line_does_not_know_ends_with_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ratchet(*words.split()) == 2
    printed = capsys.readouterr()
    assert "Usage: ratchet" in printed.out + printed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run", "There is no pipeline here."),
        ("results", "evaluate.json"),
        ("ablate --only magic", "There is no such composition."),
        ("alerts --test", "Alerts need a server that stays."),
        ("release --who a --why b --wait", "Nobody can resume a flow without a server."),
        ("rollout stop --why a", "live.yaml"),
        ("raw-text 0123456789abcdef", "data/raw.parquet"),
    ],
)
def test_an_error_is_one_message_and_exit_code_1(tmp_path: Path, words: str, message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ratchet", *words.split()],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("error: ")) == (1, 1), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


def test_an_interrupted_command_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ratchet.gates.measured_reports.read_report", interrupt)
    assert ratchet("results") == 130
    monkeypatch.setattr("flows.monitoring.flow.monitor", interrupt)
    assert ratchet("monitor") == 130


@pytest.fixture
def called(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands for the flow of a command; what it is called with, by the names of its parameters."""
    module, name = FLOWS[request.param]
    signature = inspect.signature(getattr(importlib.import_module(module), name).fn)
    seen: dict[str, Any] = {}

    def flow(*arguments: Any, return_state: bool = False, **named: Any) -> Any:
        assert return_state
        seen.update(signature.bind(*arguments, **named).arguments)
        return Completed(message="done")

    monkeypatch.setattr(f"{module}.{name}", flow)
    seen["defaults"] = {key: item.default for key, item in signature.parameters.items()}
    return seen


@pytest.mark.parametrize(("name", "called"), [(name, name) for name in FLOWS], indirect=["called"])
def test_without_options_a_flow_gets_its_own_defaults(name: str, called: dict[str, Any]) -> None:
    assert ratchet(*name.split(), *NEEDED.get(name, [])) == 0
    defaults = called.pop("defaults")
    optional = {key for key in called if defaults[key] is not inspect.Parameter.empty}
    assert {key: called[key] for key in optional} == {key: defaults[key] for key in optional}


@pytest.mark.parametrize(
    ("words", "called", "expected"),
    [
        (
            "labels push --n 3 --annotators 4 --query-strategy badge --bundle models/a --max-pool 5",
            "labels push",
            {"n_open": 3, "n_annotators": 4, "query_strategy": "badge", "bundle": "models/a", "max_pool": 5},
        ),
        ("labels push --suspects", "labels push", {"suspects": True}),
        (
            "labels pull --annotators 3 --min-agreement 0.7 --answers a.csv",
            "labels pull",
            {"n_annotators": 3, "min_agreement": 0.7, "answers": "a.csv"},
        ),
        (
            "retrain --key k --model-version v --occurred t --n 3 --min-answered 0.5 --annotators 4 --max-wait-days 3",
            "retrain",
            {
                "key": "k",
                "model_version": "v",
                "occurred": "t",
                "n_to_label": 3,
                "min_answered": 0.5,
                "n_annotators": 4,
                "max_wait_days": 3.0,
            },
        ),
        ("rollout check --key k", "rollout check", {"key": "k"}),
        (
            "release --who a --why b --bump major --key k --model-key m",
            "release",
            {"who": "a", "why": "b", "bump": "major", "key": "k", "model_key": "m", "wait": False},
        ),
        ("ablate --only default", "ablate", {"only": ["default"]}),
    ],
    indirect=["called"],
)
def test_options_reach_the_flow(words: str, called: dict[str, Any], expected: dict[str, Any]) -> None:
    assert ratchet(*words.split()) == 0
    assert {key: called[key] for key in expected} == expected


def test_run_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def run(*arguments: Any) -> int:
        seen.append(arguments)
        return 3

    monkeypatch.setattr("flows.runner.launch.run", run)
    assert ratchet("run", "--stage", "train", "--stage", "prune", "--verbose", "--max-workers", "4") == 3
    assert ratchet("run") == 3
    assert seen == [(Path.cwd(), ["train", "prune"], True, 4), (Path.cwd(), [], False, 2)]


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["registry", "list"], ["keys", "list"]])
def test_what_needs_no_heavy_library_loads_none(words: list[str]) -> None:
    program = (
        "import json, sys\nfrom ratchet.__main__ import main\n"
        f"sys.argv = {['ratchet', *words]!r}\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print('\\n' + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_flows_are_no_programs() -> None:
    """Deployments name a flow by file and function, people call it by `ratchet`; the runner starts its own."""
    for path in sorted((ROOT / "flows").rglob("*.py")):
        if path.name in ("supervisor.py", "dvc_server.py", "lock.py"):
            continue
        names = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert "main" not in names, path
        assert "argparse" not in path.read_text(), path
