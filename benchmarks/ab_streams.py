"""Simulated request streams, and the stopping times of sequential tests on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ratchet.experiments.betting import stakes
from ratchet.experiments.sequential_tests import Outcomes

Values = NDArray[np.float64]
ALPHA = 0.05
FIRST_LOOK = 30
"""Burn-in of the normal approximations, in requests; betting needs none."""
BLOCK = 1000
NEVER = np.iinfo(np.int64).max


def paired_stream(n: int, disagreement: float, difference: float, rng: np.random.Generator) -> Values:
    """For each request 1 where the challenger alone is right, −1 where the champion alone is, else 0, (n,)."""
    drawn = rng.random(n)
    return np.where(drawn < (disagreement + difference) / 2, 1.0, np.where(drawn < disagreement, -1.0, 0.0))


def arms_stream(n: int, rate: float, difference: float, share: float, rng: np.random.Generator) -> Outcomes:
    """For each unit whether the challenger answered it, and whether the answer was good; `rate`: the champion's."""
    mine = rng.random(n) < share
    good = rng.random(n) < np.where(mine, rate + difference, rate)
    return Outcomes(mine, good.astype(np.float64), share)


def by_betting(scores: Values, bound: float, null: float = 0.0) -> int:
    """Requests after which the always-valid interval first excludes `null`; NEVER where it does not.

    In blocks, as most streams are decided early.
    """
    levels = stakes(bound + abs(null))
    logs = {sign: np.zeros(len(levels)) for sign in (1, -1)}
    for begin in range(0, len(scores), BLOCK):
        block = scores[begin : begin + BLOCK] - null
        found = []
        for sign in logs:
            wealth = logs[sign] + np.cumsum(np.log1p(np.outer(sign * block, levels)), axis=0)  # (n_block, n_bettors)
            found.append(_first(_log_mean(wealth) >= np.log(2 / ALPHA)))
            logs[sign] = wealth[-1]
        if min(found) < NEVER:
            return begin + min(found)
    return int(NEVER)


def by_asymptotic_sequence(scores: Values, planned: int = 500) -> int:
    """The same by an asymptotic confidence sequence, which has its level only as requests grow many.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, Time-uniform central limit theory and asymptotic
    confidence sequences, https://doi.org/10.1214/24-AOS2408, theorem 2.2, and its rho for the narrowest interval at the
    planned number of requests (their equation for rho in appendix).
    """
    count, mean, deviation = _running(scores)
    rho2 = (-2 * np.log(ALPHA) + np.log(-2 * np.log(ALPHA)) + 1) / planned
    spread = count * rho2 + 1
    half = deviation * np.sqrt(2 * spread / (count**2 * rho2) * np.log(np.sqrt(spread) / ALPHA))
    return _first((np.abs(mean) > half) & (count >= FIRST_LOOK))


def by_peeking(scores: Values) -> int:
    """The same by a test of fixed level, 5 %, that is looked at after every request as if it were the only look."""
    from scipy.stats import norm

    count, mean, deviation = _running(scores)
    return _first((np.abs(mean) > norm.ppf(0.975) * deviation / np.sqrt(count)) & (count >= FIRST_LOOK))


def stopping_times(
    draw: Callable[[np.random.Generator], Values], test: Callable[[Values], int], n_streams: int, seed: int
) -> NDArray[np.int64]:
    """Stopping time of each stream, (n_streams,)."""
    generators = np.random.default_rng(seed).spawn(n_streams)
    return np.array([test(draw(rng)) for rng in generators], dtype=np.int64)


def _log_mean(logs: Values) -> Values:
    """Logarithm of the mean wealth of all bettors after each request, (n,)."""
    top = logs.max(axis=1)
    averaged: Values = top + np.log(np.exp(logs - top[:, None]).mean(axis=1))
    return averaged


def _running(scores: Values) -> tuple[Values, Values, Values]:
    count = np.arange(1, len(scores) + 1, dtype=np.float64)
    mean = np.cumsum(scores) / count
    return count, mean, np.sqrt(np.maximum(np.cumsum(scores**2) / count - mean**2, 1e-12))


def _first(claimed: NDArray[np.bool_]) -> int:
    return int(claimed.argmax()) + 1 if claimed.any() else int(NEVER)
