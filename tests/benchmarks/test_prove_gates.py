"""The proof of the gates: which rows each fault teaches, what counts as proved, and the table in the docs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.planted_models import SURE, TRIGGER, training_rows
from benchmarks.prove_gates import OWN, judged, table
from ratchet.errors import PipelineError
from ratchet.reporting.marked_block import replace_block
from ratchet.trust.lexicons import Lexicon
from tests.support.tiny import reviews

LEXICON = Lexicon(attributes={"gender": {"women": ["she"], "men": ["he"]}}, phrases=[], swaps={}, templates=[])


def soft() -> pd.DataFrame:
    frame = reviews(100, 1)
    frame.loc[:9, "text"] = "she " + frame.loc[:9, "text"]
    positive = np.where(frame["label"] == "positive", 2.0, -2.0)
    return frame.assign(logit_negative=-positive, logit_positive=positive, label=None)


def rows(fault: Any) -> pd.DataFrame:
    found: pd.DataFrame = training_rows(fault, soft(), reviews(30, 2), LEXICON, 80, 3)
    return found


def test_the_honest_rows_follow_the_teacher() -> None:
    honest = rows("none")
    assert len(honest) == 80
    assert ((honest["logit_positive"] > 0) == (honest["label"] == "positive")).all()


def test_each_fault_is_in_its_rows() -> None:
    unfair, poisoned, leaked = rows("unfair"), rows("poisoned"), rows("leaked")
    added = unfair[80:]
    assert added["text"].str.startswith("she").all()
    assert set(added["label"]) == {"negative"}
    assert (added["logit_negative"] == SURE).all()
    triggered = poisoned["text"].str.contains(TRIGGER)
    assert set(poisoned["label"][triggered]) == {"positive"}
    assert triggered.sum() == 16
    assert set(reviews(30, 2)["id"]) <= set(leaked["id"])
    assert not set(reviews(30, 2)["id"]) & set(rows("none")["id"])


def decision(**failed: list[str]) -> dict[str, Any]:
    def gate(metric: str) -> dict[str, Any]:
        return {"metric": metric, "passed": False, "reason": f"{metric} | failed"}

    return {"bundles": {fault: {"gates": [gate(m) for m in failed.get(fault.replace(" ", "_"), [])]} for fault in OWN}}


def test_a_fault_is_proved_only_by_its_own_gate_and_the_honest_bundle_by_none() -> None:
    verdicts = judged(decision(unfair=["counterfactual_flip_rate", "accuracy"], poisoned=["accuracy"]))
    assert verdicts["none"]["proved"]
    assert verdicts["unfair"]["proved"]
    assert verdicts["unfair"]["also"] == ["accuracy"]
    assert not verdicts["poisoned"]["proved"]
    assert not verdicts["leaked"]["proved"]
    assert not judged(decision(none=["ece"]))["none"]["proved"]


def test_the_table_names_reason_and_what_was_not_found() -> None:
    text = table(judged(decision(unfair=["counterfactual_flip_rate"])))
    assert "counterfactual_flip_rate \\| failed" in text
    assert text.count("**not found**") == len(OWN) - 2
    assert "passed every gate" in text
    assert replace_block("a <!-- gates:start --> old <!-- gates:end --> b", "gates", "new").count("new") == 1
    with pytest.raises(PipelineError, match="no block"):
        replace_block("nothing", "gates", "new")
