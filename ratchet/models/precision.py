"""Choice of the training precision, measured on this machine, on steps of the training that follows.

Source: Micikevicius et al. 2018, Mixed precision training, https://arxiv.org/abs/1710.03740
"""

from __future__ import annotations

import copy
import math
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
N_FIRST, LEAST_SPEEDUP = 4, 1.2
"""Whenever so many steps were made, a precision whose median step is not this much faster than 32-bit is given up: it
would have to gain much more to be chosen, and the trial can take longer than the training."""
HOPELESS = 2.0
"""A precision in which a matrix product takes this many times as long as in 32-bit is given up before any step:
where it is emulated, a single step can take minutes."""
PRODUCT = (64, 384, 384)
"""Rows, inner and outer width of that product."""
MIN_SPEEDUP = 1.5
"""How much faster than 32-bit the median step must be: less is not worth weights that another run on the same machine,
where timing noise decided otherwise, would not give."""
MAX_LOSS_DIFFERENCE = 0.05
"""Mean over the steps of |loss − 32-bit loss| ÷ 32-bit loss, at most."""


@dataclass(frozen=True)
class Trial:
    """Measurements of one precision."""

    precision: str
    n_steps: int
    step_ms: float | None
    """Median time of a step; None where none was made."""
    speedup: float
    """Step time of 32-bit divided by this one's; of a matrix product where no step was made."""
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
            "n_steps": N_STEPS,
            "n_first": N_FIRST,
            "least_speedup": LEAST_SPEEDUP,
            "hopeless_ratio": HOPELESS,
            "min_speedup": MIN_SPEEDUP,
            "max_loss_difference": MAX_LOSS_DIFFERENCE,
        }
        return {**asdict(self), "rule": rule}


Step = Callable[[Any], float]
"""Learns from one batch; the loss."""


def choose_precision(asked: Precision, module: Any, train: Examples, batch_size: int, seed: int) -> Choice:
    """The precision to train the Lightning module in, and why; the module is left as it was."""
    if asked != "auto":
        return Choice(asked, "set in params.yaml", [])
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    batches = _some_batches(train, batch_size, seed)
    choice = measured_choice(lambda name: step_of(module, name, device), batches, device, product_ms(device))
    torch.manual_seed(seed)
    return choice


def measured_choice(
    make_step: Callable[[str], Step], batches: Sequence[Any], device: str, products: dict[str, float]
) -> Choice:
    """The fastest precision whose losses stay with those of 32-bit.

    Args:
        make_step: for a precision, a step on a model of its own that begins with the same weights.
        batches: the batches of the steps.
        device: cpu or cuda.
        products: milliseconds of a matrix product in each precision, see `product_ms`.
    """
    kept = [name for name in CANDIDATES if products[name] <= HOPELESS * products["32-true"]]
    if kept == ["32-true"]:
        return choose([_given_up(name, products) for name in CANDIDATES])
    steps = {name: make_step(name) for name in kept}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kept}
    for index, batch in enumerate(batches):  # interleaved: what else the machine does falls on all alike
        if index and index % N_FIRST == 0:
            slow = [name for name in steps if name != "32-true" and _speedup(taken, name) < LEAST_SPEEDUP]
            steps = {name: step for name, step in steps.items() if name not in slow}
            if list(steps) == ["32-true"]:
                break
        for name, step in steps.items():
            taken[name].append(_timed(step, batch, device))
    times, losses = ({name: np.array([item[i] for item in items]) for name, items in taken.items()} for i in (0, 1))
    trials = []
    for name in CANDIDATES:
        if name not in kept:
            trials.append(_given_up(name, products))
            continue
        step_ms, reference = float(np.median(times[name])), losses["32-true"][: len(losses[name])]
        apart = np.abs(losses[name] - reference) / np.abs(reference)
        difference, speedup = float(apart.mean()) if np.isfinite(apart).all() else None, _speedup(taken, name)
        verdict = "the reference" if name == "32-true" else _verdict(speedup, difference)
        trials.append(Trial(name, len(losses[name]), step_ms, speedup, difference, verdict))
    return choose(trials)


def _speedup(taken: dict[str, list[tuple[float, float]]], name: str) -> float:
    """Median time of a 32-bit step divided by this precision's, over the steps that both made."""
    base, own = (np.median([ms for ms, _ in taken[key][: len(taken[name])]]) for key in ("32-true", name))
    return float(base / own)


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


def _given_up(name: str, products: dict[str, float]) -> Trial:
    speedup = products["32-true"] / products[name]
    if name == "32-true":
        return Trial(name, 0, None, speedup, 0.0, "the reference")
    return Trial(name, 0, None, speedup, None, "given up: its matrix products are hopelessly slower than in 32-bit")


def product_ms(device: str) -> dict[str, float]:
    """Milliseconds of a matrix product in the arithmetic of each precision, on one thread: the quickest of five."""
    import torch

    kinds = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    found: dict[str, float] = {}
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name in CANDIDATES:
        rows, inner, outer = PRODUCT
        a = torch.ones(rows, inner, dtype=kinds[name], device=device)
        b = torch.ones(inner, outer, dtype=kinds[name], device=device)
        found[name] = math.inf
        for _ in range(5):
            began = _now_s(device)
            a @ b
            found[name] = min(found[name], (_now_s(device) - began) * 1e3)
            if found[name] > 100 * found["32-true"]:  # it will not become usable
                break
    torch.set_num_threads(n_threads)
    return found


def _some_batches(train: Examples, batch_size: int, seed: int) -> list[Any]:
    """The batches of the steps; a small training set is gone through again."""
    collate, order = Collate(train), np.random.default_rng(seed).permutation(len(train))
    batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)][:N_STEPS]
    return [collate(batches[index % len(batches)]) for index in range(N_STEPS)]


def _timed(step: Step, batch: Any, device: str) -> tuple[float, float]:
    """Milliseconds and loss of one step."""
    began = _now_s(device)
    loss = step(batch)
    return (_now_s(device) - began) * 1e3, loss


def _now_s(device: str) -> float:
    """A clock: processor time on a CPU, which others may share; wall time on a GPU, once it has finished."""
    if device == "cpu":
        return time.process_time()
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


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
