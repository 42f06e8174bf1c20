"""The tables of predictions and feedback."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "a1"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both tables, with an index on the time."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "predictions",
        sa.Column("n", number, primary_key=True, comment="order of writing; not in the Parquet files"),
        sa.Column("timestamp", sa.BigInteger, nullable=False, comment="when the answer was ready, UTC"),
        sa.Column("request_id", sa.String(64), nullable=False, comment="one for each text; feedback names it"),
        sa.Column("text", sa.Text, comment="the text, personal data masked as the params say"),
        sa.Column("predicted", sa.String(200), comment="the class that was answered"),
        sa.Column("confidence", sa.Float(53), comment="its probability"),
        sa.Column(
            "model_version",
            sa.String(200),
            nullable=False,
            comment="release tag of the bundle that answered, or its name@hash",
        ),
        sa.Column("proba", sa.LargeBinary, comment="probabilities in the class order of the bundle, float32"),
        sa.Column("latency_ms", sa.Float(53), nullable=False, comment="from the request's arrival to its answer"),
        sa.Column("status", sa.Integer, nullable=False, comment="HTTP status of the answer: 200, 429, 500"),
        sa.Column("key_id", sa.String(64), nullable=False, comment="which API key asked; empty where none is needed"),
        sa.Column("arm", sa.String(16), nullable=False, comment="champion, challenger or shadow"),
        sa.Column("experiment", sa.String(200), nullable=False, comment="the experiment that was on; empty for none"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_predictions_timestamp", "predictions", ["timestamp"])
    op.create_table(
        "feedback",
        sa.Column("n", number, primary_key=True, comment="order of writing; not in the Parquet files"),
        sa.Column("timestamp", sa.BigInteger, nullable=False, comment="when the feedback came, UTC"),
        sa.Column("request_id", sa.String(64), nullable=False, comment="of the prediction that it is about"),
        sa.Column("kind", sa.String(16), nullable=False, comment="thumb or correction"),
        sa.Column("value", sa.Float(53), comment="thumb: 1 for up, 0 for down; none for a correction"),
        sa.Column("label", sa.String(200), comment="correction: the class that is right; none for a thumb"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_feedback_timestamp", "feedback", ["timestamp"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("feedback")
    op.drop_table("predictions")
