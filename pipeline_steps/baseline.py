"""The baseline every neural model has to beat: TF-IDF with logistic regression on the labels that were bought.

Source: Wang & Manning 2012, Baselines and bigrams, https://aclanthology.org/P12-2018.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from ratchet.data.cleaning_params import CleaningParams
from ratchet.entry import entry
from ratchet.errors import TrainingError
from ratchet.files import sha256_json
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.report_files import write_report
from ratchet.models.bundle import Manifest, write_bundle
from ratchet.models.examples import class_indices, class_names
from ratchet.models.tfidf import PACKAGES, fit_pipeline, save_pipeline
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT

READS = {"labeled": "data/labeled.parquet", "splits": "data/splits"}
WRITES = {"baseline": "models/baseline", "report": "reports/baseline.json"}


class Params(CleaningParams):
    """How the baseline sees and weighs words."""

    max_ngram: int = Field(ge=1, le=5)
    """Longest run of words that counts as a term."""
    inverse_regularization: float = Field(gt=0)
    """Of the logistic regression; larger fits closer."""


def run(labeled: pd.DataFrame, validation: pd.DataFrame, params: Params) -> tuple[Any, dict[str, Any]]:
    """The fitted pipeline, and the report with its accuracy on the validation texts (95 % Wilson interval).

    Raises:
        TrainingError: there is no label, fewer than two classes, or a class of validation has no label.
    """
    labels = class_names(validation)
    targets = class_indices(labeled, labels)
    counts = {name: int(np.sum(targets == index)) for index, name in enumerate(labels)}
    if len(labels) < 2 or min(counts.values()) == 0:
        raise TrainingError(
            "A classifier needs labels of at least two classes, and of every class it is measured on.",
            where=READS["labeled"],
            got=", ".join(f"{name}: {n}" for name, n in counts.items()) or "no class",
            expected="at least one label of each class",
            fix="raise sample.n_initial or sample.budget, or label texts of the class that lacks them",
        )
    pipeline = fit_pipeline(
        labeled["text"].tolist(),
        targets.tolist(),
        max_ngram=params.max_ngram,
        inverse_regularization=params.inverse_regularization,
    )
    predicted = pipeline.predict(validation["text"].tolist())
    n_hits = int(np.sum(predicted == class_indices(validation, labels)))
    report = {
        "n_labels": len(labeled),
        "labels": counts,
        "n_terms": len(pipeline.steps[0][1].vocabulary_),
        "validation_accuracy": proportion_estimate(n_hits, len(validation)).to_json(),
    }
    return pipeline, report


def main() -> None:
    params = load_params(Params, "baseline")
    labeled = read_table(Path(READS["labeled"]), LABELED)
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT).dropna(subset="label")
    pipeline, report = run(labeled, validation, params)
    manifest = Manifest(
        name="baseline",
        kind="tfidf",
        precision="fp64",
        labels=class_names(validation),
        max_tokens=0,
        parent="",
        cleaning=params.cleaning,
        params_sha256=sha256_json(params.model_dump()),
        data_sha256=sha256_json(labeled[["id", "label"]].to_numpy()),
    )
    write_bundle(Path(WRITES["baseline"]), manifest, lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.baseline", **report})


if __name__ == "__main__":
    entry(main)
