"""Which texts train, validate and test, and which measure transfer to another domain: by hash, group by group.

An id keeps its side when rows are added, near-duplicates stay on one side, and the thresholds of the hash are the
same in every label and source, so that the sides are stratified in expectation; the realised rates are reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import Field, model_validator

import ratchet.params
from ratchet.data.duplicates import Shingles, near_duplicate_pairs
from ratchet.data.splits import EXCLUDED, SIDES, assign_sides, smallest_hashes
from ratchet.entry import entry
from ratchet.errors import ValidationError
from ratchet.files import replace_folder, write_json
from ratchet.params import load_params
from ratchet.tables import CORPUS, QUARANTINE, SPLIT, read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

READS = {"validated": "data/validated.parquet", "quarantine": "data/quarantine.parquet"}
WRITES = {"splits": "data/splits", "report": "reports/split.json"}
UNLABELLED = "nobody has labelled it yet"


class Params(ratchet.params.Params):
    """Block `split` of params.yaml."""

    train_sources: list[str]
    """Sources that are trained and tested on; the others measure transfer. Empty: all sources."""
    validation_rate: float = Field(gt=0, lt=1)
    """Share of the groups of texts for validation, in (0, 1)."""
    test_rate: float = Field(gt=0, lt=1)
    """Share of the groups of texts for the test, in (0, 1)."""
    n_transfer: int = Field(ge=0)
    """Texts of the other sources to keep at most."""
    near_duplicate_threshold: float = Field(ge=0.5, le=1)
    """Jaccard similarity of three-word shingles from which two texts stay together, in [0.5, 1]."""
    salt: str = Field(min_length=1)
    """Another salt gives another split."""

    @model_validator(mode="after")
    def _leaves_train(self) -> Self:
        if self.validation_rate + self.test_rate >= 1:
            raise ValueError(f"validation_rate + test_rate = {self.validation_rate + self.test_rate:g} leaves no train")
        return self


class Splits(NamedTuple):
    """What `run` returns."""

    tables: dict[str, pd.DataFrame]
    report: dict[str, Any]


def run(validated: pd.DataFrame, quarantine: pd.DataFrame, params: Params) -> Splits:
    """A table for each side and one of the rows held out with their reasons, and the counts.

    Rows quarantined because a later twin contradicts their label still hold their group together: without them, the
    texts that once followed them could change sides.

    Raises:
        ValidationError: `train_sources` names a source that is not there, or a class is missing from a side.
    """
    import pandas as pd

    rows = _with_ghosts(validated, quarantine)
    in_domain = _in_domain(rows["source"], params.train_sources)
    pairs = near_duplicate_pairs(Shingles(rows["text"].tolist()), params.near_duplicate_threshold)
    assigned = assign_sides(
        rows["id"].tolist(), in_domain, pairs, params.salt, params.validation_rate, params.test_rate
    )
    placed = rows.assign(
        group=pd.Series(assigned.group, dtype="str"),
        side=pd.Series(assigned.side, dtype="str"),
        reason=pd.Series(assigned.reason, dtype="str"),
    )
    placed = placed[~placed["ghost"]].drop(columns="ghost")
    waiting = placed["label"].isna() & ~placed["side"].isin(["train", EXCLUDED])
    placed.loc[waiting, "reason"] = [f"belongs to {side}, but {UNLABELLED}" for side in placed["side"][waiting]]
    placed.loc[waiting, "side"] = EXCLUDED
    tables = {name: placed[placed["side"] == name].drop(columns="side") for name in (*SIDES, EXCLUDED)}
    report = _report(placed, tables, pairs, params)
    tables["transfer"] = _sample(tables["transfer"], params)
    tables = {
        name: (table if name == EXCLUDED else table.drop(columns="reason")).reset_index(drop=True)
        for name, table in tables.items()
    }
    report["splits"] = {name: _counts(table) for name, table in tables.items()}
    _require_classes(tables, validated)
    return Splits(tables, report)


def main() -> None:
    params = load_params(Params, "split")
    validated = read_table(Path(READS["validated"]), CORPUS)
    tables, report = run(validated, read_table(Path(READS["quarantine"]), QUARANTINE), params)
    with replace_folder(Path(WRITES["splits"])) as folder:
        for name, table in tables.items():
            write_table(folder / f"{name}.parquet", table, SPLIT)
    write_json(Path(WRITES["report"]), {"command": "python -m pipeline_steps.split", **report})


def _with_ghosts(validated: pd.DataFrame, quarantine: pd.DataFrame) -> pd.DataFrame:
    """All rows that place others, in corpus order; `ghost` marks the first of each contradicted text."""
    import pandas as pd

    contradicted = quarantine[quarantine["rule"] == "conflicting_labels"].drop_duplicates("id")
    rows = [validated.assign(ghost=False)]
    if len(contradicted):
        rows.append(contradicted[validated.columns].assign(ghost=True))
    return pd.concat(rows).sort_values("row", kind="stable", ignore_index=True)


def _in_domain(source: pd.Series, train_sources: list[str]) -> list[bool]:
    known = sorted(set(source))
    if unknown := sorted(set(train_sources) - set(known)):
        raise ValidationError(
            "A source to train on is not in the corpus.", where="params.yaml, split.train_sources",
            got=", ".join(unknown), expected=f"some of {', '.join(known)}",
            fix="correct split.train_sources; an empty list takes all sources",
        )  # fmt: skip
    return [not train_sources or name in train_sources for name in source]


def _sample(transfer: pd.DataFrame, params: Params) -> pd.DataFrame:
    if transfer.empty or not params.n_transfer:
        return transfer.iloc[:0]
    kept = smallest_hashes(transfer["id"].tolist(), transfer["label"].tolist(), params.salt, params.n_transfer)
    return transfer.iloc[kept]


def _counts(table: pd.DataFrame) -> dict[str, Any]:
    labels = table["label"].fillna("unlabelled").value_counts().to_dict()
    return {"n_rows": len(table), "n_groups": int(table["group"].nunique()), "labels": labels}


def _report(
    placed: pd.DataFrame, tables: dict[str, pd.DataFrame], pairs: list[tuple[int, int]], params: Params
) -> dict[str, Any]:
    """Counts, and for each stratum (source and label) the realised rates and how far they are from the targets."""
    targets = {"validation": params.validation_rate, "test": params.test_rate}
    inside = placed[placed["side"].isin(["train", *targets]) & placed["label"].notna()]
    strata = {
        f"{source} / {label}": {
            "n_rows": len(rows),
            **{f"{side}_rate": float((rows["side"] == side).mean()) for side in targets},
            **{f"{side}_rate_deviation": float((rows["side"] == side).mean() - rate) for side, rate in targets.items()},
        }
        for (source, label), rows in inside.groupby(["source", "label"])
    }
    deviations = [abs(row[f"{side}_rate_deviation"]) for row in strata.values() for side in targets]
    return {
        "n_in": len(placed),
        "n_transfer_available": len(tables["transfer"]),
        "n_near_duplicate_pairs": len(pairs),
        "excluded": tables[EXCLUDED]["reason"].value_counts().to_dict(),
        "strata": strata,
        "max_rate_deviation": max(deviations, default=0.0),
    }


def _require_classes(tables: dict[str, pd.DataFrame], validated: pd.DataFrame) -> None:
    classes = set(validated["label"].dropna())
    for side, table in tables.items():
        optional = side == EXCLUDED or (side == "transfer" and table.empty)
        if not optional and (missing := sorted(classes - set(table["label"].dropna()))):
            raise ValidationError(
                f"A class is missing from the split '{side}'.", where=WRITES["splits"],
                got=f"{len(table)} rows without {', '.join(missing)}", expected=f"rows of {', '.join(sorted(classes))}",
                fix="add labelled rows of the class, raise split.validation_rate or split.test_rate, or, for the "
                "transfer set, split.n_transfer",
            )  # fmt: skip


if __name__ == "__main__":
    entry(main)
