"""What it takes to turn a prediction, and which concepts it depends on: for the bundle that is wanted most.

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
from ratchet.data.splits import unit_hash
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.files import write_json
from ratchet.gates.ranking import read_shortlist
from ratchet.models.discovery import discover
from ratchet.models.lineage import torch_parent
from ratchet.models.predictor import Predictor
from ratchet.models.torch_predictor import TorchPredictor
from ratchet.params import load_params, read_yaml
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.task import InferenceThreads, NBootstrap, Seed
from ratchet.trust.attributions import word_spans
from ratchet.trust.concepts import activations, concept_scores, gradients, read_concepts
from ratchet.trust.counterfactuals import Counterfactual, search, summary
from ratchet.trust.harmless_words import harmless_words
from ratchet.trust.lockstep import cached_score, run_together
from ratchet.trust.neighbours import Neighbours, of_embeddings

if TYPE_CHECKING:
    import pandas as pd

READS = {
    "shortlist": "reports/shortlist.json",
    "bundles": "models/*",  # every bundle that an earlier stage writes, discovered from its manifest
    "splits": "data/splits",
    "lexicon": "data/challenge/contrast.yaml",
    "concepts": "data/concepts",
}
WRITES = {"report": "reports/counterfactuals.json"}


class Params(ratchet.params.Params):
    """How far the searches go, and what concepts are tested against."""

    n_texts: int = Field(ge=1)
    """Test texts whose predictions are turned."""
    max_edits: int = Field(ge=1)
    """Words edited at most."""
    n_neighbours: int = Field(ge=1)
    """Exchanges tried for a word, beside its opposites in the lexicon."""
    harmless_words: list[str]
    """Words that carry no opinion, in lower case: a text that turns when one of them is deleted is a weakness."""
    n_weakness_texts: int = Field(ge=1)
    """Test texts in which each harmless word is deleted once."""
    n_examples: int = Field(ge=0)
    """Turned texts, weaknesses and harmless words that the report lists of each kind."""
    layer: int = Field(ge=1)
    """The layer whose output concepts are directions of, counted from 1; the last one where there are fewer."""
    n_concept_texts: int = Field(ge=10)
    """Test texts a class whose predictions concepts are tested on, and as many as a pool of random ones."""
    n_random: int = Field(ge=5)
    """Random sets that each concept is tested against."""
    alpha: float = Field(gt=0, lt=1)
    """Chance of any concept being found that is none."""
    n_bootstrap: NBootstrap
    n_threads: InferenceThreads
    seed: Seed


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
        **summary(found, random, (cpu_s, random_cpu_s), params.n_bootstrap, params.seed),
        "examples": [
            {
                "text": item.text,
                "edited": item.edited,
                "predicted": predictor.labels[item.predicted],
                "edits": ", ".join(f"{old} → {new or '(deleted)'}" for old, new in item.edits),
            }
            for item in found
            if item.flipped
        ][: params.n_examples],
    }


def concepts_of(
    predictor: TorchPredictor, concepts: dict[str, list[str]], test: pd.DataFrame, params: Params
) -> dict[str, Any]:
    """Each concept's score for the last class, on test texts that are in no concept."""
    layer = min(params.layer, int(predictor.model.config.num_hidden_layers))
    texts = test["text"].astype(str).tolist()[: 2 * params.n_concept_texts]
    explained, pool = texts[: params.n_concept_texts], texts[params.n_concept_texts :]
    target = len(predictor.labels) - 1
    found = concept_scores(
        {name: activations(predictor, examples, layer) for name, examples in concepts.items()},
        activations(predictor, pool, layer),
        gradients(predictor, explained, layer, target),
        params.n_random,
        params.alpha,
        params.seed,
    )
    return {
        "bundle": predictor.manifest.name,
        "layer": layer,
        "towards": predictor.labels[target],
        "n_texts": len(explained),
        "concepts": found,
    }


def main() -> None:
    params = load_params(Params, "counterfactuals")
    test = read_table(Path(READS["splits"]) / "test.parquet", SPLIT)
    test = test[test["text"].map(lambda text: len(word_spans(text)) > 1)]
    test = test.loc[test["id"].map(lambda key: unit_hash(key, str(params.seed))).sort_values(kind="stable").index]
    report: dict[str, Any] = {"command": "python -m pipeline_steps.counterfactuals", "bundles": {}}
    concepts = read_concepts(Path(READS["concepts"]))
    paths = discover(Path(READS["bundles"]).parent)
    for name in read_shortlist(Path(READS["shortlist"]))[:1]:
        print(f"probing {name}", flush=True)
        predictor, parent = load(paths[name], params.n_threads), torch_parent(name, paths, params.n_threads)
        texts = test["text"].astype(str).tolist()[: params.n_texts]
        told: dict[str, Any] = {"deletion": turned(predictor, texts, None, params)}
        told["harmless"] = harmless_words(
            predictor,
            test["text"].astype(str).tolist()[: params.n_weakness_texts],
            params.harmless_words,
            params.n_examples,
            params.n_bootstrap,
            params.seed,
        )
        if parent is not None:
            swaps = read_yaml(Path(READS["lexicon"]))["swaps"]
            told["exchange"] = turned(predictor, texts, of_embeddings(parent, swaps), params)
            told["concepts"] = concepts_of(parent, concepts, test, params)
        report["bundles"][name] = told
    write_json(Path(WRITES["report"]), report)


if __name__ == "__main__":
    entry(main)
