"""How often Ratchet's reader says otherwise than two independent readers: files in all dialects, by Hypothesis.

    python -m benchmarks.fuzz_sources                          200,000 files, an hour or two; goes on where it stopped
    python -m benchmarks.fuzz_sources --quick                  2,000, into .scratch
    python -m benchmarks.fuzz_sources --into docs/sources.md   the report's table into a page

`benchmarks/source_files.py` makes the files, `benchmarks/source_readers.py` reads them. Ends with 1 when anything
differs.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.source_files import SourceFile, differences_of, source_files
from benchmarks.source_readers import answers
from ratchet.entry import entry
from ratchet.errors import PipelineError
from ratchet.files import read_json, write_json
from ratchet.progress import Progress
from ratchet.reporting.marked_block import write_block

REPORT, QUICK_REPORT = Path("reports/bench/fuzz_sources.json"), Path(".scratch/fuzz_sources.json")
N_FILES, N_QUICK, CHUNK = 200_000, 2_000, 500
READERS = ("pandas", "duckdb", "orjson", "polars", "pyarrow")
MAX_SHOWN = 20


def read_chunk(chunk: int, folder: Path) -> tuple[Counter[str], list[dict[str, Any]]]:
    """What became of the files of one chunk, and those that are read differently, of `CHUNK` files.

    Args:
        chunk: the seed of the files.
        folder: where each lies while it is read.
    """
    from hypothesis import HealthCheck, Phase, given, seed, settings

    counts: Counter[str] = Counter()
    different: list[dict[str, Any]] = []
    path = folder / "source"

    @seed(chunk)
    @settings(
        max_examples=CHUNK,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(source_files())
    def read(file: SourceFile) -> None:
        path.write_bytes(file.content)
        found = answers(path, file.dialect)
        kind = f"{file.dialect.format}, {'whole' if file.rows is not None else 'damaged'}"
        for name, rows in found.items():
            counts[f"{kind}: {name} {'refuses' if rows is None else 'reads'}"] += 1
        if told := differences_of(file, found):
            different.append(
                {"chunk": chunk, "content": repr(file.content), "dialect": str(file.dialect), "told": told}
            )

    read()
    return counts, different


def fuzz(n_files: int, report: Path) -> dict[str, Any]:
    """Read files until `n_files` were, from where the report stands, which is written after every chunk."""
    done: dict[str, Any] = read_json(report) if report.is_file() else {}
    versions = {name: version(name) for name in READERS}
    if done.get("versions") != versions:
        done = {"n_files": 0, "counts": {}, "different": [], "n_different": 0, "versions": versions}
    progress = Progress("files read", n_files)
    progress.add(done["n_files"])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, about lines that it cuts
        while done["n_files"] < n_files:
            counts, different = read_chunk(done["n_files"] // CHUNK, Path(folder))
            done["counts"] = dict(sorted((Counter(done["counts"]) + counts).items()))
            done["n_different"] += len(different)
            done["different"] = [*done["different"], *different][:MAX_SHOWN]
            done["n_files"] += CHUNK
            write_json(report, {"command": f"python -m benchmarks.fuzz_sources --files {n_files}", **done})
            progress.add(CHUNK)
    final: dict[str, Any] = read_json(report)
    return final


def markdown(report: dict[str, Any]) -> str:
    """The report as a table: a line for each kind of file, a cell for each reader."""
    lines = [
        f"{report['n_files']:,} files, {report['n_different']} read differently.",
        "",
        "| files | Ratchet reads · refuses | others read · refuse |",
        "|---|---:|---:|",
    ]
    cells: dict[str, dict[str, list[int]]] = {}
    for key, n in report["counts"].items():
        kind, _, rest = key.partition(": ")
        name, _, verb = rest.rpartition(" ")
        cells.setdefault(kind, {}).setdefault(name, [0, 0])[verb == "refuses"] += n
    for kind, by_reader in sorted(cells.items()):
        shown = {name: f"{read:,} · {refused:,}" for name, (read, refused) in by_reader.items()}
        own = shown.pop("Ratchet")
        lines.append(f"| {kind} | {own} | {'; '.join(f'{name} {cell}' for name, cell in sorted(shown.items()))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=N_FILES)
    parser.add_argument("--quick", action="store_true", help=f"{N_QUICK:,} files, into {QUICK_REPORT}")
    parser.add_argument("--into", type=Path, help="instead, a Markdown file whose block `fuzz_sources` gets the table")
    given = parser.parse_args()
    if given.into:
        write_block(given.into, "fuzz_sources", markdown(read_json(REPORT)))
        return
    report = fuzz(N_QUICK, QUICK_REPORT) if given.quick else fuzz(given.files, REPORT)
    print(markdown(report))
    if report["n_different"]:
        raise PipelineError(
            "Files are read differently.",
            where=QUICK_REPORT if given.quick else REPORT,
            got=f"{report['n_different']} of {report['n_files']}; the first: {report['different'][0]}",
            expected="equal, or refused",
        )


if __name__ == "__main__":
    entry(main)
