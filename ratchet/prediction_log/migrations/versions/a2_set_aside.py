"""The table of rows that were set aside, and the state that replicas share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "a2"
down_revision = "a1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "dead_letters",
        sa.Column("n", number, primary_key=True, comment="order of setting aside"),
        sa.Column("timestamp", sa.BigInteger, nullable=False, comment="when it was set aside, UTC"),
        sa.Column("request_id", sa.String(64), nullable=False, comment="of the row"),
        sa.Column("origin", sa.String(32), nullable=False, comment="the table that refused it"),
        sa.Column("error", sa.String(200), nullable=False, comment="kind of the error"),
        sa.Column("text_id", sa.String(16), comment="hash of the text, by which it is found to be erased"),
        sa.Column("content", sa.LargeBinary, nullable=False, comment="the row as JSON; without its text unless masked"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dead_letters_timestamp", "dead_letters", ["timestamp"])
    op.create_table(
        "shared_state",
        sa.Column("name", sa.String(64), primary_key=True, comment="keys, champion or experiment"),
        sa.Column("content", sa.Text, nullable=False, comment="what the file of that name would hold"),
        sa.Column("changed", sa.BigInteger, nullable=False, comment="when it was written, UTC"),
    )
    op.create_table(
        "rate_use",
        sa.Column("key_id", sa.String(64), primary_key=True, comment="the API key"),
        sa.Column("minute", sa.BigInteger, primary_key=True, comment="minutes since 1970"),
        sa.Column("n_texts", sa.BigInteger, nullable=False, comment="texts of that minute, at all servers"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in ("rate_use", "shared_state", "dead_letters"):
        op.drop_table(table)
