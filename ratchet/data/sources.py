"""Data sources: found, verified, and read into columns of strings, with one clear message for each way to fail."""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.errors import SourceError
from ratchet.files import sha256_file

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".jsonl", ".parquet")


def find_packaged(path: str) -> Path:
    """The file `<top-level package>/<file inside>` of an installed package, of which no code is run.

    Raises:
        SourceError: the package is not installed, or holds no such file.
    """
    package, _, inside = path.partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise SourceError(
            "The package that carries the data is not installed.", where=f"ingest.path = {path}", got=package,
            expected="<top-level package>/<file inside>",
            fix="install the package, or correct ingest.path in params.yaml",
        )  # fmt: skip
    found = [Path(folder) / inside for folder in folders if inside and (Path(folder) / inside).is_file()]
    if not found:
        raise SourceError(
            "The package holds no such file.", where=f"ingest.path = {path}", got=inside or "no path inside it",
            expected="<top-level package>/<file inside>", fix="correct ingest.path in params.yaml",
        )  # fmt: skip
    return found[0]


def find_files(path: str) -> list[Path]:
    """The data files that a file, folder or glob stands for, sorted; a folder gives its files of a known format.

    Raises:
        SourceError: there are none, or one is in a format that is not known.
    """
    root = Path(path)
    if root.is_dir():
        files = sorted(file for file in root.iterdir() if file.suffix.lower() in FORMATS)
    else:
        files = sorted(file for file in map(Path, glob.glob(path, recursive=True)) if file.is_file())  # noqa: PTH207
        if root.is_file() and not files:
            files = [root]  # a name that reads as a glob
    if not files:
        raise SourceError(
            "There is no data file.", where=f"ingest.path = {path}",
            got="a folder without any" if root.is_dir() else "nothing",
            expected=f"a file, a folder or a glob of files ending in {', '.join(FORMATS)}",
            fix="correct ingest.path in params.yaml; it is relative to the repository's root",
        )  # fmt: skip
    for file in files:
        if file.suffix.lower() not in FORMATS:
            raise SourceError(
                "The format of the file is not known.", where=file, got=file.suffix or "no suffix",
                expected=", ".join(FORMATS), fix="convert the file, or name one of these formats",
            )  # fmt: skip
    return files


def check_sha256(files: Sequence[Path], expected: str) -> str:
    """SHA-256 of the source: of its one file, or of the joined hashes of its files in order.

    Args:
        files: the source's files, sorted.
        expected: the pinned hash; empty: not pinned.

    Raises:
        SourceError: the hash is not the one expected.
    """
    hashes = [sha256_file(file) for file in files]
    got = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    if expected and got != expected:
        raise SourceError(
            "The source is not the one that was pinned: its SHA-256 differs.",
            where=files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more",
            got=got, expected=expected,
            fix="restore the source, or, if the change is meant, set ingest.sha256 in params.yaml to what was found",
        )  # fmt: skip
    return got


def read_columns(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The named columns of a CSV, JSONL or Parquet file as strings, in the file's order; missing values are null.

    Raises:
        SourceError: not UTF-8, not the format its name says, no rows, or a column is absent.
    """
    import pandas as pd

    suffix = file.suffix.lower()
    table = {".csv": _read_csv, ".jsonl": _read_jsonl}.get(suffix, _read_parquet)(file, columns)
    if not next(iter(table.values()), []):
        raise SourceError(
            "The file holds no rows.", where=file, expected="at least one row",
            fix="fill the file, or take it out of the source",
        )  # fmt: skip
    return pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in table.items()})


Columns = dict[str, list[str | None]]


def _read_csv(file: Path, columns: Sequence[str]) -> Columns:
    import pandas as pd

    text = _decode(file)
    if not text.strip():
        raise SourceError("The file is empty.", where=file, expected="a header line and rows", fix="fill the file")
    try:
        header = list(pd.read_csv(io.StringIO(text), nrows=0).columns)
        _require(file, columns, header)
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, usecols=list(set(columns)))
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SourceError(
            "The file is not valid CSV.", where=file, got=str(error).strip(),
            expected="comma-separated values, a header line, quotes doubled within quotes", fix="correct the file",
        ) from None  # fmt: skip
    return {name: [value if value != "" else None for value in frame[name].tolist()] for name in columns}


def _read_jsonl(file: Path, columns: Sequence[str]) -> Columns:
    rows: list[dict[str, Any]] = []
    known: dict[str, None] = {}
    for number, line in enumerate(_decode(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            row, problem = None, str(error)
        else:
            problem = type(row).__name__
        if not isinstance(row, dict):
            raise SourceError(
                "A line is no JSON object.", where=f"{file}, line {number}", got=problem,
                expected="one object a line, such as {\"text\": \"...\", \"label\": \"...\"}", fix="correct the line",
            )  # fmt: skip
        known.update(dict.fromkeys(row))
        rows.append(row)
    if rows:
        _require(file, columns, list(known))
    return {name: [_string(row.get(name)) for row in rows] for name in columns}


def _read_parquet(file: Path, columns: Sequence[str]) -> Columns:
    import pyarrow
    import pyarrow.parquet

    try:
        _require(file, columns, pyarrow.parquet.read_schema(file).names)
        table = pyarrow.parquet.read_table(file, columns=list(columns))
        return {name: [_string(value) for value in table.column(name).to_pylist()] for name in columns}
    except pyarrow.ArrowException as error:
        raise SourceError(
            "The file is not valid Parquet.", where=file, got=str(error), fix="write the file again"
        ) from None
    except UnicodeDecodeError as error:
        raise SourceError(
            "A text in the file is not UTF-8.", where=file, got=str(error), expected="UTF-8 strings",
            fix="write the file again with its texts as UTF-8",
        ) from None  # fmt: skip


def _decode(file: Path) -> str:
    """The file's text; a byte order mark is dropped."""
    raw = file.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start + (3 if raw.startswith(b"\xef\xbb\xbf") else 0)
        raise SourceError(
            "The file is not UTF-8.", where=f"{file}, line {raw.count(10, 0, at) + 1}, byte {at}",
            got=f"byte 0x{raw[at]:02x}", expected="UTF-8",
            fix="convert the file, for example with `iconv -f WINDOWS-1252 -t UTF-8`",
        ) from None  # fmt: skip


def _require(file: Path, columns: Sequence[str], found: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in found]:
        raise SourceError(
            f"The source has no column {' or '.join(map(repr, missing))}.", where=file,
            got=", ".join(map(str, found)), expected=", ".join(columns),
            fix="name the source's own columns in the block 'ingest' of params.yaml",
        )  # fmt: skip


def _string(value: Any) -> str | None:
    """A value as its string, whole numbers without a fraction; missing and empty values as None.

    Half of a surrogate pair, which JSON can spell but no UTF-8 file can hold, becomes U+FFFD.

    >>> [_string(value) for value in (1, 1.0, True, "x", "", None)]
    ['1', '1', 'true', 'x', None, None]
    """
    if value is None or value == "" or value != value:  # the last: NaN
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
