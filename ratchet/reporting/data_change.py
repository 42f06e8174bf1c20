"""Changes of data tables: rows by id and by group, labels, columns, texts added and removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ratchet.data.words import tokens
from ratchet.reporting.revisions import Revision

if TYPE_CHECKING:
    from ratchet.reporting.change import Sources

ID, LABEL, TEXT = "id", "label", "text"
MAX_GROUPS = 20
"""A column of more values than these is no grouping."""
MAX_TEXTS = 5
"""Texts of each kind that are shown of a table; the rest is counted."""
LENGTH = "words"


@dataclass(frozen=True)
class TableChange:
    """The change of one table."""

    name: str
    n_before: int
    n_after: int
    n_added: int
    n_removed: int
    n_relabeled: int
    schema: list[str] = field(default_factory=list)
    """`+column type`, `-column type`, `column: type → type`."""
    groups: list[tuple[str, int, int]] = field(default_factory=list)
    """`column=value`, rows before and after: classes, sources, lengths of texts, where the numbers differ."""
    came: dict[str, str] = field(default_factory=dict)
    """Id → text of the rows that are new; empty where the table has no texts."""
    went: dict[str, str] = field(default_factory=dict)


def table_change(name: str, before: pd.DataFrame, after: pd.DataFrame) -> TableChange:
    """Rows added, removed and relabelled, by id; a table without ids is compared by its rows' number only.

    >>> old = pd.DataFrame({"id": ["a", "b"], "label": ["no", "yes"]})
    >>> new = pd.DataFrame({"id": ["b", "c"], "label": ["no", "yes"]})
    >>> change = table_change("t", old, new); change.n_added, change.n_removed, change.n_relabeled
    (1, 1, 1)
    """
    if ID not in before or ID not in after:
        n_added, n_removed, n_relabeled = max(len(after) - len(before), 0), max(len(before) - len(after), 0), 0
        came, went = {}, {}
    else:
        ids = set(before[ID]), set(after[ID])
        n_added, n_removed, n_relabeled = len(ids[1] - ids[0]), len(ids[0] - ids[1]), _n_relabeled(before, after)
        came, went = _texts(after, ids[1] - ids[0]), _texts(before, ids[0] - ids[1])
    counts = len(before), len(after), n_added, n_removed, n_relabeled
    return TableChange(name, *counts, _schema(before, after), group_changes(before, after), came, went)


def changed_tables(before: Revision, after: Revision, sources: Sources, work: Path) -> list[TableChange | list[str]]:
    """The tables of the data that differ, in the order of the pipeline; what cannot be compared as a row that says so.

    A table under a new name with the content of an old one was renamed, and has not changed.
    """
    old, new = before.outputs(sources.lock), after.outputs(sources.lock)
    gone = {md5: path for path, md5 in old.items() if path not in new}
    found: list[TableChange | list[str]] = []
    for path in dict.fromkeys([*new, *old]):
        if not path.startswith(f"{sources.data}/") or old.get(path) == new.get(path):
            continue
        if path not in old:
            former = gone.pop(new[path], None)
            found.append([path, f"was {former}" if former else "is new", "", ""])
        elif path not in new:
            if old[path] in gone:
                found.append([path, "is gone", "", ""])
        else:
            files = [revision.get(path, work) for revision in (before, after)]
            if files[0] is None or files[1] is None:
                found.append([path, "differs; DVC has not both at hand: dvc pull", "", ""])
            else:
                found += _compared(path, read_tables(files[0]), read_tables(files[1]))
    return found


def data_rows(changes: list[TableChange | list[str]]) -> list[list[str]]:
    """Table, what, rows before and rows after."""
    rows = []
    for change in changes:
        if isinstance(change, list):
            rows.append(change)
            continue
        rows.append([change.name, "rows", f"{change.n_before:,}", f"{change.n_after:,}"])
        counts = {"came": change.n_added, "went": change.n_removed, "relabelled": change.n_relabeled}
        moved = ", ".join(f"{count:,} {word}" for word, count in counts.items() if count)
        rows += [[change.name, item, "", ""] for item in [*([moved] if moved else []), *change.schema]]
        rows += [[change.name, name, f"{old:,}", f"{new:,}"] for name, old, new in change.groups]
    return rows


def text_rows(changes: list[TableChange | list[str]]) -> list[list[str]]:
    """Table, what, id and text of the rows that came and went; each text once, at the first table that shows it."""
    rows: list[list[str]] = []
    seen: set[tuple[str, str]] = set()
    for change in changes:
        if isinstance(change, list):
            continue
        for word, texts in (("came", change.came), ("went", change.went)):
            fresh = [(key, text) for key, text in texts.items() if (word, key) not in seen]
            seen |= {(word, key) for key in texts}
            rows += [[change.name, word, key, _shortened(text)] for key, text in fresh[:MAX_TEXTS]]
            if rest := len(fresh) - MAX_TEXTS:
                rows += [[change.name, word, "", f"and {rest:,} more"]] if rest > 0 else []
    return rows


def group_changes(before: pd.DataFrame, after: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Rows by class, source and every other column of few values, and by length: the groups whose numbers differ."""
    columns = [name for name in before.columns if name in after.columns and name not in (ID, TEXT)]
    groups = {str(name): (before[name], after[name]) for name in columns if _groups(before[name], after[name])}
    if TEXT in before and TEXT in after and len(before):
        lengths = [frame[TEXT].map(lambda text: len(tokens(str(text)))) for frame in (before, after)]
        edges = sorted({int(lengths[0].quantile(share)) for share in (0.25, 0.5, 0.75)})
        old, new = (pd.cut(item, [-1, *edges, float("inf")], labels=_bands(edges)).astype("str") for item in lengths)
        groups[LENGTH] = (old, new)
    found = []
    for name, pair in groups.items():
        counts = [column.astype("object").fillna("(none)").astype("str").value_counts() for column in pair]
        for value in sorted(set(counts[0].index) | set(counts[1].index)):
            numbers = [int(count.get(value, 0)) for count in counts]
            if numbers[0] != numbers[1]:
                found.append((f"{name}={value}", numbers[0], numbers[1]))
    return found


def read_tables(path: Path) -> dict[str, pd.DataFrame]:
    """The tables of a Parquet file, or of a folder of them, by name."""
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    return {file.relative_to(path).as_posix() if path.is_dir() else path.name: pd.read_parquet(file) for file in files}


def _n_relabeled(before: pd.DataFrame, after: pd.DataFrame) -> int:
    """Ids in both whose label differs; a label that appeared or went counts."""
    if LABEL not in before or LABEL not in after:
        return 0
    old, new = (frame.drop_duplicates(ID).set_index(ID)[LABEL].astype("object") for frame in (before, after))
    common = old.index.intersection(new.index)
    first, second = old.loc[common], new.loc[common]
    return int(((first != second) & ~(first.isna() & second.isna())).sum())


def _schema(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    old, new = ({str(column): str(kind) for column, kind in frame.dtypes.items()} for frame in (before, after))
    found = [f"+{name} {kind}" for name, kind in new.items() if name not in old]
    found += [f"-{name} {kind}" for name, kind in old.items() if name not in new]
    return found + [f"{name}: {old[name]} → {new[name]}" for name in old if name in new and old[name] != new[name]]


def _compared(path: str, old: dict[str, pd.DataFrame], new: dict[str, pd.DataFrame]) -> list[TableChange | list[str]]:
    """The changes of one output: a table, or a folder of them."""
    folder = len(old) > 1 or len(new) > 1
    names = {name: f"{path}/{name}" if folder else path for name in sorted(set(old) | set(new))}
    found: list[TableChange | list[str]] = []
    for name, shown in names.items():
        if name in old and name in new:
            if not old[name].equals(new[name]):
                found.append(table_change(shown, old[name], new[name]))
        else:
            found.append([shown, "is new" if name in new else "is gone", "", ""])
    return found


def _groups(*columns: pd.Series[str]) -> bool:
    """Whether a column is a grouping: text or truth values, of few kinds."""
    if any(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column) for column in columns):
        return False
    try:
        return all(column.nunique() <= MAX_GROUPS for column in columns)
    except TypeError:  # lists cannot be counted
        return False


def _bands(edges: list[int]) -> list[str]:
    """Names of the bands of lengths: `≤9`, `10-17`, `≥18`.

    >>> _bands([9, 17])
    ['≤9', '10-17', '≥18']
    """
    inner = [f"{low + 1}-{high}" for low, high in pairwise(edges)]
    return [f"≤{edges[0]}", *inner, f"≥{edges[-1] + 1}"]


def _texts(frame: pd.DataFrame, ids: set[str]) -> dict[str, str]:
    """Id → text of these rows, in the order of their ids."""
    if TEXT not in frame:
        return {}
    rows = frame[frame[ID].isin(ids)].drop_duplicates(ID).sort_values(ID)
    return dict(zip(rows[ID].astype("str"), rows[TEXT].astype("str"), strict=True))


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 80 else words[:79] + "…"
