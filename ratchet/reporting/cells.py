"""Tables as pages show them: a head, and rows of cells that know their text, their interval and their state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import interval, is_estimate, number, plain

FIGURE = "n"
"""Class of the cells that hold figures: aligned at the right, never broken."""


@dataclass(frozen=True)
class Cell:
    """One cell, or the head of a column."""

    text: str
    interval: str = ""
    """The 95 % interval in brackets, on a line of its own."""
    classes: str = ""
    """Classes of the style sheet, e.g. `n` for a figure, `pass`, `fail`."""
    hint: str = ""
    """Shown when pointed at."""


@dataclass(frozen=True)
class Row:
    """The cells of a row; its name, where it has one, is the first of them."""

    name: str | None
    cells: Sequence[Cell]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """The head names every column, that of the rows' names included."""

    head: Sequence[Cell]
    rows: Sequence[Row]


def estimate_cell(estimate: Estimate | Mapping[str, Any], classes: str = FIGURE) -> Cell:
    """An estimate, or its JSON form, with its interval.

    >>> estimate_cell(Estimate(0.5, 0.4, 0.6, 9))
    Cell(text='0.500', interval='[0.400, 0.600]', classes='n', hint='')
    """
    found = estimate if isinstance(estimate, Estimate) else Estimate.from_json(dict(estimate))
    return Cell(number(found.value), interval(found), classes, found.reason)


def cell(value: Any) -> Cell:
    """A scalar of a report, or an estimate; figures are aligned as such.

    >>> cell(12), cell("x"), cell(True)
    (Cell(text='12', interval='', classes='n', hint=''), Cell(text='x', interval='', classes='', hint=''), \
Cell(text='yes', interval='', classes='', hint=''))
    """
    if is_estimate(value):
        return estimate_cell(value)
    return Cell(plain(value), classes=FIGURE if isinstance(value, (int, float)) and not isinstance(value, bool) else "")


def head(first: str, names: Iterable[str], classes: str = FIGURE) -> list[Cell]:
    """The head over a column of names and columns of the given classes."""
    return [Cell(first), *(Cell(name, classes=classes) for name in names)]
