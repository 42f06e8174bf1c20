"""Rows of the prediction log for tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ratchet.prediction_log.tables import microseconds
from ratchet.prediction_log.writer import proba_bytes


def prediction(request_id: str, moment: datetime, **changes: Any) -> dict[str, Any]:
    """An answered row."""
    return {
        "timestamp": microseconds(moment),
        "request_id": request_id,
        "text": f"a film that {request_id} saw",
        "predicted": "positive",
        "confidence": 0.75,
        "model_version": "sentiment@v1.0.0",
        "proba": proba_bytes([0.25, 0.75]),
        "latency_ms": 3.5,
        "status": 200,
        "key_id": "k1",
        "arm": "champion",
        "experiment": "",
        **changes,
    }


def thumb(request_id: str, moment: datetime, value: float = 1.0) -> dict[str, Any]:
    """A thumb up, or down."""
    return {"timestamp": microseconds(moment), "request_id": request_id, "kind": "thumb", "value": value, "label": None}
