"""Which arithmetic training uses: measured on the machine at hand, on steps of the very training that follows.

Source: Micikevicius et al. 2018, Mixed precision training, https://arxiv.org/abs/1710.03740
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ratchet.models.examples import Examples
from ratchet.models.loading import Collate

Precision = Literal["auto", "32-true", "bf16-mixed", "16-mixed"]
CANDIDATES = ("32-true", "bf16-mixed", "16-mixed")
N_STEPS = 24
"""Steps of each precision that was not given up before."""
N_SCREEN_TEXTS = 4
"""Texts of the first step, which only tells what is hopeless."""
HOPELESS = 2.0
"""A precision whose first step takes this many times that of 32-bit is given up."""
MIN_SPEEDUP = 1.2
"""How much faster than 32-bit the median step must be: below, timing noise would decide."""
MAX_LOSS_DIFFERENCE = 0.05
"""Mean over the steps of |loss − 32-bit loss| ÷ 32-bit loss, at most."""


@dataclass(frozen=True)
class Trial:
    """What was measured of one precision."""

    precision: str
    n_steps: int
    step_ms: float
    """Median time of a step; of the first, smaller one where `n_steps` is 0."""
    speedup: float
    """Step time of 32-bit divided by this one's."""
    loss_difference: float | None
    """Mean relative difference from the 32-bit losses; None where it was given up, or a loss was not a number."""
    verdict: str


@dataclass(frozen=True)
class Choice:
    """A Lightning precision, the reason for it, and the trials it rests on (none where it was asked for)."""

    precision: str
    reason: str
    trials: list[Trial]

    @property
    def mixed(self) -> bool:
        """Whether 32-bit is left to fall back to."""
        return self.precision != "32-true"

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Choice:
        """A choice read back."""
        trials = [Trial(**trial) for trial in value["trials"]]
        return cls(str(value["precision"]), str(value["reason"]), trials)

    def to_json(self) -> dict[str, Any]:
        """The choice as a JSON object, with the rule it was made by."""
        rule = {
            "n_steps": N_STEPS, "hopeless_ratio": HOPELESS, "min_speedup": MIN_SPEEDUP,
            "max_loss_difference": MAX_LOSS_DIFFERENCE,
        }  # fmt: skip
        return {**asdict(self), "rule": rule}


Step = Callable[[Any], float]
"""Learns from one batch; the loss."""


def choose_precision(asked: Precision, module: Any, train: Examples, batch_size: int, seed: int) -> Choice:
    """The precision to train the Lightning module in, and why; the module is left as it was."""
    if asked != "auto":
        return Choice(asked, "set in params.yaml", [])
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    small, *batches = _some_batches(train, batch_size, seed)
    choice = measured_choice(lambda name: step_of(module, name, device), small, batches, device)
    torch.manual_seed(seed)
    return choice


def measured_choice(make_step: Callable[[str], Step], small: Any, batches: Sequence[Any], device: str) -> Choice:
    """The fastest precision whose losses stay with those of 32-bit.

    Args:
        make_step: for a precision, a step on a model of its own that begins with the same weights.
        small: a batch of few texts, for the first look.
        batches: the batches of the steps.
        device: cpu or cuda.
    """
    first = {name: make_step(name) for name in CANDIDATES}
    first[CANDIDATES[0]](small)  # warms up allocator and threads
    look = {name: _timed(step, small, device)[0] for name, step in first.items()}
    kept = [name for name in CANDIDATES if look[name] <= HOPELESS * look["32-true"]]
    if kept == ["32-true"]:
        return choose([_given_up(name, look) for name in CANDIDATES])
    steps = {name: make_step(name) for name in kept}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kept}
    for batch in batches:  # interleaved: what else the machine does falls on all alike
        for name, step in steps.items():
            taken[name].append(_timed(step, batch, device))
    times, losses = ({name: np.array([item[i] for item in items]) for name, items in taken.items()} for i in (0, 1))
    trials = []
    for name in CANDIDATES:
        if name not in kept:
            trials.append(_given_up(name, look))
            continue
        step_ms, base_ms = float(np.median(times[name])), float(np.median(times["32-true"]))
        apart = np.abs(losses[name] - losses["32-true"]) / np.abs(losses["32-true"])
        difference = float(apart.mean()) if np.isfinite(apart).all() else None
        verdict = "the reference" if name == "32-true" else _verdict(base_ms / step_ms, difference)
        trials.append(Trial(name, len(batches), step_ms, base_ms / step_ms, difference, verdict))
    return choose(trials)


def choose(trials: Sequence[Trial]) -> Choice:
    """The fastest trial that may be used; 32-bit unless another is `MIN_SPEEDUP` times as fast and agrees."""
    fit = [trial for trial in trials if trial.verdict == "usable"]
    if not fit:
        return Choice("32-true", "measured: no other precision is both faster and as exact here", list(trials))
    best = max(fit, key=lambda trial: trial.speedup)
    return Choice(best.precision, f"measured: {best.speedup:.1f} times as fast as 32-bit here", list(trials))


def _verdict(speedup: float, difference: float | None) -> str:
    if difference is None:
        return "its loss is not a number"
    if difference > MAX_LOSS_DIFFERENCE:
        return "its losses are too far from those of 32-bit"
    return "usable" if speedup >= MIN_SPEEDUP else "not fast enough to change"


def _given_up(name: str, look: dict[str, float]) -> Trial:
    speedup = look["32-true"] / look[name]
    verdict = "the reference" if name == "32-true" else "given up after one step: hopelessly slower"
    return Trial(name, 0, look[name], speedup, 0.0 if name == "32-true" else None, verdict)


def _some_batches(train: Examples, batch_size: int, seed: int) -> list[Any]:
    """A batch of few texts, then those of the steps; a small training set is gone through again."""
    collate, order = Collate(train), np.random.default_rng(seed).permutation(len(train))
    batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)][:N_STEPS]
    repeated = [batches[index % len(batches)] for index in range(N_STEPS)]
    return [collate(indices) for indices in (order[:N_SCREEN_TEXTS], *repeated)]


def _timed(step: Step, batch: Any, device: str) -> tuple[float, float]:
    """Milliseconds and loss of one step."""
    import torch

    began = time.perf_counter()
    loss = step(batch)
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) * 1e3, loss


def step_of(module: Any, precision: str, device: str) -> Step:
    """A training step in that precision on a copy of the Lightning module, in plain PyTorch."""
    import torch

    from ratchet.models.classifier import MAX_GRADIENT_NORM

    module = copy.deepcopy(module).to(device).train()
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=module.learning_rate)
    scaler = torch.amp.GradScaler(device, enabled=precision == "16-mixed")
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)

    def step(batch: Any) -> float:
        batch = {name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()}
        optimizer.zero_grad()
        with torch.autocast(device, dtype=half or torch.bfloat16, enabled=half is not None):
            loss = module.losses(module.logits(batch), batch).mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(trainable, MAX_GRADIENT_NORM)
        scaler.step(optimizer)
        scaler.update()
        return float(loss.detach())

    return step
