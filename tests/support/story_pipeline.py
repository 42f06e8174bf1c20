"""A pipeline of two stages that trains for real: made-up texts, then TF-IDF on them, measured, gated, with a card.

python -m tests.support.story_pipeline texts|line
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline_steps.promote import Params, run
from ratchet.engines.loading import load
from ratchet.files import read_json, write_json
from ratchet.measure.report_files import write_report
from ratchet.models.bundle import write_bundle
from ratchet.models.tfidf import PACKAGES, fit_pipeline, save_pipeline
from tests.support.bundles import LABELS, manifest
from tests.support.release_reports import Json, estimate, shortlist_report

DVC_YAML = """
stages:
  texts:
    cmd: python -m tests.support.story_pipeline texts
    params: [texts]
    outs: [data/labeled.parquet, data/test.parquet]
  line:
    cmd: python -m tests.support.story_pipeline line
    params: [promote]
    deps: [data/labeled.parquet, data/test.parquet, models/champion.json]
    outs: [models/words, measurements/evaluate.json, reports/model_card.md]
    metrics:
      - reports/evaluate.json: {cache: false}
      - reports/audit.json: {cache: false}
      - reports/explain.json: {cache: false}
      - reports/judge.json: {cache: false}
      - reports/decision.json: {cache: false}
      - reports/metrics.json: {cache: false}
    plots:
      - reports/curve.csv: {x: n_labels, y: accuracy}
"""


def make_texts(n: int, noise: float, seed: int) -> pd.DataFrame:
    """Texts of words that hint at their label, one word in three; a share `noise` of labels is wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    words = np.array(
        [
            [f"{'good' if label else 'bad'}{rng.integers(40)}", *(f"w{k}" for k in rng.integers(60, size=2))]
            for label in truth
        ]
    )
    labels = np.where(rng.random(n) < noise, 1 - truth, truth)
    return pd.DataFrame(
        {
            "id": [f"{seed}-{index}" for index in range(n)],
            "text": [" ".join(row) for row in words],
            "label": [LABELS[label] for label in labels],
        }
    )


def bundle_report(path: Path, test: pd.DataFrame, champion: float | None) -> Json:
    """What evaluate would say of a bundle, as far as the story's gates ask."""
    predictor = load(path, 1)
    predicted = np.array(predictor.labels)[predictor.predict_proba(test["text"].tolist()).argmax(axis=1)]
    accuracy = float((predicted == test["label"].to_numpy()).mean())
    against = {} if champion is None else {"champion": {"accuracy": estimate(accuracy - champion)}}
    metrics = {"accuracy": estimate(accuracy, n=len(test)), "size_mb": estimate(0.01), "latency_p95_ms": estimate(1.0)}
    return {"deployable": True, "metrics": metrics, "against": against}


def texts() -> None:
    """Write the texts that the params ask for, and the same test texts always."""
    params = json.loads(Path("params.yaml").read_text())["texts"]
    Path("data").mkdir(exist_ok=True)
    make_texts(params["n"], params["noise"], 1).to_parquet("data/labeled.parquet")
    make_texts(400, 0.0, 2).to_parquet("data/test.parquet")


def line() -> None:
    """Train, measure, decide, tell."""
    table, test = (pd.read_parquet(f"data/{name}.parquet") for name in ("labeled", "test"))
    targets = [LABELS.index(label) for label in table["label"]]
    pipeline = fit_pipeline(table["text"].tolist(), targets, max_ngram=1, inverse_regularization=4.0)
    bundle = Path("models/words")
    write_bundle(bundle, manifest("words", kind="tfidf"), lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    pointer = read_json(Path("models/champion.json"))
    bundles, champion = {}, None
    if pointer["bundle"] is not None:
        bundles["champion"] = bundle_report(Path(pointer["bundle"]), test, None) | {"deployable": False}
        champion = bundles["champion"]["metrics"]["accuracy"]["value"]
    bundles["words"] = bundle_report(bundle, test, champion)
    params = Params.model_validate(json.loads(Path("params.yaml").read_text())["promote"])
    evaluate: Json = {"bundles": bundles}
    none: Json = {"bundles": {}}
    headline = {name: {"accuracy": item["metrics"]["accuracy"]["value"]} for name, item in bundles.items()}
    reports = {
        "evaluate": evaluate,
        "audit": none,
        "explain": none,
        "judge": none,
        "metrics": headline,
        "decision": run(
            {"evaluate": evaluate, "audit": none, "explain": none, "shortlist": shortlist_report(evaluate)}, params
        ),
    }
    write_report(Path("reports/evaluate.json"), reports.pop("evaluate"), Path("measurements/evaluate.json"))
    for name, report in reports.items():
        write_json(Path("reports") / f"{name}.json", report)
    accuracy = headline["words"]["accuracy"]
    Path("reports/model_card.md").write_text(f"# Words\n\naccuracy {accuracy:.3f} on {len(test)} texts\n")
    pd.DataFrame({"n_labels": [2, len(table)], "accuracy": [0.5, accuracy]}).to_csv("reports/curve.csv", index=False)


if __name__ == "__main__":
    {"texts": texts, "line": line}[sys.argv[1]]()
