"""Training throughput against `transformers.Trainer`: same model, texts, epochs and batch size; tokens per second.

    python -m benchmarks.training

Both evaluate and save after every epoch and keep the best. The arms take turns over several rounds, so that what else
the machine does falls on all alike; a fit of each over a few texts comes first and is thrown away. Tokens are counted
without padding.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.material import SCRATCH, Task, median_estimate, n_tokens, read_task, write_report
from ratchet.entry import entry

N_TRAIN, N_VALIDATION, N_TEST, N_EPOCHS, N_ROUNDS, N_WARM_UP = 512, 100, 500, 2, 3, 64


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Against transformers.Trainer.")
    parser.add_argument("--compiled", action="store_true", help="also with torch.compile, which takes minutes longer")
    options = parser.parse_args(arguments)
    task = read_task(N_TRAIN, N_VALIDATION, N_TEST)
    arms: dict[str, Callable[[Task, int], Any]] = {
        "ratchet": lambda t, seed: ours(t, seed),
        "trainer": lambda t, seed: theirs(t, seed, tuned=False),
        "trainer, tuned": lambda t, seed: theirs(t, seed, tuned=True),
    }
    if options.compiled:
        arms["ratchet, compiled"] = lambda t, seed: ours(t, seed, compile_model=True)
        arms["ratchet, compiled"](task, 0)  # the compiler's own time is no part of the rate
    warm_up = read_task(N_WARM_UP, N_WARM_UP, N_WARM_UP)  # imports and first allocations are no part of it either
    for train in arms.values():
        train(warm_up, 0)
    figures = compare(task, arms, N_ROUNDS)
    write_report("training", figures, task.params.n_threads, "--compiled" if options.compiled else "")


def compare(task: Task, arms: dict[str, Callable[[Task, int], Any]], n_rounds: int) -> dict[str, Any]:
    """Rates of each arm over rounds, their accuracy over seeds, and the ratios to the Trainer within each round."""
    from ratchet.models.forward import logits_of

    n, taken = n_tokens(task.train) * N_EPOCHS, {name: list[tuple[float, float, float]]() for name in arms}
    for seed in range(n_rounds):
        for name, train in arms.items():
            began, used = time.perf_counter(), time.process_time()
            model = train(task, seed)
            wall, cpu = time.perf_counter() - began, time.process_time() - used
            accuracy = float((logits_of(model, task.test.tokens).argmax(1) == task.test.hard).mean())
            taken[name].append((n / wall, n / cpu, accuracy))
            print(
                f"round {seed + 1}  {name:20} {n / wall:7.0f} tokens/s  {n / cpu:7.0f} a CPU-s  {accuracy:.3f}",
                flush=True,
            )
    figures: dict[str, Any] = {
        name: {
            "tokens_per_second": median_estimate([item[0] for item in items]),
            "tokens_per_cpu_second": median_estimate([item[1] for item in items]),
            "accuracy": median_estimate([item[2] for item in items]),
        }
        for name, items in taken.items()
    }
    ratios = {
        name: {
            unit: median_estimate([ours[at] / theirs[at] for ours, theirs in zip(taken["ratchet"], items, strict=True)])
            for at, unit in enumerate(("tokens_per_second", "tokens_per_cpu_second"))
        }
        for name, items in taken.items()
        if name != "ratchet"
    }
    return {"n_train": N_TRAIN, "n_epochs": N_EPOCHS, "n_tokens": n, "arms": figures, "ratchet_against": ratios}


def ours(task: Task, seed: int, compile_model: bool = False) -> Any:
    """A model fitted as the pipeline fits it."""
    from ratchet.models.training import fit

    params = task.params.model_copy(
        update={
            "n_epochs": N_EPOCHS,
            "seed": seed,
            "precision": "32-true",
            "patience": 99,
            "compile_model": compile_model,
        }
    )
    model = task.new_model()
    fit(model, task.train, task.validation, params, SCRATCH / "training", metric=task.metric)
    return model


def theirs(task: Task, seed: int, *, tuned: bool) -> Any:
    """A model fitted by transformers.Trainer: with its defaults, or with every setting that makes it faster."""
    import torch
    import transformers

    params = task.params
    torch.set_num_threads(params.n_threads or torch.get_num_threads())
    model = task.new_model()
    if tuned:
        for parameter in model.get_input_embeddings().parameters():
            parameter.requires_grad_(params.train_embeddings)
    else:  # as its config says; load_classifier switches dropout off
        _set_dropout(model, 0.1)
    rows, held_out = (
        [{"input_ids": tokens, "labels": int(y)} for tokens, y in zip(part.tokens, part.hard, strict=True)]
        for part in (task.train, task.validation)
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(task.backbone, local_files_only=True)
    folder = SCRATCH / "trainer"
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=N_EPOCHS,
        per_device_train_batch_size=params.batch_size,
        per_device_eval_batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
        warmup_steps=params.warmup_rate,
        seed=seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        dataloader_pin_memory=False,
        train_sampling_strategy="group_by_length" if tuned else "random",
    )
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held_out,
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda found: {"accuracy": float(np.mean(found.predictions.argmax(1) == found.label_ids))},
    )
    trainer.train()
    shutil.rmtree(folder, ignore_errors=True)
    return model.eval()


def _set_dropout(model: Any, rate: float) -> None:
    import torch

    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = rate


if __name__ == "__main__":
    entry(main)
