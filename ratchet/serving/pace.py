"""What a forward pass costs on the machine that serves: measured on the loaded model, in a fraction of a second.

Three values follow: how many texts a pass pays for, how much padding it is worth to share one, and how many passes run
at a time with how many threads each. The least of some repetitions counts: what else the machine does can only add.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ratchet.models.batching import Tokens
from ratchet.models.predictor import Predictor, TokenPredictor
from ratchet.serving.batch_planning import PASS_COST

_SHORT, _LONG, _TYPICAL = 8, 64, 24
"""Words of the texts that are timed."""
_REPEATS = 3
_BAND = 0.05
"""Of batches within so much of the most texts a second, the smallest: who shares a pass waits for all of it."""
_LAYOUT_BAND = 0.1
"""Of layouts within so much of the most texts a second, the one whose single pass is fastest."""
_PASS_COSTS = 1.0, 64.0
"""Tokens a pass may cost beside its texts: beyond, the clock was disturbed."""
_BUDGET_S = 0.3
"""After so long no larger batch is tried."""
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class Pace(NamedTuple):
    """Cost of a model's forward passes here."""

    pass_cost: float = PASS_COST
    """Fixed cost of a pass, in tokens."""
    batch_size: int = 8
    """Texts a pass should hold at most."""


class Layout(NamedTuple):
    """Which passes run at a time."""

    n_workers: int
    n_threads: int
    """Of each worker's arithmetic."""


def n_cores(quota: Path = _CPU_QUOTA) -> int:
    """Cores that this process may use: by affinity, and by the quota of its container (cgroup v2)."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit, period = quota.read_text().split()
        return max(1, min(found, round(int(limit) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no quota, or none that is known
        return found


def measure_pace(predictor: Predictor, max_batch: int, clock: Callable[[], float] = time.perf_counter) -> Pace:
    """The pace of a warm model whose own batch size is at least `max_batch`.

    A model that reads texts itself takes all that wait: it has no padding.
    """
    if not isinstance(predictor, TokenPredictor):
        return Pace(batch_size=max_batch)
    began = clock()

    def seconds(n_texts: int, n_words: int) -> float:
        tokens = predictor.encode([_text(n_words)] * n_texts)
        return min(_timed(predictor, tokens, clock) for _ in range(_REPEATS))

    alone, longer = seconds(1, _SHORT), seconds(1, _LONG)
    a_token = max(longer - alone, 1e-9) / (_LONG - _SHORT)
    low, high = _PASS_COSTS
    pass_cost = min(max(alone / a_token - _SHORT, low), high)
    rates: dict[int, float] = {}
    size = 1
    while size <= max_batch and (size == 1 or clock() - began < _BUDGET_S):
        rates[size] = size / max(seconds(size, _TYPICAL), 1e-9)
        size *= 2
    return Pace(pass_cost, _smallest(rates, _BAND))


def choose_layout(
    load: Callable[[int], Predictor],
    batch_size: int,
    cores: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Layout:
    """One thread for each of many workers, or many for one: what does most texts a second, all workers busy.

    Args:
        load: makes the predictor with so many threads.
        batch_size: texts a pass.
        cores: that there are.
        clock: seconds.
    """
    layouts = [Layout(cores // threads, threads) for threads in sorted({1, max(cores // 2, 1), cores})]
    if len(layouts) == 1:
        return layouts[0]
    rates, alone = dict[Layout, float](), dict[Layout, float]()
    for layout in layouts:
        predictor = load(layout.n_threads)
        texts = [_text(_TYPICAL)] * batch_size
        predictor.predict_proba(texts)
        alone[layout] = min(_timed_texts(predictor, texts[:1], clock) for _ in range(_REPEATS))
        rates[layout] = layout.n_workers * batch_size / _together(predictor, texts, layout.n_workers, clock)
    near = [layout for layout in layouts if rates[layout] >= (1 - _LAYOUT_BAND) * max(rates.values())]
    return min(near, key=lambda layout: (alone[layout], layout.n_threads))


def layout_for(workers: int | str, threads: int | str, cores: int, measured: Callable[[], Layout]) -> Layout:
    """The layout that settings ask for; `auto` fills the cores, and both of them are measured.

    >>> layout_for("auto", 2, 8, lambda: Layout(1, 1))
    Layout(n_workers=4, n_threads=2)
    """
    if isinstance(workers, str):
        return measured() if isinstance(threads, str) else Layout(max(1, cores // threads), threads)
    return Layout(workers, max(1, cores // workers) if isinstance(threads, str) else threads)


def _together(predictor: Predictor, texts: Sequence[str], n_workers: int, clock: Callable[[], float]) -> float:
    """Seconds a pass takes while so many run."""
    with ThreadPoolExecutor(n_workers) as pool:

        def once() -> float:
            began = clock()
            list(pool.map(predictor.predict_proba, [texts] * n_workers))
            return clock() - began

        once()
        return max(min(once() for _ in range(_REPEATS)), 1e-9)


def _smallest(rates: dict[int, float], band: float) -> int:
    return min(size for size, rate in rates.items() if rate >= (1 - band) * max(rates.values()))


def _timed(predictor: TokenPredictor, tokens: Sequence[Tokens], clock: Callable[[], float]) -> float:
    began = clock()
    predictor.predict_proba_tokens(tokens)
    return clock() - began


def _timed_texts(predictor: Predictor, texts: Sequence[str], clock: Callable[[], float]) -> float:
    began = clock()
    predictor.predict_proba(texts)
    return clock() - began


def _text(n_words: int) -> str:
    return " ".join(["word"] * n_words)
