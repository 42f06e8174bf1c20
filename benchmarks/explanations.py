"""SHAP side by side with plain `shap.Explainer` over `transformers.pipeline`: texts per second, and whether they agree.

    python -m benchmarks.explanations

Explainers of the same texts with as many evaluations each, in turns over several rounds. Plain is there twice:
`shap.Explainer(pipeline)` as its manual has it, which masks tokens and keeps texts at their full length; and shap over
the same pipeline with Ratchet's words and tree, which asks for the very texts that Ratchet asks for. The second is the
faster one and the one whose values can be compared word by word: the targets are held against it, and the ratios to
both are reported. Ratchet explains the same weights, in PyTorch and as a graph in memory, and the deployed bundle.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.material import median_estimate, write_report
from ratchet.compress.graph_predictor import as_graph
from ratchet.data.words import word_spans
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.gates.measured_reports import read_report
from ratchet.measure.bootstrap import mean_estimate, weights
from ratchet.models.discovery import MODELS, discover
from ratchet.models.lineage import torch_parent
from ratchet.models.torch_predictor import TorchPredictor
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.trust.attributions import attribute
from ratchet.trust.faithfulness import agreement
from ratchet.trust.lockstep import cached_score

MIN_WORDS, N_THREADS, SEED = 8, 1, 13
PLAIN, MANUAL = "plain shap over a pipeline", "the same with shap's own masks of tokens"
EAGER, SAME, DEPLOYED = "same weights in PyTorch", "same weights", "deployed bundle"
Rates = dict[str, list[tuple[float, float]]]
Values = dict[str, list[NDArray[np.float64]]]
Explain = Callable[[Sequence[str]], list[NDArray[np.float64]]]


def text_classification(predictor: TorchPredictor) -> Any:
    """A pipeline of transformers over the predictor's weights, as it comes: in batches of one."""
    from transformers import PreTrainedTokenizerFast, pipeline

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=predictor.tokenizer,
        model_max_length=predictor.manifest.max_tokens,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    predictor.model.config.id2label = dict(enumerate(predictor.labels))
    predictor.model.config.label2id = {label: index for index, label in enumerate(predictor.labels)}
    return pipeline("text-classification", model=predictor.model, tokenizer=tokenizer, top_k=None)


def plain_explainer(predictor: TorchPredictor, max_evals: int, masker: Any) -> tuple[Explain, list[int]]:
    """`shap.Explainer` over a pipeline of the predictor's weights, and how often it was asked.

    Args:
        predictor: of torch weights.
        max_evals: for each text.
        masker: None: shap's own, over the pipeline's tokens.
    """
    import shap

    model = shap.models.TransformersPipeline(text_classification(predictor))
    asked, answer = [0], model.inner_model

    def counted(texts: list[str]) -> Any:
        asked[0] += len(texts)
        return answer(texts)

    counted.model, counted.tokenizer = answer.model, answer.tokenizer  # type: ignore[attr-defined]
    model.inner_model = counted
    explainer = shap.Explainer(model, masker, algorithm="partition")

    def explain(texts: Sequence[str]) -> list[NDArray[np.float64]]:
        np.random.seed(SEED)
        found = explainer(np.array(texts), max_evals=max_evals, silent=True).values
        return [np.asarray(item) for item in found]

    return explain, asked


def own_explainer(predictor: Any, max_evals: int) -> Explain:
    """`ratchet.trust.attributions.attribute`, with nothing remembered from one call to the next."""

    def explain(texts: Sequence[str]) -> list[NDArray[np.float64]]:
        return [item.values for item in attribute(predictor, cached_score(predictor), texts, max_evals)]

    return explain


def measure(explainers: dict[str, Explain], texts: Sequence[str], n_rounds: int) -> tuple[Rates, Values]:
    """Texts per CPU second and per second of each, in turns; and the values of the last round."""
    rates: Rates = {name: [] for name in explainers}
    values: Values = {}
    for index in range(n_rounds):
        part = texts[index::n_rounds]
        for name, explain in explainers.items():
            cpu, wall = time.process_time(), time.perf_counter()
            values.setdefault(name, []).extend(explain(part))
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            rates[name].append((len(part) / cpu, len(part) / wall))
            print(f"{index + 1}/{n_rounds} {name}: {rates[name][-1][0]:.2f} texts per CPU second", flush=True)
    return rates, values


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanations", description="SHAP side by side.")
    parser.add_argument("--texts", type=int, default=48, help="texts in all")
    parser.add_argument("--rounds", type=int, default=4, help="turns the texts are dealt into")
    parser.add_argument("--evals", type=int, default=160, help="evaluations for one text")
    parser.add_argument("--bundle", default="", help="the deployed bundle; the promoted one unless it is named")
    options = parser.parse_args(arguments)
    deployed = options.bundle or read_report(Path("reports/decision.json"))["chosen"]
    parent = torch_parent(str(deployed), discover(MODELS), N_THREADS)
    if parent is None:
        raise PipelineError(
            "The bundle has no torch weights to compare with.",
            where="reports/decision.json",
            got=deployed,
            fix="name one that was made from torch weights: --bundle",
        )
    test = read_table(Path("data/splits/test.parquet"), SPLIT)["text"].astype(str)
    texts = [text for text in test if len(word_spans(text)) >= MIN_WORDS][: options.texts]
    from ratchet.trust.word_explainer import WordMasker

    plain, asked = plain_explainer(parent, options.evals, WordMasker())
    manual, asked_by_manual = plain_explainer(parent, options.evals, None)
    explainers = {
        PLAIN: plain,
        MANUAL: manual,
        EAGER: own_explainer(parent, options.evals),
        SAME: own_explainer(as_graph(parent, N_THREADS), options.evals),
        DEPLOYED: own_explainer(load(MODELS / deployed, N_THREADS), options.evals),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        for explain in explainers.values():
            explain(texts[:1])  # compiles what shap compiles
        asked[0] = asked_by_manual[0] = 0
        rates, values = measure(explainers, texts, options.rounds)
    evals = {PLAIN: asked[0] / len(texts), MANUAL: asked_by_manual[0] / len(texts)}
    figures = summary(rates, values, evals, str(deployed), parent.manifest.name)
    figures |= {"n_texts": len(texts), "max_evals": options.evals}
    words = f"--texts {options.texts} --rounds {options.rounds} --evals {options.evals} --bundle {deployed}"
    write_report("explanations", figures, N_THREADS, words)


def summary(
    rates: Rates, values: Values, evals_per_text: dict[str, float], deployed: str, parent: str
) -> dict[str, Any]:
    """The report: rates, how many times plain's they are, and correlations with plain's values of the same words."""
    rows: dict[str, dict[str, Any]] = {}
    for name, pairs in rates.items():
        cpu, wall = np.array(pairs).T
        rows[name] = {
            "bundle": deployed if name == DEPLOYED else parent,
            "texts_per_cpu_second": median_estimate(cpu.tolist()),
            "texts_per_second": median_estimate(wall.tolist()),
        }
        if name in (PLAIN, MANUAL):
            continue
        for other, key in ((PLAIN, "times_plain"), (MANUAL, "times_plain_with_its_own_masks")):
            rows[name][key] = median_estimate((cpu / np.array(rates[other])[:, 0]).tolist())
        one, mine = (np.concatenate([item[:, 1] for item in values[which]]) for which in (PLAIN, name))
        per_text = agreement(*([item[:, 1] for item in values[which]] for which in (PLAIN, name)))
        w = weights(len(per_text), 1000, np.random.default_rng(SEED))
        rows[name] |= {
            "correlation_over_all_words": float(np.corrcoef(one, mine)[0, 1]),
            "correlation_within_texts": mean_estimate(per_text, w).to_json(),
        }
    return {"evals_per_text": evals_per_text, "explainers": rows}


if __name__ == "__main__":
    entry(main)
