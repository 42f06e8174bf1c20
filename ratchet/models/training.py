"""Fitting a classifier with Lightning: bucketed batches, early stopping, resumed after a kill to the same weights."""

from __future__ import annotations

import copy
import logging
import os
import shutil
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.errors import TrainingError
from ratchet.files import read_json, sha256_file, sha256_json, write_json
from ratchet.models.examples import Examples
from ratchet.models.fit_params import FitParams
from ratchet.models.loading import loader
from ratchet.models.precision import Choice, choose_precision
from ratchet.models.strategy import trainer_options

if TYPE_CHECKING:
    from ratchet.models.classifier import Classifier
    from ratchet.models.validation_scores import EpochMetric

PRECISION = "precision.json"


@dataclass(frozen=True)
class Fit:
    """Result of a fit. The model itself holds the weights of the best epoch."""

    history: list[dict[str, float]]
    best_epoch: int
    precision: str
    precision_reason: str
    resumed_at_epoch: int
    seconds: float
    """Wall time of this process's epochs."""
    tokens_per_second: float
    """Tokens learned from in these epochs, padding not counted."""
    choice: Choice
    """How the precision was chosen; a report of its own."""

    def to_json(self) -> dict[str, Any]:
        """The fit as a JSON object, without the trials of the precision."""
        return {name: value for name, value in asdict(self).items() if name != "choice"}


def without_steps(reason: str) -> Fit:
    """The fit of a model that was not trained by steps, for the reason given."""
    choice = Choice("32-true", reason, [])
    return Fit([], 0, choice.precision, reason, resumed_at_epoch=0, seconds=0.0, tokens_per_second=0.0, choice=choice)


def fit(
    model: Any,
    train: Examples,
    validation: Examples,
    params: FitParams,
    scratch: Path,
    live: Path | None = None,
    *,
    metric: EpochMetric,
    temperature: float = 1.0,
    soft_weight: float = 0.0,
    prior_offset: Sequence[float] = (),
    callbacks: Sequence[Any] = (),
    learner: type[Classifier] | None = None,
) -> Fit:
    """Fit `model` in place, keeping the weights of the best epoch on the validation texts (the first of equals).

    Best is by the metric. Where that is accuracy and a teacher's soft labels for the validation texts are there, it is
    the lowest loss: a mean over texts too, which separates epochs that differ by less than the noise of an accuracy.

    A checkpoint is kept in `scratch` after every epoch and removed at the end. A run that was killed resumes from it,
    if it began with the same params, data, weights and code, and ends with the same weights to the last bit. A mixed
    precision whose loss or gradient stops being a number is given up: the fit begins again in 32-bit, and says so.

    Args:
        model: a Hugging Face sequence classifier.
        train: at least one text.
        validation: at least one labelled text; with soft labels if the epochs are to be judged by them.
        params: how to fit.
        scratch: a folder for checkpoints, on a disk with four times the model's size free.
        live: folder for DVCLive's plots and metrics; None: none are written.
        metric: by what epochs are judged, and when training stops early.
        temperature: what a teacher's and the model's logits are divided by in the soft loss, above 0.
        soft_weight: weight of the soft loss on texts that have a hard label too, in [0, 1].
        prior_offset: added to the logits in the loss on hard labels, (n_classes,), as `ratchet.measure.prior` makes it;
            empty: nothing is.
        callbacks: Lightning callbacks that look on; what they keep has to be in their `state_dict`.
        learner: the Lightning module that says what is learned from a batch; None: `Classifier`.

    Raises:
        TrainingError: nothing to learn from, the metric is undefined on the validation texts, or the loss is not a
            number in 32-bit.
    """
    if not len(train) or not len(validation):
        raise TrainingError(
            "There is nothing to learn from.",
            got=f"{len(train)} training and {len(validation)} validation texts",
            expected="at least one of each",
            fix="label more texts, or raise sample.budget",
        )
    if reason := metric.undefined_on(validation.hard):
        raise TrainingError(
            f"The {metric.name} of the validation texts is undefined.",
            got=reason,
            fix="label validation texts of that class, or choose another primary metric",
        )
    import torch

    from ratchet.models.classifier import Classifier, is_not_finite

    learner = learner or Classifier
    _quiet()
    torch.set_num_threads(params.n_threads or os.cpu_count() or 1)
    torch.manual_seed(params.seed)
    how = [params.model_dump(), repr(metric), temperature, soft_weight, list(prior_offset), learner.__name__]
    folder = scratch / _fingerprint(model, train, validation, how, learner)
    _drop_other_runs(scratch, keep=folder)
    frozen = [] if params.train_embeddings else _freeze(model.get_input_embeddings())
    module = learner(
        model,
        n_steps=len(loader(train, params.batch_size, params.seed, paired=learner.paired)) * params.epochs(len(train)),
        learning_rate=params.learning_rate,
        head_rate=params.head_rate,
        weight_decay=params.weight_decay,
        warmup_rate=params.warmup_rate,
        temperature=temperature,
        soft_weight=soft_weight,
        prior_offset=prior_offset,
        micro_batch_tokens=params.micro_batch_tokens,
        seed=params.seed,
    )
    choice = _precision(module, train, params, folder)
    before = {name: value.clone() for name, value in model.state_dict().items()} if choice.mixed else {}
    try:
        fitted = _fit(module, train, validation, params, metric, choice, folder, live, callbacks)
    except Exception as error:  # another process's error arrives wrapped
        if not (choice.mixed and is_not_finite(error)):
            raise
        shutil.rmtree(folder, ignore_errors=True)
        model.load_state_dict(before)
        choice = Choice("32-true", f"fell back: in {choice.precision} a loss or gradient was no number", choice.trials)
        write_json(folder / PRECISION, asdict(choice))
        fitted = _fit(module, train, validation, params, metric, choice, folder, live, callbacks)
    model.eval()
    for parameter in frozen:
        parameter.requires_grad_(True)
    shutil.rmtree(scratch, ignore_errors=True)
    return fitted


def _fit(
    module: Any,
    train: Examples,
    validation: Examples,
    params: FitParams,
    metric: EpochMetric,
    choice: Choice,
    folder: Path,
    live: Path | None,
    callbacks: Sequence[Any],
) -> Fit:
    """One fit in the chosen precision, resumed where a checkpoint of it lies in `folder`."""
    import lightning
    import torch

    batches = loader(train, params.batch_size, params.seed, paired=module.paired)
    resume, n_batches = folder / "last.ckpt", len(batches)
    judged_by, mode = _judgement(metric, validation)
    history, best, others = _callbacks(folder, params, n_batches, judged_by, mode)
    trainer = lightning.Trainer(
        max_epochs=params.epochs(len(train)),
        callbacks=[history, *_measuring(judged_by, metric, validation), *callbacks, best, *others],
        default_root_dir=folder.parent,
        logger=_live_logger(live, resume=resume.exists()),
        deterministic="warn",
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=max(1, n_batches // 10),
        use_distributed_sampler=False,
        **_arithmetic(choice.precision),
        **trainer_options(params.strategy, params.n_devices),
    )
    print(f"precision {choice.precision}: {choice.reason}", flush=True)
    trained = copy.deepcopy(module) if params.strategy == "fsdp" else module  # sharding takes a model apart
    if params.compile_model:
        trained.model.compile(dynamic=True)
    began = time.perf_counter()
    trainer.fit(
        trained,
        batches,
        loader(validation, params.batch_size, None),
        ckpt_path=resume if resume.exists() else None,
        weights_only=True,
    )
    seconds = time.perf_counter() - began
    if trainer.global_rank:
        sys.exit(0)  # a process that the launcher started for this fit; the first one goes on
    module.model._compiled_call_impl = None
    kept = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
    module.load_state_dict(kept["state_dict"])
    if not history.epochs:  # spawned processes fitted; their callbacks' state is in the checkpoint
        ended = torch.load(resume, map_location="cpu", weights_only=True)
        for callback in (history, *callbacks):
            callback.load_state_dict(_state_of(callback, ended))
    n_tokens = sum(map(len, train.tokens)) * (len(history.epochs) - history.resumed_at)
    return Fit(
        history=history.epochs,
        best_epoch=int(kept["epoch"]),
        precision=choice.precision,
        precision_reason=choice.reason,
        resumed_at_epoch=history.resumed_at,
        seconds=seconds,
        tokens_per_second=n_tokens / seconds,
        choice=choice,
    )


def _precision(module: Any, train: Examples, params: FitParams, folder: Path) -> Choice:
    """The precision of this run: chosen once, kept beside its checkpoints."""
    path = folder / PRECISION
    if path.is_file():
        return Choice.from_json(read_json(path))
    choice = choose_precision(params.precision, module, train, params.batch_size, params.seed)
    write_json(path, asdict(choice))
    return choice


def _arithmetic(precision: str) -> dict[str, Any]:
    """The Trainer's precision; on a CPU it would replace fp16 by bf16 unless it is handed the plugin."""
    import torch
    from lightning.pytorch.plugins import MixedPrecision

    if precision == "16-mixed" and not torch.cuda.is_available():
        return {"plugins": [MixedPrecision("16-mixed", "cpu")]}
    return {"precision": precision}


def _state_of(callback: Any, checkpoint: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = checkpoint["callbacks"][callback.state_key]
    return state


def _freeze(module: Any) -> list[Any]:
    """Freeze a module; the parameters that were trainable before."""
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    return trainable


def _judgement(metric: EpochMetric, validation: Examples) -> tuple[str, str]:
    """The measure by which epochs are judged, and whether its min or its max is best."""
    if metric.name == "accuracy" and validation.soft is not None:
        return "validation_loss", "min"
    return f"validation_{metric.name}", "max" if metric.greater_is_better else "min"


def _measuring(judged_by: str, metric: EpochMetric, validation: Examples) -> list[Any]:
    """The callback that measures what epochs are judged by, where the classifier does not log that itself."""
    from ratchet.models.history import MEASURES
    from ratchet.models.validation_scores import ValidationMetric

    return [] if judged_by in MEASURES else [ValidationMetric(metric, validation.hard)]


def _callbacks(
    folder: Path, params: FitParams, n_batches: int, judged_by: str, mode: str
) -> tuple[Any, Any, list[Any]]:
    """In the order they run: a history that survives a resume, the best weights, early stopping, the state to resume.

    The best weights are saved apart, without the optimizer's state, which is twice their size.
    """
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    from ratchet.models.history import History

    measure: dict[str, Any] = {"monitor": judged_by, "mode": mode}
    always: dict[str, Any] = {"dirpath": folder, "save_on_train_epoch_end": True, "enable_version_counter": False}
    best = ModelCheckpoint(filename="best", save_top_k=1, save_weights_only=True, **measure, **always)
    last = ModelCheckpoint(filename="last", save_top_k=1, **always)
    stopping = EarlyStopping(patience=params.patience, check_on_train_epoch_end=True, **measure)
    return History(n_batches, judged_by), best, [stopping, last]


def _live_logger(live: Path | None, resume: bool) -> Any:
    if live is None:
        return False
    from dvclive.lightning import DVCLiveLogger

    return DVCLiveLogger(
        run_name=None,
        dir=str(live),
        save_dvc_exp=False,
        dvcyaml=None,
        report=None,
        resume=resume and live.exists(),
        monitor_system=False,
    )


def _fingerprint(model: Any, train: Examples, validation: Examples, how: list[Any], learner: type[Classifier]) -> str:
    """Fingerprint of this run: a checkpoint of another one must not be resumed."""
    import torch

    from ratchet.models import classifier

    with torch.no_grad():
        parts = [*model.parameters(), *model.buffers()]
        weights = [[tuple(part.shape), float(part.double().sum()), part.requires_grad] for part in parts]
    soft = [None if e.soft is None else e.soft.astype(float).sum(axis=0) for e in (train, validation)]
    modules = __file__, classifier.__file__, sys.modules[learner.__module__].__file__
    code = [sha256_file(Path(str(path))) for path in modules]
    data = [[e.tokens, e.hard, None if e.weight is None else e.weight.astype(float)] for e in (train, validation)]
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
        ".*torch.jit.script_method.*",  # torch's own compiler calls it
    ):
        warnings.filterwarnings("ignore", message=message)
