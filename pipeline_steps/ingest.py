"""Which texts enter the pipeline: a source, its columns mapped, its texts cleaned, counted and reversible.

Rows pass in batches, so memory does not grow with the source. Rows without a label stay: they are the unlabelled pool.
The raw form of every text that cleaning changed is kept by id. Texts that `ratchet forget` took out stay out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import Field, model_validator

import ratchet.params
from ratchet.data.cleaning import REPAIRS, clean, text_id
from ratchet.data.cleaning_params import Cleaning, Repair
from ratchet.data.column_mapping import ColumnMapping, map_columns, mask_carried
from ratchet.data.forgotten import TOMBSTONES, forgotten, read_tombstones, record_id
from ratchet.data.personal_data import KINDS
from ratchet.data.raw_text import kept_raw
from ratchet.data.sources.reading import FileTally, Labels, Reading
from ratchet.data.sources.rows import Batch
from ratchet.data.sources.source import Source, read_source
from ratchet.entry import entry
from ratchet.errors import TableError
from ratchet.measure.report_files import write_report
from ratchet.params import load_params
from ratchet.progress import Progress
from ratchet.table_files import TableWriter, read_batches
from ratchet.tables import BAD_ROWS, CORPUS, RAW
from ratchet.task import (
    Classes,
    GroupColumn,
    IdColumn,
    IgnoredLabels,
    LabelColumn,
    MetadataColumns,
    PersonalData,
    Regions,
    SourceColumn,
    TextColumn,
    TimeColumn,
)
from ratchet.values import is_twice_encoded

if TYPE_CHECKING:
    import pandas as pd

READS = {"watch": "${ingest.watch}", "forgotten": TOMBSTONES}
WRITES = {
    "corpus": "data/corpus.parquet",
    "raw": "data/raw.parquet",
    "bad_rows": "data/bad_rows.parquet",
    "report": "reports/ingest.json",
}
MAX_SOURCES = 10_000
"""Different values of the source column that are counted one by one; the rows of further ones are counted together."""
SHOWN_SOURCES = 100
"""Sources that the report lists, those with most rows."""
OTHERS = "(others)"
RESERVED = {*CORPUS.columns, "group", "rule", "reason", "raw"}


class Params(ratchet.params.Params):
    """Block `ingest` of params.yaml."""

    source: Source
    """Where the texts are: `packaged`, `files`, `sql` or `dataset`, each with its own keys, see
    `ratchet.data.sources.source`."""
    watch: str = Field(min_length=1)
    """The local file or folder whose change makes DVC read the source again. Local source: itself, or a folder that
    holds what it names; packaged: the file that pins the package's version; remote: a small file of yours in git that
    you change when the source is to be read anew, since DVC sees no database and no URL."""
    classes: Classes
    text_column: TextColumn
    label_column: LabelColumn
    ignored_labels: IgnoredLabels
    id_column: IdColumn
    source_column: SourceColumn
    time_column: TimeColumn
    group_column: GroupColumn
    metadata_columns: MetadataColumns
    missing_values: list[str]
    """What stands for a missing value in any column but the text's, such as NA or null; an empty cell always does."""
    repairs: list[Repair]
    """What is repaired in the texts (`ratchet.data.cleaning`), in the order in which it is done; empty: nothing."""
    personal_data: PersonalData
    """mask: each find is masked here, before a text gets its id, so that nothing unmasked is written; so it is in
    carried columns, but an id or a group that holds some is refused."""
    regions: Regions

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        local = self.source.local_path
        if local and not PurePath(local).is_relative_to(self.watch):
            raise ValueError(f"watch must be the source or a folder above it, or a change of '{local}' goes unnoticed")
        if taken := sorted(RESERVED & {*self.carried}):
            raise ValueError(f"carried columns must not be named {', '.join(taken)}: the tables' own columns are")
        if self.repairs != (order := [name for name in REPAIRS if name in self.repairs]):
            raise ValueError(f"repairs must stand in the order {', '.join(order)}, each once")
        return self

    @property
    def cleaning(self) -> Cleaning:
        """What is done to each text."""
        return Cleaning(repairs=[*self.repairs], mask=self.personal_data == "mask", regions=self.regions)

    @property
    def columns(self) -> list[str]:
        """The columns of the source that are read, each once."""
        named = [self.text_column, self.label_column, self.source_column, self.time_column, *self.carried]
        return list(dict.fromkeys(name for name in named if name))

    @property
    def carried(self) -> list[str]:
        """The columns that are carried along under their own names."""
        named = [self.id_column, self.group_column, *self.metadata_columns]
        return list(dict.fromkeys(name for name in named if name))

    @property
    def mapping(self) -> ColumnMapping:
        """What becomes of each column."""
        return ColumnMapping(
            text=self.text_column,
            label=self.label_column,
            source=self.source_column,
            time=self.time_column,
            carried=self.carried,
            identifying=[name for name in (self.id_column, self.group_column) if name],
            class_of=self.class_of,
            ignored_labels=self.ignored_labels,
            missing_values=self.missing_values,
        )

    @property
    def class_of(self) -> dict[str, str]:
        """Raw value, as `raw_value` writes it → class."""
        return {value: item.name for item in self.classes for value in item.raw_values}


class Ingested(NamedTuple):
    """What `run` makes of one batch."""

    corpus: pd.DataFrame
    raw: pd.DataFrame
    """The raw form of the texts that cleaning changed."""
    bad_rows: pd.DataFrame
    """The records that could not be read exactly."""
    counts: Counter[tuple[str, ...]]
    """To be added up over batches: ('source', name, label or 'unlabelled'), ('ignored', raw label), ('repair', name),
    ('masked', kind), ('raw',), ('twice encoded',), ('forgotten',)."""


def run(batches: Iterable[Batch], params: Params, tombstones: frozenset[str] = frozenset()) -> Iterator[Ingested]:
    """The rows of each batch as the corpus has them, numbered on through all batches.

    Args:
        batches: the columns `params.columns` as strings.
        params: the column and label mapping, and the repairs.
        tombstones: ids of forgotten texts, whose rows are left out.

    Raises:
        TableError: a label is no value of any class, or a timestamp is none.
    """
    n_rows = 0
    for batch in batches:
        part = _ingest(batch, params, n_rows, tombstones)
        yield part
        n_rows += len(part.corpus)


def report(counts: Counter[tuple[str, ...]], params: Params) -> dict[str, Any]:
    """The figures of all rows, from their counts; of the sources, those with most rows by name."""
    cells = {key[1:]: n for key, n in sorted(counts.items()) if key[0] == "source"}
    by_label: Counter[str] = Counter()
    by_source: dict[str, Counter[str]] = {}
    for (source, label), n in cells.items():
        by_label[label] += n
        by_source.setdefault(source, Counter())[label] += n
    named = sorted(by_source, key=lambda name: (name == OTHERS, -by_source[name].total(), name))
    if rest := [by_source.pop(name) for name in named[SHOWN_SOURCES:]]:
        by_source[OTHERS] = sum(rest, Counter())
    return {
        "n_rows": by_label.total(),
        "n_unlabelled": by_label["unlabelled"],
        "labels": {item.name: by_label[item.name] for item in params.classes},
        "n_labels_ignored": {value: counts["ignored", value] for value in params.ignored_labels},
        "n_sources": len(named),
        "sources": {
            name: {"n_rows": labels.total(), "labels": dict(labels)} for name, labels in sorted(by_source.items())
        },
        "n_texts_changed": {name: counts["repair", name] for name in params.repairs},
        "n_masked": {kind: counts["masked", kind] for kind in KINDS} if params.cleaning.mask else {},
        "n_raw_kept": counts["raw",],
        "n_texts_twice_encoded": counts["twice encoded",],
        "n_forgotten": counts["forgotten",],
    }


def source_report(params: Params, reading: Reading) -> dict[str, Any]:
    """What was read from where: each file with its records, and what lies beside them unread."""
    return {
        **params.source.model_dump(),
        "n_files": len(reading.files),
        "sha256": reading.sha256,
        "pinned": bool(params.source.sha256),
        "files": [tally.to_json() for tally in reading.files],
        "left_out": [{"name": name, "reason": reason} for name, reason in reading.left_out],
        "n_bad_rows": sum(tally.n_bad for tally in reading.files),
    }


def main() -> None:
    params = load_params(Params, "ingest")
    counts: Counter[tuple[str, ...]] = Counter()
    labels = Labels(params.label_column, frozenset([*params.class_of, *params.ignored_labels]))
    reading = Reading(getattr(params.source, "max_bad_rows", 0), labels)
    tombstones = read_tombstones(Path(READS["forgotten"]))
    progress = Progress("rows ingested")
    with (
        TableWriter(Path(WRITES["corpus"]), CORPUS) as corpus,
        TableWriter(Path(WRITES["raw"]), RAW) as raw,
        TableWriter(Path(WRITES["bad_rows"]), BAD_ROWS) as bad_rows,
    ):
        for part in run(read_source(params.source, params.columns, reading), params, tombstones):
            corpus.write(part.corpus)
            raw.write(part.raw)
            bad_rows.write(part.bad_rows)
            _add(counts, part.counts)
            progress.add(len(part.corpus))
    check_written(reading.files, Path(WRITES["corpus"]), Path(WRITES["bad_rows"]), counts["forgotten",])
    figures = {
        "command": "python -m pipeline_steps.ingest",
        "source": source_report(params, reading),
        **report(counts, params),
    }
    write_report(Path(WRITES["report"]), figures)


def check_written(files: Sequence[FileTally], corpus: Path, bad_rows: Path, n_forgotten: int = 0) -> None:
    """Nothing, if every record of every file is a row of one of the written tables, forgotten, or excluded by name.

    Raises:
        TableError: rows were lost or doubled on the way; the tables are removed.
    """
    n_rows = 0
    for frame in read_batches(corpus, CORPUS, ["row"]):
        n_rows += sum(row == place for place, row in enumerate(frame["row"].tolist(), start=n_rows))
    bad: Counter[str] = Counter()
    for frame in read_batches(bad_rows, BAD_ROWS, ["file"]):
        bad.update(frame["file"].tolist())
    written = [tally.n_records - sum(tally.excluded.values()) - bad[tally.file] for tally in files]
    if n_rows + n_forgotten != sum(written) or written != [tally.n_rows for tally in files]:
        for path in (corpus, bad_rows):
            path.unlink()
        raise TableError(
            "The tables that were written do not hold what was read.",
            where=f"{corpus}, {bad_rows}",
            got=f"{n_rows} rows in their order, {n_forgotten} forgotten and {bad.total()} bad rows",
            expected="; ".join(f"{tally.file}: {tally.n_rows} and {tally.n_bad}" for tally in files[:10]),
            fix="run again; if it comes back, report it",
        )


def _add(counts: Counter[tuple[str, ...]], part: Counter[tuple[str, ...]]) -> None:
    """Add up counts; of sources beyond `MAX_SOURCES` under one name, so that memory does not grow with their number."""
    for key, n in part.items():
        crowded = key not in counts and key[0] == "source" and len(counts) >= MAX_SOURCES
        counts[("source", OTHERS, key[2]) if crowded else key] += n


def _ingest(batch: Batch, params: Params, first_row: int, tombstones: frozenset[str]) -> Ingested:
    import pandas as pd

    mapped, ignored = map_columns(batch, params.mapping)
    masks = params.cleaning.mask
    n_masked = mask_carried(batch, mapped, params.mapping, params.regions) if masks else Counter[str]()
    given = mapped["text"].tolist()
    cleaned = clean(given, params.cleaning)
    out = forgotten(given, cleaned, tombstones)
    if any(out):
        mapped = mapped[[not left_out for left_out in out]].reset_index(drop=True)
        given = [text for text, left_out in zip(given, out, strict=True) if not left_out]
        cleaned = clean(given, params.cleaning)
    corpus = mapped.assign(text=pd.Series(cleaned.texts, dtype="str"))
    corpus.insert(0, "id", pd.Series(map(text_id, cleaned.texts), dtype="str"))
    corpus.insert(0, "row", range(first_row, first_row + len(given)))
    raw = kept_raw(corpus, given, cleaned, params.cleaning)
    counts: Counter[tuple[str, ...]] = Counter({("repair", name): n for name, n in cleaned.n_repaired.items()})
    counts.update({("masked", kind): n for kind, n in (cleaned.n_masked + n_masked).items()})
    counts.update({("ignored", value): n for value, n in ignored.items()})
    counts["raw",] = len(raw)
    counts["forgotten",] = sum(out)
    counts["twice encoded",] = sum(map(is_twice_encoded, given))
    cells = zip(corpus["source"].tolist(), corpus["label"].fillna("unlabelled").tolist(), strict=True)
    counts.update(("source", source, label) for source, label in cells)
    bad_rows = pd.DataFrame(batch.bad, columns=list(BAD_ROWS.columns))
    if params.cleaning.mask:
        bad_rows["raw"] = b""  # what could not be read cannot be masked
    elif tombstones:
        records = [b"" if record_id(record) in tombstones else record for record in bad_rows["raw"]]
        bad_rows["raw"] = pd.Series(records, bad_rows.index, dtype="object")
    return Ingested(corpus, raw, bad_rows.astype({"line": "int64", "n_lines": "int64"}), counts)


if __name__ == "__main__":
    entry(main)
