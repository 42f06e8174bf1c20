"""The baseline every neural model has to beat: TF-IDF with logistic regression, as `architect` tuned it, on all labels.

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
from ratchet.files import sha256_json
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.measure.prior import prior_offset
from ratchet.measure.report_files import write_report
from ratchet.models.architecture import TfidfSettings, read_architecture
from ratchet.models.bundle import Manifest, write_bundle
from ratchet.models.examples import check_labels, class_indices, class_names
from ratchet.models.tfidf import PACKAGES, fit_pipeline, save_pipeline, shift_intercepts, terms_of
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT

READS = {"architecture": "reports/architecture.json", "labeled": "data/labeled.parquet", "splits": "data/splits"}
WRITES = {"baseline": "models/baseline", "report": "reports/baseline.json"}


class Params(CleaningParams, PrimaryMetricParams):
    """How the baseline sees words; the other settings are those that `architect` chose."""

    max_ngram: int = Field(ge=1, le=5)
    """Longest run of words that counts as a term."""


def run(
    labeled: pd.DataFrame, validation: pd.DataFrame, settings: TfidfSettings, params: Params
) -> tuple[Any, dict[str, Any]]:
    """The fitted pipeline, and the report with its metric on the validation texts.

    Raises:
        TrainingError: there is no label, fewer than two classes, or a class of validation has no label.
    """
    labels = class_names(validation)
    check_labels(labeled, labels)
    targets = class_indices(labeled, labels)
    pipeline = fit_pipeline(
        labeled["text"].tolist(),
        targets.tolist(),
        max_ngram=params.max_ngram,
        max_characters=settings.max_characters,
        inverse_regularization=settings.inverse_regularization,
    )
    shift_intercepts(pipeline, prior_offset(targets, len(labels), settings.prior_strength))
    metric, y_true = params.metric_of(labels), class_indices(validation, labels)
    proba = pipeline.predict_proba(validation["text"].tolist())
    n_hits = int(np.sum(proba.argmax(axis=1) == y_true))
    report = {
        "n_labels": len(labeled),
        "labels": {name: int(np.sum(targets == index)) for index, name in enumerate(labels)},
        "n_terms": len(terms_of(pipeline)),
        "settings": settings.model_dump(),
        "validation": {"metric": metric.name, "value": metric.value(y_true, proba)},
        "validation_accuracy": proportion_estimate(n_hits, len(validation)).to_json(),
    }
    return pipeline, report


def main() -> None:
    params = load_params(Params, "baseline")
    labeled = read_table(Path(READS["labeled"]), LABELED)
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT).dropna(subset="label")
    settings = read_architecture(Path(READS["architecture"])).tfidf
    pipeline, report = run(labeled, validation, settings, params)
    manifest = Manifest(
        name="baseline",
        kind="tfidf",
        precision="fp64",
        labels=class_names(validation),
        max_tokens=0,
        parent="",
        cleaning=params.cleaning,
        params_sha256=sha256_json([settings.model_dump(), params.model_dump()]),
        data_sha256=sha256_json(labeled[["id", "label"]].to_numpy()),
    )
    write_bundle(Path(WRITES["baseline"]), manifest, lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.baseline", **report})


if __name__ == "__main__":
    entry(main)
