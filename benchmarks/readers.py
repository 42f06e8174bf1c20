"""Which library reads CSV exactly: small files that readers trip over, then rows per CPU-second, dealt in turns.

python -m benchmarks.readers            a minute; writes reports/bench/readers.json
python -m benchmarks.readers --into docs/decisions/strict-reader.md
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ratchet.data.sources.dialect import CSV
from ratchet.data.sources.formats import read_file
from ratchet.entry import entry
from ratchet.files import read_json, write_json
from ratchet.reporting.marked_block import write_block

REPORT = Path("reports/bench/readers.json")
COLUMNS = ("label", "text")
Rows = list[tuple[str, ...]]
BIG = "x," * (5 << 19)
TRAPS: dict[str, tuple[bytes, Rows | None]] = {
    "plain": (b"label,text\n1,a\n0,b\n", [("1", "a"), ("0", "b")]),
    "line ends in quotes": (b'label,text\n1,"a\r\nb\nc"\n', [("1", "a\r\nb\nc")]),
    "LF, CRLF and CR mixed": (b"label,text\n1,a\r\n0,b\r1,c\n", [("1", "a"), ("0", "b"), ("1", "c")]),
    "CR alone": (b"label,text\r1,a\r0,b\r", [("1", "a"), ("0", "b")]),
    "doubled quotes": (b'label,text\n1,"a ""b"" c"\n', [("1", 'a "b" c')]),
    "a quote inside an unquoted field": (b'label,text\n1,5" pipe\n', [("1", '5" pipe')]),
    "NUL": (b"label,text\n1,a\0b\n", [("1", "a\0b")]),
    "NA, None, null": (b"label,text\n1,NA\n0,None\n1,null\n", [("1", "NA"), ("0", "None"), ("1", "null")]),
    "leading zeros": (b"label,text\n01,007\n", [("01", "007")]),
    "blanks": (b"label,text\n1, a \n", [("1", " a ")]),
    "byte order mark": (b"\xef\xbb\xbflabel,text\n1,a\n", [("1", "a")]),
    "U+2028, U+0085": ("label,text\n1,a\u2028b\x85c\n".encode(), [("1", "a\u2028b\x85c")]),
    "a field of 5 MB": (f'label,text\n1,"{BIG}"\n'.encode(), [("1", BIG)]),
    "an unquoted comma": (b"label,text\n1,a\n1,Good film, great cast\n", None),
    "a missing field": (b"label,text\n1,a\n1\n0,b\n", None),
    "backslashed quotes": (b'label,text\n0,"He said \\"no, thanks\\" twice"\n', None),
    "a leading quote": (b'label,text\n0,"He left early\n1,good\n0,said "stop" twice\n', None),
    "text behind a closing quote": (b'label,text\n1,"a"b\n0,c\n', None),
    "a quote that never closes": (b'label,text\n1,"a\n0,c\n', None),
    "a blank before a quote": (b'label,text\n1, "a, b"\n', None),
    "two columns of one name": (b"label,text,text\n1,a,b\n", None),
    "no UTF-8": (b"label,text\n1,na\xefve\n", None),
    "a ragged row after 30,000": (b"label,text\n" + b"1,abc\n" * 30_000 + b"1,a,b\n", None),
    "a stray quote after 30,000": (b"label,text\n" + b"1,abc\n" * 30_000 + b'1,"a"b\n', None),
}
"""What a file holds → its bytes, and its rows; None: it must be refused."""


def by_ratchet(path: Path) -> Rows:
    """This repository's reader."""
    parts = list(read_file(path, CSV, COLUMNS))
    return [tuple(value or "" for value in row) for part in parts for row in zip(*part.columns.values(), strict=True)]


def by_pandas(path: Path) -> Rows:
    """The parser in C, as the repository read before."""
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", usecols=list(COLUMNS))
    return [tuple(row) for row in frame[list(COLUMNS)].to_numpy().tolist()]


def by_pyarrow(path: Path) -> Rows:
    """PyArrow, all columns as strings."""
    import pyarrow as pa
    import pyarrow.csv as pc

    table = pc.read_csv(
        path,
        parse_options=pc.ParseOptions(newlines_in_values=True),
        convert_options=pc.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string())),
    )
    return list(zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True))


def by_duckdb(path: Path) -> Rows:
    """DuckDB in its strict mode."""
    import duckdb

    columns = "{" + ", ".join(f"'{name}': 'VARCHAR'" for name in COLUMNS) + "}"
    relation = duckdb.sql(
        f"SELECT * FROM read_csv('{path}', header = true, auto_detect = false, strict_mode = true, delim = ',', "
        f"quote = '\"', escape = '\"', columns = {columns}, force_not_null = {list(COLUMNS)}, "
        "max_line_size = 20000000, buffer_size = 64000000)"
    )
    return relation.fetchall() if relation is not None else []


def by_polars(path: Path) -> Rows:
    """Polars, all columns as strings."""
    import polars as pl

    frame = pl.read_csv(path, infer_schema=False)
    return [tuple(value or "" for value in row) for row in frame.select(COLUMNS).rows()]


def by_csv(path: Path) -> Rows:
    """The standard library's parser alone, strict, without accounts of lines and bytes."""
    csv.field_size_limit(1 << 30)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        width = len(next(reader))
        rows = [tuple(row) for row in reader if row]
    if any(len(row) != width for row in rows):
        raise ValueError("ragged")
    return rows


READERS: dict[str, Callable[[Path], Rows]] = {
    "Ratchet": by_ratchet,
    "csv alone": by_csv,
    "pandas": by_pandas,
    "PyArrow": by_pyarrow,
    "DuckDB": by_duckdb,
    "Polars": by_polars,
}


def judge(reader: Callable[[Path], Rows], path: Path, rows: Rows | None) -> str:
    """`right`; `refused` although it can be read; or `wrong`: other rows, or rows of what must be refused."""
    try:
        found = reader(path)
    except Exception:  # each library has errors of its own
        return "right" if rows is None else "refused"
    return "right" if found == rows else "wrong"


def traps(folder: Path) -> dict[str, dict[str, str]]:
    """Trap → reader → verdict."""
    told = {}
    for name, (content, rows) in TRAPS.items():
        path = folder / "trap.csv"
        path.write_bytes(content)
        told[name] = {reader: judge(read, path, rows) for reader, read in READERS.items()}
    return told


def speed(folder: Path, n_rows: int, n_rounds: int) -> dict[str, float]:
    """Reader → rows per CPU-second, the best of some rounds in which the readers take turns."""
    path, best = folder / "speed.csv", dict.fromkeys(READERS, 0.0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(
            (row % 2, f'a text of about a "hundred" characters, as people write them, number {row}; é')
            for row in range(n_rows)
        )
    for _ in range(n_rounds):
        for name, read in READERS.items():
            start_s = time.process_time()
            read(path)
            best[name] = max(best[name], n_rows / (time.process_time() - start_s))
    return best


def markdown(report: dict[str, Any]) -> str:
    """The report as a table: a line a reader."""
    verdicts: Sequence[dict[str, str]] = list(report["traps"].values())
    lines = [
        "| reader | right | refused, though it can be read | wrong, without a word | rows a CPU-second |",
        "|---|---:|---|---|---:|",
    ]
    for name, rate in report["rows_per_cpu_s"].items():
        cells = {
            kind: [trap for trap, told in report["traps"].items() if told[name] == kind]
            for kind in ("refused", "wrong")
        }
        right = sum(told[name] == "right" for told in verdicts)
        shown = [", ".join(found) or "–" for found in cells.values()]
        lines.append(f"| {name} | {right} of {len(verdicts)} | {shown[0]} | {shown[1]} | {round(rate, -4):,.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--into", type=Path, help="instead, a Markdown file whose block `readers` gets the table")
    given = parser.parse_args()
    if given.into:
        write_block(given.into, "readers", markdown(read_json(REPORT)))
        return
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = {
            "command": f"python -m benchmarks.readers --rows {given.rows} --rounds {given.rounds}",
            "traps": traps(Path(folder)),
            "rows_per_cpu_s": speed(Path(folder), given.rows, given.rounds),
        }
    write_json(REPORT, report)
    print(markdown(report))


if __name__ == "__main__":
    entry(main)
