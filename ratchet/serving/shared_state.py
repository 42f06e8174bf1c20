"""State that replicas share in the database of the log: keys, pointer to the champion, experiment, and use of rates.

Each is kept as the file of that name would hold it, so that a server reads either in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy
from sqlalchemy.engine import Engine

from ratchet.experiments.assignment import read_experiment
from ratchet.prediction_log.database import exclusive
from ratchet.prediction_log.tables import RATE_USE, SHARED_STATE, microseconds
from ratchet.serving.pointer import read_pointer
from ratchet.serving.settings import ServeParams

_LOCK = 7_302_519
"""Number of PostgreSQL's advisory lock: one change at a time."""
KEPT_MINUTES = 5
"""Minutes of the use of rates that are kept."""


@dataclass
class Content:
    """What is kept under a name; empty where nothing is."""

    text: str


class SharedState:
    """Documents by name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __str__(self) -> str:
        return f"table shared_state of {self._engine.url.render_as_string(hide_password=True)}"

    def read(self, name: str) -> str:
        """What is kept under the name; empty where nothing is.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is away.
        """
        with self._engine.connect() as connection:
            return connection.scalar(_content(name)) or ""

    @contextmanager
    def changing(self, name: str) -> Iterator[Content]:
        """What is kept under the name, to be changed; one change at a time, written when the block ends."""
        with exclusive(self._engine, _LOCK) as connection:
            content = Content(connection.scalar(_content(name)) or "")
            yield content
            values = {"content": content.text, "changed": microseconds(datetime.now(UTC))}
            at = SHARED_STATE.c.name == name
            if not connection.execute(sqlalchemy.update(SHARED_STATE).where(at).values(values)).rowcount:
                connection.execute(sqlalchemy.insert(SHARED_STATE).values(name=name, **values))

    def write(self, name: str, text: str) -> None:
        """Keep a text under the name."""
        with self.changing(name) as content:
            content.text = text

    def add_use(self, used: Mapping[str, int], minute: int) -> dict[str, int]:
        """Add the texts that this server took by key; returns all that all servers took in that minute."""
        with exclusive(self._engine, _LOCK + 1) as connection:
            for key_id, n_texts in sorted(used.items()):
                at = (RATE_USE.c.key_id == key_id) & (RATE_USE.c.minute == minute)
                changed = sqlalchemy.update(RATE_USE).where(at).values(n_texts=RATE_USE.c.n_texts + n_texts)
                if not connection.execute(changed).rowcount:
                    new = sqlalchemy.insert(RATE_USE).values(key_id=key_id, minute=minute, n_texts=n_texts)
                    connection.execute(new)
            connection.execute(sqlalchemy.delete(RATE_USE).where(RATE_USE.c.minute < minute - KEPT_MINUTES))
            found = sqlalchemy.select(RATE_USE.c.key_id, RATE_USE.c.n_texts).where(RATE_USE.c.minute == minute)
            return {row.key_id: row.n_texts for row in connection.execute(found)}


def published(params: ServeParams) -> dict[str, str]:
    """What the files of pointers and experiments hold, by the name under which replicas read it.

    Raises:
        ParamsError: an experiment is none.
        BundleError: a pointer is none.
    """
    models = {"": (params.pointer, params.experiment)}
    models |= {f":{model.name}": (model.pointer, model.experiment) for model in params.models}
    found = {}
    for name, (pointer, experiment) in models.items():
        found[f"champion{name}"] = read_pointer(Path(pointer)).model_dump_json()
        found[f"experiment{name}"] = read_experiment(Path(experiment)).model_dump_json()
    return found


def _content(name: str) -> sqlalchemy.Select[tuple[str]]:
    return sqlalchemy.select(SHARED_STATE.c.content).where(SHARED_STATE.c.name == name)
