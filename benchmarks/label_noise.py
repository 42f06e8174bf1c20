"""How many planted label errors stand at the beginning of the ranking by which people are asked about labels.

    python -m benchmarks.label_noise films=. bank=../bank      NAME=FOLDER, clones whose pipeline has run
    python -m benchmarks.label_noise --into docs/decisions/suspicious-labels.md

A fifth of the labels that a run trained on are flipped to another class at random, all labels are ranked as `vet` ranks
them, and the share of the flips in the first quarter of the rows is counted: by the probability of the given label,
which is what `vet` does, and by its margin to the likeliest other class, which it could do.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.material import write_report
from pipeline_steps import vet
from ratchet.embeddings.table import read_embeddings
from ratchet.entry import entry
from ratchet.files import read_json
from ratchet.labels.label_efficiency import seed_estimate
from ratchet.labels.label_noise import flip_labels, out_of_fold_proba
from ratchet.labels.selection_model import unit_length
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_text, markdown_table
from ratchet.models.examples import class_indices, class_names
from ratchet.params import load_params
from ratchet.reporting.marked_block import write_block
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT

REPORT = Path("reports/bench/label_noise.json")
RATE, SHARE = 0.2, 0.25
"""Labels that are flipped, and rows from the top of the ranking that people would look at."""
METHODS = {"self_confidence": "by the probability of the label", "normalized_margin": "by its margin"}
"""cleanlab's name of a ranking → in words."""


def found_in_first_rows(score: NDArray[np.float64], planted: NDArray[np.bool_], share: float) -> float:
    """Share of the planted rows among the first `share` of all, the lowest scores first.

    >>> found_in_first_rows(np.array([0.1, 0.9, 0.2, 0.8]), np.array([True, False, False, True]), 0.5)
    0.5
    """
    first = np.argsort(score, kind="stable")[: round(share * len(score))]
    return float(planted[first].sum() / planted.sum())


def measure(folder: Path, n_seeds: int) -> dict[str, Any]:
    """The shares over repetitions, with their intervals, of the labels of one clone."""
    from cleanlab.rank import get_label_quality_scores
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    params = load_params(vet.Params, "vet", folder / "params.yaml")
    groups = read_table(folder / vet.READS["splits"] / "train.parquet", SPLIT, columns=["id", "group"])
    rows = read_table(folder / vet.READS["labeled"], LABELED).merge(groups, on="id", how="inner")
    labels = class_names(rows)
    vectors = unit_length(read_embeddings(folder / vet.READS["embeddings"], rows["id"].tolist()))
    targets, tries = class_indices(rows, labels), []
    for repetition in range(n_seeds):
        rng = np.random.default_rng([params.seed, repetition])
        flipped, planted = flip_labels(targets, RATE, len(labels), rng)
        with threadpool_limits(1):
            proba = out_of_fold_proba(
                vectors,
                flipped,
                rows["group"].tolist(),
                len(labels),
                params.n_folds,
                params.inverse_regularization,
                rng,
            )
        scores = {name: get_label_quality_scores(flipped, proba, method=name) for name in METHODS}
        tries.append({name: found_in_first_rows(score, planted, SHARE) for name, score in scores.items()})
        print(f"{folder.name or '.'}: {tries[-1]}", flush=True)
    found = {name: seed_estimate(np.array([item[name] for item in tries])).to_json() for name in METHODS}
    return {"n_labels": len(rows), "n_classes": len(labels), "found": found}


def markdown(report: Mapping[str, Any]) -> str:
    """The table of a report."""
    rows = [
        [name, f"{item['n_labels']:,}", str(item["n_classes"])]
        + [estimate_text(Estimate(**item["found"][method])) for method in METHODS]
        for name, item in report["sets"].items()
    ]
    return "\n".join(markdown_table(["set", "labels", "classes", *METHODS.values()], rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each clone, print the table, and write the report; or put its table into a page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_noise")
    parser.add_argument("runs", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--seeds", type=int, default=5, help="repetitions, each with other flips and folds")
    parser.add_argument("--into", type=Path, help="instead, a Markdown file whose block `label-noise` gets the table")
    given = parser.parse_args(arguments)
    if given.into:
        write_block(given.into, "label-noise", markdown(read_json(REPORT)))
        return
    runs = dict(item.split("=", 1) for item in given.runs or ["films=."])
    report = {"sets": {name: measure(Path(folder), given.seeds) for name, folder in runs.items()}}
    print(markdown(report))
    write_report("label_noise", report, n_threads=1, options=" ".join(f"{name}={name}" for name in runs))


if __name__ == "__main__":
    entry(main)
