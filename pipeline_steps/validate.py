"""Which rows may be trained on, and whether the corpus may: the suites of `data/suites`, judged by Great Expectations.

A row that breaks a `quarantine` rule goes to the quarantine table with the rule, the value and its reasons; one that
breaks a `warn` rule stays and is named in the table of flags; a corpus that breaks a `stop` rule ends the pipeline.
Nothing is dropped silently: rows in = rows out + rows in quarantine, checked. Rows stream through in batches at any
size.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

import ratchet.params
from ratchet.data.batches import Batches, batches, read_schema
from ratchet.data.rules.corpus_measures import CorpusMeasures, corpus_measures, measure_corpus
from ratchet.data.rules.expectations import check
from ratchet.data.rules.measures import PERSONAL, columns_measure, needed
from ratchet.data.rules.profiles import profile_of, read_profile
from ratchet.data.rules.quarantine import Sorter, quarantined_rows
from ratchet.data.rules.suites import Suite, read_suite
from ratchet.data.rules.tallies import Names, Tally
from ratchet.data.rules.verdicts import Outcome, find_broken_rows, judge_suites, rules_found, stopped, tallies_of
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
    "labels_suite": "data/suites/labels.yaml",
    "corpus_suite": "data/suites/corpus.yaml",
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
    regions: list[Region] = Field(min_length=1)
    """Countries (ISO 3166) whose national formats of telephone and identity numbers count as personal data; of several
    those whose language a text is in. Telephone numbers that start with + always do."""


class Validated(NamedTuple):
    """What `run` returns."""

    sorter: Sorter
    """Sorts each batch into what is kept, quarantined and flagged."""
    report: dict[str, Any]
    profile: dict[str, dict[str, int]]
    """What can be accepted, for later data to be compared with."""
    page: str


def run(
    read: Batches, columns: Names, suites: Sequence[Suite], accepted: dict[str, Tally] | None, params: Params
) -> Validated:
    """Which rows pass, the figures, and the Data Docs page.

    Args:
        read: the corpus.
        columns: its columns with their types, from `columns_measure`.
        suites: the rules, in the order in which a row is given its reasons.
        accepted: tallies of the data that was accepted last, if any was.
        params: the classes, and what counts as a near-duplicate.

    Raises:
        ValidationError: the corpus breaks a stop rule; the message names every one that is broken.
    """
    off = set(PERSONAL) if params.personal_data == "off" else set()
    names = [name for name in needed(suites) if name not in off]
    found = measure_corpus(read, names, params.near_duplicate_threshold, params.regions, _scratch())
    broken = find_broken_rows(suites, found.rows, off)
    quarantined = quarantined_rows(suites, broken, len(found.text))
    tallies = tallies_of({"column": columns, **found.rows, **corpus_measures(found.rows, quarantined)})
    outcomes = judge_suites(suites, tallies, broken, accepted, off)
    results = check(suites, outcomes, tallies, accepted)
    _stop_if_broken(outcomes)
    sorter = Sorter([item for item in outcomes if item.rule.judges_rows], found.rows, quarantined)
    report = _report(suites, outcomes, found, tallies, quarantined, params)
    return Validated(sorter, report, profile_of(tallies), render_data_docs(results, "corpus rules"))


def main() -> None:
    params = load_params(Params, "validate")
    source, read = Path(READS["corpus"]), batches(Path(READS["corpus"]), CORPUS)
    suites = [read_suite(Path(READS[name]), {"labels": params.labels}) for name in ("labels_suite", "corpus_suite")]
    accepted = read_profile(Path(READS["accepted"]))
    checked = run(
        read,
        columns_measure(read_schema(source, CORPUS)),
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
        got="; ".join(f"{item.rule.measure}: {item.words}" for item in broken)
        + (f" (rows quarantined by rule: {', '.join(quarantined)})" if quarantined else ""),
        expected="; ".join(item.rule.expected for item in broken),
        fix="correct the source, or, if the data is as it should be, the bounds in data/suites",
    )


def _report(
    suites: Sequence[Suite],
    outcomes: Sequence[Outcome],
    found: CorpusMeasures,
    tallies: dict[str, Tally],
    quarantined: np.typing.NDArray[np.bool_],
    params: Params,
) -> dict[str, Any]:
    kept, words = ~quarantined, found.rows["n_words"]
    assert not isinstance(words, Names)
    firsts: dict[str, int] = {}
    seen = np.zeros(len(quarantined), dtype=bool)
    for item in outcomes:
        if item.rule.severity == "quarantine" and len(item.rows):
            firsts[item.rule.name] = int((~seen[item.rows]).sum())
            seen[item.rows] = True
    return {
        "n_in": len(quarantined),
        "n_out": int(kept.sum()),
        "n_quarantined": int(quarantined.sum()),
        "n_flagged": len(
            np.unique(
                np.concatenate(
                    [item.rows[kept[item.rows]] for item in outcomes if item.rule.severity == "warn"]
                    or [np.zeros(0, int)]
                )
            )
        ),
        "rules": rules_found(outcomes, suites),
        "quarantined_by_first_rule": {name: n for name, n in firsts.items() if n},
        "duplicates": {
            "n_extra_copies": int((np.asarray(found.rows["n_earlier_twins"]) > 0).sum()),
            "n_texts_with_copies": int((np.bincount(found.text) > 1).sum()),
        },
        "near_duplicates": {
            "threshold": params.near_duplicate_threshold,
            "n_pairs": found.n_pairs(kept),
            "n_pairs_with_quarantined": found.n_pairs(),
        },
        "labels": {label: tallies["kept_label"].get(label, 0) for label in params.labels},
        "n_unlabelled": tallies["unlabelled"].get(1, 0),
        "n_words": {name: float(getattr(np, name)(words[kept])) for name in ("min", "median", "max")},
    }


if __name__ == "__main__":
    entry(main)
