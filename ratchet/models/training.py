"""Fitting a classifier with Lightning: bucketed batches, early stopping, resumed after a kill to the same weights."""

from __future__ import annotations

import logging
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ratchet.errors import TrainingError
from ratchet.files import sha256_file, sha256_json
from ratchet.models.batching import bucketed_batches, pad, sorted_batches
from ratchet.models.examples import Examples
from ratchet.models.fit_params import FitParams
from ratchet.models.precision import choose_precision


@dataclass(frozen=True)
class Fit:
    """What fitting did. The model itself holds the weights of the best epoch."""

    history: list[dict[str, float]]
    best_epoch: int
    precision: str
    precision_reason: str
    resumed_at_epoch: int
    seconds: float
    tokens_per_second: float

    def to_json(self) -> dict[str, Any]:
        """The fit as a JSON object."""
        return asdict(self)


def fit(
    model: Any, train: Examples, validation: Examples, params: FitParams, scratch: Path, live: Path | None = None,
    *, temperature: float = 1.0, soft_weight: float = 0.0,
) -> Fit:  # fmt: skip
    """Fit `model` in place, keeping the weights of the best epoch on the validation texts (the first of equals).

    Best is the highest accuracy; with a teacher's soft labels for the validation texts it is the lowest loss, which
    tells epochs apart that differ by less than the noise of an accuracy.

    A checkpoint is kept in `scratch` after every epoch and removed at the end. A run that was killed resumes from it,
    if it began with the same params, data, weights and code, and ends with the same weights to the last bit.

    Args:
        model: a Hugging Face sequence classifier.
        train: at least one text.
        validation: at least one labelled text; with soft labels if the epochs are to be judged by them.
        params: how to fit.
        scratch: a folder for checkpoints, on a disk with four times the model's size free.
        live: folder for DVCLive's plots and metrics; None: none are written.
        temperature: what a teacher's and the model's logits are divided by in the soft loss, above 0.
        soft_weight: weight of the soft loss on texts that have a hard label too, in [0, 1].

    Raises:
        TrainingError: nothing to learn from, or the loss is not a number.
    """
    if not len(train) or not len(validation):
        raise TrainingError(
            "There is nothing to learn from.", got=f"{len(train)} training and {len(validation)} validation texts",
            expected="at least one of each", fix="label more texts, or raise sample.budget",
        )  # fmt: skip
    import lightning
    import torch

    from ratchet.models.classifier import Classifier

    _quiet()
    torch.set_num_threads(params.n_threads or os.cpu_count() or 1)
    torch.manual_seed(params.seed)
    choice = choose_precision(params.precision)
    folder = scratch / _fingerprint(
        model, train, validation, [params.model_dump(), choice.precision, temperature, soft_weight]
    )
    resume = folder / "last.ckpt"
    _drop_other_runs(scratch, keep=folder)
    frozen = [] if params.train_embeddings else _freeze(model.get_input_embeddings())
    n_batches = -(-len(train) // params.batch_size)
    module = Classifier(
        model, n_steps=n_batches * params.n_epochs, learning_rate=params.learning_rate,
        weight_decay=params.weight_decay, warmup_rate=params.warmup_rate, temperature=temperature,
        soft_weight=soft_weight, seed=params.seed,
    )  # fmt: skip
    history, best, others = _callbacks(folder, params, n_batches, by_loss=validation.soft is not None)
    trainer = lightning.Trainer(
        max_epochs=params.n_epochs, precision=choice.precision, callbacks=[history, best, *others],
        logger=_live_logger(live, resume=resume.exists()), default_root_dir=scratch, devices=1, gradient_clip_val=1.0,
        deterministic="warn", enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        log_every_n_steps=max(1, n_batches // 10), use_distributed_sampler=False,
    )  # fmt: skip
    print(f"precision {choice.precision}: {choice.reason}", flush=True)
    began = time.perf_counter()
    trainer.fit(
        module, _loader(train, params.batch_size, params.seed), _loader(validation, params.batch_size, None),
        ckpt_path=resume if resume.exists() else None, weights_only=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    kept = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    module.load_state_dict(kept["state_dict"])
    model.eval()
    for parameter in frozen:
        parameter.requires_grad_(True)
    shutil.rmtree(scratch, ignore_errors=True)
    n_tokens = sum(map(len, train.tokens)) * (len(history.epochs) - history.resumed_at)
    return Fit(
        history=history.epochs, best_epoch=int(kept["epoch"]), precision=choice.precision,
        precision_reason=choice.reason, resumed_at_epoch=history.resumed_at, seconds=seconds,
        tokens_per_second=n_tokens / seconds,
    )  # fmt: skip


def _freeze(module: Any) -> list[Any]:
    """Freeze a module; the parameters that were trainable before."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    return trainable


def _callbacks(folder: Path, params: FitParams, n_batches: int, by_loss: bool) -> tuple[Any, Any, list[Any]]:
    """In the order they run: a history that survives a resume, the best weights, early stopping, the state to resume.

    The best weights are saved apart, without the optimizer's state, which is twice their size.
    """
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    from ratchet.models.history import History

    better = ("validation_loss", "min") if by_loss else ("validation_accuracy", "max")
    measure: dict[str, Any] = dict(zip(("monitor", "mode"), better, strict=True))
    always: dict[str, Any] = {"dirpath": folder, "save_on_train_epoch_end": True, "enable_version_counter": False}
    best = ModelCheckpoint(filename="best", save_top_k=1, save_weights_only=True, **measure, **always)
    last = ModelCheckpoint(filename="last", save_top_k=1, **always)
    stopping = EarlyStopping(patience=params.patience, check_on_train_epoch_end=True, **measure)
    return History(n_batches), best, [stopping, last]


class _Batches:
    """A batch sampler whose order depends on the seed and the epoch alone; without a seed, sorted by length."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int | None) -> None:
        self._lengths, self._batch_size, self._seed, self._epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        if self._seed is None:
            return sorted_batches(self._lengths, self._batch_size)
        return iter(bucketed_batches(self._lengths, self._batch_size, np.random.default_rng([self._seed, self._epoch])))

    def __len__(self) -> int:
        return -(-len(self._lengths) // self._batch_size)


def _loader(examples: Examples, batch_size: int, seed: int | None) -> Any:
    import torch

    def collate(indices: list[int]) -> dict[str, Any]:
        ids, mask = pad([examples.tokens[index] for index in indices])  # (batch, tokens) each
        batch: dict[str, NDArray[Any]] = {"ids": ids, "mask": mask, "hard": examples.hard[indices]}
        if examples.soft is not None:
            batch["soft"] = examples.soft[indices]
        return {name: torch.from_numpy(value) for name, value in batch.items()}

    sampler = _Batches([len(item) for item in examples.tokens], batch_size, seed)
    return torch.utils.data.DataLoader(
        range(len(examples)), batch_sampler=sampler, collate_fn=collate, num_workers=0  # type: ignore[arg-type]
    )  # fmt: skip


def _live_logger(live: Path | None, resume: bool) -> Any:
    if live is None:
        return False
    from dvclive.lightning import DVCLiveLogger

    return DVCLiveLogger(
        run_name=None, dir=str(live), save_dvc_exp=False, dvcyaml=None, report=None, resume=resume and live.exists(),
        monitor_system=False,
    )  # fmt: skip


def _fingerprint(model: Any, train: Examples, validation: Examples, how: list[Any]) -> str:
    """A name for this very run: a checkpoint of another one must not be resumed."""
    import torch

    from ratchet.models import classifier

    with torch.no_grad():
        weights = [[tuple(p.shape), float(p.double().sum()), p.requires_grad] for p in model.parameters()]
    soft = [None if e.soft is None else e.soft.astype(float).sum(axis=0) for e in (train, validation)]
    code = [sha256_file(Path(path)) for path in (__file__, classifier.__file__)]
    data = [[e.tokens, e.hard] for e in (train, validation)]
    return sha256_json([how, weights, data, soft, code])[:16]


def _drop_other_runs(scratch: Path, keep: Path) -> None:
    """Checkpoints of runs that can no longer be resumed only take space."""
    for folder in scratch.glob("*"):
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)


def _quiet() -> None:
    """Lightning's tips, and its advice on workers, eval mode and private pytree nodes, say nothing about this fit."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists.*",
        ".*LeafSpec.*",
        ".*in eval mode.*",
    ):
        warnings.filterwarnings("ignore", message=message)
