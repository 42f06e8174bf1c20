"""What the argument of `ratchet init` stands for, where its data will lie, and its first rows with all columns."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from ratchet.data.sources.detection import Detected, detect_dialect
from ratchet.data.sources.dialect import CSV, JSONL, PARQUET, SUFFIXES
from ratchet.data.sources.files import secret_in_url
from ratchet.data.sources.places import find_files, kind_of
from ratchet.data.sources.reading import Reading
from ratchet.data.sources.remote import find_urls, is_url, local_copy
from ratchet.errors import ParamsError, SourceError
from ratchet.params import check_params
from ratchet.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "data/source"
"""Where files from outside the repository are copied to: git ignores it, DVC watches it."""
WATCH = "data/source_changed.txt"
"""What is watched for a source that DVC cannot see."""
N_ROWS = 5_000
"""Rows of JSONL that are looked at for keys, since a key may come late."""
SAMPLE_ROWS = 50_000
"""Rows that are looked at with all columns; of the others only the labels are counted."""


@dataclass(frozen=True)
class Given:
    """What the caller named: the source, and what a database or a data set needs beside it."""

    source: str
    query: str = ""
    password_variable: str = ""
    subset: str = ""
    split: str = ""
    revision: str = ""
    copy: bool = True
    max_bad_rows: int = 0
    dialect: Sequence[str] = ()
    """Corrections of the dialect that was detected, as KEY=VALUE."""
    lone: str = ""
    """A column that may be the only one of a file."""
    is_surveyed: bool = True
    """Without it the first file is not read to its end to tell its dialect."""


@dataclass(frozen=True)
class Place:
    """A source, as params.yaml will name it and as it can be read now."""

    kind: str
    block: dict[str, Any]
    """`ingest.source`, as it will stand in params.yaml."""
    now: dict[str, Any]
    """The same, as it can be read before anything was copied."""
    watch: str
    name: str
    """What the task is called after it."""
    copies: dict[str, Path] = field(default_factory=dict)
    """Path in the repository → the file that is copied there."""
    detected: Detected | None = None
    """How the bytes of the first file become records; None: the source is none of files."""


def place_of(root: Path, given: Given) -> Place:
    """The source that the argument stands for.

    Raises:
        SourceError: there is none such.
        ParamsError: what it needs beside the argument is missing, or must not be written down.
    """
    if secret := secret_in_url(given.source):
        raise ParamsError(
            "The source holds a secret, which would be written to params.yaml.",
            where="SOURCE",
            got=f"a {secret} in the URL",
            expected="a URL without one",
            fix="of a database: --password-variable NAME; of a bucket: credentials in the environment",
        )
    if given.query or (is_url(given.source) and _is_database(given.source)):
        return _database(given)
    if is_url(given.source):
        with local_copy(_first_url(given.source)) as file:
            detected = detect_dialect(file, lone=given.lone, is_surveyed=given.is_surveyed)
        block = _block(given.source, detected, given)
        return Place("files", block, block, WATCH, _stem(given.source), detected=detected)
    path = Path(given.source).expanduser()
    if given.revision or _is_saved_data_set(path):
        return _data_set(root, given, path)
    if not path.exists():
        raise SourceError(
            "There is no such source.",
            where=given.source,
            got="no file or folder of this name",
            expected=f"a file or folder of {', '.join(SUFFIXES)} files; a URL; a database URL with --query; a data set "
            "of the hub with --revision",
            fix="correct the path; a relative one starts where the command is run",
        )
    return _files(root, given, path)


def read_rows(place: Place, columns: list[str], most: int | None = None) -> pd.DataFrame:
    """The first rows of the source with these columns, at most `most`; strings, missing values null.

    Raises:
        SourceError: the source cannot be read.
    """
    import pandas as pd

    progress, frames, n_rows = Progress("rows read", most), [], 0
    for frame in _batches(place, columns):
        frames.append(frame)
        n_rows += len(frame)
        progress.add(len(frame))
        if most is not None and n_rows >= most:
            break
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return frame if most is None else frame.head(most)


def count_labels(place: Place, label: str) -> tuple[int, dict[str, int]]:
    """Rows of the whole source, and its labels as they stand there → rows, the most frequent first.

    Raises:
        SourceError: the source cannot be read.
    """
    progress, counts, n_rows = Progress("labels counted"), Counter[str](), 0
    for frame in _batches(place, [label]):
        counts.update(value.strip() for value in frame[label].tolist() if isinstance(value, str) and value.strip())
        n_rows += len(frame)
        progress.add(len(frame))
    return n_rows, dict(counts.most_common())


def column_names(place: Place) -> list[str]:
    """The columns of the source, in its order.

    Raises:
        SourceError: the source cannot be read.
    """
    source = _model(place)
    if source.kind == "sql":
        from ratchet.data.sources.sql import query_columns

        return query_columns(source)
    if source.kind == "dataset":
        from ratchet.data.sources.datasets import dataset_columns

        return dataset_columns(source)
    from ratchet.data.sources.files import find_places
    from ratchet.data.sources.formats import columns_of

    first = find_places(source).files[0]
    with local_copy(first.path) as file:
        names = [*columns_of(file, source.dialect, N_ROWS), *first.partition]
    return [name for name in names if name.strip()]


def _batches(place: Place, columns: list[str]) -> Iterator[pd.DataFrame]:
    from ratchet.data.sources.source import read_source

    source = _model(place)
    try:
        for batch in read_source(source, columns, Reading(getattr(source, "max_bad_rows", 0))):
            yield batch.frame
    except SourceError as error:
        if "max_bad_rows" not in error.fix:
            raise
        raise SourceError(
            error.what,
            where=error.where,
            got=error.got,
            expected=error.expected,
            fix="correct the record; or say how the file is to be read, with --dialect KEY=VALUE; or set some records "
            "aside with --max-bad-rows N: their bytes are kept",
        ) from None


def _model(place: Place) -> Any:
    from ratchet.data.sources.source import Source

    return TypeAdapter(Source).validate_python(place.now)


def _files(root: Path, given: Given, path: Path) -> Place:
    """Files on this machine: those in the repository stay where they are, others are copied into it."""
    absolute = path.resolve()
    detected = detect_dialect(_first_file(absolute), lone=given.lone, is_surveyed=given.is_surveyed)
    files = [Path(item.path) for item in find_files(str(absolute), detected.dialect).files]
    now = _block(str(absolute), detected, given)
    inside = absolute.is_relative_to(root)
    if inside or not given.copy:
        there = Path(os.path.relpath(absolute, root)).as_posix()
        return Place("files", {**now, "path": there}, now, there, _stem(path.name), detected=detected)
    top = absolute if absolute.is_dir() else absolute.parent  # partitions are folders, and stay such
    copies = {f"{FOLDER}/{file.relative_to(top).as_posix()}": file for file in files}
    there = FOLDER if absolute.is_dir() else f"{FOLDER}/{absolute.name}"
    return Place("files", {**now, "path": there}, now, FOLDER, _stem(path.name), copies, detected)


def _first_file(path: Path) -> Path:
    """The file whose bytes tell the dialect: itself, or the first data file of a folder, by the names' endings."""
    if path.is_file():
        return path
    found = sorted(file for file in path.rglob("*") if file.is_file() and kind_of(file.name))
    if not found:
        find_files(str(path), CSV)  # says what lies there instead
    return found[0]


def _first_url(url: str) -> str:
    """The same of a URL: itself, or the first of a folder or a glob, of the first format that it holds."""
    if not url.endswith("/") and "*" not in url:
        return url
    problem: SourceError | None = None
    for dialect in (CSV, JSONL, PARQUET):
        try:
            return find_urls(url, dialect).files[0].path
        except SourceError as error:
            problem = error
    assert problem is not None
    raise problem


def _block(path: str, detected: Detected, given: Given) -> dict[str, Any]:
    """`ingest.source` of files."""
    return {
        "kind": "files",
        "path": path,
        "sha256": "",
        "dialect": _corrected(detected, given.dialect),
        "max_bad_rows": given.max_bad_rows,
    }


def _corrected(detected: Detected, corrections: Sequence[str]) -> dict[str, Any]:
    """The dialect with what the caller knows better.

    Raises:
        ParamsError: there is no such key, or it cannot have such a value.
    """
    values = detected.dialect.model_dump()
    for correction in corrections:
        key, _, value = correction.partition("=")
        values[key] = {"true": True, "false": False, "tab": "\t"}.get(value, value)
    return check_params(type(detected.dialect), "dialect", values, Path("--dialect")).model_dump()


def _database(given: Given) -> Place:
    if not given.query:
        raise ParamsError(
            "A database needs a query.",
            where="SOURCE",
            got=given.source,
            expected="one SELECT with an ORDER BY",
            fix="add --query 'SELECT text, label FROM tickets ORDER BY id'",
        )
    block = {
        "kind": "sql",
        "url": given.source,
        "password_variable": given.password_variable,
        "query": given.query,
        "sha256": "",
    }
    database = given.source.partition(":///")[2].partition("?")[0]
    watch = database if given.source.startswith("sqlite") and database else WATCH
    return Place("sql", block, block, watch, _stem(database) or "query")


def _data_set(root: Path, given: Given, path: Path) -> Place:
    block = {
        "kind": "dataset",
        "path": given.source,
        "subset": given.subset,
        "split": given.split,
        "revision": given.revision,
        "sha256": "",
    }
    if given.revision:
        return Place("dataset", block, block, WATCH, _stem(given.source))
    there = Path(os.path.relpath(path.resolve(), root)).as_posix()
    return Place("dataset", {**block, "path": there}, {**block, "path": str(path.resolve())}, there, path.name)


def _is_database(url: str) -> bool:
    protocol = url.partition("://")[0].partition("+")[0]
    return protocol in (
        "sqlite",
        "postgresql",
        "postgres",
        "mysql",
        "mariadb",
        "mssql",
        "oracle",
        "duckdb",
        "snowflake",
    )


def _is_saved_data_set(path: Path) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in ("dataset_dict.json", "dataset_info.json"))


def _stem(name: str) -> str:
    """The name of a file, a URL or a data set without folders and suffixes."""
    return name.rstrip("/").rpartition("/")[2].partition(".")[0].partition("?")[0]
