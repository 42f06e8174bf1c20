"""Which rows go on and which are set aside, batch by batch, each of the latter with its rules and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ratchet.data.rules.judge import Outcome
from ratchet.data.rules.suites import Rule

if TYPE_CHECKING:
    import pandas as pd


class Sorted(NamedTuple):
    """One batch, sorted."""

    kept: pd.DataFrame
    """The rows that go on."""
    quarantined: pd.DataFrame
    """The others, with the first rule each breaks, the value that broke it, and every reason in words."""
    flagged: pd.DataFrame
    """A line for each `warn` rule that a row of `kept` breaks: row, id, rule, value. It holds no text."""


def quarantined_rows(rules: Sequence[Rule], broken: Mapping[str, NDArray[np.int64]], n_rows: int) -> NDArray[np.bool_]:
    """Whether each row breaks a rule whose severity is `quarantine`, (n_rows,)."""
    found = np.zeros(n_rows, dtype=bool)
    for rule in rules:
        if rule.severity == "quarantine":
            found[broken.get(rule.name, [])] = True
    return found


@dataclass(frozen=True)
class Sorter:
    """Sorts batches of a table whose rows have been judged."""

    outcomes: Sequence[Outcome]
    """Of the rules about rows, in the order in which a row is given its reasons."""
    measured: Callable[[pd.DataFrame, int], pd.DataFrame]
    """The measured table of a batch and the row it starts with."""
    quarantined: NDArray[np.bool_]
    """(n_rows,)."""

    def sort(self, batch: pd.DataFrame, start: int) -> Sorted:
        """The batch whose first row is row `start` of the table."""
        aside = self.quarantined[start : start + len(batch)]
        measured = self.measured(batch, start)
        first: dict[int, tuple[str, str]] = {}
        reasons: dict[int, list[str]] = {}
        flags: list[tuple[int, str, str]] = []
        for outcome in self.outcomes:
            rule = outcome.rule
            low, high = np.searchsorted(outcome.rows, [start, start + len(batch)])
            places = outcome.rows[low:high] - start
            values = measured[rule.column].iloc[places].tolist() if len(places) else []
            for at, value in zip(places.tolist(), map(in_words, values), strict=True):
                if aside[at]:
                    if rule.severity == "quarantine":
                        first.setdefault(at, (rule.name, value))
                    reasons.setdefault(at, []).append(f"{rule.reason} ({rule.column} {value})")
                elif rule.severity == "warn":
                    flags.append((at, rule.name, value))
        return Sorted(
            batch[~aside].reset_index(drop=True),
            _quarantine(batch[aside], aside, first, reasons),
            _flagged(batch, flags),
        )


def in_words(value: Any) -> str:
    """A measured value: a name, or a number without needless digits.

    >>> in_words("pt"), in_words(2), in_words(float("nan"))
    ('pt', '2', 'missing')
    """
    if value is None or value != value:
        return "missing"
    return value if isinstance(value, str) else f"{value:g}"


def _quarantine(
    rows: pd.DataFrame, aside: NDArray[np.bool_], first: dict[int, tuple[str, str]], reasons: dict[int, list[str]]
) -> pd.DataFrame:
    import pandas as pd

    order = np.flatnonzero(aside).tolist()
    columns = {
        "rule": [first[at][0] for at in order],
        "value": [first[at][1] for at in order],
        "reason": ["; ".join(reasons[at]) for at in order],
    }
    return rows.reset_index(drop=True).assign(**{name: pd.Series(v, dtype="str") for name, v in columns.items()})


def _flagged(batch: pd.DataFrame, flags: list[tuple[int, str, str]]) -> pd.DataFrame:
    import pandas as pd

    flags = sorted(flags)
    at = [flag[0] for flag in flags]
    return pd.DataFrame(
        {
            "row": batch["row"].to_numpy()[at].astype("int64"),
            "id": pd.Series(batch["id"].to_numpy()[at], dtype="str"),
            "rule": pd.Series([flag[1] for flag in flags], dtype="str"),
            "value": pd.Series([flag[2] for flag in flags], dtype="str"),
        }
    )
