"""Which texts train, validate and test, and which measure transfer to another domain: by hash or by time, in groups.

By hash an id keeps its side when rows are added, near-duplicates and rows of one group stay on one side, and the
thresholds are the same in every label and source, so that the sides are stratified in expectation; the realised rates
are reported, and a class that is too rare for that is given rows on every side. By time the newest texts test.
What was written is checked by a suite of its own before it replaces what was there.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

import ratchet.params
from ratchet.data.batches import Batches, batches, read_schema
from ratchet.data.near_duplicates import NearDuplicates
from ratchet.data.rare_classes import FILLED, MIN_GROUPS, fill_sides, lacking
from ratchet.data.rules.judge import judge_table, rules_found, stopped
from ratchet.data.rules.measures import columns_of
from ratchet.data.rules.split_measures import split_figures
from ratchet.data.rules.suites import Suite, read_suite
from ratchet.data.sampling import smallest_hashes
from ratchet.data.split_rows import placing_rows
from ratchet.data.splits import EXCLUDED, SIDES, Assignment, assign_sides, assign_sides_by_time, quantile_edges
from ratchet.data.words import tokens
from ratchet.entry import entry
from ratchet.errors import ValidationError
from ratchet.files import replace_folder
from ratchet.measure.report_files import write_report
from ratchet.params import load_params
from ratchet.table_files import TableWriter, read_table
from ratchet.tables import CORPUS, QUARANTINE, SPLIT
from ratchet.task import GroupColumn, LengthQuantiles, NearDuplicateThreshold, TimeColumn

if TYPE_CHECKING:
    import pandas as pd

READS = {
    "validated": "data/validated.parquet",
    "quarantine": "data/quarantine.parquet",
    "suite": "data/suites/splits.json",
}
WRITES = {"splits": "data/splits", "report": "reports/split.json", "length_edges": "reports/length_edges.json"}
UNLABELLED = "nobody has labelled it yet"
UNSAMPLED = "unsampled"
NEW_CLASS = "its class '{name}' has no labelled training text"
TIME = "timestamp"
"""The column of the corpus that holds the task's times."""


class Params(ratchet.params.Params):
    """Block `split` of params.yaml."""

    by: Literal["hash", "time"]
    """hash: at random, and a text keeps its side as data arrive. time: the newest texts test, those before them
    validate; a group goes whole where its newest text belongs. Texts without a time are held out, and those of a class
    that comes up after the cut."""
    train_sources: list[str]
    """Sources that are trained and tested on; the others measure transfer. Empty: all sources."""
    validation_rate: float = Field(gt=0, lt=1)
    """Share of the groups of texts for validation, in (0, 1)."""
    test_rate: float = Field(gt=0, lt=1)
    """Share of the groups of texts for the test, in (0, 1)."""
    n_transfer: int = Field(ge=0)
    """Texts of the other sources to keep at most."""
    near_duplicate_threshold: NearDuplicateThreshold
    length_quantiles: LengthQuantiles
    group_column: GroupColumn
    time_column: TimeColumn
    salt: str = Field(min_length=1)
    """Another salt gives another split."""

    @model_validator(mode="after")
    def _leaves_train(self) -> Self:
        if self.validation_rate + self.test_rate >= 1:
            raise ValueError(f"validation_rate + test_rate = {self.validation_rate + self.test_rate:g} leaves no train")
        if self.by == "time" and not self.time_column:
            raise ValueError("by: time needs task.time_column, which names no column")
        return self


class Splits(NamedTuple):
    """What `run` returns."""

    placed: pd.DataFrame
    """Every validated row, in order: row, id, label, source, group, side, reason. Side `unsampled`: of the other
    domain, and not among the `n_transfer` that are kept."""
    near: NearDuplicates
    """Near-duplicates among these rows and those in quarantine that hold groups together."""
    rows: np.typing.NDArray[np.int64]
    """The column `row` of the texts of `near`, ascending."""
    report: dict[str, Any]

    def tables(self, batch: pd.DataFrame, start: int = 0) -> dict[str, pd.DataFrame]:
        """A batch of the validated rows, the first of them row `start`, as a table for each side."""
        placed = self.placed.iloc[start : start + len(batch)]
        sides, columns = placed["side"].to_numpy(), ["group", "reason"]
        joined = batch.assign(**{name: placed[name].to_numpy() for name in columns}).astype(
            dict.fromkeys(columns, "str")
        )
        tables = {name: joined[sides == name].reset_index(drop=True) for name in (*SIDES, EXCLUDED)}
        return {name: table if name == EXCLUDED else table.drop(columns="reason") for name, table in tables.items()}


def run(validated: Batches, quarantine: Batches, params: Params) -> Splits:
    """Where each row goes, those held out with their reasons, and the counts.

    Rows quarantined because a later twin contradicts their label, or has one where they have none, still hold their
    group together: without them, the texts that once followed them could change sides.

    Raises:
        ValidationError: `train_sources` names a source that is not there, no text has a time to be split by, a class
            has too few texts for three sides, or by time fewer than two have a labelled training text.
    """
    import pandas as pd

    folder = Path(READS["validated"]).parent
    rows, near = placing_rows(
        validated, quarantine, _extra(params), params.near_duplicate_threshold, folder if folder.is_dir() else None
    )
    assigned, moved = _assign(rows, near, params)
    placed = rows.assign(
        group=rows["id"].to_numpy()[assigned.group],
        side=pd.Series(assigned.side, dtype="str"),
        reason=pd.Series(assigned.reason, dtype="str"),
    ).astype({"group": "str"})
    spent = ["ghost", *([params.group_column] if params.group_column else [])]
    placed = placed[~placed["ghost"]].drop(columns=spent).reset_index(drop=True)
    waiting = placed["label"].isna() & ~placed["side"].isin(["train", EXCLUDED])
    placed.loc[waiting, "reason"] = [f"belongs to {side}, but {UNLABELLED}" for side in placed["side"][waiting]]
    placed.loc[waiting, "side"] = EXCLUDED
    set_aside = _set_new_classes_aside(placed) if params.by == "time" else {}
    report = _report(placed, near.n_pairs(), moved, params)
    if params.by == "time":
        report |= {"times": _times(placed), "new_classes": set_aside}
    _sample(placed, params)
    report["splits"] = {name: _counts(placed[placed["side"] == name]) for name in (*SIDES, EXCLUDED)}
    _require_classes(placed, [*set_aside], params)
    return Splits(placed.drop(columns=TIME, errors="ignore"), near, rows["row"].to_numpy(), report)


def main() -> None:
    params = load_params(Params, "split")
    read = batches(Path(READS["validated"]), CORPUS)
    splits = run(read, batches(Path(READS["quarantine"]), QUARANTINE), params)
    for name, n in splits.report.get("new_classes", {}).items():
        print(
            f"the class '{name}' comes up only after the cut: its {n:,} labelled texts are set aside, and no model can "
            "learn it. Wait for more texts, lower split.test_rate, or set split.by: hash",
            flush=True,
        )
    suite = read_suite(Path(READS["suite"]), {})
    with replace_folder(Path(WRITES["splits"])) as folder:
        with ExitStack() as stack:
            names = (*SIDES, EXCLUDED)
            writers = {name: stack.enter_context(TableWriter(folder / f"{name}.parquet", SPLIT)) for name in names}
            start = 0
            for batch in read([]):
                for name, table in splits.tables(batch, start).items():
                    writers[name].write(table)
                start += len(batch)
        rules = check_splits(folder, splits, suite)
    lengths = [
        len(tokens(text))
        for batch in batches(Path(WRITES["splits"]) / "train.parquet", SPLIT)(["text"])
        for text in batch["text"]
    ]
    edges = {"edges": quantile_edges(lengths, params.length_quantiles), "quantiles": params.length_quantiles}
    write_report(Path(WRITES["length_edges"]), {"command": "python -m pipeline_steps.split", **edges})
    report = {**splits.report, "rules": rules}
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.split", **report})


def check_splits(folder: Path, splits: Splits, suite: Suite) -> dict[str, Any]:
    """What the suite finds in the tables as they were written, by rule.

    Raises:
        ValidationError: a stop rule is broken.
    """
    paths = {name: folder / f"{name}.parquet" for name in (*SIDES, EXCLUDED)}
    tables = {name: read_table(path, SPLIT, ["row", "id", "label", "group"]) for name, path in paths.items()}
    placed = splits.placed
    n_unsampled = int((placed["side"] == UNSAMPLED).sum())
    figures = split_figures(tables, len(placed), n_unsampled, splits.near, splits.rows)
    outcomes = judge_table(suite.rules, figures, columns_of(read_schema(paths["train"], SPLIT)))
    if broken := stopped(outcomes):
        raise ValidationError(
            f"The splits must not be used: {'; '.join(item.rule.reason for item in broken)}.",
            where=f"{WRITES['splits']}, rule {', '.join(item.rule.name for item in broken)}",
            got="; ".join(f"{item.rule.column}: {item.words}" for item in broken),
            expected="; ".join(item.rule.expected for item in broken),
            fix="correct the rule in data/suites/splits.json if it asks for too much; else this is a fault of the code",
        )
    return rules_found(outcomes, [suite])


def _extra(params: Params) -> list[str]:
    """Columns that place rows, beside those of every corpus."""
    return [*([params.group_column] if params.group_column else []), *([TIME] if params.by == "time" else [])]


def _assign(rows: pd.DataFrame, near: NearDuplicates, params: Params) -> tuple[Assignment, int]:
    """The side of every row, and how many groups moved for the sake of rare classes."""
    pairs, first = near.pairs.tolist(), near.first.tolist()
    inside = _in_domain(rows["source"], params.train_sources)
    groups = None
    if params.group_column:  # a missing value is no group
        groups = [name if isinstance(name, str) and name else None for name in rows[params.group_column]]
    if params.by == "time":
        times = rows[TIME].dt.tz_localize(None).to_numpy().astype("datetime64[us]")
        _require_times(times, params)
        rates = params.validation_rate, params.test_rate
        return assign_sides_by_time(times, inside, pairs, *rates, first, groups), 0
    ids, rates = rows["id"].tolist(), (params.validation_rate, params.test_rate)
    assigned = assign_sides(ids, inside, pairs, params.salt, *rates, first, groups)
    labels = rows["label"].where(rows["label"].notna() & ~rows["ghost"], None).tolist()
    moved = fill_sides(ids, assigned.side, assigned.group, labels, params.salt)
    if not moved:
        return assigned, 0
    side = [moved.get(int(group), name) for group, name in zip(assigned.group, assigned.side, strict=True)]
    return replace(assigned, side=side), len(moved)


def _require_times(times: np.typing.NDArray[np.datetime64], params: Params) -> None:
    if len(times) and np.isnat(times).all():
        raise ValidationError(
            "No text has a time to be split by.",
            where=f"{READS['validated']}, column {TIME}",
            got=f"{len(times)} rows without a time",
            expected=f"times in the source's column {params.time_column}",
            fix="correct task.time_column, or set split.by: hash",
        )


def _in_domain(source: pd.Series, train_sources: list[str]) -> list[bool]:
    known = sorted(set(source))
    if unknown := sorted(set(train_sources) - set(known)):
        raise ValidationError(
            "A source to train on is not in the corpus.",
            where="params.yaml, split.train_sources",
            got=", ".join(unknown),
            expected=f"some of {', '.join(known)}",
            fix="correct split.train_sources; an empty list takes all sources",
        )
    return [not train_sources or name in train_sources for name in source]


def _sample(placed: pd.DataFrame, params: Params) -> None:
    """Mark the rows of the other domain that are not kept."""
    transfer = np.flatnonzero(placed["side"] == "transfer")
    rows, n = placed.iloc[transfer], params.n_transfer
    kept = smallest_hashes(rows["id"].tolist(), rows["label"].tolist(), params.salt, n) if n and len(rows) else []
    placed.loc[np.delete(transfer, kept), "side"] = UNSAMPLED


def _counts(table: pd.DataFrame) -> dict[str, Any]:
    labels = table["label"].fillna("unlabelled").value_counts().to_dict()
    return {"n_rows": len(table), "n_groups": int(table["group"].nunique()), "labels": labels}


def _report(placed: pd.DataFrame, n_pairs: int, n_moved: int, params: Params) -> dict[str, Any]:
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
        "by": params.by,
        "n_in": len(placed),
        "n_transfer_available": int((placed["side"] == "transfer").sum()),
        "n_near_duplicate_pairs": n_pairs,
        "n_groups_moved_for_rare_classes": n_moved,
        "excluded": placed["reason"][placed["side"] == EXCLUDED].value_counts().to_dict(),
        "strata": strata,
        "max_rate_deviation": max(deviations, default=0.0),
    }


def _set_new_classes_aside(placed: pd.DataFrame) -> dict[str, int]:
    """Hold out the labelled texts of classes that no labelled training text has; class → how many there are."""
    known = {*placed["label"][placed["side"] == "train"].dropna()}
    new = placed["label"].notna() & ~placed["label"].isin(known) & (placed["side"] != EXCLUDED)
    placed.loc[new, "reason"] = [NEW_CLASS.format(name=name) for name in placed["label"][new]]
    placed.loc[new, "side"] = EXCLUDED
    counts = {str(name): int(n) for name, n in placed["label"][new].value_counts().sort_index().items()}
    if counts and len(known) < 2:
        raise ValidationError(
            "Fewer than two classes have a labelled training text.",
            where="params.yaml, split.by: time",
            got=f"{', '.join(sorted(known)) or 'none'}; only after the cut: {', '.join(counts)}",
            expected="two classes among the older texts, which train",
            fix="label older texts, lower split.test_rate or split.validation_rate, or set split.by: hash",
        )
    return counts


def _times(placed: pd.DataFrame) -> dict[str, Any]:
    """From when on texts validate and test, and how many on either side are older, because their group is newer."""
    newest = placed.groupby("group")[TIME].transform("max")
    found: dict[str, Any] = {}
    for side in ("validation", "test"):
        rows = placed["side"] == side
        if rows.any():
            start = newest[rows].min()
            n_older = int((placed[TIME][rows] < start).sum())
            found[side] = {"from": start.isoformat(), "n_older_in_a_newer_group": n_older}
    return found


def _require_classes(placed: pd.DataFrame, set_aside: list[str], params: Params) -> None:
    """Every class has labelled texts to train, to validate and to test, but for those that are set aside."""
    labelled = placed[placed["label"].notna() & ~placed["label"].isin(set_aside)]
    counts: dict[str, dict[str, int]] = {name: {} for name in sorted(labelled["label"].unique())}
    inside = labelled[labelled["side"].isin(FILLED)]
    found = inside.groupby(["label", "side"])["group"].nunique().reset_index()
    for name, side, n in zip(found["label"], found["side"], found["group"], strict=True):
        counts[name][side] = int(n)
    if not (poor := lacking(counts)):
        return
    by_time = ", raise split.test_rate or split.validation_rate, or set split.by: hash" if params.by == "time" else ""
    raise ValidationError(
        "A class has too few texts to train, validate and test.",
        where="params.yaml, task.classes",
        got="; ".join(f"{name}: {words}" for name, words in poor.items()),
        expected=f"at least {MIN_GROUPS} labelled texts of each class, near-duplicates"
        f"{' and ' + params.group_column if params.group_column else ''} counted once",
        fix="label as many more as are named, merge the class with another (add its values to those of the other in "
        f"task.classes), or drop it (move its values to task.ignored_labels: its texts stay, unlabelled){by_time}",
    )


if __name__ == "__main__":
    entry(main)
