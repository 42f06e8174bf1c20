"""Texts in what other programs hold: the prediction log, in whatever database it is, and projects of Label Studio."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.forgetting.matching import Forgotten
from flows.forgetting.places import Layout, Place
from flows.labelling import steps as labelling
from ratchet.data.cleaning import text_id

SQLITE = "sqlite:///"


def find(layout: Layout, what: Forgotten) -> list[Place]:
    """The rows of a database that is no file, and the tasks, that are about one of the texts."""
    n_rows = sum(map(what.in_value, log_texts(layout)))
    places = [Place("prediction log", "database", n_rows, "rewrite")] if n_rows else []
    for server in _servers():
        if n_tasks := len(server.tasks_about(what.in_value)):
            places.append(Place(server.where, "tasks", n_tasks, "delete"))
    return places


def erase(layout: Layout, what: Forgotten) -> list[str]:
    """Remove the texts from the prediction log and from Label Studio; returns what was done, a line each."""
    done = _erase_from_log(layout, what)
    for server in _servers():
        if n_tasks := server.delete_tasks(server.tasks_about(what.in_value)):
            done.append(f"{n_tasks} tasks deleted from {server.where}")
    return done


def log_texts(layout: Layout) -> Iterator[str]:
    """The texts of the prediction log's database, where that is no file: files are searched like any other."""
    url = str(layout.log.get("url", ""))
    return _database_texts(url) if url and not url.startswith("sqlite") else iter(())


def _erase_from_log(layout: Layout, what: Forgotten) -> list[str]:
    """Remove rows whose text is or quotes one of these, their feedback, and dead letters, from every copy."""
    url, folder = str(layout.log.get("url", "")), layout.root / str(layout.log.get("folder", ""))
    if not url or (url.startswith(SQLITE) and not (layout.root / url.removeprefix(SQLITE)).is_file()):
        return []
    from ratchet.prediction_log.erasure import erase

    quoting = {text_id(text) for text in (*_database_texts(url), *_file_texts(folder)) if what.in_value(text)}
    gone = erase(url, folder, {*what.ids, *quoting})
    if gone.n_predictions and not url.startswith("sqlite"):
        _overwrite(url)
    told = f"{gone.n_predictions} rows, {gone.n_feedback} of feedback and {gone.n_dead_letters} dead letters"
    return [f"{told} out of the prediction log"] if gone.n_predictions + gone.n_dead_letters else []


def _database_texts(url: str) -> Iterator[str]:
    import sqlalchemy

    from ratchet.prediction_log.database import open_database
    from ratchet.prediction_log.tables import PREDICTIONS

    engine = open_database(url)
    try:
        with engine.connect() as connection:
            query = sqlalchemy.select(PREDICTIONS.c.text).where(PREDICTIONS.c.text.is_not(None))
            for (text,) in connection.execution_options(yield_per=10_000).execute(query):
                yield str(text)
    finally:
        engine.dispose()


def _file_texts(folder: Path) -> Iterator[str]:
    import pyarrow.parquet

    from ratchet.prediction_log.tables import hour_files

    for _, path in hour_files(folder, "predictions"):
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(10_000, columns=["text"]):
            yield from (text for text in batch.column(0).to_pylist() if text is not None)


def _overwrite(url: str) -> None:
    """Have PostgreSQL write the log's tables anew: what it deleted stays in its files until then."""
    import sqlalchemy

    from ratchet.prediction_log.database import open_database
    from ratchet.prediction_log.tables import DEAD_LETTERS, FEEDBACK, PREDICTIONS

    engine = open_database(url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in (PREDICTIONS, FEEDBACK, DEAD_LETTERS):
                connection.execute(sqlalchemy.text(f"VACUUM FULL {table.name}"))
    finally:
        engine.dispose()


def _servers() -> list[Any]:
    """The projects of Label Studio, where a server is named."""
    from ratchet.labels.label_studio import LabelStudioQueue

    url, token = os.environ.get(labelling.URL, ""), os.environ.get(labelling.TOKEN, "")
    if not url or not token:
        return []
    return [LabelStudioQueue(url, token, title, [], 1) for title in (labelling.PROJECT, labelling.CONFLICT_PROJECT)]
