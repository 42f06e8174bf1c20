"""Columns of a source as columns of the corpus: labels as classes, missing values, times; personal data masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.data.personal_data import mask_personal_data
from ratchet.data.sources.rows import Batch
from ratchet.errors import TableError
from ratchet.values import BOOLEANS, raw_value

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ColumnMapping:
    """What becomes of the columns of a source; an empty name: there is no such column."""

    text: str
    label: str
    source: str
    time: str
    carried: Sequence[str]
    """Those that are carried along under their own names."""
    identifying: Sequence[str]
    """Those of them whose values tell rows or groups apart."""
    class_of: Mapping[str, str]
    """Raw label, as `raw_value` writes it → class."""
    ignored_labels: Sequence[str]
    """Raw labels that mean no class."""
    missing_values: Sequence[str]
    """What stands for a missing value in any column but the text's."""


def map_columns(batch: Batch, mapping: ColumnMapping) -> tuple[pd.DataFrame, Counter[str]]:
    """The rows with the corpus' column names, labels as class names, missing texts and sources filled; and how many of
    them bore which ignored label."""
    import pandas as pd

    frame = _plain(batch.frame.reset_index(drop=True), mapping)
    given = frame[mapping.label].str.strip().replace("", None)
    labels = given.map(raw_value, na_action="ignore")
    ignored = labels.isin(mapping.ignored_labels)
    unknown = labels.notna() & ~ignored & ~labels.isin(list(mapping.class_of))
    if unknown.any():
        raise TableError(
            "The source has a label that params.yaml does not name.",
            where=_where(batch, mapping.label, unknown),
            got=", ".join(sorted(set(given[unknown]))[:10]),
            expected=", ".join(mapping.class_of),
            fix="add the value to a class of task.classes, or to task.ignored_labels, which leaves its texts without a "
            "label; or correct the source",
        )
    source = frame[mapping.source].fillna(batch.name) if mapping.source else batch.name
    columns = {
        "text": frame[mapping.text].fillna(""),
        "label": labels.map(mapping.class_of),
        "source": source,
        **{column: frame[column] for column in mapping.carried},
    }
    mapped = pd.DataFrame(columns, index=frame.index).astype("str")
    if mapping.time:
        mapped.insert(3, "timestamp", _timestamps(batch, frame[mapping.time], mapping.time))
    return mapped, Counter(labels[ignored].tolist())


def mask_carried(batch: Batch, mapped: pd.DataFrame, mapping: ColumnMapping, regions: Sequence[str]) -> Counter[str]:
    """Mask personal data in the source and in what is carried along, in place; kind → finds.

    Raises:
        TableError: an id or a group holds some: masked, different people's would be equal.
    """
    counts: Counter[str] = Counter()
    for column in ["source", *mapping.carried]:
        values = mapped[column].value_counts()
        found = {value: mask_personal_data(str(value), regions) for value in values.index}
        if column in mapping.identifying:  # numbers of one's own look like cards, and are none
            found = {value: item for value, item in found.items() if item[1] and not str(value).isdigit()}
            if (wrong := mapped[column].isin([*found])).any():
                raise TableError(
                    "Personal data is to be masked, and an id or a group holds some.",
                    where=_where(batch, column, wrong),
                    got=", ".join(sorted({kind for _, kinds in found.values() for kind in kinds})),
                    expected="values that name nobody: masked, different people's would be equal",
                    fix="put a pseudonym there where the source is made, or empty task.id_column or task.group_column",
                )
            continue
        mapped[column] = mapped[column].replace({value: text for value, (text, n) in found.items() if n})
        for value, (_, kinds) in found.items():
            counts.update({kind: n * int(values[value]) for kind, n in kinds.items()})
    return counts


def _plain(frame: pd.DataFrame, mapping: ColumnMapping) -> pd.DataFrame:
    """All columns but the text's without what stands for a missing value, carried booleans in one spelling."""
    spelled = {spelling: name for name in BOOLEANS for spelling in (name.title(), name.upper())}
    for column in frame.columns.difference([mapping.text]):
        values = frame[column].mask(frame[column].isin(mapping.missing_values))
        frame[column] = values.replace(spelled) if column in mapping.carried else values
    return frame


def _timestamps(batch: Batch, values: pd.Series, column: str) -> pd.Series:
    """Times in UTC, to the microsecond; an empty cell is a missing time."""
    import pandas as pd

    times = pd.to_datetime(values, format="ISO8601", utc=True, errors="coerce")
    wrong = times.isna() & values.notna()
    if wrong.any():
        raise TableError(
            "The source has a time that cannot be read.",
            where=_where(batch, column, wrong),
            got=", ".join(values[wrong].head(3)),
            expected="ISO 8601, such as 2026-03-01T08:30:00Z",
            fix="correct the source, or empty task.time_column",
        )
    return times.dt.as_unit("us")


def _where(batch: Batch, column: str, wrong: pd.Series) -> str:
    """The first place that is wrong, and how many there are in its batch."""
    place, n_rows = int(wrong.to_numpy().argmax()), len(wrong)
    first = batch.first_row + place
    at = f"{batch.file}, {batch.unit} {batch.lines[place]}" if batch.lines else f"{batch.name}, row {first} (from 0)"
    return f"{at}, column '{column}'; {int(wrong.sum())} of the {n_rows} rows from row {batch.first_row} on"
