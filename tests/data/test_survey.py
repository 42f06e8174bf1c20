"""What a sample of raw rows shows: roles of columns, classes, copies, and columns that give the label away."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ratchet.data.survey.columns import label_candidates, profile_columns, role_of, text_candidates
from ratchet.data.survey.giveaways import find_giveaways, held_out_accuracy, runs_of_labels
from ratchet.data.survey.several import several_labels
from ratchet.data.survey.survey import survey

N = 200
RNG = np.random.default_rng(3)
LABELS = np.where(RNG.random(N) < 0.4, "urgent", "routine")
FRAME = pd.DataFrame(
    {
        "key": [f"k{n}" for n in range(N)],
        "message": [f"the machine in hall {n} makes a noise that nobody knows, number {n * 7}" for n in range(N)],
        "priority": LABELS,
        "author": [f"person {n % 40}" for n in range(N)],
        "created": [f"2026-03-{n % 28 + 1:02d}T08:00:00Z" for n in range(N)],
        "channel": np.where(np.arange(N) % 3 == 0, "mail", "phone"),
        "gender": np.where(np.arange(N) % 2 == 0, "f", "m"),
        "site": RNG.choice(["north", "south", "west"], N),
        "link": [f"https://example.org/a/long/path/of/a/page/that/is/longer/than/a/text/{n}" for n in range(N)],
        "detail": np.where(LABELS == "urgent", RNG.choice(["fire", "water"], N), "none"),
    },
    dtype="str",
)


def test_roles_follow_values_and_names() -> None:
    columns = profile_columns(FRAME)
    assert text_candidates(columns)[0] == "message"
    assert "priority" in label_candidates(columns, "message")
    roles = {item.name: role_of(item, "message", "priority") for item in columns}
    assert roles == {
        "key": "id",
        "message": "text",
        "priority": "label",
        "author": "group",
        "created": "time",
        "channel": "source",
        "gender": "sensitive",
        "site": "metadata",
        "link": "unused",
        "detail": "metadata",
    }


def test_a_column_named_label_comes_first() -> None:
    columns = profile_columns(FRAME.rename(columns={"site": "label"}))
    assert label_candidates(columns, "message")[0] == "label"


def test_a_finer_label_gives_the_label_away_and_a_site_does_not() -> None:
    found = find_giveaways({"detail": FRAME["detail"].tolist(), "site": FRAME["site"].tolist()}, LABELS.tolist())
    assert [(item.column, item.how, item.accuracy) for item in found] == [("detail", "its value", 1.0)]


def test_an_id_gives_the_label_away_by_its_letters_or_its_order() -> None:
    letters = [f"{label}-{n}" for n, label in enumerate(LABELS)]
    order = np.argsort(np.argsort(LABELS, kind="stable"))
    found = find_giveaways({"letters": letters, "order": [str(n) for n in order]}, LABELS.tolist())
    assert {item.column: item.how for item in found} == {"letters": "its letters", "order": "the order of its values"}


def test_a_rare_class_is_no_giveaway() -> None:
    """Naming the frequent class is right on 98 %, which no column is needed for."""
    labels = ["rare" if n % 50 == 0 else "common" for n in range(N)]
    assert find_giveaways({"site": FRAME["site"].tolist()}, labels) == []
    assert held_out_accuracy(FRAME["site"].tolist(), labels) > 0.95


def test_sorted_rows_show_in_the_runs() -> None:
    assert runs_of_labels(sorted(LABELS.tolist())) > 1.5
    assert runs_of_labels(LABELS.tolist()) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["['a', 'b']", "['a']"], ["['a', 'b']"]),
        (['["a", "b"]', '["b"]'], ['["a", "b"]']),
        (["a|b", "a", "b"], ["a|b"]),
        (["Oslo, Norway", "Lima, Peru"], []),
        (["a", "b"], []),
    ],
)
def test_cells_with_several_labels(cells: list[str], found: list[str]) -> None:
    assert several_labels(cells) == found


def test_copies_and_conflicts_are_counted_after_cleaning() -> None:
    frame = pd.DataFrame(
        {"text": ["A bad  day", "a bad day", "fine", None, "fine"], "label": ["x", "y", "x", "x", None]}, dtype="str"
    )
    found = survey(frame, "text", "label")
    assert (found.n_copies, found.n_conflicts, found.n_empty, found.n_unlabelled) == (2, 1, 1, 1)
    assert found.values == {"x": 3, "y": 1}
