"""A log of predictions, a row a request, judged by the suite `data/suites/production_log.json`.

Columns: `timestamp`, `request_id`, `text`, `predicted`, `confidence`, `model_version`; others are not looked at. It is
read twice, a batch at a time, and judged as the corpus is: first its rows, then one row of figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ratchet.data.batches import Batches, joined
from ratchet.data.rules.corpus_measures import codes, length_steps
from ratchet.data.rules.judge import BATCH_ROWS, COLUMNS, Outcome, RowJudge, in_order, judge_table, skip
from ratchet.data.rules.measures import PERSONAL, columns_of, measure_texts, needed
from ratchet.data.rules.profiles import Counts, add_names, distance
from ratchet.data.rules.suites import Rule, Suite

if TYPE_CHECKING:
    import pandas as pd

LOGGED = ("timestamp", "request_id", "text", "predicted", "confidence", "model_version")
MEASURES = {
    "timestamp, request_id, predicted, confidence, model_version": "the row's own",
    "n_earlier_requests": "earlier rows with the same request_id",
    "n_personal": "e-mail addresses and telephone, card, account and national numbers in the text",
}
"""The columns of the measured log beyond those that are measured of each text."""
FIGURES = {
    "column": "columns of the table with their types, one value each",
    "mean_confidence": "mean probability of the class that was answered; undefined without a row that has one",
    "prediction_distance": "distance of the classes that were answered from those of the accepted data",
    "length_distance": "distance of the lengths of the texts from those of the accepted data",
}
"""What rules about the whole log look at."""
DISTANCES = {"prediction_distance": "kept_label", "length_distance": "kept_length"}


def judge_log(
    read: Batches, schema: Any, suite: Suite, accepted: Mapping[str, Counts] | None, regions: Sequence[str]
) -> list[Outcome]:
    """The outcome of every rule.

    Args:
        read: the log.
        schema: its Arrow schema. Where a column is missing, only the rule about columns can say so.
        suite: the rules.
        accepted: profile of the data the model learned from; without it the rules about drift are skipped.
        regions: see `find_personal_data`.

    Raises:
        ValidationError: a rule looks at a column that is not measured.
    """
    columns = columns_of(schema)
    if {*LOGGED} - {*schema.names}:
        return judge_table([rule for rule in suite.rules if rule.column == COLUMNS], {}, columns)
    skipped = [rule for rule in suite.rules if rule.column in DISTANCES and not accepted]
    rules = [rule for rule in suite.rules if rule not in skipped]
    by_row, figures = _judge_rows(read, rules, regions)
    distances = {name: distance(figures.counts[name], accepted[of]) for name, of in DISTANCES.items() if accepted}
    about_table = judge_table(
        [rule for rule in rules if not rule.judges_rows],
        {"mean_confidence": figures.mean_confidence, **distances},
        columns,
    )
    left_out = [skip(rule, "not compared: no data has been accepted yet") for rule in skipped]
    return in_order([suite], [*by_row, *about_table, *left_out])


class _LogFigures:
    """Counts the rows of the measured log, a batch at a time."""

    def __init__(self) -> None:
        self.counts: dict[str, Counts] = {name: {} for name in DISTANCES}
        self._confidence = 0.0
        self._n_confidences = 0

    @property
    def mean_confidence(self) -> float:
        return self._confidence / self._n_confidences if self._n_confidences else math.nan

    def add(self, frame: pd.DataFrame) -> None:
        """The next rows."""
        add_names(self.counts["prediction_distance"], frame["predicted"].value_counts(sort=False).to_dict())
        steps, n = np.unique(length_steps(frame["n_words"]), return_counts=True)
        add_names(self.counts["length_distance"], dict(zip(steps.tolist(), n.tolist(), strict=True)))
        self._confidence += float(frame["confidence"].sum())
        self._n_confidences += int(frame["confidence"].notna().sum())


def _judge_rows(read: Batches, rules: Sequence[Rule], regions: Sequence[str]) -> tuple[list[Outcome], _LogFigures]:
    judge, figures = RowJudge([rule for rule in rules if rule.judges_rows]), _LogFigures()
    names, start = {*needed(rules), "n_words", *PERSONAL}, 0
    earlier = _earlier(read)
    for batch in joined(read(LOGGED), BATCH_ROWS):
        frame = _measured(batch, names, regions).assign(n_earlier_requests=earlier[start : start + len(batch)])
        judge.judge(frame)
        figures.add(frame)
        start += len(batch)
    return judge.outcomes(), figures


def _measured(batch: pd.DataFrame, names: set[str], regions: Sequence[str]) -> pd.DataFrame:
    import pyarrow

    texts = [text if isinstance(text, str) else None for text in batch["text"]]
    found: pd.DataFrame = pyarrow.table(measure_texts(texts, names, regions)).to_pandas()
    own = {name: batch[name].array for name in LOGGED if name != "text"}
    return found.assign(n_personal=found[[*PERSONAL]].sum(axis=1), **own)


def _earlier(read: Batches) -> NDArray[np.int64]:
    """How many earlier rows have the same request_id, (n_rows,); 0 for rows without one."""
    import pandas as pd
    import pyarrow

    parts = [
        pyarrow.array(batch["request_id"], type=pyarrow.large_string(), from_pandas=True)
        for batch in read(["request_id"])
    ]
    ids = pd.Series(codes(pyarrow.chunked_array(parts, type=pyarrow.large_string())))
    counts = ids.groupby(ids).cumcount().to_numpy().astype(np.int64)
    return np.where(ids.to_numpy() < 0, 0, counts)
