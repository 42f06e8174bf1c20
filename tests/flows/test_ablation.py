"""The search over compositions: DVC experiments that run once, and a front that nothing beats."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows import ablation as ablate
from pipeline_steps import distil, export, prune
from ratchet.commands import pipeline
from ratchet.errors import ParamsError, PipelineError
from ratchet.gates.compositions import AXES, Row, pareto_front, rows_of, table
from ratchet.params import check_block, read_yaml
from tests.support.miniature import environment

ROOT = Path(__file__).parents[2]


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value * 0.9, "high": value * 1.1}


def row(name: str, *values: float) -> Row:
    return Row(name, "pruned", {axis: estimate(value) for axis, value in zip(AXES, values, strict=True)}, {})


def test_the_front_is_what_a_comparison_of_all_pairs_leaves() -> None:
    rng = np.random.default_rng(0)
    rows = [row(str(index), *rng.integers(1, 6, 4).tolist()) for index in range(80)]

    def beats(one: Row, other: Row) -> bool:
        pairs = [(sign * one.metrics[a]["value"], sign * other.metrics[a]["value"]) for a, sign in AXES.items()]
        return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)

    expected = [one for one in rows if not any(beats(other, one) for other in rows)]
    assert 0 < len(expected) < len(rows)
    assert pareto_front(rows) == expected
    assert pareto_front([row("a", 0.8, 1, 1, 1), row("b", float("nan"), 1, 1, 1)])[0].composition == "a"


def test_the_table_turns_ratios_into_times_and_marks_the_front() -> None:
    versus = {
        "accuracy": {"value": -0.01, "low": -0.02, "high": 0.0},
        "size_mb": {"value": 0.1, "low": 0.1, "high": 0.1},
        "latency_p95_ms": {"value": 0.1, "low": 0.08, "high": 0.125},
    }
    better, worse = (row("x", *values).metrics for values in ((0.8, 3.0, 7.0, 0.01), (0.7, 4.0, 8.0, 0.02)))
    reports: dict[str, dict[str, Any]] = {
        "x": {"bundles": {"pruned": {"metrics": better, "against": {"teacher": versus}}}},
        "worse": {"bundles": {"pruned": {"metrics": worse, "against": {}}, "unasked": {}}},
    }
    text = table(rows_of(reports, ["pruned"]))
    assert "| **x** | pruned | -1.0 [-2.0, +0.0] | 10.0 | 10.0 [8.0, 12.5] | – | 7 | 3 |" in text
    assert "| worse | pruned | – |" in text


@pytest.mark.parametrize("name", list(ablate.COMPOSITIONS))
def test_every_composition_is_a_change_of_valid_params(name: str) -> None:
    values, blocks = read_yaml(ROOT / "params.yaml"), {"distil": distil, "prune": prune, "export": export}
    for key, value in ablate.COMPOSITIONS[name].items():
        block, _, field = key.partition(".")
        assert field in values[block]
        values[block][field] = value
    for block, step in blocks.items():
        check_block(step.Params, block, values)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose one stage `evaluate` writes its param into the report and notes that it ran."""
    (tmp_path / "params.yaml").write_text("distil:\n  layers: [0, 2]\n  n: 1\n")
    (tmp_path / "evaluate.py").write_text(
        "import json, os\nfrom ruamel.yaml import YAML\n"
        "n = YAML(typ='safe').load(open('params.yaml'))['distil']\n"
        "open(os.environ['RAN'], 'a').write(f'{n}\\n')\n"
        "if n['n'] == 99: raise SystemExit('\\nerror: broken on purpose')\n"
        "os.makedirs('reports', exist_ok=True)\n"
        "json.dump({'bundles': {}, 'saw': n}, open('reports/evaluate.json', 'w'))\n"
    )
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  evaluate:\n    cmd: python evaluate.py\n    params: [distil]\n    deps: [evaluate.py]\n"
        "    metrics:\n      - reports/evaluate.json: {cache: false}\n"
    )
    for folder in ("pipeline_steps", "ratchet"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "code.py").write_text("one = 1\n")
    (tmp_path / ".gitignore").write_text(".scratch\nran.txt\n/flows\n")
    for command in (
        ["git", "init", "-q"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        ["git", "add", "-A"],
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "all"],
    ):
        subprocess.run(command, cwd=tmp_path, env=environment(), check=True, capture_output=True)
    (tmp_path / "flows").symlink_to(ROOT / "flows")
    return tmp_path


@pytest.mark.slow
def test_a_composition_runs_once_in_a_folder_of_its_own(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in environment().items():
        monkeypatch.setenv(key, value)
    for key in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(key, "a")
    for key in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(key, "a@b.c")
    monkeypatch.setenv("RAN", str(repository / "ran.txt"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run = ablate.run_composition.fn
    change = {"distil.layers": [0, 5], "distil.n": 2}
    report: dict[str, Any] = run(repository, "two layers", change)
    assert report["saw"] == {"layers": [0, 5], "n": 2}
    assert not (repository / "reports").exists()  # the workspace is as it was
    assert run(repository, "two layers", change) == report
    assert (repository / "ran.txt").read_text().count("\n") == 1
    before = ablate.experiment_name(repository, "two layers", change)
    (repository / "ratchet/code.py").write_text("one = 2\n")
    assert ablate.experiment_name(repository, "two layers", change) != before
    with pytest.raises(PipelineError, match="broken on purpose"):
        run(repository, "broken", {"distil.n": 99})


def test_results_are_a_table_figures_and_a_picture(tmp_path: Path) -> None:
    metrics = row("x", 0.8, 3.0, 7.0, 0.01).metrics
    report = {"bundles": {"pruned": {"metrics": metrics, "against": {}}}}
    text = ablate.write_results(tmp_path, {"default": report})
    assert (tmp_path / "ablation.md").read_text() == text
    assert json.loads((tmp_path / "ablation.json").read_text())["rows"][0]["composition"] == "default"
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_takes_the_table_of_the_last_search(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before <!-- ablation:start -->old<!-- ablation:end --> after")
    with pytest.raises(PipelineError, match="No search has ended"):
        ablate.write_into(page, tmp_path / "nowhere")
    metrics = row("x", 0.8, 3.0, 7.0, 0.01).metrics
    bundles = {name: {"metrics": metrics, "against": {}} for name in ("pruned", "pruned-onnx-int8")}
    ablate.write_results(tmp_path, {"default": {"bundles": bundles}})
    ablate.write_into(page, tmp_path)
    text = page.read_text()
    assert text.startswith("before <!-- ablation:start -->\n| composition")
    assert text.endswith(" after")
    assert text.count("pruned-onnx-int8") == 1
    assert "| pruned |" not in text


def test_an_unknown_composition_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ParamsError, match="no such composition"):
        pipeline.ablate(["magic"])
    pipeline.ablate(list_them=True)
    assert "two layers" in capsys.readouterr().out
