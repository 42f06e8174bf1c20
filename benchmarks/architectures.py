"""Which architecture the data asks for: candidates of growing size on the same labels, and the front among them.

    python -m benchmarks.architectures
    python -m benchmarks.architectures --backbone prajjwal1/bert-tiny

TF-IDF, frozen embeddings with a linear classifier, the backbone's first layers, all of them, and any further backbone:
an installed package, a folder or a hub id, as in `train.backbone`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material import SCRATCH, Task, read_task, write_report
from pipeline_steps import baseline, train
from ratchet.entry import entry
from ratchet.measure.bootstrap import mean_estimate, weights
from ratchet.measure.estimate import Estimate
from ratchet.measure.latency import percentile_estimate, resamples
from ratchet.measure.significance import discordant, paired_difference
from ratchet.models.backbones import load_classifier, resolve_backbone
from ratchet.models.tuning import Method
from ratchet.params import load_params
from ratchet.release.figures import Point, front
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT

N_TRAIN, N_VALIDATION, N_TEST, N_EPOCHS, N_LATENCY = 600, 200, 500, 2, 60
MAX_LOSS = 0.02
"""The smallest candidate is asked for whose loss against the most accurate one is bounded by this, at 95 %."""
Predict = Callable[[Sequence[str]], Any]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.architectures", description="Architectures compared.")
    parser.add_argument("--backbone", action="append", default=[], help="a further candidate; may be repeated")
    options = parser.parse_args(arguments)
    params = load_params(train.Params, "train")
    splits = Path(train.READS["splits"])
    test = read_table(splits / "test.parquet", SPLIT).dropna(subset="label").sample(N_TEST, random_state=params.seed)
    labeled = read_table(Path(train.READS["labeled"]), LABELED).sample(N_TRAIN, random_state=params.seed)
    texts, task = test["text"].tolist(), read_task(N_TRAIN, N_VALIDATION, N_TEST)
    makers: dict[str, Callable[[], tuple[Predict, float]]] = {
        "tfidf": lambda: tfidf(labeled["text"].tolist(), labeled["label"].tolist(), task.labels),
        "frozen embeddings, linear": lambda: transformer(task, "head", n_layers=0),
        "3 layers": lambda: transformer(task, "full", n_layers=3),
        "all layers": lambda: transformer(task, "full", n_layers=0),
    }
    for spec in options.backbone:
        makers[spec] = lambda spec=spec: transformer(other_task(task, spec), "full", n_layers=0)  # type: ignore[misc]
    y_true = np.array([task.labels.index(label) for label in test["label"]])
    found, right = {}, {}
    for name, make in makers.items():
        used = time.process_time()
        predict, size = make()
        train_s = time.process_time() - used
        right[name], found[name] = measured(predict, size, texts, y_true, params.seed)
        found[name]["train_cpu_s"] = train_s
        print(f"{name:28} accuracy {found[name]['accuracy']['value']:.3f}  {size:6.1f} MB", flush=True)
    figures = {"n_train": N_TRAIN, "n_epochs": N_EPOCHS, "candidates": found, **asked_for(found, right)}
    write_report("architectures", figures, params.n_threads, " ".join(f"--backbone {b}" for b in options.backbone))


def asked_for(found: dict[str, dict[str, Any]], right: dict[str, Any]) -> dict[str, Any]:
    """The front of accuracy over latency, and the smallest candidate that is not inferior to the most accurate one."""
    points = [Point(n, f["latency_p95_ms"]["value"], Estimate.from_json(f["accuracy"])) for n, f in found.items()]
    best = max(found, key=lambda name: found[name]["accuracy"]["value"])
    lost = {name: paired_difference(discordant(right[name], right[best])) for name in found}
    enough = [name for name in found if lost[name].low > -MAX_LOSS or name == best]
    chosen = min(enough, key=lambda name: found[name]["size_mb"])
    return {
        "front": front(points), "most_accurate": best, "asked_for": chosen, "max_loss": MAX_LOSS,
        "against_most_accurate": {name: estimate.to_json() for name, estimate in lost.items()},
    }  # fmt: skip


def measured(
    predict: Predict, size: float, texts: Sequence[str], y_true: Any, seed: int
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
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
        texts, [labels.index(name) for name in names], max_ngram=params.max_ngram,
        inverse_regularization=params.inverse_regularization,
    )  # fmt: skip
    vectorizer, classifier = (step for _, step in made.steps)
    n_bytes = vectorizer.idf_.nbytes + classifier.coef_.nbytes + sum(map(len, vectorizer.get_feature_names_out()))
    return made.predict, n_bytes / 1e6


def transformer(task: Task, method: Method, n_layers: int) -> tuple[Predict, float]:
    """A fine-tuned encoder of its first `n_layers` layers (0: all), and the megabytes of its weights."""
    import torch

    from ratchet.models.batching import encode, load_tokenizer
    from ratchet.models.forward import logits_of
    from ratchet.models.frozen import fit_head
    from ratchet.models.training import fit
    from ratchet.models.tuning import prepare

    rate = {"head": 1e-2, "full": task.params.learning_rate}[method]
    changes = {"n_epochs": N_EPOCHS if method == "full" else 20, "precision": "32-true", "learning_rate": rate}
    params = task.params.model_copy(update=changes)
    model = task.new_model()
    if n_layers:
        layers = model.base_model.encoder.layer
        model.base_model.encoder.layer = torch.nn.ModuleList(list(layers)[:n_layers])
        model.config.num_hidden_layers = n_layers
    model = prepare(
        model, method, lora_rank=params.lora_rank, lora_targets=params.lora_targets,
        rank_stabilized=params.rank_stabilized, adapter_size=params.adapter_size,
    )  # fmt: skip
    fitting = fit_head if method == "head" else fit
    fitting(model, task.train, task.validation, params, SCRATCH / "architectures")
    tokenizer = load_tokenizer(task.backbone, params.max_tokens)
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters()) / 1e6
    return lambda texts: logits_of(model, encode(tokenizer, texts)).argmax(1), size


def other_task(task: Task, spec: str) -> Task:
    """The same texts for another backbone."""
    from dataclasses import replace

    folder = resolve_backbone(spec, "")
    load_classifier(folder, len(task.labels))  # says at once what is wrong with it
    params = task.params.model_copy(update={"backbone": spec, "backbone_sha256": ""})
    return replace(read_task(N_TRAIN, N_VALIDATION, N_TEST, params), labels=task.labels)


if __name__ == "__main__":
    entry(main)
