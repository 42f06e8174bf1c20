"""The rungs of the ladder side by side, on any labelled texts: quality, speed, size, each beside the teacher.

    python -m benchmarks.ladder films                       the repository's own run
    python -m benchmarks.ladder NAME=FILE.csv [...]         columns text and label; split: test, where it is official
    python -m benchmarks.ladder --rungs static -- NAME=FILE.csv   these rungs of the ladder alone
    python -m benchmarks.ladder --teacher head NAME=FILE.csv      taught by the probe, which takes minutes less
    python -m benchmarks.ladder --quick NAME=FILE.csv       a few texts, one epoch: whether it runs

Each set gets a folder in which the pipeline's own stages run, from `baseline` to the last rung; a run that was stopped
carries on. Labels are drawn by class, all other texts of the training side are unlabelled. The cascade is measured
whether or not it pays: the report says whether the stage would build it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from ruamel.yaml import YAML

from benchmarks.material import REPORTS, SCRATCH, median_estimate, write_report
from pipeline_steps import cascade as cascade_step
from ratchet.data.cleaning import clean_texts, text_id
from ratchet.data.sampling import sample_by_class, unit_hash
from ratchet.engines.kinds.cascade import write_cascade
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.errors import ParamsError
from ratchet.files import read_json, write_json
from ratchet.measure.bootstrap import mean_estimate, weights
from ratchet.measure.latency import interleaved_ms
from ratchet.measure.scoring import score
from ratchet.models.architecture import Architecture, BackboneSettings, TfidfSettings, write_architecture
from ratchet.models.bundle import size_mb
from ratchet.models.discovery import discover
from ratchet.models.examples import class_indices
from ratchet.models.predictor import Predictor
from ratchet.params import params_of, read_yaml
from ratchet.table_files import read_table, write_table
from ratchet.tables import LABELED, SPLIT, UNLABELED, Table

ROOT = Path(__file__).parents[1]
FOLDER = SCRATCH / "ladder"
OWN = "films"
"""The set whose stages the repository itself has run."""
TEACHER = {"method": "full", "learning_rate": 1e-4, "probe_regularization": 10.0, "prior_strength": 0.0}
TFIDF = {"max_characters": 0, "inverse_regularization": 4.0, "prior_strength": 0.0}
"""One recipe for every set: what `architect` finds differs by machine, and the rungs below are compared here."""
CASCADED = "teacher-onnx-int8"
"""The transformer of the cascade that is measured on every set."""
N_SINGLE, N_ROUNDS, N_CHUNKS = 200, 3, 8
"""Texts whose latency is measured alone, how often, and chunks of the throughput."""


class Sizes(NamedTuple):
    """How many texts take part, at most."""

    n_labels: int = 1500
    n_unlabeled: int = 10_000
    n_validation: int = 800
    n_test: int = 4000
    n_epochs: int = 0
    """Epochs of every fit; 0: those of params.yaml."""


QUICK = Sizes(80, 200, 80, 200, 1)


def stages(root: Path) -> list[tuple[str, list[str]]]:
    """Stage and arguments of everything from `baseline` to the last rung, in the order of dvc.yaml."""
    found: list[tuple[str, list[str]]] = []
    for name, stage in read_yaml(root / "dvc.yaml")["stages"].items():
        if name in ("baseline", "train", "teach", "distil", "prune", "simplify", "quantize", "export"):
            arguments: list[list[str]] = [[]]
            for values in stage.get("matrix", {}).values():
                arguments = [[*known, value] for known in arguments for value in values]
            found += [(name, item) for item in arguments]
    return found


def prepare(file: Path, folder: Path, sizes: Sizes, rungs: Collection[str], method: str) -> None:
    """Write what the stages before `baseline` leave behind; of a folder that has it, nothing. No rungs: all of them."""
    if (folder / "params.yaml").is_file():
        return
    frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    params = read_yaml(ROOT / "params.yaml")
    texts, _ = clean_texts(frame["text"].tolist(), params["ingest"]["repairs"])
    frame = frame.assign(text=texts, id=[text_id(text) for text in texts], source=file.stem)
    frame = frame[frame["text"].str.len() > 0].drop_duplicates("id")
    order = frame["id"].map(lambda key: unit_hash(key, "ladder")).sort_values(kind="stable").index
    frame = frame.loc[order].reset_index(drop=True)
    testing = frame["split"] == "test" if "split" in frame else frame.index < len(frame) // 5
    test, rest = sample_by_class(frame[testing], sizes.n_test), frame[~testing]
    validation = sample_by_class(rest, sizes.n_validation)
    rest = rest[~rest["id"].isin(validation["id"])]
    labeled = sample_by_class(rest, sizes.n_labels)
    unlabeled = rest[~rest["id"].isin(labeled["id"])].head(sizes.n_unlabeled)
    sides = {"train": rest, "validation": validation, "test": test, "transfer": test.head(0)}
    for name, side in sides.items():
        rows = side.assign(row=np.arange(len(side)), group=side["id"])
        write_table(folder / f"data/splits/{name}.parquet", _columns(rows, SPLIT), SPLIT)
    given = labeled.assign(round=0, query_strategy="given")
    write_table(folder / "data/labeled.parquet", _columns(given, LABELED), LABELED)
    write_table(folder / "data/unlabeled.parquet", _columns(unlabeled, UNLABELED), UNLABELED)
    settings = Architecture(
        command="python -m benchmarks.ladder",
        kind="backbone",
        tfidf=TfidfSettings.model_validate(TFIDF),
        backbone=BackboneSettings.model_validate({**TEACHER, "method": method, **params["task"]["backbones"][0]}),
    )
    (folder / "reports").mkdir(exist_ok=True)
    write_architecture(folder / "reports/architecture.json", settings)
    write_json(folder / "reports/length_edges.json", {"edges": [12, 25]})
    shutil.copytree(ROOT / "examples/films/data/lexicons", folder / "data/lexicons", dirs_exist_ok=True)
    with (folder / "params.yaml").open("w", encoding="utf-8") as stream:
        YAML().dump(_params(params, sorted(set(frame["label"])), sizes, rungs), stream)


def _columns(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    return frame[[name for name in table.columns if name in frame]].reset_index(drop=True)


def _params(params: dict[str, Any], labels: list[str], sizes: Sizes, rungs: Collection[str]) -> dict[str, Any]:
    if rungs:
        params["ladder"] = {stage: [n for n in known if n in rungs] for stage, known in params["ladder"].items()}
    params["task"] |= {"classes": [{"name": name, "values": [name]} for name in labels], "selected": []}
    params["train"] |= {"slices": [], "attributes": [], "mitigated_attribute": ""}
    if sizes.n_epochs:
        for block in params.values():
            if "n_epochs" in block:
                block |= {"n_epochs": sizes.n_epochs, "min_steps": 0}
    return params


def build(folder: Path) -> None:
    """Run the stages in the folder that have not run there yet."""
    with _inside(folder):
        for name, arguments in stages(ROOT):
            done = Path(".done") / "-".join([name, *arguments])
            if not done.is_file():
                _run(name, arguments)
                done.parent.mkdir(exist_ok=True)
                done.touch()


def _run(name: str, arguments: list[str]) -> None:
    print(f"{name} {' '.join(arguments)}", flush=True)
    kept, sys.argv = sys.argv, [name, *arguments]
    try:
        importlib.import_module(f"pipeline_steps.{name}").main()
    finally:
        sys.argv = kept


def measure(folder: Path, n_threads: int) -> dict[str, Any]:
    """Accuracy of each bundle with its interval and that of its loss to the teacher, texts a second, p95, megabytes."""
    test = read_table(folder / "data/splits/test.parquet", SPLIT).dropna(subset="label")
    paths = discover(folder / "models")
    cascade: dict[str, Any] = {}
    if {cascade_step.FIRST, CASCADED} <= set(paths):
        name = f"cascade-{CASCADED}"
        paths[name], cascade = cascaded(folder, SCRATCH / "cascades" / folder.name / name)
    predictors = {name: load(path, n_threads) for name, path in paths.items()}
    labels, rng = predictors["teacher"].labels, np.random.default_rng(0)
    y_true, texts = class_indices(test, labels), test["text"].tolist()
    single = rng.choice(np.array(texts, dtype=object), min(N_SINGLE, len(texts)), replace=False).tolist()
    alone = interleaved_ms(predictors, single, N_ROUNDS, rng)
    proba, rates = score_interleaved(predictors, texts)
    right = {name: (item.argmax(1) == y_true).astype(float) for name, item in proba.items()}
    draws = weights(len(y_true), 1000, np.random.default_rng(0))
    found = {}
    for name, path in paths.items():
        found[name] = {
            "accuracy": mean_estimate(right[name], draws).to_json(),
            "loss_to_teacher": mean_estimate(right["teacher"] - right[name], draws).to_json(),
            "texts_per_s": float(np.median(rates[name])),
            "latency_p95_ms": float(np.percentile(alone[name], 95)),
            "size_mb": size_mb(path),
        }
        print(row(name, found[name]), flush=True)
    if cascade:
        name = f"cascade-{CASCADED}"
        cascade |= {
            "loss_to_transformer": mean_estimate(right[CASCADED] - right[name], draws).to_json(),
            "speedup": median_estimate((rates[name] / rates[CASCADED]).tolist()),
        }
        print(f"{name}: {json.dumps(cascade)}", flush=True)
    return {"n_test": len(test), "n_classes": len(labels), "rungs": found, "cascade": cascade}


def cascaded(folder: Path, target: Path) -> tuple[Path, dict[str, Any]]:
    """The cascade of a folder's bundles by the params of `cascade`, whatever it gains, and its figures."""
    params = params_of(cascade_step.Params, "cascade", read_yaml(folder / "params.yaml"))
    first, second = (folder / "models" / name for name in (cascade_step.FIRST, CASCADED))
    validation = read_table(folder / "data/splits/validation.parquet", SPLIT).dropna(subset="label")
    chosen = cascade_step.choose(first, second, validation, params)
    threshold = min(chosen.threshold.threshold, 2.0)  # above 1: the first never answers
    write_cascade(target, target.name, first, second, threshold, "")
    return target, {**chosen.to_json(), "is_built": not chosen.reason}


def score_interleaved(
    predictors: Mapping[str, Predictor], texts: Sequence[str]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Probabilities of each bundle, (n_texts, n_classes), and texts a second of each chunk, (n_chunks,): all bundles
    score a chunk before any scores the next, so that what else the machine does meets them alike."""
    chunks = np.array_split(np.random.default_rng(0).permutation(len(texts)), min(N_CHUNKS, len(texts)))
    proba = {name: np.zeros((len(texts), len(item.labels))) for name, item in predictors.items()}
    rates = {name: np.zeros(len(chunks)) for name in predictors}
    for at, chunk in enumerate(chunks):
        for name, item in predictors.items():
            scored = score(item, [texts[index] for index in chunk], 1, np.random.default_rng(0))
            proba[name][chunk], rates[name][at] = scored.proba, len(chunk) / scored.wall_s.sum()
    return proba, rates


def row(name: str, figures: Mapping[str, Any]) -> str:
    """A line for people who watch."""
    accuracy, loss = figures["accuracy"], figures["loss_to_teacher"]
    return (
        f"{name:24} {accuracy['value']:.3f}  {100 * loss['value']:+5.1f} [{100 * loss['low']:+.1f}, "
        f"{100 * loss['high']:+.1f}] points lost  {figures['texts_per_s']:9,.0f} texts/s  "
        f"p95 {figures['latency_p95_ms']:7.3f} ms  {figures['size_mb']:6.2f} MB"
    )


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ladder", description="Rungs side by side.")
    parser.add_argument("sets", nargs="+", metavar="NAME[=FILE]")
    parser.add_argument("--rungs", nargs="+", default=[], help="of the ladder; without it all of params.yaml")
    parser.add_argument("--teacher", choices=("full", "head"), default="full", help="head: the probe, in minutes")
    parser.add_argument("--quick", action="store_true", help="a few texts, one epoch")
    options = parser.parse_args(arguments)
    n_threads = int(read_yaml(ROOT / "params.yaml")["task"]["train_threads"])
    report = REPORTS / "ladder.json"
    found = read_json(report)["sets"] if report.is_file() else {}  # sets that were measured before stay
    for item in options.sets:
        name, _, file = item.partition("=")
        print(f"\n{name}", flush=True)
        if name != OWN and not file:
            raise ParamsError("A set needs a file.", got=item, expected=f"{OWN}, or NAME=FILE.csv")
        folder = ROOT if name == OWN else FOLDER / f"{name}{'-quick' * options.quick}"
        if name != OWN:
            prepare(Path(file), folder, QUICK if options.quick else Sizes(), options.rungs, options.teacher)
            build(folder)
        found[name] = {**measure(folder, n_threads), "options": _said(options, name, file)}
    if not options.quick:
        write_report("ladder", {"sets": found}, n_threads, "[OPTIONS of the set]")


def _said(options: argparse.Namespace, name: str, file: str) -> str:
    """The options by which a set was measured."""
    teacher = [] if options.teacher == "full" or name == OWN else ["--teacher", options.teacher]
    rungs = ["--rungs", *options.rungs, "--"] if options.rungs else []
    return " ".join([*teacher, *rungs, f"{name}={Path(file).name}" if file else name])


if __name__ == "__main__":
    entry(main)
