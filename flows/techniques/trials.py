"""One technique at a time: what it changes of what the last run made, measured on the validation texts.

A trial runs stages of the pipeline in a folder of its own that links what they read, so that no output of the run is
touched. What the technique makes is compared with a bundle of the run, text by text.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ruamel.yaml import YAML

from flows.runner.execution import error_of
from flows.techniques.catalogue import TECHNIQUES, check_names
from ratchet.engines.loading import load
from ratchet.errors import ParamsError, PipelineError
from ratchet.files import read_json, write_json
from ratchet.measure.bootstrap import weights
from ratchet.measure.estimate import Estimate
from ratchet.measure.latency import interleaved_ms
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.models.bundle import size_mb
from ratchet.models.discovery import discover
from ratchet.models.examples import class_indices
from ratchet.models.left_out import left_out_of
from ratchet.params import load_params, read_yaml
from ratchet.table_files import read_table
from ratchet.tables import SPLIT

CODE = Path(__file__).parents[2]
"""The code; the data, the params and the bundles are those of the current folder."""
SCRATCH, MODELS, VALIDATION = Path(".scratch/try"), Path("models"), Path("data/splits/validation.parquet")
RECORD, LOG = "record.json", "log.txt"
N_LATENCY, N_ROUNDS = 60, 2
"""Texts whose latency is measured, and how often."""


class Row(NamedTuple):
    """What a technique gives."""

    technique: str
    against: str
    metric: str
    unit: str
    difference: Mapping[str, Any]
    """Of the metric: above 0 where the technique is better."""
    seconds: float
    """Of its stages, start-up included."""
    mb: float
    """Megabytes more than what it is compared with."""
    p95_ms: tuple[float, float]
    """One text at a time: with the technique, and without."""

    def text(self) -> str:
        """The row in a line.

        >>> gain = {"value": 0.012, "low": 0.003, "high": 0.021}
        >>> Row("lora", "teacher", "accuracy", "points", gain, 40, 0, (20, 20)).text()
        'lora: +1.2 [+0.3, +2.1] points of accuracy against teacher, 40 s, +0.0 MB, p95 20.00 ms for 20.00'
        """
        scale = 100 if self.unit == "points" else 1
        value, low, high = (f"{scale * self.difference[key]:+.1f}" for key in ("value", "low", "high"))
        return (
            f"{self.technique}: {value} [{low}, {high}] {self.unit} of {self.metric} against {self.against}, "
            f"{self.seconds:.0f} s, {self.mb:+.1f} MB, p95 {self.p95_ms[0]:.2f} ms for {self.p95_ms[1]:.2f}"
        )


def attempt(root: Path, name: str, against: str = "") -> Row:
    """Run the stages of a technique in its scratch folder, and measure what they made beside a bundle of the run.

    Args:
        root: a folder with params.yaml, data and bundles of a run; nothing of it is written but `.scratch/try`.
        name: one of `TECHNIQUES`.
        against: a bundle of the run; empty: the technique's own.

    Raises:
        ParamsError: there is no such technique, or no such bundle.
        PipelineError: the run has not made what a stage reads, a stage failed, or the task cannot have the technique.
    """
    check_names([name])
    technique = TECHNIQUES[name]
    reference = against or technique.against
    if reference not in (known := discover(root / MODELS)):
        raise ParamsError(
            "The run has no such bundle to compare with.",
            got=reference,
            expected=", ".join(known) or "bundles in models/",
            fix="ratchet run, or name another with --against",
        )
    folder = root / SCRATCH / name
    params = _changed(read_yaml(root / "params.yaml"), technique.changes)
    if (
        (folder / RECORD).is_file()
        or not (folder / "params.yaml").is_file()
        or read_yaml(folder / "params.yaml") != params
    ):
        shutil.rmtree(folder, ignore_errors=True)  # else the trial was stopped, and its stages carry on
        folder.mkdir(parents=True)
        with (folder / "params.yaml").open("w", encoding="utf-8") as stream:
            YAML().dump(params, stream)
    began = time.monotonic()
    for step in technique.steps:
        _link_reads(root, folder, step, technique.stands_for)
        _run(folder, step)
    seconds = time.monotonic() - began
    if reason := left_out_of(folder / MODELS).get(technique.makes):
        raise PipelineError("The task cannot have this technique.", where=name, got=reason, fix="ratchet try --list")
    row = _compared(root, name, folder / MODELS / technique.makes, reference, seconds)
    write_json(folder / RECORD, row._asdict())
    return row


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, with what each technique costs to own."""
    lines = [
        "| technique | against | difference | s | MB | p95, ms | costs to own |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        scale = 100 if row.unit == "points" else 1
        value, low, high = (f"{scale * row.difference[key]:+.1f}" for key in ("value", "low", "high"))
        p95 = f"{row.p95_ms[0]:.3g} for {row.p95_ms[1]:.3g}"
        owned = TECHNIQUES[row.technique].owned
        cells = [row.technique, row.against, f"{value} [{low}, {high}] {row.unit}", f"{row.seconds:.0f}"]
        lines.append(f"| {' | '.join([*cells, f'{row.mb:+.1f}', p95, owned])} |")
    return "\n".join(lines) + "\n"


def _changed(params: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        block, _, name = key.partition(".")
        params[block][name] = value
    return params


def _link_reads(root: Path, folder: Path, step: str, stands_for: Mapping[str, str]) -> None:
    """Link what the step reads and the folder does not have; never what it writes."""
    stage, *arguments = step.split()
    keys = read_yaml(CODE / "dvc.yaml")["stages"][stage].get("matrix", {})
    names = dict(zip(keys, arguments, strict=True))
    backbones = [backbone["source"] for backbone in read_yaml(root / "params.yaml")["task"]["backbones"]]
    local = [source for source in backbones if (root / source).exists()]
    for template in [*import_module(f"pipeline_steps.{stage}").READS.values(), *local]:
        path = Path(template.format(**names))
        source = root / path
        if path.parent == MODELS and path.name in stands_for:
            source = root / MODELS / stands_for[path.name]
        if (folder / path).exists():
            continue
        if not source.exists():
            raise PipelineError(
                "The last run has not made what this technique starts from.", where=source, fix="ratchet run"
            )
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(source.resolve())


def _run(folder: Path, step: str) -> None:
    stage, *arguments = step.split()
    path = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
    with (folder / LOG).open("a", encoding="utf-8") as log:
        command = [sys.executable, "-m", f"pipeline_steps.{stage}", *arguments]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, stdout=log, stderr=log, check=False
        )
    if done.returncode:
        text = (folder / LOG).read_text(encoding="utf-8", errors="replace")
        raise PipelineError("A stage of the trial failed.", where=step, got=error_of(text), fix=f"see {folder / LOG}")


def _compared(root: Path, name: str, made: Path, reference: str, seconds: float) -> Row:
    """What a bundle gives beside one of the run, on the labelled validation texts."""
    tree = root / "params.yaml"
    task = read_yaml(tree)["task"]
    paths = {"made": made, "known": root / MODELS / reference}
    predictors = {key: load(path, task["inference_threads"]) for key, path in paths.items()}
    validation = read_table(root / VALIDATION, SPLIT).dropna(subset="label")
    texts, labels = validation["text"].tolist(), predictors["made"].labels
    metric = load_params(PrimaryMetricParams, "", tree).metric_of(labels)
    y_true, rng = class_indices(validation, labels), np.random.default_rng(task["seed"])
    proba = {key: predictor.predict_proba(texts) for key, predictor in predictors.items()}
    draws = weights(len(texts), task["n_bootstrap"], np.random.default_rng(task["seed"]))
    difference: Estimate = metric.difference(y_true, proba["made"], proba["known"], draws)
    chosen = rng.choice(np.array(texts, dtype=object), min(N_LATENCY, len(texts)), replace=False).tolist()
    p95 = {key: float(np.percentile(ms, 95)) for key, ms in interleaved_ms(predictors, chosen, N_ROUNDS, rng).items()}
    sizes = {key: size_mb(path) for key, path in paths.items()}
    return Row(
        name,
        reference,
        metric.name,
        metric.unit,
        difference.to_json(),
        seconds,
        sizes["made"] - sizes["known"],
        (p95["made"], p95["known"]),
    )


def records(root: Path) -> list[Row]:
    """The rows of the trials that have ended, in the order of `TECHNIQUES`."""
    paths = [root / SCRATCH / name / RECORD for name in TECHNIQUES]
    return [Row(**{**read_json(path), "p95_ms": tuple(read_json(path)["p95_ms"])}) for path in paths if path.is_file()]
