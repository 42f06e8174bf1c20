"""What it takes to turn a prediction, to which class, and which concepts each class depends on: the top-ranked bundle.

Counterfactuals by deletion and by exchange of words, beside random edits under the same rules; texts that turn on one
harmless word; concepts given as example texts, tested against random ones, in the bundle's torch weights.
Source: Wachter et al. 2018, https://arxiv.org/abs/1711.00399; Kim et al. 2018, https://arxiv.org/abs/1711.11279.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

import ratchet.params
from ratchet.data.class_sample import classes_in_turn
from ratchet.data.sampling import unit_hash
from ratchet.data.words import word_spans
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.gates.ranking import read_shortlist
from ratchet.measure.report_files import write_report
from ratchet.models.discovery import discover
from ratchet.models.lineage import torch_parent
from ratchet.models.predictor import Predictor
from ratchet.models.torch_predictor import TorchPredictor
from ratchet.params import load_params, read_params
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.task import InferenceThreads, NBootstrap, Seed
from ratchet.trust.concepts import MIN_EXAMPLES, activations, concept_scores, gradients, read_concepts
from ratchet.trust.counterfactuals import Counterfactual, search, summary
from ratchet.trust.harmless_words import harmless_words
from ratchet.trust.lockstep import cached_score, run_together
from ratchet.trust.neighbours import Neighbours, of_embeddings
from ratchet.trust.text_edits import Contrast

if TYPE_CHECKING:
    import pandas as pd

READS = {
    "shortlist": "reports/shortlist.json",
    "bundles": "models/*",  # every bundle that an earlier stage writes, discovered from its manifest
    "splits": "data/splits",
    "lexicon": "data/challenge/contrast.yaml",
    "harmless": "data/lexicons/harmless.yaml",
    "concepts": "data/concepts",
}
WRITES = {"report": "reports/counterfactuals.json", "measurements": "measurements/counterfactuals.json"}


class Params(ratchet.params.Params):
    """How far the searches go, and what concepts are tested against."""

    n_texts: int = Field(ge=1)
    """Test texts whose predictions are turned, their classes in turn."""
    max_edits: int = Field(ge=1)
    """Words edited at most."""
    n_neighbours: int = Field(ge=1)
    """Exchanges tried for a word, beside its opposites in the lexicon."""
    n_weakness_texts: int = Field(ge=1)
    """Test texts in which each word of data/lexicons/harmless.yaml is deleted once."""
    n_examples: int = Field(ge=0)
    """Turned texts, weaknesses and harmless words that the report lists of each kind."""
    layer: int = Field(ge=1)
    """The layer whose output concepts are directions of, counted from 1; the last one where there are fewer."""
    n_concept_texts: int = Field(ge=10)
    """Validation texts of each class, at most, on which concepts are tested, and as many as a pool of random ones."""
    n_random: int = Field(ge=5)
    """Random sets that each concept is tested against."""
    alpha: float = Field(gt=0, lt=1)
    """Chance of any concept being found that is none."""
    n_bootstrap: NBootstrap
    n_threads: InferenceThreads
    seed: Seed


class Harmless(ratchet.params.Params):
    """data/lexicons/harmless.yaml."""

    words: list[str]
    """Words that decide nothing, in lower case: a text that turns when one of them is deleted is a weakness."""


def turned(predictor: Predictor, texts: list[str], neighbours: Neighbours | None, params: Params) -> dict[str, Any]:
    """What it took to turn the predictions of the texts by deletion (without neighbours) or exchange, beside chance."""

    def run_all(random: bool) -> tuple[list[Counterfactual], float]:
        start = time.process_time()
        found = run_together(
            (
                search(
                    text,
                    neighbours,
                    params.max_edits,
                    params.n_neighbours,
                    np.random.default_rng([params.seed, index]) if random else None,
                )
                for index, text in enumerate(texts)
            ),
            cached_score(predictor),
        )
        return found, time.process_time() - start

    (found, cpu_s), (random, random_cpu_s) = run_all(False), run_all(True)
    return {
        **summary(found, random, (cpu_s, random_cpu_s), predictor.labels, params.n_bootstrap, params.seed),
        "examples": [
            {
                "text": item.text,
                "edited": item.edited,
                "predicted": predictor.labels[item.predicted],
                "becomes": predictor.labels[item.becomes],
                "edits": ", ".join(f"{old} → {new or '(deleted)'}" for old, new in item.edits),
            }
            for item in found
            if item.flipped
        ][: params.n_examples],
    }


def concepts_of(
    predictor: TorchPredictor, concepts: dict[str, list[str]], validation: pd.DataFrame, params: Params
) -> dict[str, Any]:
    """Each concept's score for each class, on texts of that class; random sets are drawn from other texts.

    At most half of a class's texts, so that others are left to draw from. Without concepts, or where the classes have
    too few texts to draw two random sets, nothing is tested, and `not_tested` says why.
    """
    layer = min(params.layer, int(predictor.model.config.num_hidden_layers))
    explained, pool = _concept_texts(validation, params.n_concept_texts)
    if why := _untestable(concepts, pool):
        return {"bundle": predictor.manifest.name, "not_tested": why}
    texts = {label: explained["text"][explained["label"] == label].tolist() for label in predictor.labels}
    found = concept_scores(
        {name: activations(predictor, examples, layer) for name, examples in concepts.items()},
        activations(predictor, pool["text"].tolist(), layer),
        {
            label: gradients(predictor, of_class, layer, index)
            for index, (label, of_class) in enumerate(texts.items())
            if of_class
        },
        params.n_random,
        params.alpha,
        params.seed,
    )
    return {
        "bundle": predictor.manifest.name,
        "layer": layer,
        "n_texts": {label: len(of_class) for label, of_class in texts.items()},
        "classes": found,
    }


def _concept_texts(validation: pd.DataFrame, most: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Texts to test concepts on, at most `most` and at most half of each class; and others for the random sets."""
    by_class = validation.groupby("label")
    rank, n_explained = by_class.cumcount(), np.minimum(by_class["id"].transform("size") // 2, most)
    return validation[rank < n_explained], validation[rank >= n_explained].head(most)


def _untestable(concepts: dict[str, list[str]], pool: pd.DataFrame) -> str:
    """Why no concept can be tested; empty: some can."""
    if not concepts:
        return f"{READS['concepts']} holds none"
    few = f"{len(pool)} texts to draw random sets from, fewer than {MIN_EXAMPLES}"
    return "" if len(pool) >= MIN_EXAMPLES else few


def main() -> None:
    params = load_params(Params, "counterfactuals")
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT).dropna(subset="label")
    validation = validation[validation["text"].map(lambda text: len(word_spans(text)) > 1)]
    validation = validation.loc[
        validation["id"].map(lambda key: unit_hash(key, str(params.seed))).sort_values(kind="stable").index
    ]
    report: dict[str, Any] = {"command": "python -m pipeline_steps.counterfactuals", "bundles": {}}
    concepts, harmless = read_concepts(Path(READS["concepts"])), read_params(Harmless, Path(READS["harmless"]))
    opposites = read_params(Contrast, Path(READS["lexicon"])).opposites
    paths = discover(Path(READS["bundles"]).parent)
    for name in read_shortlist(Path(READS["shortlist"]))[:1]:
        print(f"searching counterfactuals of {name}", flush=True)
        predictor, parent = load(paths[name], params.n_threads), torch_parent(name, paths, params.n_threads)
        texts = classes_in_turn(validation, str(params.seed))["text"].tolist()[: params.n_texts]
        told: dict[str, Any] = {"deletion": turned(predictor, texts, None, params)}
        told["harmless"] = harmless_words(
            predictor,
            validation["text"].astype(str).tolist()[: params.n_weakness_texts],
            harmless.words,
            params.n_examples,
            params.n_bootstrap,
            params.seed,
        )
        if parent is not None:
            told["exchange"] = turned(predictor, texts, of_embeddings(parent, opposites), params)
            told["concepts"] = concepts_of(parent, concepts, validation, params)
        report["bundles"][name] = told
    write_report(Path(WRITES["report"]), report, Path(WRITES["measurements"]))


if __name__ == "__main__":
    entry(main)
