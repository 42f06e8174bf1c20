"""Steps of a retraining on the repository's files: which texts to label, and how many of them are labelled."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from flows.labelling import steps as labelling
from flows.monitoring import steps as monitoring
from flows.runner.audit import record
from ratchet.errors import PipelineError
from ratchet.files import read_json, write_json

REQUEST, CLOSED = monitoring.REPORTS / "retraining.json", monitoring.REPORTS / "retrained.json"
SOURCE, STRATEGY = "production", "drift"
UNSURE_SHARE = 0.5
"""Share of least-confident texts; the others are random, so that they estimate the accuracy, too."""


def read_request(root: Path) -> dict[str, Any] | None:
    """The open label request: labels asked for and not trained on yet; None if there is none."""
    path = root / REQUEST
    return read_json(path) if path.is_file() else None


def served_version(root: Path) -> str:
    """Model version of the last judged window; empty before the first."""
    history = monitoring.read_history(root)
    return str(history[-1]["model_version"]) if history else ""


def request_labels(root: Path, key: str, version: str, n: int, n_annotators: int, now: datetime) -> dict[str, Any]:
    """Send texts of the windows that have the finding to annotators; returns the label request, which is also written.

    The outbox is written before the request: killed in between, the same texts are sent again, which the queue
    knows already.

    Raises:
        PipelineError: the log holds no text of such a window.
    """
    from ratchet.labels.queues import write_items
    from ratchet.monitoring.settings import read_monitor_params

    params = read_monitor_params(root)
    queue = labelling.open_queue(root, n_annotators)
    if not (root / labelling.OUTBOX).is_file():
        items = _items(root, key, version, n or params.n_to_label, params.seed)
        write_items(root / labelling.OUTBOX, items)
    else:  # what an earlier run chose and could not send
        from ratchet.labels.queues import read_items

        items = read_items(root / labelling.OUTBOX)
    labelling.send_outbox(root, queue)
    request = {"key": key, "model_version": version, "asked_at": now.isoformat(), "ids": [item.id for item in items]}
    write_json(root / REQUEST, request)
    return request


def count_decided(root: Path, request: dict[str, Any]) -> int:
    """Number of texts of the request that have a label by now."""
    from ratchet.labels.resolution import current_decisions
    from ratchet.labels.store import read_store

    decisions = current_decisions(read_store(root / labelling.POINTER, root / labelling.STORE).decisions)
    resolved = decisions[decisions["state"] == "resolved"]["id"]
    return int(resolved.isin(request["ids"]).sum())


def close_request(root: Path, request: dict[str, Any], now: datetime) -> None:
    """Mark the request as trained on: the next finding may ask anew."""
    write_json(root / CLOSED, {**request, "trained_at": now.isoformat()})
    (root / REQUEST).unlink(missing_ok=True)


def _items(root: Path, key: str, version: str, n: int, seed: int) -> list[Any]:
    """`n` texts of the drifted windows: half of them those the model is least sure of, the others at random."""
    import numpy as np

    from ratchet.data.cleaning import text_id
    from ratchet.labels.annotations import Item

    rows = _drifted(root, key, version)
    rows = rows.drop_duplicates("text")
    if not len(rows):
        raise PipelineError(
            "The log holds no text to ask about.",
            where=monitoring.HISTORY,
            got=key,
            expected="answered requests with their texts in the windows of the finding",
            fix="keep texts in the log (live.yaml, log), or label other texts: ratchet labels push",
        )
    record(root, "personal_data", key[:200], {"table": "prediction_log", "n_rows": len(rows)}, "texts to label")
    n_unsure = round(UNSURE_SHARE * min(n, len(rows)))
    unsure = rows.sort_values("confidence", kind="stable").head(n_unsure)
    rest = rows.drop(unsure.index)
    chosen = np.random.default_rng(seed).permutation(len(rest))[: n - n_unsure]
    return [
        Item(
            text_id(row.text),
            row.text,
            SOURCE,
            f"{key} in production, {why}",
            row.predicted,
            float(row.confidence),
            version,
            STRATEGY,
        )
        for part, why in ((unsure, "the model is unsure"), (rest.iloc[np.sort(chosen)], "drawn at random"))
        for row in part.itertuples(index=False)
    ]


def _drifted(root: Path, key: str, version: str) -> Any:
    """The answered rows of the windows that have the finding, as a frame."""
    import pandas as pd

    from ratchet.monitoring.windows import answered

    kind, parts = key.partition(".")[0], []
    for window in monitoring.read_history(root):
        if kind not in {item["kind"] for item in window["findings"]}:
            continue
        log = monitoring.read_log_between(root, window["start"], window["end"])
        parts.append(answered(log, version).select(["text", "predicted", "confidence"]).to_pandas())
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["text", "predicted", "confidence"])
