"""Rows that the database refuses: which errors mean the row, and how it is set aside."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy

from ratchet.data.cleaning import text_id
from ratchet.prediction_log.tables import microseconds

_SQLITE_AWAY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
}
_POSTGRESQL_AWAY = ("08", "25006", "40", "53", "55", "57", "58")
"""Beginnings of the SQLSTATEs that may pass: connection, read-only standby, serialisation and deadlock, resources,
locks, operator, system. Source: PostgreSQL 15, appendix A."""


def is_away(error: Exception) -> bool:
    """Whether the database is away, locked or full, and may be back; else what was to be written is wrong.

    >>> is_away(sqlalchemy.exc.DataError("", {}, Exception())), is_away(sqlalchemy.exc.TimeoutError())
    (False, True)
    """
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return True
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return False
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", None)  # none: the driver's own error
        return code is not None and code & 0xFF in _SQLITE_AWAY
    if (state := getattr(cause, "sqlstate", None)) is not None:
        return str(state).startswith(_POSTGRESQL_AWAY)
    return error.connection_invalidated or isinstance(
        error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError
    )


def dead_letter(origin: str, row: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """A row of `dead_letters`: the refused row as JSON, bytes in Base64, whatever else as its kind.

    >>> letter = dead_letter("feedback", {"request_id": "r1", "value": b"\\0", "label": 2**70}, ValueError())
    >>> letter["request_id"], letter["error"], letter["content"]
    ('r1', 'ValueError', b'{"request_id": "r1", "value": "AA==", "label": 1180591620717411303424}')
    """
    text = row.get("text")
    return {
        "timestamp": microseconds(datetime.now(UTC)),
        "request_id": str(row.get("request_id", ""))[:64],
        "origin": origin,
        "error": type(error).__name__,
        "text_id": text_id(text) if isinstance(text, str) else None,
        "content": json.dumps(dict(row), default=_plain).encode(errors="backslashreplace"),
    }


def _plain(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else f"a {type(value).__name__}"
