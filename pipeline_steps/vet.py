"""Which labels look wrong: those that people should look at again, and how far the ranking can be trusted.

Nothing is corrected: a model that learned from the labels is no judge of them, it only says where to look first. The
ranking is tried on the same labels with some of them flipped on purpose, whose places are known. Source: confident
learning, Northcutt, Jiang & Chuang 2021, https://arxiv.org/abs/1911.00068, by cleanlab.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

import ratchet.params
from ratchet.embeddings.table import Embeddings, read_embeddings
from ratchet.entry import entry
from ratchet.labels.label_efficiency import seed_estimate
from ratchet.labels.label_noise import DETECTION, Suspicion, detection, flip_labels, out_of_fold_proba, suspicion
from ratchet.labels.selection_model import unit_length
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.report_files import write_report
from ratchet.models.examples import class_indices, class_names
from ratchet.params import load_params
from ratchet.table_files import read_table, write_table
from ratchet.tables import LABELED, SPLIT, SUSPECTS
from ratchet.task import Seed, SelectionRegularization

if TYPE_CHECKING:
    import pandas as pd

READS = {"labeled": "data/labeled.parquet", "splits": "data/splits", "embeddings": "data/embeddings.parquet"}
WRITES = {"suspects": "data/suspects.parquet", "report": "reports/vet.json"}
SHOWN = ("text", "part", "label", "suggested", "score")
"""Columns of the examples in the report."""


class Params(ratchet.params.Params):
    """Whose labels are looked at, and how the ranking is tried."""

    parts: list[Literal["labeled", "validation"]] = Field(min_length=1)
    """Where labels are vetted: those trained on, and those that bundles are chosen by; never the sealed test."""
    max_suspects: int = Field(ge=1)
    """Labels that people are asked about at most, most suspicious first."""
    n_examples: int = Field(ge=0, le=100)
    """Of these, how many the report shows."""
    n_folds: int = Field(ge=2, le=100)
    """Folds of the cross-validation; a label is judged by a model that saw neither it nor its near-duplicates."""
    inverse_regularization: SelectionRegularization
    flip_rates: list[float] = Field(min_length=0)
    """Shares of labels that are flipped on purpose to see how many are found, each in (0, 0.5)."""
    n_seeds: int = Field(ge=1, le=1000)
    """Repetitions of that, each with other flips and folds."""
    n_tried: int = Field(ge=100)
    """Labels on which that is tried, chosen at random, at most: it takes as many fits as folds times rates times
    repetitions, and says the same of some thousand labels as of all."""
    seed: Seed


class Vetted(NamedTuple):
    """What `run` returns."""

    suspects: pd.DataFrame
    report: dict[str, Any]


def run(rows: pd.DataFrame, embeddings: Embeddings, params: Params) -> Vetted:
    """The suspicious labels, and the report.

    Args:
        rows: labelled texts with id, text, label, source, `part` and near-duplicate `group`.
        embeddings: theirs, (n_rows, hidden).
        params: see `Params`.
    """
    labels = class_names(rows)
    targets, vectors = class_indices(rows, labels), unit_length(embeddings)
    found = _suspicion(vectors, targets, rows, len(labels), params, np.random.default_rng(params.seed))
    tried = _tried_rows(len(rows), params)
    chosen = [row for row in found.ranking if found.flagged[row]][: params.max_suspects]
    suspects = rows.iloc[chosen][["id", "text", "label", "source", "part"]].reset_index(drop=True)
    suspects["suggested"] = np.array(labels, dtype=object)[found.suggested[chosen]].astype(str)
    suspects["score"], suspects["rank"] = found.score[chosen], np.arange(len(chosen), dtype=np.int64)
    parts = {part: (rows["part"] == part).to_numpy() for part in params.parts}
    report = {
        "n_labels": len(rows),
        "n_flagged": int(found.flagged.sum()),
        "n_suspects": len(suspects),
        "agreement": proportion_estimate(int(np.sum(found.suggested == targets)), len(rows)).to_json(),
        "parts": {
            part: {
                "n_labels": int(mask.sum()),
                "n_flagged": int(found.flagged[mask].sum()),
                "n_suspects": int((suspects["part"] == part).sum()),
            }
            for part, mask in parts.items()
        },
        "planted": {
            f"{rate:g}": _tried(vectors[tried], targets[tried], rows.iloc[tried], len(labels), rate, params)
            for rate in params.flip_rates
        },
        "n_tried": len(tried),
        "examples": suspects.head(params.n_examples)[list(SHOWN)].to_dict("records"),
    }
    return Vetted(suspects, report)


def _suspicion(
    vectors: Embeddings, targets: Any, rows: pd.DataFrame, n_classes: int, params: Params, rng: np.random.Generator
) -> Suspicion:
    proba = out_of_fold_proba(
        vectors, targets, rows["group"].tolist(), n_classes, params.n_folds, params.inverse_regularization, rng
    )
    return suspicion(targets, proba)


def _tried_rows(n: int, params: Params) -> NDArray[np.int64]:
    """The labels that are flipped on purpose: all, or `n_tried` drawn at random, in order."""
    if n <= params.n_tried:
        return np.arange(n)
    drawn = np.random.default_rng(params.seed).choice(n, params.n_tried, replace=False)
    return np.sort(drawn)


def _tried(
    vectors: Embeddings, targets: Any, rows: pd.DataFrame, n_classes: int, rate: float, params: Params
) -> dict[str, Any]:
    """How well flips at one rate are found: the mean over seeds of each measure of `detection`."""
    if n_classes < 2:
        return {}
    tries = []
    for repetition in range(params.n_seeds):
        rng = np.random.default_rng([params.seed, repetition])
        flipped, planted = flip_labels(targets, rate, n_classes, rng)
        found = _suspicion(vectors, flipped, rows, n_classes, params, rng)
        tries.append(detection(found, planted, params.max_suspects))
    return {name: seed_estimate(np.array([item[name] for item in tries])).to_json() for name in DETECTION}


def main() -> None:
    import pandas as pd
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    params = load_params(Params, "vet")
    splits = Path(READS["splits"])
    columns = ["id", "text", "label", "source", "group"]
    groups = read_table(splits / "train.parquet", SPLIT, columns=["id", "group"])
    # texts that people labelled and that are in no split have no embedding, and are left out
    labeled = read_table(Path(READS["labeled"]), LABELED).merge(groups, on="id", how="inner")
    frames = [
        (labeled if part == "labeled" else read_table(splits / f"{part}.parquet", SPLIT))[columns].assign(part=part)
        for part in dict.fromkeys(params.parts)
    ]
    rows = pd.concat(frames, ignore_index=True).dropna(subset="label").reset_index(drop=True)
    embeddings = read_embeddings(Path(READS["embeddings"]), rows["id"].tolist())
    n_tried, n_trials = min(len(rows), params.n_tried), f"{params.n_seeds} × {len(params.flip_rates)}"
    print(f"vetting {len(rows):,} labels, and {n_trials} trials on {n_tried:,}", flush=True)
    with threadpool_limits(1):  # models this small are fastest on one thread, and the same on every machine's count
        vetted = run(rows, embeddings, params)
    write_table(Path(WRITES["suspects"]), vetted.suspects, SUSPECTS)
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.vet", **vetted.report})


if __name__ == "__main__":
    entry(main)
