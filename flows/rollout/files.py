"""Files of a rollout: its settings, its state, and the evidence on its challenger from log and labels."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flows.labelling.steps import OUTBOX, POINTER, STORE, open_queue, send_outbox
from ratchet.errors import PipelineError
from ratchet.experiments.assignment import UNIT_MARK, Experiment
from ratchet.experiments.rollout import Rollout, RolloutParams
from ratchet.files import read_json
from ratchet.params import load_params, read_yaml
from ratchet.serving.settings import LIVE_FILE, LogParams
from ratchet.trust.slices import LENGTH_EDGES, read_length_edges

if TYPE_CHECKING:
    import pandas as pd

    from ratchet.experiments.evidence import Evidence

REASON = "champion and challenger disagree"
COLUMNS = [
    "timestamp",
    "request_id",
    "text",
    "predicted",
    "latency_ms",
    "status",
    "arm",
    "experiment",
    "model_version",
]
"""Columns of the log that evidence rests on, beside those by which guardrails group."""
CLOCKS_DIFFER = timedelta(minutes=5)
"""Clock skew of the server to allow for: the log is read from that earlier on, and rows are filtered by step."""


def read_evidence(root: Path, params: RolloutParams, state: Rollout) -> tuple[Evidence, str]:
    """Evidence of the current step against its champion, and which model answered as the champion last.

    The log's rows with the feedback of users and the labels of annotators. Outcomes that an earlier call gave stay as
    they were. Before the step knows its champion, that is the one that answered last.
    """
    from ratchet.experiments.evidence import shadow_evidence, split_evidence
    from ratchet.experiments.frozen import freeze, read_held, write_held

    predictions, feedback = _read_step(root, params, state)
    last = last_champion(predictions)
    champion = state.champion or last
    predictions = against_champion(predictions, champion)
    step, guardrails = params.step(state.step), params.guardrails
    seen: Evidence
    if step.share:
        seen = split_evidence(predictions, feedback, step.share, guardrails.slow_ms, params.feedback_delay_s)
    else:
        seen = shadow_evidence(predictions, _labels(root, predictions, feedback), guardrails.slow_ms)
    path, of = root / params.state, (state.name, state.step, champion)
    path = path.with_name(f"{path.stem}-outcomes.parquet")
    frame, held = freeze(seen.frame, read_held(path, of))
    write_held(path, of, held)
    return replace(seen, frame=frame), last


def last_champion(predictions: pd.DataFrame) -> str:
    """The model that answered as the champion last; empty: none did."""
    rows = predictions[predictions["arm"] == "champion"].sort_values(["timestamp", "request_id"], kind="stable")
    return str(rows["model_version"].iloc[-1]) if len(rows) else ""


def against_champion(predictions: pd.DataFrame, champion: str) -> pd.DataFrame:
    """The rows since this model became the champion, without answers of another one: it was another comparison."""
    answers = predictions["arm"] == "champion"
    own = answers & (predictions["model_version"] == champion)
    if not own.any():
        return predictions[:0]
    began = predictions.loc[own, "timestamp"].min()
    kept: pd.DataFrame = predictions[(own | ~answers) & (predictions["timestamp"] >= began)]
    return kept


def send_disagreements(root: Path, n: int, n_annotators: int) -> tuple[int, str]:
    """Send texts on which the models disagree to annotators, without either's answer; returns how many, and where.

    Raises:
        RatchetError: no rollout is in shadow mode, or the queue cannot be reached.
    """
    from ratchet.data.cleaning import text_id
    from ratchet.experiments.evidence import unlabeled_disagreements
    from ratchet.labels.annotations import Item
    from ratchet.labels.queues import write_items

    params = read_params(root)
    state = need_state(root, params)
    if state.experiment(params).mode != "shadow":
        raise PipelineError("No rollout is in shadow mode.", got=f"{state.status}, step {state.step}")
    predictions, feedback = _read_step(root, params, state)
    queue = open_queue(root, n_annotators)
    n_sent = send_outbox(root, queue)  # what an earlier call could not send
    known = queue.items()
    texts = unlabeled_disagreements(predictions, _labels(root, predictions, feedback))["text"]
    items = [Item(text_id(text), text, "production", REASON, query_strategy="disagreement") for text in texts]
    write_items(root / OUTBOX, [item for item in items if item.id not in known][:n])
    return n_sent + send_outbox(root, queue), queue.where


def read_params(root: Path) -> RolloutParams:
    """The block `rollout` of live.yaml."""
    guardrails = read_yaml(root / LIVE_FILE).get("rollout", {}).get("guardrails", {})
    edges = read_length_edges(root / LENGTH_EDGES)
    return load_params(RolloutParams, "rollout", root / LIVE_FILE, guardrails={**guardrails, "length_edges": edges})


def read_state(root: Path, params: RolloutParams) -> Rollout | None:
    """State of the rollout; None before the first.

    Raises:
        PipelineError: the file does not hold a rollout.
    """
    path = root / params.state
    try:
        return Rollout.model_validate(read_json(path))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PipelineError(
            "The file holds no rollout.",
            where=path,
            got=str(error).splitlines()[-1],
            fix="the audit log has its last state; move the file away to start anew",
        ) from None


def need_state(root: Path, params: RolloutParams) -> Rollout:
    """State of the rollout.

    Raises:
        PipelineError: there is none.
    """
    if (state := read_state(root, params)) is None:
        raise PipelineError("There is no rollout.", where=root / params.state, fix="ratchet rollout start")
    return state


def share_experiment(root: Path, experiment: Experiment) -> None:
    """Put the experiment where replicas read it, if the block `serve` of live.yaml says that they share their state.

    Raises:
        SourceError: the database cannot be opened.
    """
    settings = read_yaml(root / LIVE_FILE)
    if settings.get("serve", {}).get("state") != "database":
        return
    from ratchet.prediction_log.database import open_database
    from ratchet.serving.shared_state import SharedState

    engine = open_database(settings["log"]["url"])
    try:
        SharedState(engine).write("experiment", experiment.model_dump_json())
    finally:
        engine.dispose()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the state against other processes: one change at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_step(root: Path, params: RolloutParams, state: Rollout) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The log's predictions of the current step, and users' feedback since it began."""
    import pandas as pd
    import pyarrow.compute as pc

    from ratchet.prediction_log.tables import arrow_schema, read_log

    log = load_params(LogParams, "log", root / LIVE_FILE)
    sources: list[str | Path] = [log.url, root / log.folder]
    since = datetime.fromisoformat(state.since) - CLOCKS_DIFFER
    own = [name for name in arrow_schema("predictions").names if name in params.guardrails.features]
    rows = read_log(sources, since, columns=[*dict.fromkeys([*COLUMNS, *own])])
    tag = state.experiment(params).tag
    rows = rows.filter(pc.starts_with(rows.column("experiment"), tag))  # before they become Python's
    predictions = rows.to_pandas()
    ours = [logged.partition(UNIT_MARK)[0] == tag for logged in predictions["experiment"]]
    feedback = read_log(sources, since, table="feedback").to_pandas()
    return predictions[pd.Series(ours, predictions.index, dtype=bool)], feedback


def _labels(root: Path, predictions: pd.DataFrame, feedback: pd.DataFrame) -> dict[str, str]:
    """True labels by request id; an annotator's label overrides a user's correction."""
    from ratchet.experiments.satisfaction import true_labels

    return true_labels(predictions, feedback) | _people_labels(root, predictions)


def _people_labels(root: Path, predictions: pd.DataFrame) -> dict[str, str]:
    """Annotators' labels of the log's texts, by request id; empty where there is no label store."""
    from ratchet.data.cleaning import text_id
    from ratchet.labels.resolution import current_decisions
    from ratchet.labels.store import read_store

    if not (root / POINTER).is_file():
        return {}
    held = current_decisions(read_store(root / POINTER, root / STORE).decisions)
    known = held[held["state"] == "resolved"].set_index("id")["label"].to_dict()
    rows = predictions.dropna(subset="text") if known else predictions.iloc[:0]
    ids = {request: text_id(text) for request, text in zip(rows["request_id"], rows["text"], strict=True)}
    return {request: known[found] for request, found in ids.items() if found in known}
