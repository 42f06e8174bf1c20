"""Roles of the columns of a table of raw texts: text, label, id, time, group, source, sensitive, metadata."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Role = Literal["text", "label", "id", "time", "group", "source", "sensitive", "metadata", "unused"]
MAX_CLASSES = 500
"""Most values of a column that can be the label."""
MAX_GROUPS = 50
"""Most values of a metadata column by which texts can be sliced."""
MIN_TIMES = 0.95
"""Share of values that are times from which a column is one of times."""
NAMED: Mapping[Role, tuple[str, ...]] = {
    "text": ("text", "body", "message", "content", "utterance", "sentence", "comment", "document", "question", "query"),
    "label": ("label", "labels", "class", "category", "target", "intent", "topic", "tag", "tags", "gold", "y"),
    "id": ("id", "uuid", "guid", "key"),
    "group": (
        "author",
        "user",
        "thread",
        "conversation",
        "customer",
        "account",
        "speaker",
        "session",
        "patient",
        "group",
    ),
    "source": ("source", "channel", "domain", "platform", "origin"),
    "sensitive": ("gender", "sex", "age", "race", "ethnicity", "religion", "nationality", "disability", "orientation"),
}
"""Role → words in a column's name that speak for it. A name proposes: the values must fit, and people decide."""
SPLITS = frozenset({"train", "training", "test", "testing", "dev", "val", "valid", "validation", "eval"})
"""Values of a column that holds somebody else's split."""
_URL = re.compile(r"https?://\S+$")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}|$)")


@dataclass(frozen=True)
class ColumnProfile:
    """One column of the sample."""

    name: str
    n_rows: int
    n_missing: int
    n_values: int
    """Distinct values."""
    mean_characters: float
    """Of the values that are there."""
    share_numbers: float
    share_times: float
    """Of the values that begin with an ISO 8601 date."""
    share_urls: float
    examples: tuple[str, ...]
    """The most frequent values, at most five."""

    @property
    def n_present(self) -> int:
        """Rows with a value."""
        return self.n_rows - self.n_missing

    @property
    def is_repeated(self) -> bool:
        """Whether values come again and again, as classes and groups do."""
        return 0 < self.n_values <= self.n_present / 2

    def is_named(self, role: Role) -> bool:
        """Whether a word of its name speaks for the role: `comment_id` for the id."""
        parts = [part.lower() for part in re.findall(r"[^\W\d_]+", _spaced(self.name))]
        return any(word in parts for word in NAMED.get(role, ()))


def profile_columns(frame: pd.DataFrame) -> list[ColumnProfile]:
    """The profile of each column of strings, in order."""
    return [_profile(name, frame[name].tolist()) for name in map(str, frame.columns)]


def text_candidates(columns: Sequence[ColumnProfile]) -> list[str]:
    """Columns that can be the text, the most likely first: long values that seldom repeat, no numbers or URLs."""
    fitting = [item for item in columns if item.n_present and _is_prose(item)]
    return [item.name for item in sorted(fitting, key=_text_score, reverse=True)]


def label_candidates(columns: Sequence[ColumnProfile], text: str) -> list[str]:
    """Columns that can be the label, the most likely first: few values that repeat; a name that says so comes first."""
    fitting = [
        item
        for item in columns
        if item.name != text and item.is_repeated and 2 <= item.n_values <= MAX_CLASSES and not is_split(item)
    ]
    return [item.name for item in sorted(fitting, key=_label_score)]


def role_of(item: ColumnProfile, text: str, label: str) -> Role:
    """What a column that is neither text nor label is proposed as; `unused` where nothing speaks for carrying it."""
    if item.name in (text, label):
        return "text" if item.name == text else "label"
    if not item.n_present or not item.name.strip() or item.share_urls > 0.5:
        return "unused"
    if item.share_times >= MIN_TIMES:
        return "time"
    if item.n_values == item.n_rows and item.mean_characters < 80:
        return "id"
    if item.is_named("sensitive") and item.n_values <= MAX_GROUPS:
        return "sensitive"
    if item.is_named("group") and item.n_values > 2 and item.is_repeated:
        return "group"
    if item.is_named("source") and item.is_repeated and item.n_values <= MAX_GROUPS:
        return "source"
    return "metadata" if item.is_repeated and 2 <= item.n_values <= MAX_GROUPS else "unused"


def is_split(item: ColumnProfile) -> bool:
    """Whether a column holds a split that somebody else made: such as train and test."""
    return 0 < item.n_values <= len(SPLITS) and {value.lower() for value in item.examples} <= SPLITS


def _profile(name: str, values: Sequence[object]) -> ColumnProfile:
    present = [value for value in values if isinstance(value, str) and value.strip()]
    n = max(len(present), 1)
    counts = Counter(present)
    return ColumnProfile(
        name=name,
        n_rows=len(values),
        n_missing=len(values) - len(present),
        n_values=len(counts),
        mean_characters=sum(map(len, present)) / n,
        share_numbers=sum(_is_number(value) for value in present) / n,
        share_times=sum(bool(_TIME.match(value)) for value in present) / n,
        share_urls=sum(bool(_URL.match(value)) for value in present) / n,
        examples=tuple(value for value, _ in counts.most_common(5)),
    )


def _is_prose(item: ColumnProfile) -> bool:
    return max(item.share_numbers, item.share_times, item.share_urls) < 0.5


def _text_score(item: ColumnProfile) -> tuple[float, bool]:
    """Characters that no other row has; between equals the name decides."""
    return item.mean_characters * item.n_values / item.n_present, item.is_named("text")


def _label_score(item: ColumnProfile) -> tuple[bool, bool, int, int]:
    exact = item.name.strip().lower() in NAMED["label"]
    return not exact, not item.is_named("label"), item.n_missing, item.n_values


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _spaced(name: str) -> str:
    """`commentId` as `comment Id`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
