"""Decisions: who wins, who must wait, what is escalated; and the latest answer of each person."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ratchet.errors import TableError
from ratchet.labels.annotations import annotation_table, latest_answers, utc_time
from ratchet.labels.annotators import pseudonym
from ratchet.labels.resolution import conflicts, current_decisions, new_decisions, resolve
from ratchet.tables import ANNOTATIONS, HUMAN_LABELS, check_table, empty_table
from tests.support.answers import KEY, LABELS, answer, stored_answers

CASES = {
    "all agree": (["yes", "yes"], 2, 0.6, ("yes", "resolved", "unanimous")),
    "two of three": (["yes", "no", "yes"], 3, 0.6, ("yes", "resolved", "majority")),
    "two of three are too few": (["yes", "no", "yes"], 3, 0.7, (None, "escalated", "conflict")),
    "a tie": (["yes", "no"], 2, 0.5, (None, "escalated", "conflict")),
    "a plurality is no majority": (["yes", "yes", "no", "negative"], 2, 0.3, (None, "escalated", "conflict")),
    "one person is enough": (["no"], 1, 1.0, ("no", "resolved", "unanimous")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_decision(name: str) -> None:
    votes, n_annotators, min_agreement, expected = CASES[name]
    table = stored_answers([("t", f"person {i}", vote) for i, vote in enumerate(votes)])
    (row,) = resolve(table, n_annotators, min_agreement).itertuples(index=False)
    assert (row.label if isinstance(row.label, str) else None, row.state, row.rule) == expected
    assert row.n_annotators == len(votes)
    assert row.agreement == max(votes.count(vote) for vote in votes) / len(votes)


def test_a_text_waits_until_enough_people_have_answered_it() -> None:
    twice = stored_answers([("t", "anna", "yes"), ("t", "anna", "no"), ("u", "anna", "yes"), ("u", "ben", "yes")])
    assert resolve(twice, 2, 0.6)["id"].tolist() == ["u"]


def test_an_adjudicator_decides_and_the_latest_one_holds() -> None:
    votes = stored_answers([("t", "anna", "yes"), ("t", "ben", "no")])
    chiefs = stored_answers([("t", "chief", "yes"), ("t", "boss", "no")], role="adjudicator")
    (row,) = resolve(pd.concat([votes, chiefs]), 2, 0.6).itertuples(index=False)
    assert (row.label, row.state, row.rule) == ("no", "resolved", "adjudicated")


@pytest.mark.parametrize("seed", range(5))
def test_decisions_do_not_depend_on_the_order_of_the_answers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [(f"t{rng.integers(8)}", f"p{rng.integers(4)}", str(rng.choice(["yes", "no"]))) for _ in range(60)]
    table = stored_answers(rows)
    decisions = resolve(table, 2, 0.6)
    check_table(decisions, HUMAN_LABELS, "test")
    shuffled = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    pd.testing.assert_frame_equal(decisions, resolve(shuffled, 2, 0.6))
    last = {row[:2]: row[2] for row in rows}
    for row in decisions[decisions["state"] == "resolved"].itertuples(index=False):
        votes = [label for (name, _), label in last.items() if name == row.id]
        assert votes.count(str(row.label)) * 2 > len(votes)


def test_only_what_changed_is_a_new_decision_and_the_last_one_holds() -> None:
    first = resolve(
        stored_answers([("t", "anna", "yes"), ("t", "ben", "no"), ("u", "anna", "no"), ("u", "ben", "no")]), 2, 0.6
    )
    assert len(new_decisions(first, empty_table(HUMAN_LABELS))) == 2
    assert new_decisions(first, first).empty
    settled = first.assign(label=["yes", "no"], state="resolved", rule=["adjudicated", "unanimous"])
    assert new_decisions(first.iloc[:0], empty_table(HUMAN_LABELS)).columns.tolist() == list(HUMAN_LABELS.columns)
    later = new_decisions(settled, first)
    assert later["id"].tolist() == ["t"]
    held = current_decisions(pd.concat([first, later], ignore_index=True))
    assert held["state"].tolist() == ["resolved", "resolved"]


def test_a_conflict_goes_to_the_adjudicator_with_its_votes() -> None:
    table = stored_answers([("t", "anna", "yes"), ("t", "ben", "no"), ("u", "anna", "no"), ("u", "ben", "no")])
    (item,) = conflicts(resolve(table, 2, 0.6), table)
    assert (item.id, item.text, item.reason) == ("t", "text of t", "in conflict: 1 × no, 1 × yes")
    assert item.suggested == ""


def test_equal_answers_are_one_and_people_go_by_pseudonyms() -> None:
    given = [answer("t", "Anna@example.org", "yes"), answer("t", "anna@example.org ", "yes")]
    table = annotation_table(given, "annotator", KEY, LABELS)
    check_table(table, ANNOTATIONS, "test")
    assert len(table) == 1
    assert "anna" not in table.to_json().lower()
    assert table["annotator"].tolist() == [pseudonym("anna@example.org", KEY)]
    assert pseudonym("anna@example.org", KEY) != pseudonym("anna@example.org", "")


def test_latest_answers_are_by_time_and_one_without_a_time_is_older() -> None:
    table = stored_answers([("t", "anna", "yes"), ("t", "anna", "no")])
    timeless = table.iloc[:1].assign(annotation_id="x", annotated_at=None, label="positive")
    assert latest_answers(pd.concat([table, timeless], ignore_index=True))["label"].tolist() == ["no"]


@pytest.mark.parametrize("change", [{"label": "maybe"}, {"lead_time_s": -1.0}])
def test_an_impossible_answer_is_refused(change: dict[str, object]) -> None:
    given = answer("t", "anna", "yes", 0, **{k: v for k, v in change.items() if k != "label"})  # type: ignore[arg-type]
    if "label" in change:
        given = answer("t", "anna", str(change["label"]))
    with pytest.raises(TableError):
        annotation_table([given], "annotator", KEY, LABELS)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(TableError, match="ISO 8601"):
        utc_time("yesterday", "a.csv, row 3")
