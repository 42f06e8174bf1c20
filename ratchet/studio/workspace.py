"""What a run leaves, as the studio reads it: reports as JSON, tables in DuckDB, without the sealed test's texts."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ratchet.errors import MissingExtraError
from ratchet.gates.measured_reports import read_known, read_report, with_judgement

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

PARTS = ("train", "validation", "transfer", "excluded")
"""The splits whose texts are shown."""
SEALED = "test"
"""The split whose texts are not: whoever reads them and then changes a rule has opened the test."""
HIDDEN_KEYS = ("challenge_failures",)
"""Keys of reports that quote texts made from the sealed test's."""
TABLES = {
    "corpus": "row BIGINT, id VARCHAR, text VARCHAR, label VARCHAR, source VARCHAR",
    "quarantine": "row BIGINT, rule VARCHAR, reason VARCHAR",
    "flagged": "row BIGINT, rule VARCHAR",
    "labeled": "id VARCHAR, round BIGINT, query_strategy VARCHAR",
    "suspects": "id VARCHAR, suggested VARCHAR, score DOUBLE, rank BIGINT",
    "predictions": "id VARCHAR, split VARCHAR, bundle VARCHAR, label VARCHAR, predicted VARCHAR, confidence DOUBLE",
    **{f"splits/{part}": "row BIGINT, id VARCHAR" for part in (*PARTS, SEALED)},
}
"""Table below the folder of the data → the columns that are read. A table that is missing counts as empty."""
SPLITS = " UNION ALL ".join(f"""SELECT row, '{part}' AS part FROM "splits/{part}\"""" for part in PARTS)
SHOWN = f"""
CREATE TABLE split AS {SPLITS};
CREATE TABLE texts AS
SELECT c.row, c.id, c.text, c.label, c.source, coalesce(s.part, q.part, 'not used') AS part, q.rule, q.reason,
  f.flags, l.round, l.query_strategy, v.suggested, v.score, v.rank
FROM corpus c
LEFT JOIN (SELECT row, any_value(part) AS part FROM split GROUP BY row) s USING (row)
LEFT JOIN (SELECT row, 'quarantine' AS part, any_value(rule) AS rule, any_value(reason) AS reason
  FROM quarantine GROUP BY row) q USING (row)
LEFT JOIN (SELECT row, list_sort(list(DISTINCT rule)) AS flags FROM flagged GROUP BY row) f USING (row)
LEFT JOIN (SELECT id, any_value(round) AS round, any_value(query_strategy) AS query_strategy
  FROM labeled GROUP BY id) l USING (id)
LEFT JOIN (SELECT id, any_value(suggested) AS suggested, min(score) AS score, min(rank) AS rank
  FROM suspects GROUP BY id) v USING (id)
WHERE c.id NOT IN (SELECT id FROM "splits/{SEALED}");
CREATE TABLE answers AS
SELECT id, bundle, predicted, confidence, predicted = label AS correct
FROM predictions WHERE split <> '{SEALED}' AND id NOT IN (SELECT id FROM "splits/{SEALED}");
"""
UNSEALED_ONLY = "DELETE FROM texts WHERE part IN ('not used', 'quarantine')"
"""Where the sealed split is missing, only texts that are known to be of another one are shown."""


@dataclass(frozen=True)
class Paths:
    """Folders of a workspace."""

    root: Path
    data: Path
    reports: Path
    measurements: Path
    models: Path


@dataclass
class Workspace:
    """Reports and tables of one workspace; tables are loaded again after a run has replaced one of their files."""

    paths: Paths
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _state: tuple[Any, ...] = ()
    _tables: duckdb.DuckDBPyConnection | None = None
    _vectors: tuple[Any, dict[str, int], NDArray[np.float32]] | None = None

    def report(self, name: str) -> dict[str, Any]:
        """A report by its name; empty where no run has written it."""
        path = self.paths.reports / f"{name}.json"
        return read_report(path) if path.is_file() else {}

    def report_names(self) -> list[str]:
        """Names of the reports there are."""
        return sorted(path.stem for path in self.paths.reports.glob("*.json"))

    def evaluation(self) -> dict[str, Any]:
        """The evaluation with its measured times and the sealed test's figures; empty before the first run."""
        path = self.paths.reports / "evaluate.json"
        if not path.is_file():
            return {}
        evaluated = read_known(path, self.paths.measurements / "evaluate.json")
        return with_judgement(evaluated, self.report("judge"))

    def state(self) -> tuple[Any, ...]:
        """Changes when a run has replaced a file that the studio shows."""
        files = [self.paths.data / f"{name}.parquet" for name in TABLES]
        files += [self.paths.reports / f"{name}.json" for name in ("evaluate", "decision", "judge")]
        return tuple((file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else None for file in files)

    def has_texts(self) -> bool:
        """Whether the corpus is there: it is an output of DVC, so that a fresh clone lacks it."""
        return (self.paths.data / "corpus.parquet").is_file()

    def query(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        """Rows of a query on `texts` and `answers`; values are bound, never written into the query."""
        cursor = self._connection().cursor()
        try:
            found = cursor.execute(sql, values)
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        finally:
            cursor.close()

    def embeddings(self) -> tuple[dict[str, int], NDArray[np.float32]]:
        """Text's id → its row in the unit-length embeddings (n_texts, n_dimensions), the sealed test's among them."""
        import numpy as np
        import pyarrow.parquet as pq

        path = self.paths.data / "embeddings.parquet"
        if not path.is_file():
            return {}, np.zeros((0, 0), np.float32)
        state = path.stat().st_mtime_ns
        with self._lock:
            if self._vectors is None or self._vectors[0] != state:
                table = pq.read_table(path)
                places = {name: place for place, name in enumerate(table["id"].to_pylist())}
                flat = table["embedding"].combine_chunks().flatten().to_numpy()
                vectors = flat.reshape(len(table), -1)
                lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
                self._vectors = state, places, (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
            return self._vectors[1:]

    def _connection(self) -> duckdb.DuckDBPyConnection:
        state = self.state()
        with self._lock:
            if self._tables is None or state != self._state:
                self._tables, self._state = load_tables(self.paths.data), state
            return self._tables


def load_tables(data: Path) -> duckdb.DuckDBPyConnection:
    """`texts` and `answers` in memory, from the Parquet files below `data`, without the sealed test's.

    Raises:
        MissingExtraError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise MissingExtraError("The studio needs DuckDB.", fix="pip install 'ratchet[studio]'") from None
    tables = duckdb.connect(config={"autoinstall_known_extensions": "false"})  # extensions would be fetched
    for name, columns in TABLES.items():
        path = data / f"{name}.parquet"
        tables.execute(f'CREATE TABLE "{name}" ({columns})')
        if path.is_file():
            names = ", ".join(column.split()[0] for column in columns.split(", "))
            tables.execute(f'INSERT INTO "{name}" SELECT {names} FROM read_parquet(?)', [str(path)])
    tables.execute(SHOWN)
    if not (data / f"splits/{SEALED}.parquet").is_file():
        tables.execute(UNSEALED_ONLY)
        tables.execute("DELETE FROM answers WHERE id NOT IN (SELECT id FROM texts)")
    for name in TABLES:
        tables.execute(f'DROP TABLE "{name}"')
    tables.execute("SET enable_external_access = false")
    return tables
