"""A SQL query as a source, through SQLAlchemy; its password stands in the environment alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ratchet.data.sources.files import secret_in_url
from ratchet.data.sources.reading import Reading
from ratchet.data.sources.rows import (
    BATCH_ROWS,
    Batch,
    RowsDigest,
    require_columns,
    require_rows,
    require_sha256,
    strings,
)
from ratchet.errors import MissingExtraError, SourceError
from ratchet.params import Params


class SqlSource(Params):
    """What a query gives."""

    kind: Literal["sql"]
    """This kind."""
    url: str = Field(pattern="^[a-z0-9_]+(\\+[a-z0-9_]+)?://")
    """SQLAlchemy's URL without a password, such as `postgresql+psycopg://reader@db.example.org/tickets`."""
    password_variable: str = Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$|^$")
    """Name of the environment variable that holds the password; empty: none is needed."""
    query: str = Field(min_length=1)
    """One SELECT with an ORDER BY: without one a database may give other rows first the next time."""
    sha256: str = Field(pattern="^([0-9a-f]{64})?$")
    """SHA-256 of the rows as read; empty: not pinned."""

    @model_validator(mode="after")
    def _reads_in_order_without_secret(self) -> Self:
        if secret := secret_in_url(self.url):
            raise ValueError(f"url holds a {secret}: put it into the environment and name it in password_variable")
        if not re.match(r"\s*(select|with)\b", self.query, re.IGNORECASE):
            raise ValueError("query must begin with SELECT or WITH")
        if not re.search(r"\border\s+by\b", self.query, re.IGNORECASE):
            raise ValueError("query must have an ORDER BY, or the same data could give other bytes")
        return self

    @property
    def local_path(self) -> str:
        """What DVC has to watch: SQLite's file; empty: nothing that it could."""
        database = self.url.partition(":///")[2].partition("?")[0]
        return database if self.url.startswith("sqlite") and database not in ("", ":memory:") else ""


def read_query(source: SqlSource, columns: Sequence[str], reading: Reading) -> Iterator[Batch]:
    """The rows of the query in batches, by a cursor of the server where the database has one.

    Args:
        source: where and what to ask.
        columns: the columns to read, each once.
        reading: the pass, which receives the tally, and the hash of the rows when the last batch is out.

    Raises:
        SourceError: the database or a column is missing, the query fails, gives no rows, or others than pinned.
        MissingExtraError: the driver of the database is not installed.
    """
    import sqlalchemy

    digest, n_rows, tally = RowsDigest(), 0, reading.start("query")
    engine = _engine(source)
    try:
        with engine.connect() as connection:
            options = {"stream_results": True, "yield_per": BATCH_ROWS}
            result = connection.execution_options(**options).execute(sqlalchemy.text(source.query))
            require_columns(source.url, columns, result.keys())
            for rows in result.mappings().partitions(BATCH_ROWS):
                frame = strings({name: [row[name] for row in rows] for name in columns}, source.url)
                digest.add(frame)
                yield Batch("query", n_rows, frame)
                n_rows += len(frame)
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise _failed(source, error) from None
    finally:
        engine.dispose()
    require_rows(f"{source.url}: {source.query}", n_rows)
    require_sha256(source.url, digest.hexdigest(), source.sha256)
    tally.n_records = tally.n_rows = n_rows
    reading.sha256 = digest.hexdigest()


def query_columns(source: SqlSource) -> list[str]:
    """The columns of the query, in its order; no row is read.

    Raises:
        SourceError: as `read_query`.
        MissingExtraError: as `read_query`.
    """
    import sqlalchemy

    engine = _engine(source)
    try:
        with engine.connect() as connection:
            return list(connection.execution_options(stream_results=True).execute(sqlalchemy.text(source.query)).keys())
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise _failed(source, error) from None
    finally:
        engine.dispose()


def _failed(source: SqlSource, error: Exception) -> SourceError:
    return SourceError(
        "The query failed.",
        where=f"{source.url}: {source.query}",
        got=getattr(error, "orig", None) or error,
        fix="try the query in the database's own shell; check ingest.source in params.yaml and the password in "
        f"{source.password_variable or 'the variable that ingest.source.password_variable names'}",
    )


def _engine(source: SqlSource) -> Any:
    import sqlalchemy

    if source.local_path and not Path(source.local_path).is_file():
        raise SourceError(  # SQLite would make an empty one
            "There is no such database.",
            where=source.url,
            got="no file",
            expected="a SQLite file",
            fix="correct ingest.source.url in params.yaml; three slashes, then a path relative to the root",
        )
    if source.password_variable and source.password_variable not in os.environ:
        raise SourceError(
            "The password of the database is not in the environment.",
            where=source.url,
            got=f"{source.password_variable} is not set",
            expected="the password",
            fix=f"export {source.password_variable}, or empty ingest.source.password_variable where none is needed",
        )
    try:
        url = sqlalchemy.make_url(source.url)
        if source.password_variable:
            url = url.set(password=os.environ[source.password_variable])
        return sqlalchemy.create_engine(url)
    except (ImportError, sqlalchemy.exc.NoSuchModuleError) as error:
        raise MissingExtraError(
            "The driver of the database is not installed.",
            where=source.url,
            got=error,
            expected="the package named after the + in the URL, or its dialect's default",
            fix="pip install -c constraints.txt DRIVER, such as psycopg for postgresql+psycopg://",
        ) from None
    except sqlalchemy.exc.ArgumentError:
        raise SourceError(
            "The URL of the database is not valid.",
            where=source.url,
            expected="dialect+driver://user@host/database",
            fix="correct ingest.source.url in params.yaml",
        ) from None
