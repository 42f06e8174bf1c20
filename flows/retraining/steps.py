"""Steps of a retraining on the repository's files: which texts to label, and how many of them are labelled."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from flows.labelling import steps as labelling
from flows.monitoring import steps as monitoring
from flows.monitoring.outbox import REPORTS
from flows.monitoring.samples import drawn_ids
from flows.runner.audit import record
from ratchet.errors import PipelineError
from ratchet.files import read_json, write_json

REQUEST, CLOSED = REPORTS / "retraining.json", REPORTS / "retrained.json"
SOURCE, STRATEGY, RANDOM_STRATEGY = "production", "drift", "drift_random"
ANSWERS = ["timestamp", "text", "predicted", "confidence", "proba", "status", "arm", "model_version"]
"""Columns of the log that are read."""
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


class Progress(NamedTuple):
    """How far people are with a label request."""

    n_texts: int
    n_decided: int
    """Texts that have a label."""
    n_unusable: int
    """Texts that people skipped."""
    deadline: datetime
    """When the request ends with what there is."""

    @property
    def n_waiting(self) -> int:
        """Texts that wait for answers, or for an adjudicator."""
        return self.n_texts - self.n_decided - self.n_unusable

    def is_ready(self, min_answered: float, now: datetime) -> bool:
        """Whether to train: labels enough for the usable texts, or the deadline has passed and there is one."""
        enough = self.n_decided >= min_answered * (self.n_texts - self.n_unusable)
        return self.n_decided > 0 and (enough or now >= self.deadline)

    def is_in_vain(self, now: datetime) -> bool:
        """Whether it ends without a label: all texts are unusable, or nobody has answered by the deadline."""
        return self.n_decided == 0 and (self.n_waiting == 0 or now >= self.deadline)


def progress(root: Path, request: dict[str, Any], max_wait_days: float) -> Progress:
    """How far people are with the request."""
    from ratchet.labels.resolution import current_decisions
    from ratchet.labels.store import read_store

    decisions = current_decisions(read_store(root / labelling.POINTER, root / labelling.STORE).decisions)
    states = decisions[decisions["id"].isin(request["ids"])]["state"].value_counts()
    deadline = datetime.fromisoformat(request["asked_at"]) + timedelta(days=max_wait_days)
    n_decided, n_unusable = (int(states.get(state, 0)) for state in ("resolved", "unusable"))
    return Progress(len(request["ids"]), n_decided, n_unusable, deadline)


def close_request(root: Path, request: dict[str, Any], now: datetime, how: str = "trained") -> None:
    """Close the request: the next finding may ask anew.

    Args:
        root: of the repository.
        request: the open one.
        now: the time that is noted.
        how: `trained`, `expired` without a label, or `cancelled`.
    """
    write_json(root / CLOSED, {**request, f"{how}_at": now.isoformat()})
    (root / REQUEST).unlink(missing_ok=True)


def cancel_request(root: Path, key: str, now: datetime) -> dict[str, Any]:
    """Close the open request without training; the texts stay in the queue, and answers go on counting.

    Raises:
        PipelineError: no request of this key is open.
    """
    request = read_request(root)
    if request is None or request["key"] != key:
        raise PipelineError(
            "There is no such label request.",
            where=root / REQUEST,
            got=key,
            expected=request["key"] if request else "an open request: there is none",
            fix="see ratchet labels requests",
        )
    # before it is closed: killed in between, it is logged twice rather than not at all
    n_texts = len(request["ids"])
    record(root, "label_batch", key[:200], {"direction": "cancel", "n_texts": n_texts}, "label request cancelled")
    close_request(root, request, now, "cancelled")
    return request


def _items(root: Path, key: str, version: str, n: int, seed: int) -> list[Any]:
    """`n` texts of the drifted windows: half of them at random, of the others those the model is least sure of."""
    import numpy as np

    from ratchet.data.cleaning import text_id
    from ratchet.labels.annotations import Item

    rows = _drifted(root, key, version)
    rows = rows.drop_duplicates("text")
    rows = rows[~rows["text"].map(text_id).isin(drawn_ids(root))]  # what judges is never trained on
    if not len(rows):
        raise PipelineError(
            "The log holds no text to ask about.",
            where=monitoring.HISTORY,
            got=key,
            expected="answered requests with their texts in the windows of the finding",
            fix="keep texts in the log (live.yaml, log), or label other texts: ratchet labels push",
        )
    record(root, "personal_data", key[:200], {"table": "prediction_log", "n_rows": len(rows)}, "texts to label")
    n_random = min(n, len(rows)) - round(UNSURE_SHARE * min(n, len(rows)))
    # drawn first, from all texts: what is left of them by another choice is no sample without bias
    drawn = rows.iloc[np.sort(np.random.default_rng(seed).permutation(len(rows))[:n_random])]
    unsure = rows.drop(drawn.index).sort_values("confidence", kind="stable").head(n - n_random)
    return [
        Item(
            text_id(row.text),
            row.text,
            SOURCE,
            f"{key} in production, {why}",
            row.predicted,
            float(row.confidence),
            version,
            strategy,
        )
        for part, strategy, why in (
            (unsure, STRATEGY, "the model is unsure"),
            (drawn, RANDOM_STRATEGY, "drawn at random"),
        )
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
        log = monitoring.read_log_between(root, window["start"], window["end"], ANSWERS)
        parts.append(answered(log, version).select(["text", "predicted", "confidence"]).to_pandas())
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["text", "predicted", "confidence"])
