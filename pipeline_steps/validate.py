"""Which rows may be trained on, and whether the corpus may: Great Expectations judges, by the suites of `data/suites`.

Every text is measured once. Great Expectations judges the measured table, a row a text, in batches, and then the one
row of figures that describes the corpus. A row that breaks a `quarantine` rule goes to the quarantine table with the
rule, the value and its reasons; one that breaks a `warn` rule stays and is named in the table of flags; a corpus that
breaks a `stop` rule ends the pipeline. Nothing is dropped silently: rows in = rows out + rows in quarantine, checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

import ratchet.params
from ratchet.data.batches import Batches, batches, joined, read_schema
from ratchet.data.rules.corpus_figures import DISTANCES, CorpusFigures, rarest_class
from ratchet.data.rules.corpus_measures import CorpusMeasures, measure_corpus
from ratchet.data.rules.judge import BATCH_ROWS, Outcome, RowJudge, in_order, judge_table, rules_found, skip, stopped
from ratchet.data.rules.measures import PERSONAL, columns_of, needed
from ratchet.data.rules.profiles import Counts, read_profile
from ratchet.data.rules.quarantine import Sorter, quarantined_rows
from ratchet.data.rules.suites import Rule, Suite, read_suites
from ratchet.entry import entry
from ratchet.errors import ValidationError
from ratchet.files import replace_folder
from ratchet.measure.report_files import write_report
from ratchet.params import load_params
from ratchet.reporting.data_docs import render_data_docs
from ratchet.table_files import TableWriter
from ratchet.tables import CORPUS, FLAGGED, QUARANTINE
from ratchet.task import Labels, NearDuplicateThreshold

READS = {
    "corpus": "data/corpus.parquet",
    "labels_suite": "data/suites/labels.json",
    "corpus_suite": "data/suites/corpus.json",
    "accepted": "data/accepted_profile.json",
}
WRITES = {
    "validated": "data/validated.parquet",
    "quarantine": "data/quarantine.parquet",
    "flagged": "data/flagged.parquet",
    "data_docs": "reports/data_docs",
    "profile": "reports/data_profile.json",
    "report": "reports/validate.json",
}
Region = Annotated[str, Field(pattern="^[A-Z]{2}$")]
COMMAND = "python -m pipeline_steps.validate"


class Params(ratchet.params.Params):
    """Block `validate` of params.yaml. The bounds of the rules stand in data/suites."""

    labels: Labels
    near_duplicate_threshold: NearDuplicateThreshold
    personal_data: Literal["off", "flag", "mask"]
    """off: not looked for; flag: rows are counted and named; mask: `ingest` replaces each find by its kind, such as
    [EMAIL], before a text gets its id."""
    regions: list[Region]
    """Countries (ISO 3166) whose national formats of telephone and identity numbers count as personal data; of several
    those whose language a text is in. Telephone numbers that start with + always do, also where it is empty."""


class Validated(NamedTuple):
    """What `run` returns."""

    sorter: Sorter
    """Sorts each batch into what is kept, quarantined and flagged."""
    report: dict[str, Any]
    profile: dict[str, Counts]
    """What can be accepted, for later data to be compared with."""
    page: str


def run(
    read: Batches, columns: Sequence[str], suites: Sequence[Suite], accepted: dict[str, Counts] | None, params: Params
) -> Validated:
    """Which rows pass, the figures, and the Data Docs page.

    Args:
        read: the corpus.
        columns: its columns with their types, from `columns_of`.
        suites: the rules, in the order in which a row is given its reasons.
        accepted: profile of the data that was accepted last, if any was.
        params: the classes, and what counts as a near-duplicate.

    Raises:
        ValidationError: the corpus breaks a stop rule; the message names every one that is broken.
    """
    skipped = {
        rule.name: why for suite in suites for rule in suite.rules if (why := _why_skipped(rule, accepted, params))
    }
    rules = [rule for suite in suites for rule in suite.rules if rule.name not in skipped]
    names = needed(rules)
    found = measure_corpus(read, names, params.near_duplicate_threshold, params.regions, _scratch())
    judge, counts = RowJudge([rule for rule in rules if rule.judges_rows]), CorpusFigures(found)
    for frame in joined(_measured(read, columns, names, found), BATCH_ROWS):
        counts.add(frame, quarantined_rows(rules, judge.judge(frame), len(frame)))
    figures, rarest = counts.figures(params.labels, accepted), rarest_class(counts.class_counts(params.labels))
    about_table = judge_table(
        [rule for rule in rules if not rule.judges_rows],
        figures,
        columns,
        dict.fromkeys(("n_rarest_class", "rarest_class_rate"), rarest),
    )
    by_row = judge.outcomes()
    left_out = [skip(rule, skipped[rule.name]) for suite in suites for rule in suite.rules if rule.name in skipped]
    outcomes = in_order(suites, [*by_row, *about_table, *left_out])
    _stop_if_broken(outcomes)
    sorter = Sorter([item for item in outcomes if len(item.rows)], found.measured, counts.quarantined)
    report = _report(suites, outcomes, found, counts, params)
    return Validated(sorter, report, counts.profile(), render_data_docs(outcomes, suites, "corpus rules"))


def main() -> None:
    params = load_params(Params, "validate")
    source, read = Path(READS["corpus"]), batches(Path(READS["corpus"]), CORPUS)
    suites = read_suites([Path(READS[name]) for name in ("labels_suite", "corpus_suite")], {"labels": params.labels})
    accepted = read_profile(Path(READS["accepted"]))
    checked = run(
        read,
        columns_of(read_schema(source, CORPUS)),
        suites,
        accepted,
        params,
    )
    with ExitStack() as stack:
        names = {
            "kept": ("validated", CORPUS),
            "quarantined": ("quarantine", QUARANTINE),
            "flagged": ("flagged", FLAGGED),
        }
        writers = {
            part: stack.enter_context(TableWriter(Path(WRITES[name]), table)) for part, (name, table) in names.items()
        }
        start = 0
        for frame in read([]):
            for part, rows in checked.sorter.sort(frame, start)._asdict().items():
                writers[part].write(rows)
            start += len(frame)
        _require_all(start, {part: writer.n_rows for part, writer in writers.items()}, checked.report)
        with replace_folder(Path(WRITES["data_docs"])) as folder:
            (folder / "index.html").write_text(checked.page, encoding="utf-8")
    write_report(Path(WRITES["profile"]), {"command": COMMAND, "profile": checked.profile})
    write_report(Path(WRITES["report"]), {"command": COMMAND, **checked.report})


def _why_skipped(rule: Rule, accepted: dict[str, Counts] | None, params: Params) -> str:
    """Why a rule is not judged; empty where it is."""
    if rule.column in PERSONAL and params.personal_data == "off":
        return "not measured: switched off in the params"
    if rule.column in DISTANCES and not accepted:
        return "not compared: no data has been accepted yet"
    return ""


def _measured(read: Batches, columns: Sequence[str], names: Sequence[str], found: CorpusMeasures) -> Iterator[Any]:
    """The measured table, with those of the corpus's own columns that rules look at."""
    own = {column.partition(": ")[0] for column in columns} - {"text"}
    start = 0
    for batch in read([name for name in dict.fromkeys(["label", "source", *names]) if name in own]):
        yield found.measured(batch, start)
        start += len(batch)


def _scratch() -> Path | None:
    """Where temporary files lie: beside the tables, which are as large."""
    folder = Path(WRITES["validated"]).parent
    return folder if folder.is_dir() else None


def _require_all(n_in: int, n_out: dict[str, int], report: dict[str, Any]) -> None:
    """Rows read = rows written to either table, and as many as were judged."""
    if n_in != n_out["kept"] + n_out["quarantined"] or n_in != report["n_in"]:
        raise ValidationError(
            "Rows were lost on the way.",
            where=READS["corpus"],
            got=f"{n_out['kept']} kept + {n_out['quarantined']} quarantined of {n_in} read",
            expected=f"{report['n_in']} rows",
        )


def _stop_if_broken(outcomes: Sequence[Outcome]) -> None:
    broken = stopped(outcomes)
    if not broken:
        return
    quarantined = [
        f"{item.rule.name} {item.observed:g}"
        for item in outcomes
        if item.rule.severity == "quarantine" and item.observed > 0
    ]
    raise ValidationError(
        f"The corpus must not be trained on: {'; '.join(item.rule.reason for item in broken)}.",
        where=f"{READS['corpus']}, rule {', '.join(item.rule.name for item in broken)}",
        got="; ".join(f"{item.rule.column}: {item.words}" for item in broken)
        + (f" (rows quarantined by rule: {', '.join(quarantined)})" if quarantined else ""),
        expected="; ".join(item.rule.expected for item in broken),
        fix="correct the source, or, if the data is as it should be, the bounds in data/suites",
    )


def _report(
    suites: Sequence[Suite], outcomes: Sequence[Outcome], found: CorpusMeasures, counts: CorpusFigures, params: Params
) -> dict[str, Any]:
    kept, words = ~counts.quarantined, counts.n_words()
    firsts: dict[str, int] = {}
    seen, flagged = np.zeros(len(kept), dtype=bool), np.zeros(len(kept), dtype=bool)
    for item in outcomes:
        if item.rule.severity == "quarantine":
            firsts[item.rule.name] = int((~seen[item.rows]).sum())
            seen[item.rows] = True
        elif item.rule.severity == "warn":
            flagged[item.rows] = True
    return {
        "n_in": len(kept),
        "n_out": int(kept.sum()),
        "n_quarantined": int(counts.quarantined.sum()),
        "n_flagged": int((flagged & kept).sum()),
        "rules": rules_found(outcomes, suites),
        "quarantined_by_first_rule": {name: n for name, n in firsts.items() if n},
        "duplicates": {
            "n_extra_copies": int((found.n_earlier_twins > 0).sum()),
            "n_texts_with_copies": int((np.bincount(found.text) > 1).sum()),
        },
        "near_duplicates": {
            "threshold": params.near_duplicate_threshold,
            "n_pairs": found.n_pairs(kept),
            "n_pairs_with_quarantined": found.n_pairs(),
        },
        "labels": counts.class_counts(params.labels),
        "n_unlabelled": counts.n_unlabelled(),
        "n_words": {name: float(getattr(np, name)(words)) for name in ("min", "median", "max")},
    }


if __name__ == "__main__":
    entry(main)
