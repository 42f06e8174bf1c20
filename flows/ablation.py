"""Searches the compositions of compression techniques: each is a DVC experiment, judged by the pipeline's own
`evaluate`.

An experiment runs in a folder of its own with DVC's shared cache, so the workspace stays as it is, what two
compositions have in common runs once, and a search that was stopped carries on. Results: reports/ablation/.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import flow, task  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows.runner.execution import error_of, run_supervised, start_guard  # noqa: E402
from ratchet.errors import ParamsError, PipelineError  # noqa: E402
from ratchet.files import read_json, replace_file, write_json  # noqa: E402
from ratchet.gates.compositions import Row, draw_front, rows_of, table  # noqa: E402
from ratchet.measure.machine_figures import merge  # noqa: E402
from ratchet.reporting.marked_block import write_block  # noqa: E402
from ratchet.reporting.revisions import find_revision  # noqa: E402

Overrides = Mapping[str, Any]
NOTHING: Overrides = {
    "distil.n_layers": 100,
    "prune.n_tokens": 0,
    "prune.keep_rate": 1.0,
    "prune.keep_heads_rate": 1.0,
    "prune.embedding_bits": 32,
    "prune.max_int8_loss": 1.0,
    "export.embedding_bits": 8,
}
"""All layers, all tokens, heads and channels: what is left are compilers and integers alone."""
COMPOSITIONS: dict[str, Overrides] = {
    "default": {},
    "integers alone": NOTHING,
    "fewer layers alone": {**NOTHING, "distil.n_layers": 3},
    "fewer tokens alone": {**NOTHING, "prune.n_tokens": 16000},
    "fewer channels alone": {**NOTHING, "prune.keep_rate": 0.5},
    "fewer heads alone": {**NOTHING, "prune.keep_heads_rate": 0.5},
    "two layers": {"distil.n_layers": 2},
    "fewer heads too": {"prune.keep_heads_rate": 0.75},
    "half of the weights zero": {"prune.sparsity": 0.5},
    "always quantization-aware": {"prune.max_int8_loss": -1.0},
    "hidden states and attention": {"distil.hidden_weight": 1.0, "distil.attention_weight": 10.0},
    "narrow from the start": {"distil.keep_rate": 0.5, "distil.n_epochs": 2, "prune.keep_rate": 1.0},
    "a quarter of the channels": {"prune.keep_rate": 0.25, "prune.n_epochs": 2},
    "augmented texts": {"distil.n_augmented": 6000},
}
"""Name of the composition → its overrides of params.yaml."""
BUNDLES = ("teacher", "student", "pruned", "pruned-onnx-fp32", "pruned-onnx-int8", "pruned-openvino-int8")
SHOWN = ("pruned-onnx-int8",)
"""Bundles that pages show of each composition: all techniques together."""
OUT, LOGS = Path("reports/ablation"), Path(".scratch/ablation")
CODE = ("pipeline_steps", "ratchet")


@flow(name="ablate", validate_parameters=True, persist_result=False)
def ablate(only: list[str] | None = None) -> State[Any]:
    """Run the compositions that have not run yet with this code and these params; ends with the table of all.

    Args:
        only: names of compositions; none: all.

    Raises:
        ParamsError: a name is unknown.
        PipelineError: an experiment failed. Those that ended are kept.
    """
    check_names(only or ())
    root = Path.cwd()
    start_guard(root)
    reports = {name: run_composition(root, name, COMPOSITIONS[name]) for name in only or COMPOSITIONS}
    return Completed(message=write_results(root / OUT, reports))


def check_names(names: Sequence[str]) -> None:
    """Refuse unknown composition names.

    Raises:
        ParamsError: a name is unknown.
    """
    if unknown := sorted(set(names) - set(COMPOSITIONS)):
        raise ParamsError(
            "There is no such composition.",
            got=", ".join(unknown),
            expected=", ".join(COMPOSITIONS),
            fix="ratchet ablate --list",
        )


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def run_composition(root: Path, name: str, overrides: Overrides) -> dict[str, Any]:
    """The `evaluate` report of one composition, from its experiment; run now unless it has run before."""
    experiment = experiment_name(root, name, overrides)
    if (report := read_report(root, experiment)) is not None:
        print(f"{name}: has run", flush=True)
        return report
    print(f"{name}: running as {experiment}", flush=True)
    log = root / LOGS / f"{experiment}.log"
    code = run_supervised(root, command(experiment, overrides), log, 0, lambda line: None)
    text = log.read_text(encoding="utf-8", errors="replace")
    report = read_report(root, experiment)
    if code or report is None:
        raise PipelineError(
            "The experiment failed.", where=name, got=error_of(text), fix=f"see {log.relative_to(root)}; run again"
        )
    return report


def command(experiment: str, overrides: Overrides) -> list[str]:
    """The command that runs one composition as a DVC experiment in a folder of its own.

    >>> command("x", {"distil.n_layers": 2})[-3:]
    ['-S', 'distil.n_layers=2', 'evaluate']
    """
    options = [part for key, value in overrides.items() for part in ("-S", f"{key}={json.dumps(value)}")]
    return [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", experiment, *options, "evaluate"]


def experiment_name(root: Path, name: str, overrides: Overrides) -> str:
    """Experiment name with a hash of code, wiring, params and overrides: the same name, the same result."""
    code = sorted(path for folder in CODE for path in (root / folder).rglob("*.py"))
    digest = hashlib.sha256(json.dumps(overrides, sort_keys=True).encode())
    for path in [*code, root / "dvc.yaml", root / "params.yaml"]:
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"ablate-{name.replace(' ', '-')}-{digest.hexdigest()[:8]}"


def read_report(root: Path, experiment: str) -> dict[str, Any] | None:
    """The `evaluate` report of an experiment, with the times that DVC tracks; None if there is no such experiment."""
    refs = _git(root, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    found = [ref for ref in refs if ref.rpartition("/")[2] == experiment]
    if not found:
        return None
    report: dict[str, Any] = json.loads(_git(root, "show", f"{found[0]}:reports/evaluate.json"))
    with TemporaryDirectory(prefix="ratchet-") as folder:
        measured = find_revision(root, found[0]).get("measurements/evaluate.json", Path(folder))
        return dict(merge(report, read_json(measured))) if measured else report


def write_results(folder: Path, reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the table, the figures behind it and the Pareto front's picture into the folder; the table."""
    rows = rows_of(reports, BUNDLES)
    text = table(rows)
    write_json(folder / "ablation.json", {"rows": [row._asdict() for row in rows], "compositions": COMPOSITIONS})
    with replace_file(folder / "ablation.md") as partial:
        partial.write_text(text, encoding="utf-8")
    with replace_file(folder / "pareto.png") as partial:
        draw_front(rows, partial)
    return text


def write_into(page: Path, folder: Path) -> None:
    """Put the table of the last search between the page's markers.

    Raises:
        PipelineError: there was no search, or the page has no markers.
    """
    figures = folder / "ablation.json"
    if not figures.is_file():
        raise PipelineError("No search has ended yet.", where=str(figures), fix="ratchet ablate")
    write_block(page, "ablation", table([Row(**row) for row in read_json(figures)["rows"]], SHOWN).strip())


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout
