"""A log of predictions, a row a request, judged by the suite `data/suites/production_log.yaml`.

Columns: `timestamp`, `request_id`, `text`, `predicted`, `confidence`, `model_version`; others are not looked at. It is
read once, a batch at a time, and judged as the corpus is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.data.batches import Batches
from ratchet.data.rules.corpus_measures import length_steps
from ratchet.data.rules.measures import PERSONAL, columns_measure, measure_texts, missing, needed
from ratchet.data.rules.suites import Suite
from ratchet.data.rules.tallies import Measure, Tally, encode, join
from ratchet.data.rules.verdicts import Outcome, find_broken_rows, judge_suites, tallies_of

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("timestamp", "request_id", "text", "predicted", "confidence", "model_version")
MEASURES = {
    "column": "columns of the table with their types",
    "missing_timestamp, missing_text, ...": "1 where the value is missing, else 0",
    "n_earlier_requests": "earlier rows with the same request_id",
    "predicted, confidence": "the class that was answered, and its probability",
    "length": "words of the text in steps of a quarter of a doubling",
    "n_personal": "e-mail addresses and telephone, card, account and national numbers in the text",
}
"""The measures of a log beyond those of each text."""


def judge_log(
    read: Batches, schema: Any, suite: Suite, accepted: Mapping[str, Tally] | None, regions: Sequence[str]
) -> tuple[list[Outcome], dict[str, Measure]]:
    """The outcome of every rule, and the measures it rests on.

    Args:
        read: the log.
        schema: its Arrow schema. Where a column is missing, only the rule about columns can say so.
        suite: the rules.
        accepted: tallies of the data the model learned from, by `kept_label` and `kept_length` as in its profile.
        regions: see `find_personal_data`.

    Raises:
        ValidationError: a rule looks at a measure that is not taken.
    """
    columns = columns_measure(schema)
    if {*COLUMNS} - {*schema.names}:
        rules = tuple(rule for rule in suite.rules if rule.measure == "column")
        only = Suite(suite.name, suite.path, rules)
        return judge_suites([only], tallies_of({"column": columns}), {}), {"column": columns}
    parts = [_measure(frame, needed([suite]), regions) for frame in read(COLUMNS)]
    parts = parts or [_measure(schema.empty_table().to_pandas(), needed([suite]), regions)]  # a log without a row
    measures = {name: join([part[name] for part in parts]) for name in parts[0]}
    measures["n_earlier_requests"] = _earlier(measures.pop("request_id"))
    reference = (
        {name: accepted[of] for name, of in {"predicted": "kept_label", "length": "kept_length"}.items()}
        if accepted
        else None
    )
    outcomes = judge_suites(
        [suite], tallies_of({**measures, "column": columns}), find_broken_rows([suite], measures), reference
    )
    return outcomes, measures


def _measure(frame: pd.DataFrame, names: list[str], regions: Sequence[str]) -> dict[str, Measure]:
    import pyarrow

    texts = frame["text"].fillna("").tolist()
    found = measure_texts(texts, {*names, "n_words", *PERSONAL}, regions)
    personal = np.sum([np.asarray(found.pop(name)) for name in PERSONAL], axis=0)
    absent = {f"missing_{name}": missing(pyarrow.array(frame[name], from_pandas=True)) for name in COLUMNS}
    return {
        **found,
        **absent,
        "n_personal": personal,
        "length": length_steps(found["n_words"]),
        "predicted": encode(frame["predicted"].tolist()),
        "request_id": encode(frame["request_id"].tolist()),
        "confidence": frame["confidence"].to_numpy(dtype=float),
    }


def _earlier(ids: Measure) -> np.typing.NDArray[np.int64]:
    """How many earlier rows have the same id; 0 for rows without one."""
    import pandas as pd

    codes = pd.Series(ids.codes)  # type: ignore[union-attr]
    counts = codes.groupby(codes).cumcount().to_numpy().astype(np.int64)
    return np.where(codes.to_numpy() < 0, 0, counts)
