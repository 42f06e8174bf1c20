"""Alembic environment: runs the migrations on the connection that `database` passes."""

from __future__ import annotations

from alembic import context

from ratchet.prediction_log.tables import METADATA


def migrate() -> None:
    """Run the migrations that were asked for."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # the name under which Alembic runs this file
    migrate()
