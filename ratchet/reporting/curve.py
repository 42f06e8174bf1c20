"""The label-efficiency curve as the report page draws it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ratchet.errors import TableError
from ratchet.measure.estimate import Estimate

Curve = dict[str, list[tuple[float, Estimate]]]
COLUMNS = ("strategy", "n_labels", "score", "low", "high")


def read_curve(path: Path) -> Curve:
    """The curve of a CSV with a row a query strategy and number of labels; empty when the file is missing.

    Raises:
        TableError: a column is absent, or a figure is no number.
    """
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return label_series(rows)
    except (KeyError, ValueError) as error:
        raise TableError(
            "The label-efficiency curve cannot be read.",
            where=path,
            got=error,
            expected=f"columns {COLUMNS}",
            fix="write it again: dvc repro --force sample",
        ) from None


def label_series(rows: Sequence[Mapping[str, str]]) -> Curve:
    """Rows of the CSV as strategy → [(number of labels, primary metric)], by number of labels; an empty figure is NaN.

    >>> label_series([{"strategy": "random", "n_labels": "50", "score": "0.6", "low": "", "high": ""}])["random"]
    [(50.0, Estimate(value=0.6, low=nan, high=nan, n=1, reason=''))]
    """
    series: Curve = {}
    for row in sorted(rows, key=lambda row: float(row["n_labels"])):
        value, low, high = (float(row[key]) if row[key] else math.nan for key in ("score", "low", "high"))
        series.setdefault(row["strategy"], []).append((float(row["n_labels"]), Estimate(value, low, high, 1)))
    return series
