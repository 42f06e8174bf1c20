"""Tables of the prediction log's database, a line a column."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text

TableName = Literal["predictions", "feedback"]
METADATA = MetaData()
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

PREDICTIONS = Table(
    "predictions",
    METADATA,
    Column("n", _NUMBER, primary_key=True, comment="order of writing; not in the Parquet files"),
    Column("timestamp", BigInteger, nullable=False, index=True, comment="when the answer was ready, UTC"),
    Column("request_id", String(64), nullable=False, comment="one for each text; feedback names it"),
    Column("text", Text, comment="the text, personal data masked as the params say"),
    Column("predicted", String(200), comment="the class that was answered"),
    Column("confidence", Float(53), comment="its probability"),
    Column(
        "model_version",
        String(200),
        nullable=False,
        comment="release tag of the bundle that answered, or its name@hash",
    ),
    Column("proba", LargeBinary, comment="probabilities in the class order of the bundle, float32"),
    Column("latency_ms", Float(53), nullable=False, comment="from the request's arrival to its answer"),
    Column("status", Integer, nullable=False, comment="HTTP status of the answer: 200, 429, 500"),
    Column("key_id", String(64), nullable=False, comment="which API key asked; empty where none is needed"),
    Column("arm", String(16), nullable=False, comment="champion, challenger or shadow"),
    Column("experiment", String(200), nullable=False, comment="the experiment that was on; empty for none"),
    sqlite_autoincrement=True,  # else SQLite gives the numbers of deleted rows again
)

FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("n", _NUMBER, primary_key=True, comment="order of writing; not in the Parquet files"),
    Column("timestamp", BigInteger, nullable=False, index=True, comment="when the feedback came, UTC"),
    Column("request_id", String(64), nullable=False, comment="of the prediction that it is about"),
    Column("kind", String(16), nullable=False, comment="thumb or correction"),
    Column("value", Float(53), comment="thumb: 1 for up, 0 for down; none for a correction"),
    Column("label", String(200), comment="correction: the class that is right; none for a thumb"),
    sqlite_autoincrement=True,
)

DEAD_LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("n", _NUMBER, primary_key=True, comment="order of setting aside"),
    Column("timestamp", BigInteger, nullable=False, index=True, comment="when it was set aside, UTC"),
    Column("request_id", String(64), nullable=False, comment="of the row"),
    Column("origin", String(32), nullable=False, comment="the table that refused it"),
    Column("error", String(200), nullable=False, comment="kind of the error"),
    Column("text_id", String(16), comment="hash of the text, by which it is found to be erased"),
    Column("content", LargeBinary, nullable=False, comment="the row as JSON; without its text unless masked"),
    sqlite_autoincrement=True,
)
"""Rows that the database refused: set aside whole, so that they can be repaired and written later."""

SHARED_STATE = Table(
    "shared_state",
    METADATA,
    Column("name", String(64), primary_key=True, comment="keys, champion or experiment"),
    Column("content", Text, nullable=False, comment="what the file of that name would hold"),
    Column("changed", BigInteger, nullable=False, comment="when it was written, UTC"),
)

RATE_USE = Table(
    "rate_use",
    METADATA,
    Column("key_id", String(64), primary_key=True, comment="the API key"),
    Column("minute", BigInteger, primary_key=True, comment="minutes since 1970"),
    Column("n_texts", BigInteger, nullable=False, comment="texts of that minute, at all servers"),
)

TABLES = {"predictions": PREDICTIONS, "feedback": FEEDBACK}
KEYS = {"predictions": ("request_id", "arm"), "feedback": ("request_id", "timestamp", "kind")}
"""Columns of each table's key: a row with the key of an earlier one is the same row, read twice."""
