"""Which rows may be trained on, and whether the corpus may: rules checked by Great Expectations.

A row that breaks a rule goes to the quarantine table with its reasons; nothing is dropped silently. A corpus that
breaks a rule of its own stops the line. Near-duplicates are only counted here: `split` keeps them together.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

import ratchet.params
from ratchet.data.data_docs import render_data_docs
from ratchet.data.duplicates import Shingles, near_duplicate_pairs
from ratchet.data.expectations import Outcome, check, corpus_features, corpus_rules, row_features, row_rules
from ratchet.entry import entry
from ratchet.errors import ValidationError
from ratchet.files import replace_folder, write_json
from ratchet.params import load_params
from ratchet.tables import CORPUS, QUARANTINE, read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

READS = {"corpus": "data/corpus.parquet"}
WRITES = {
    "validated": "data/validated.parquet",
    "quarantine": "data/quarantine.parquet",
    "data_docs": "reports/data_docs",
    "report": "reports/validate.json",
}


class Params(ratchet.params.Params):
    """Block `validate` of params.yaml."""

    labels: list[str] = Field(min_length=2)
    """The class names."""
    min_words: int = Field(ge=1)
    """Words (runs of letters and digits) a text has at least."""
    max_words: int = Field(ge=1)
    """Words a text has at most."""
    near_duplicate_threshold: float = Field(ge=0.5, le=1)
    """Jaccard similarity of three-word shingles from which two texts count as near-duplicates, in [0.5, 1]."""
    max_quarantined_rate: float = Field(ge=0, le=1)
    """Share of rows that may be quarantined, in [0, 1]; more stops the line."""
    min_rows: int = Field(ge=1)
    """Rows that must remain; fewer stop the line."""
    min_class_rate: float = Field(gt=0, le=0.5)
    """Share of the labelled rows that each class has at least, in (0, 0.5]; less stops the line."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        return self


class Validated(NamedTuple):
    """What `run` returns."""

    validated: pd.DataFrame
    quarantine: pd.DataFrame
    report: dict[str, Any]
    page: str


def run(corpus: pd.DataFrame, params: Params) -> Validated:
    """The rows that pass, the rows that do not with their reasons, the figures, and the Data Docs page.

    Raises:
        ValidationError: the corpus breaks a stop rule; the message names every one that is broken.
    """
    shingles = Shingles(corpus["text"].fillna("").tolist())
    n_words = shingles.n_words
    rows = row_features(corpus, n_words)
    row_outcomes, row_result = check(rows, row_rules(params.labels, params.min_words, params.max_words), "rows")
    quarantined = np.zeros(len(corpus), dtype=bool)
    for outcome in row_outcomes:
        if outcome.rule.severity == "quarantine":
            quarantined[outcome.rows] = True
    rules = corpus_rules(params.labels, params.min_rows, params.min_class_rate, params.max_quarantined_rate)
    corpus_outcomes, corpus_result = check(corpus_features(rows["label"], quarantined, params.labels), rules, "corpus")
    _stop_if_broken([*row_outcomes, *corpus_outcomes])

    quarantine = _quarantine(corpus, quarantined, row_outcomes, rows)
    validated = corpus[~quarantined].reset_index(drop=True)
    if len(validated) + len(quarantine) != len(corpus):
        raise ValidationError(
            "Rows were lost on the way.", got=f"{len(validated)} + {len(quarantine)}", expected=f"{len(corpus)} rows"
        )
    pairs = near_duplicate_pairs(shingles, params.near_duplicate_threshold)
    kept_pairs = sum(not (quarantined[first] or quarantined[second]) for first, second in pairs)
    report = {
        "n_in": len(corpus),
        "n_out": len(validated),
        "n_quarantined": len(quarantine),
        "rules": {
            outcome.rule.name: {"severity": outcome.rule.severity, "kept": outcome.success,
                                "observed": outcome.observed, "expected": outcome.rule.expected}
            for outcome in (*row_outcomes, *corpus_outcomes)
        },
        "quarantined_by_first_rule": quarantine["rule"].value_counts().to_dict(),
        "near_duplicates": {"threshold": params.near_duplicate_threshold, "n_pairs": kept_pairs,
                            "n_pairs_with_quarantined": len(pairs)},
        "labels": {label: int((validated["label"] == label).sum()) for label in params.labels},
        "n_unlabelled": int(validated["label"].isna().sum()),
        "n_words": {name: float(getattr(np, name)(n_words[~quarantined])) for name in ("min", "median", "max")},
    }  # fmt: skip
    return Validated(validated, quarantine, report, render_data_docs([row_result, corpus_result], "corpus rules"))


def main() -> None:
    params = load_params(Params, "validate")
    validated, quarantine, report, page = run(read_table(Path(READS["corpus"]), CORPUS), params)
    write_table(Path(WRITES["validated"]), validated, CORPUS)
    write_table(Path(WRITES["quarantine"]), quarantine, QUARANTINE)
    with replace_folder(Path(WRITES["data_docs"])) as folder:
        (folder / "index.html").write_text(page, encoding="utf-8")
    write_json(Path(WRITES["report"]), {"command": "python -m pipeline_steps.validate", **report})


def _stop_if_broken(outcomes: list[Outcome]) -> None:
    broken = [item for item in outcomes if item.rule.severity == "stop" and not item.success]
    if not broken:
        return
    quarantined = [
        f"{item.rule.name} {item.observed:g}"
        for item in outcomes
        if item.rule.severity == "quarantine" and item.observed
    ]
    raise ValidationError(
        f"The corpus must not be trained on: {'; '.join(item.rule.reason for item in broken)}.",
        where=f"{READS['corpus']}, rule {', '.join(item.rule.name for item in broken)}",
        got="; ".join(f"{item.rule.column}: {item.observed:.6g}" for item in broken)
        + (f" (rows quarantined by rule: {', '.join(quarantined)})" if quarantined else ""),
        expected="; ".join(item.rule.expected for item in broken),
        fix="correct the source, or, if the data is as it should be, the bounds in the block 'validate' of params.yaml",
    )


def _quarantine(
    corpus: pd.DataFrame, quarantined: np.typing.NDArray[np.bool_], outcomes: list[Outcome], features: pd.DataFrame
) -> pd.DataFrame:
    """The quarantined rows in their order, with the first rule each breaks and every reason in words."""
    import pandas as pd

    rules: dict[int, list[str]] = {}
    reasons: dict[int, list[str]] = {}
    for rule, _, _, rows in outcomes:
        for row in sorted(rows.tolist()):
            rules.setdefault(row, []).append(rule.name)
            reasons.setdefault(row, []).append(f"{rule.reason} ({rule.column} {features[rule.column][row]})")
    order = np.flatnonzero(quarantined).tolist()
    return (
        corpus[quarantined]
        .reset_index(drop=True)
        .assign(
            rule=pd.Series([rules[row][0] for row in order], dtype="str"),
            reason=pd.Series(["; ".join(reasons[row]) for row in order], dtype="str"),
        )
    )


if __name__ == "__main__":
    entry(main)
