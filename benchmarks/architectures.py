"""Architecture benchmark: candidates of growing size on the same labels, and their Pareto front.

    python -m benchmarks.architectures

The candidates stand in `report.architectures` of params.yaml: TF-IDF, frozen embeddings with a linear classifier, the
backbone's first layers, all of them, and any further backbone: an installed package, a folder or a hub id. The report
page shows what came out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material import SCRATCH, Task, read_task, write_report
from pipeline_steps import baseline, report, sample, train
from ratchet.entry import entry
from ratchet.errors import ParamsError
from ratchet.measure.bootstrap import mean_estimate, weights
from ratchet.measure.estimate import Estimate
from ratchet.measure.latency import percentile_estimate, resamples
from ratchet.measure.significance import discordant, paired_difference
from ratchet.models.backbones import load_classifier, resolve_backbone
from ratchet.params import load_params
from ratchet.reporting.figures import Point, front
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT
from ratchet.task import BackboneSource
from ratchet.trust.slices import LENGTH_EDGES, read_length_edges

N_TRAIN, N_VALIDATION, N_TEST, N_EPOCHS, N_LATENCY = 1000, 200, 1000, 3, 60
MAX_LOSS = 0.02
"""The smallest candidate is asked for whose loss against the most accurate one is bounded by this, at 95 %."""
Predict = Callable[[Sequence[str]], Any]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.architectures", description="Architectures compared.")
    parser.parse_args(arguments)
    params, candidates = (
        load_params(train.Params, "train", length_edges=read_length_edges(LENGTH_EDGES)),
        load_params(report.Params, "report").architectures,
    )
    splits = Path(train.READS["splits"])
    bought = read_table(Path(train.READS["labeled"]), LABELED)
    labeled = bought.sample(min(N_TRAIN, len(bought)), random_state=params.seed)
    task = read_task(N_TRAIN, N_VALIDATION, N_TEST)
    test = read_table(splits / "test.parquet", SPLIT).dropna(subset="label")
    test = test.sample(min(N_TEST, len(test)), random_state=params.seed)
    texts, y_true = test["text"].tolist(), np.array([task.labels.index(label) for label in test["label"]])
    found, right = {}, {}
    for name in candidates:
        used = time.process_time()
        predict, size = make(name, task, labeled["text"].tolist(), labeled["label"].tolist())
        train_s = time.process_time() - used
        right[name], found[name] = measured(predict, size, texts, y_true, params.seed)
        found[name]["train_cpu_s"] = train_s
        print(f"{name:28} accuracy {found[name]['accuracy']['value']:.3f}  {size:6.1f} MB", flush=True)
    figures = {
        "n_train": len(labeled),
        "n_epochs": N_EPOCHS,
        "n_test": len(test),
        "data_sha256": train.labels_sha256(bought),
        "candidates": found,
        **asked_for(found, right),
    }
    write_report("architectures", figures, params.n_threads)


def make(name: str, task: Task, texts: list[str], names: list[str]) -> tuple[Predict, float]:
    """A candidate trained on the labelled texts: what predicts class indices, and its megabytes.

    Raises:
        ParamsError: there is no such candidate.
    """
    if name == "tfidf":
        return tfidf(texts, names, task.labels)
    if name == "frozen":
        return frozen(task, texts, names)
    if name == "backbone":
        return transformer(task, 0)
    if name.startswith("layers:"):
        n_layers = name.removeprefix("layers:")
        if not n_layers.isdecimal() or int(n_layers) == 0:
            raise ParamsError(
                "This is no number of layers.",
                where="params.yaml: report.architectures",
                got=name,
                expected="layers:N, N at least 1",
            )
        return transformer(task, int(n_layers))
    return transformer(other_task(task, name), 0)


def asked_for(found: dict[str, dict[str, Any]], right: dict[str, Any]) -> dict[str, Any]:
    """The front of accuracy over latency, and the smallest candidate that is not inferior to the most accurate one."""
    points = [Point(n, f["latency_p95_ms"]["value"], Estimate.from_json(f["accuracy"])) for n, f in found.items()]
    best = max(found, key=lambda name: found[name]["accuracy"]["value"])
    lost = {name: paired_difference(discordant(right[name], right[best])) for name in found}
    enough = [name for name in found if lost[name].low > -MAX_LOSS or name == best]
    chosen = min(enough, key=lambda name: found[name]["size_mb"])
    return {
        "front": front(points),
        "most_accurate": best,
        "asked_for": chosen,
        "max_loss": MAX_LOSS,
        "against_most_accurate": {name: estimate.to_json() for name, estimate in lost.items()},
    }


def measured(predict: Predict, size: float, texts: Sequence[str], y_true: Any, seed: int) -> tuple[Any, dict[str, Any]]:
    """Which texts are right, (n_texts,), and accuracy, latency of one text at a time, size."""
    rng = np.random.default_rng(seed)
    right = predict(texts) == y_true
    times = []
    for text in texts[:N_LATENCY]:
        began = time.perf_counter()
        predict([text])
        times.append((time.perf_counter() - began) * 1e3)
    draws = resamples(len(times), 1000, rng)
    return right, {
        "accuracy": mean_estimate(right, weights(len(right), 1000, rng)).to_json(),
        "latency_p50_ms": percentile_estimate(np.array(times), 50, draws).to_json(),
        "latency_p95_ms": percentile_estimate(np.array(times), 95, draws).to_json(),
        "size_mb": size,
    }


def tfidf(texts: list[str], names: list[str], labels: list[str]) -> tuple[Predict, float]:
    """As the `baseline` step makes it, and the megabytes of its numbers."""
    from ratchet.models.tfidf import fit_pipeline

    params = load_params(baseline.Params, "baseline")
    made = fit_pipeline(
        texts,
        [labels.index(name) for name in names],
        max_ngram=params.max_ngram,
        inverse_regularization=params.inverse_regularization,
    )
    vectorizer, classifier = (step for _, step in made.steps)
    n_bytes = vectorizer.idf_.nbytes + classifier.coef_.nbytes + sum(map(len, vectorizer.get_feature_names_out()))
    return made.predict, n_bytes / 1e6


def frozen(task: Task, texts: list[str], names: list[str]) -> tuple[Predict, float]:
    """Logistic regression on the mean of the backbone's last hidden states, as `sample` fits it, and the megabytes."""
    from transformers import AutoModel

    from ratchet.embeddings.encoder import eager_batches, pooled
    from ratchet.labels.selection_model import fit_selection_model, unit_length
    from ratchet.models.batching import encode, load_tokenizer

    model = AutoModel.from_pretrained(task.backbone, local_files_only=True, use_safetensors=True).eval()
    tokenizer = load_tokenizer(task.backbone, task.params.max_tokens)

    def embedded(texts: Sequence[str]) -> Any:
        batches = eager_batches(model, encode(tokenizer, texts), task.params.batch_size)
        return unit_length(pooled(batches, len(texts), model.config.hidden_size))

    y = np.array([task.labels.index(name) for name in names])
    regularization = load_params(sample.Params, "sample").inverse_regularization
    classify = fit_selection_model(embedded(texts), y, len(task.labels), regularization)
    return lambda texts: classify(embedded(texts)).argmax(axis=1), _megabytes(model)


def transformer(task: Task, n_layers: int) -> tuple[Predict, float]:
    """The fine-tuned encoder of its first `n_layers` layers (0: all), and the megabytes of its weights.

    Raises:
        ParamsError: the backbone has fewer layers.
    """
    import torch

    from ratchet.models.batching import encode, load_tokenizer
    from ratchet.models.forward import logits_of
    from ratchet.models.training import fit

    params = task.params.model_copy(update={"n_epochs": N_EPOCHS, "precision": "32-true"})
    model = task.new_model()
    if n_layers:
        layers = list(model.base_model.encoder.layer)
        if n_layers > len(layers):
            raise ParamsError(
                "The backbone has fewer layers.",
                where="params.yaml: report.architectures",
                got=f"layers:{n_layers}",
                expected=f"at most layers:{len(layers)}",
            )
        model.base_model.encoder.layer = torch.nn.ModuleList(layers[:n_layers])
        model.config.num_hidden_layers = n_layers
    fit(model, task.train, task.validation, params, SCRATCH / "architectures", metric=task.metric)
    tokenizer = load_tokenizer(task.backbone, params.max_tokens)
    return lambda texts: logits_of(model, encode(tokenizer, texts)).argmax(1), _megabytes(model)


def _megabytes(model: Any) -> float:
    return float(sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()) / 1e6)


def other_task(task: Task, spec: str) -> Task:
    """The same texts for another backbone."""
    from dataclasses import replace

    folder = resolve_backbone(spec, "")
    load_classifier(folder, len(task.labels))  # says at once what is wrong with it
    params = task.params.model_copy(update={"backbones": [BackboneSource(source=spec, sha256="")]})
    return replace(read_task(N_TRAIN, N_VALIDATION, N_TEST, params), labels=task.labels)


if __name__ == "__main__":
    entry(main)
