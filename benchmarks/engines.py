"""One model through every engine: threads, batches, streams, `torch.compile`, and the tokenizer inside the graph.

    python -m benchmarks.engines
    python -m benchmarks.engines --quick

The pruned student as each bundle of it runs, in one process and in turns. What wins here is what `load` and
`params.yaml` ought to say on this machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.material import median_estimate, write_report
from pipeline_steps import evaluate
from ratchet.engines.kinds.onnx import OnnxPredictor
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.measure.latency import interleaved_ms, percentile_estimate, percentile_ratio, resamples
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import read_manifest
from ratchet.models.predictor import Predictor, Proba, softmax
from ratchet.models.torch_predictor import TorchPredictor
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.trust.slices import LENGTH_EDGES, read_length_edges

SOURCE = "pruned"
COMPILED = ("onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8")
REFERENCE = "PyTorch"
Make = Callable[[int, int], Predictor]
"""Threads and batch size → the loaded engine."""


class Size(NamedTuple):
    """Size of the measurement."""

    texts: int
    """Texts that are scored one at a time."""
    rows: int
    """Texts that are scored in batches."""
    rounds: int
    batches: tuple[int, ...]


FULL, QUICK = Size(80, 192, 3, (1, 32, 128)), Size(4, 8, 1, (4,))


class CompiledTorch(TorchPredictor):
    """PyTorch through `torch.compile`, for any batch and length."""

    def __init__(self, path: Path, n_threads: int, batch_size: int) -> None:
        super().__init__(read_manifest(path), path, n_threads, batch_size)
        self._model.forward = self._torch.compile(self._model.forward, dynamic=True)


class TextGraph(Predictor):
    """OpenVINO with the tokenizer inside the graph: strings in, logits out."""

    def __init__(self, path: Path, n_threads: int, batch_size: int) -> None:
        super().__init__(read_manifest(path))
        import openvino
        from openvino_tokenizers import connect_models, convert_tokenizer
        from transformers import PreTrainedTokenizerFast

        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(path / "tokenizer.json"),
            model_max_length=self.manifest.max_tokens,
            pad_token="[PAD]",
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        )
        core = openvino.Core()
        words = convert_tokenizer(tokenizer, max_length=self.manifest.max_tokens, truncation=True)
        graph = connect_models(words, core.read_model(path / "openvino_model.xml"))
        graph.add_sinks(words.get_sinks())  # connect_models leaves behind the state that truncates
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": n_threads}
        self._model, self._batch_size = core.compile_model(graph, "CPU", config), batch_size

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        starts = range(0, len(texts), self._batch_size)
        parts = [self._model({0: list(texts[start : start + self._batch_size])})["logits"] for start in starts]
        return softmax(np.concatenate(parts))


def engines(models: Path) -> dict[str, Make]:
    """Every engine by the name that the table shows."""
    source, int8 = models / SOURCE, models / f"{SOURCE}-onnx-int8"
    made: dict[str, Make] = {
        REFERENCE: lambda n, size: load(source, n, size),
        "torch.compile": lambda n, size: CompiledTorch(source, n, size),
        **{
            f"{SOURCE}-{engine}": lambda n, size, path=models / f"{SOURCE}-{engine}": load(path, n, size)  # type: ignore[misc]
            for engine in COMPILED
        },
        "onnx-int8, threads sleep": lambda n, size: OnnxPredictor(read_manifest(int8), int8, n, size, spin_us=0),
        "openvino-fp32, tokenizer in the graph": lambda n, size: TextGraph(models / f"{SOURCE}-openvino-fp32", n, size),
    }
    return {name.removeprefix(f"{SOURCE}-"): make for name, make in made.items()}


class OnThreads(Predictor):
    """A predictor whose PyTorch has the threads it was loaded with: they are a setting of the whole process."""

    def __init__(self, inner: Predictor, n_threads: int) -> None:
        super().__init__(inner.manifest)
        self._inner, self._n_threads = inner, n_threads

    def predict_proba(self, texts: Sequence[str]) -> Proba:
        import torch

        if torch.get_num_threads() != self._n_threads:
            torch.set_num_threads(self._n_threads)
        return self._inner.predict_proba(texts)


def latencies(
    makers: Mapping[str, Make], texts: Sequence[str], n_threads: Sequence[int], n_rounds: int, rng: np.random.Generator
) -> dict[str, Any]:
    """One text at a time in turns, on so many threads: milliseconds, and how many times faster than PyTorch on all."""
    arms = {(name, n): OnThreads(make(n, 32), n) for name, make in makers.items() for n in n_threads}
    times = interleaved_ms({f"{name}|{n}": arm for (name, n), arm in arms.items()}, texts, n_rounds, rng)
    draws = resamples(len(texts), 1000, rng)
    reference = times[f"{REFERENCE}|{max(n_threads)}"]
    found: dict[str, Any] = {name: {} for name in makers}
    for name, n in arms:
        taken = times[f"{name}|{n}"]
        found[name][str(n)] = {
            **{f"p{p}_ms": percentile_estimate(taken, p).to_json() for p in (50, 95)},
            "p95_speedup": percentile_ratio(reference, taken, 95, draws).to_json(),
        }
        print(f"{name:40} {n} threads: p95 {found[name][str(n)]['p95_ms']['value']:6.2f} ms", flush=True)
    return found


def throughputs(arms: Mapping[str, Callable[[], Any]], n_rows: int, n_rounds: int) -> dict[str, Any]:
    """Rows a second of each, over rounds in turns; a first call of each is thrown away."""
    for score in arms.values():
        score()
    wall: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(n_rounds):
        for name, score in arms.items():
            began = time.perf_counter()
            score()
            wall[name].append(n_rows / (time.perf_counter() - began))
    return {name: median_estimate(values) for name, values in wall.items()}


def on_streams(predictors: Sequence[Predictor], texts: Sequence[str]) -> None:
    """Score the texts with one worker a predictor, each in chunks of 32."""
    chunks = [texts[at : at + 32] for at in range(0, len(texts), 32)]

    def work(index: int) -> None:
        for chunk in chunks[index :: len(predictors)]:
            predictors[index].predict_proba(chunk)

    with ThreadPoolExecutor(len(predictors)) as pool:
        list(pool.map(work, range(len(predictors))))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description="Engines side by side.")
    parser.add_argument("--quick", action="store_true", help="a few texts once, without torch.compile and a report")
    options = parser.parse_args(arguments)
    size = QUICK if options.quick else FULL
    params = load_params(evaluate.Params, "evaluate", length_edges=read_length_edges(LENGTH_EDGES))
    rng = np.random.default_rng(params.seed)
    test = read_table(Path(evaluate.READS["splits"]) / "test.parquet", SPLIT)
    texts = rng.choice(test["text"].to_numpy(dtype=object), size.rows, replace=False).tolist()
    n_cores = params.n_threads or os.cpu_count() or 1
    makers = engines(Path("models"))
    if options.quick:
        del makers["torch.compile"]  # it would compile for most of a minute
    latency = latencies(makers, texts[: size.texts], sorted({1, n_cores}), size.rounds, rng)
    report: dict[str, Any] = {"latency": latency}
    batches = {
        f"{name}|{n}": OnThreads(make(n_cores, n), n_cores) for name, make in makers.items() for n in size.batches
    }
    found = throughputs(
        {name: lambda arm=arm: arm.predict_proba(texts) for name, arm in batches.items()},  # type: ignore[misc]
        size.rows,
        size.rounds,
    )
    report["batches"] = {name: {str(n): found[f"{name}|{n}"] for n in size.batches} for name in makers}
    streams = {name: [OnThreads(make(1, 32), 1) for _ in range(n_cores)] for name, make in makers.items()}
    report["streams"] = throughputs(
        {name: lambda arms=arms: on_streams(arms, texts) for name, arms in streams.items()},  # type: ignore[misc]
        size.rows,
        size.rounds,
    )
    tokenizer = load_tokenizer(Path("models") / SOURCE, read_manifest(Path("models") / SOURCE).max_tokens)
    report |= {
        "tokenizing": throughputs({"tokenizer": lambda: encode(tokenizer, texts)}, size.rows, size.rounds)["tokenizer"]
    }
    for name in makers:
        sizes = "  ".join(f"{n}: {report['batches'][name][str(n)]['value']:5.0f}" for n in size.batches)
        print(f"{name:40} rows/s at batch {sizes}  {n_cores} streams: {report['streams'][name]['value']:5.0f}")
    if not options.quick:
        write_report("engines", {**report, "reference": REFERENCE, "n_streams": n_cores, "n_rows": size.rows}, n_cores)


if __name__ == "__main__":
    entry(main)
