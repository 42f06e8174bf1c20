"""Simulated users: requests drawn from labelled texts, and feedback on the answers.

For demonstrations, tests and benchmarks. Texts, labels and the models' answers are real; only who asks when, and who
says something, is drawn. Most say nothing, the unhappy speak up more often, and some are mistaken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Habits:
    """How often users say something, each a chance in [0, 1]."""

    thumb_down: float = 0.2
    """A thumb down on a wrong answer."""
    thumb_up: float = 0.05
    """A thumb up on a right answer."""
    correction: float = 0.1
    """The right class, on a wrong answer."""
    mistaken: float = 0.01
    """A thumb down on a right answer."""

    def __post_init__(self) -> None:
        if self.thumb_down + self.correction > 1.0 or self.thumb_up + self.mistaken > 1.0:
            raise ValueError("a user says at most one thing")


def requests(
    labelled: pd.DataFrame, n: int, start: pd.Timestamp, per_s: float, rng: np.random.Generator, prefix: str = "r"
) -> pd.DataFrame:
    """Requests at random times: request_id, timestamp, text, label; texts are drawn with replacement, (n,).

    Args:
        labelled: `text` and `label`.
        n: how many.
        start: of the first.
        per_s: requests a second, on average (a Poisson process).
        rng: the generator.
        prefix: of the ids, so that those of two calls differ.
    """
    drawn = labelled.iloc[rng.integers(0, len(labelled), n)]
    seconds = np.cumsum(rng.exponential(1.0 / per_s, n))
    return pd.DataFrame(
        {
            "request_id": [f"{prefix}-{index:06d}" for index in range(n)],
            "timestamp": start + pd.to_timedelta(seconds, unit="s").round("us"),
            "text": drawn["text"].to_numpy(),
            "label": drawn["label"].to_numpy(),
        }
    )


def feedback(answers: pd.DataFrame, habits: Habits, rng: np.random.Generator, within_s: float = 600.0) -> pd.DataFrame:
    """What users say, as rows of the feedback table: request_id, timestamp, kind, value, label; in order of time.

    Args:
        answers: `request_id`, `timestamp`, `predicted` and `label`, the right class.
        habits: how often they say what.
        rng: the generator.
        within_s: the longest that anybody takes, in seconds.
    """
    right = answers["predicted"].eq(answers["label"]).to_numpy()
    luck = rng.random(len(answers))
    down = np.where(right, luck < habits.mistaken, luck < habits.thumb_down)
    up = right & (luck >= habits.mistaken) & (luck < habits.mistaken + habits.thumb_up)
    corrected = ~right & (luck >= habits.thumb_down) & (luck < habits.thumb_down + habits.correction)
    delays = pd.to_timedelta(rng.uniform(0.0, within_s, len(answers)).round(3), unit="s")
    given = pd.DataFrame(
        {
            "request_id": answers["request_id"].to_numpy(),
            "timestamp": pd.DatetimeIndex(answers["timestamp"]) + delays,
            "kind": np.where(corrected, "correction", "thumb"),
            "value": np.where(corrected, np.nan, np.where(up, 1.0, 0.0)),
            "label": answers["label"].where(corrected, None).to_numpy(),
        }
    )
    return given[down | up | corrected].sort_values("timestamp", kind="stable", ignore_index=True)
