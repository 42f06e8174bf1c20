"""Why the bundles that may be chosen predict what they do: SHAP values of words, texts to read, words overall.

Which bundles: the first of the ranking that `promote` uses, of those that lose little accuracy against the teacher.
Source: Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874, by the shap package.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

import ratchet.params
from ratchet.data.splits import unit_hash
from ratchet.entry import entry
from ratchet.files import read_json, replace_folder, write_json
from ratchet.measure.bootstrap import mean_estimate, weights
from ratchet.measure.estimate import Estimate, exact, undefined
from ratchet.models.predictor import Predictor, load
from ratchet.params import load_params
from ratchet.release.choice import rank
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.trust.attributions import Attribution, attribute, cached_score, deletion_gap, global_words, word_spans
from ratchet.trust.explanation_page import render_figure, render_page

if TYPE_CHECKING:
    import pandas as pd

BUNDLES = {
    "baseline": "models/baseline",
    "teacher": "models/teacher",
    "student": "models/student",
    "pruned": "models/pruned",
    "pruned-bnb-int8": "models/pruned-bnb-int8",
    "pruned-bnb-nf4": "models/pruned-bnb-nf4",
    "pruned-onnx-fp32": "models/pruned-onnx-fp32",
    "pruned-onnx-int8": "models/pruned-onnx-int8",
    "pruned-openvino-fp32": "models/pruned-openvino-fp32",
    "pruned-openvino-int8": "models/pruned-openvino-int8",
}
READS = {"evaluate": "reports/evaluate.json", **BUNDLES, "splits": "data/splits"}
WRITES = {"pages": "reports/explain", "report": "reports/explain.json"}
SEARCHED = 10
"""Texts are chosen among this many times as many, so that wrong predictions are found among them."""
N_WORDS = 50
"""Words the report lists."""


class Params(ratchet.params.Params):
    """Which bundles and texts are explained, and how closely."""

    n_candidates: int = Field(ge=1)
    """Bundles to explain, from the top of the ranking."""
    max_accuracy_loss: float = Field(ge=0, le=1)
    """Bundles that lose more accuracy against the teacher are passed over."""
    size_tie: float = Field(ge=0, le=1)
    """As promote's: bundles at most this much larger than the smallest count as equally small; a rate."""
    latency_tie: float = Field(ge=0, le=1)
    """As promote's: bundles at most this much slower than the fastest count as equally fast; a rate."""
    n_texts: int = Field(ge=1)
    """Test texts to explain, balanced over classes."""
    wrong_rate: float = Field(ge=0, le=1)
    """Share of them that should be misclassified ones, as far as there are any."""
    max_evals: int = Field(ge=16)
    """Masked texts to score for one explanation."""
    deletion_rate: float = Field(gt=0, le=1)
    """Share of a text's words that is deleted to test its explanation."""
    n_random_deletions: int = Field(ge=1)
    """Random deletions it is compared with."""
    n_bootstrap: int = Field(ge=100, le=100_000)
    """Bootstrap draws behind each 95 % interval."""
    n_threads: int = Field(ge=0)
    """CPU threads; 0: all cores."""
    seed: int = Field(ge=0)
    """Seed of the choice of texts, of word sets and of random deletions."""


class Explained(NamedTuple):
    """A bundle's explanations."""

    texts: list[tuple[str, str, Attribution]]
    """Id, true label and attribution."""
    report: dict[str, Any]


def candidates(bundles: Mapping[str, Mapping[str, Any]], params: Params) -> list[str]:
    """The bundles to explain, the most wanted first: evaluated, deployable, near enough to the teacher.

    A bundle whose loss is not measured is passed over, but for the teacher itself.
    """
    deployable = {name: item for name, item in bundles.items() if item.get("deployable") and name in BUNDLES}
    ranking = rank(deployable, params.size_tie, params.latency_tie)
    return [name for name in ranking if _loss(name, deployable[name]) <= params.max_accuracy_loss][
        : params.n_candidates
    ]


def run(predictor: Predictor, test: pd.DataFrame, params: Params) -> Explained:
    """The explanations of one bundle on labelled test texts; without any text with a word, none.

    The metrics: `n_explained`; `additivity_error`, the largest over the texts (see `Attribution`); and
    `deletion_gap`, the mean over the texts (see `ratchet.trust.attributions.deletion_gap`).
    """
    score, rng = cached_score(predictor), np.random.default_rng(params.seed)
    explained, gaps = [], []
    for row in choose_texts(predictor, test, params).itertuples():
        attribution = attribute(predictor, score, str(row.text), params.max_evals, params.seed)
        gaps.append(deletion_gap(attribution, score, params.deletion_rate, params.n_random_deletions, rng))
        explained.append((str(row.id), str(row.label), attribution))
    errors = [attribution.additivity_error for _, _, attribution in explained]
    worst = exact(max(errors), len(errors)) if errors else undefined("no text was explained")
    metrics = {
        "n_explained": exact(len(explained), len(explained)),
        "additivity_error": worst,
        "deletion_gap": mean_estimate(np.array(gaps), weights(len(gaps), params.n_bootstrap, rng)),
    }
    labels = predictor.labels
    return Explained(
        explained,
        {
            "metrics": {name: estimate.to_json() for name, estimate in metrics.items()},
            "n_wrong": sum(labels[item.predicted] != label for _, label, item in explained),
            "words": global_words([item for _, _, item in explained], labels)[:N_WORDS],
        },
    )


def choose_texts(predictor: Predictor, test: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Labelled texts to explain: in the order of a seeded hash, `wrong_rate` of them misclassified, classes in turn.

    The hash is of the id, so the choice changes little when texts are added.
    """
    usable = test[test["label"].notna() & test["text"].map(lambda text: len(word_spans(text)) > 0)]
    order = usable["id"].map(lambda key: unit_hash(key, str(params.seed))).sort_values(kind="stable").index
    found = usable.loc[order].head(SEARCHED * params.n_texts).reset_index(drop=True)
    proba = predictor.predict_proba(found["text"].tolist())
    wrong = np.array(predictor.labels, dtype=object)[proba.argmax(axis=1)] != found["label"].to_numpy(dtype=object)
    turn = found.groupby(["label", wrong]).cumcount().to_numpy()  # the how-many-eth of its class and kind
    in_turn = np.lexsort((found["label"].to_numpy(dtype=str), turn))
    mistakes = in_turn[wrong[in_turn]][: round(params.wrong_rate * params.n_texts)]
    rest = in_turn[~wrong[in_turn]]
    more = in_turn[wrong[in_turn]][len(mistakes) :]  # where there are too few right ones
    return found.iloc[np.concatenate([mistakes, rest, more])[: params.n_texts]]


def main() -> None:
    params = load_params(Params, "explain")
    test = read_table(Path(READS["splits"]) / "test.parquet", SPLIT)
    names = candidates(read_json(Path(READS["evaluate"]))["bundles"], params)
    bundles = {}
    with replace_folder(Path(WRITES["pages"])) as folder:
        for name in names:
            print(f"explaining {params.n_texts} texts by {name}", flush=True)
            predictor = load(Path(BUNDLES[name]), params.n_threads)
            texts, report = run(predictor, test, params)
            figures = {key: _words(Estimate.from_json(value)) for key, value in report["metrics"].items()}
            page = render_page(name, predictor.labels, texts, report["words"], figures)
            (folder / f"{name}.html").write_text(page, encoding="utf-8")
            (folder / f"{name}.png").write_bytes(render_figure(report["words"], predictor.labels))
            bundles[name] = {
                **report,
                "page": f"{WRITES['pages']}/{name}.html",
                "figure": f"{WRITES['pages']}/{name}.png",
            }
        listed = "".join(f"{name}.html\n" for name in names) or "No bundle is near enough to the teacher to explain.\n"
        (folder / "contents.txt").write_text(listed, encoding="utf-8")
    write_json(Path(WRITES["report"]), {"command": "python -m pipeline_steps.explain", "bundles": bundles})


def _loss(name: str, bundle: Mapping[str, Any]) -> float:
    """Accuracy of the teacher minus the bundle's; infinite when it is not known."""
    if name == "teacher":
        return 0.0
    value = bundle.get("against", {}).get("teacher", {}).get("accuracy", {}).get("value")
    return float("inf") if value is None else -float(value)


def _words(estimate: Estimate) -> str:
    if estimate.reason:
        return f"undefined: {estimate.reason}"
    if estimate.low == estimate.high:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.3f} (95 % interval {estimate.low:.3f} to {estimate.high:.3f})"


if __name__ == "__main__":
    entry(main)
