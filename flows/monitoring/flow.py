"""Production monitoring: judges the ended windows of the prediction log, and alerts on what has changed.

Each window is judged by the log's suite, for drift, decay, anomalies and slices, against the model that answered it.
Alerts become Prefect events, each at least once, with the evidence and the next step; what they set off is set up by
`ratchet alerts`. The page to read is reports/monitor/drift.html. A run that finds no ended window says so by its event
alone: silence is an alert.
"""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.defaults import N_ANNOTATORS
from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import flow  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.events import emit_event  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows.monitoring import outbox, samples  # noqa: E402
from flows.monitoring import steps as monitoring  # noqa: E402
from flows.monitoring.served import Served, served  # noqa: E402
from flows.reference import read_lexicon, read_patterns  # noqa: E402
from flows.runner import workspace  # noqa: E402
from ratchet.errors import BundleError, PipelineError  # noqa: E402
from ratchet.measure.formats import interval  # noqa: E402
from ratchet.monitoring.findings import Finding  # noqa: E402

if TYPE_CHECKING:
    from ratchet.monitoring.settings import MonitorParams
    from ratchet.monitoring.windows import Window

RAN, ALERT, DRIFT, DECAY = "ratchet.monitor.ran", "ratchet.alert", "ratchet.drift", "ratchet.decay"
"""Event names: heartbeat of the monitor, an alert, and the two that start a retraining."""
RESOURCE = "ratchet.monitor"
CONFIRM_S = 20.0
"""Seconds to wait until the server lists an event; what it does not list is sent again by the next run."""


@flow(name="monitor", validate_parameters=True, persist_result=False)
def monitor() -> State[Any]:
    """Judge the windows that have ended since the last run.

    What an earlier run could not send goes out first: it is sent, whatever becomes of this run.

    Raises:
        RatchetError: live.yaml or the log is not fit to be watched.
    """
    root, now = Path.cwd(), monitoring.utc_now()
    n_sent = outbox.send(root, announce)
    _, alerts, message = inspect(root, now)
    n_sent += outbox.send(root, announce)
    emit_event(RAN, {"prefect.resource.id": RESOURCE}, payload={"message": message, "n_alerts": len(alerts)})
    if waiting := len(outbox.read(root)):
        message += f"; {waiting} events wait, the server has not confirmed them"
    return Completed(message=f"{message}; {n_sent} events sent" if n_sent else message)


@flow(name="ask", validate_parameters=True, persist_result=False)
def ask(n: int = 0, slice_name: str = "", n_annotators: int = N_ANNOTATORS) -> State[Any]:
    """Send a random sample of production's texts to people: by their answers production is judged.

    Args:
        n: texts; 0: as many as settle what is not settled yet.
        slice_name: draw from this slice alone, such as `length=long`; empty: from everything.
        n_annotators: people who are asked about each.
    """
    if n < 0 or n_annotators < 1:
        raise PipelineError("A value is out of its range.", got=f"n {n}, n_annotators {n_annotators}")
    root = Path.cwd()
    workspace.lock_workspace(root)
    return Completed(message=samples.ask(root, n, slice_name, n_annotators, monitoring.utc_now()))


def inspect(root: Path, now: Any) -> tuple[str, list[Finding], str]:
    """The latest model's version, the alerts put into the outbox, and a summary; writes outbox, history and page.

    In this order: killed before the history is written, the same windows are judged again, and alert once all the same.
    """
    from ratchet.files import write_json
    from ratchet.monitoring.page import monitor_page
    from ratchet.monitoring.settings import read_monitor_params

    params = read_monitor_params(root)
    history = monitoring.read_history(root)
    judge = _Judge(root, params, list(history))
    n_windows = 0
    for window in monitoring.ended_windows(root, history, params, now):
        n_windows += 1
        judge.window(window)
    if not n_windows:
        monitoring.write_metrics(root, history[-1] if history else {}, 0, now)
        return "", [], "no window has ended since the last run"
    judge.labels()
    judged, latest = judge.judged, judge.judged[-1]
    alerts: list[Finding] = []
    for version, found in judge.found.items():
        alerts += outbox.put(root, version, [*found.values()], params.runbook, now, monitoring.PAGE.as_posix())
    monitoring.append_history(root, judged[len(history) :])
    monitoring.replace_text(root / monitoring.PAGE, monitor_page(judged))
    write_json(root / monitoring.LATEST, latest)
    n_alerts = sum(item["severity"] == "alert" for item in latest["findings"])
    monitoring.write_metrics(root, latest, n_alerts, now)
    n_findings = len(latest["findings"])
    message = f"{n_windows} windows judged; {n_findings} findings in the last, {len(alerts)} alerts due"
    return str(latest["model_version"]), alerts, message


class _Judge:
    """Judges one window after the other, each against the model that answered it."""

    def __init__(self, root: Path, params: MonitorParams, judged: list[dict[str, Any]]) -> None:
        self.root, self.params, self.judged = root, params, judged
        self.found: dict[str, dict[str, Finding]] = {}
        """Version → key → finding, of all windows of the run, so that none is lost where a run judges several."""
        self._lexicon, self._patterns = read_lexicon(root, params.attributes), read_patterns(root)
        self._models: dict[str, Served | str] = {}

    def window(self, window: Window) -> None:
        """Add the figures of a window: a part for each model that answered enough of it, the latest model last."""
        from ratchet.monitoring.windows import champions, part_of

        monitoring.log_access(self.root, window)
        counts = champions(window.rows) or {"": 0}
        latest = next(reversed(counts))
        least = min(self.params.window_sizes)
        for version, n in counts.items():
            if version == latest:
                self._part(window, version, {name: n for name, n in counts.items() if name != version and n < least})
            elif n >= least:
                self._part(part_of(window, version), version, {})

    def labels(self) -> None:
        """Add to the last window what people said of the random sample of its model, and what they volunteered."""
        from ratchet.monitoring.inspection import estimator_of, judge_sample
        from ratchet.monitoring.labelled_sample import labelled

        latest, version = self.judged[-1], str(self.judged[-1]["model_version"])
        latest["corrections"] = monitoring.volunteered(self.root, latest)
        model = self._model(version)
        if isinstance(model, str):
            return
        draws = samples.read_draws(self.root, version)
        sample = labelled(draws, samples.known_labels(self.root)) if draws else None
        judged = judge_sample(sample, draws, estimator_of(model.reference), self.params)
        latest["late_labels"] = judged.figures
        latest["findings"] = [*latest["findings"], *(item.to_json() for item in judged.findings)]
        self._note(version, judged.findings)

    def _part(self, window: Window, version: str, too_few: dict[str, int]) -> None:
        from ratchet.monitoring.inspection import inspect_unknown, inspect_window

        model, earlier = self._model(version), _same(self.judged, version)
        if isinstance(model, str):
            found = inspect_unknown(window, version, model, earlier, self.params)
            rules, broken = monitoring.judge_by_suite(self.root, window, None, self.params)
        else:
            reference, pieces = model.reference, model.pieces
            found = inspect_window(window, reference, pieces, earlier, self.params, self._lexicon, self._patterns)
            rules, broken = monitoring.judge_by_suite(self.root, window, reference.labels, self.params)
        findings = [self._weighed(item, earlier, model) for item in [*found.findings, *broken]]
        self._note(version, findings)
        figures = {**found.figures, "too_few_of": too_few, "rules": rules}
        self.judged.append({**figures, "findings": [item.to_json() for item in findings]})

    def _weighed(self, item: Finding, earlier: list[dict[str, Any]], model: Served | str) -> Finding:
        """The finding; a drift that people's labels of that very traffic show to be harmless is no alert.

        Shown is that accuracy has not fallen by `max_fall`, by the low end of its interval. What the model itself makes
        of its accuracy does not count here: it cannot see where it is confidently wrong.
        """
        from ratchet.monitoring.inspection import estimator_of
        from ratchet.monitoring.labelled_sample import accuracy_since

        if isinstance(model, str) or (item.kind, item.severity) != ("drift", "alert"):
            return item
        drifted = list(itertools.takewhile(lambda window: (window["drift"] or {}).get("drifted"), reversed(earlier)))
        if not drifted:
            return item
        version = model.reference.version
        mean = accuracy_since(
            samples.read_draws(self.root, version), samples.known_labels(self.root), drifted[-1]["start"]
        )
        usual, estimate = estimator_of(model.reference).accuracy, mean.estimate
        if estimate.reason or estimate.low < usual - self.params.max_fall:
            return item
        range_, n = interval(estimate), estimate.n
        note = f"Harmless so far: accuracy is {range_} by {n} labels of this traffic; it was {usual:.3f}."
        return replace(item, severity="warning", message=f"{item.message} {note}")

    def _model(self, version: str) -> Served | str:
        """The model that the log calls so, or why there is none to judge by."""
        if version not in self._models:
            try:
                self._models[version] = served(self.root, version, self.params)
            except BundleError as error:
                self._models[version] = " ".join(str(error).split())
        return self._models[version]

    def _note(self, version: str, findings: list[Finding]) -> None:
        self.found.setdefault(version, {}).update({item.key: item for item in findings})


def announce(events: Sequence[dict[str, Any]]) -> set[str]:
    """Emit the events of the outbox; returns the ids of those that the server has by then.

    Drift and decay are followed by the event that starts a retraining; it is confirmed together with its alert.
    """
    wanted: dict[str, set[str]] = {}
    for event in events:
        payload = {name: value for name, value in event.items() if name != "id"}
        resource = {"prefect.resource.id": f"{RESOURCE}.{event['key']}", "prefect.resource.name": event["key"]}
        names = [ALERT, *{"drift": [DRIFT], "decay": [DECAY]}.get(event["kind"], [])]
        for name in names:
            own = uuid.UUID(event["id"]) if name == ALERT else uuid.uuid5(uuid.UUID(event["id"]), name)
            emit_event(name, resource, payload=payload, id=own)
            wanted.setdefault(event["id"], set()).add(str(own))
    there = confirmed({own for all_ in wanted.values() for own in all_})
    return {name for name, ids in wanted.items() if ids <= there}


def confirmed(ids: set[str]) -> set[str]:
    """Those of the events that the server lists, within `CONFIRM_S`."""
    import httpx
    from prefect.client.orchestration import get_client

    found: set[str] = set()
    end, asked = time.monotonic() + CONFIRM_S, {"filter": {"id": {"id": sorted(ids)}}, "limit": 50}
    with contextlib.suppress(httpx.HTTPError), get_client(sync_client=True) as client:  # away: nothing is confirmed
        while not ids <= found and time.monotonic() < end:
            answer = client._client.post("/events/filter", json=asked)
            found |= {item["id"] for item in answer.raise_for_status().json()["events"]}
            if not ids <= found:
                time.sleep(0.2)
    return found & ids


def _same(judged: list[dict[str, Any]], version: str) -> list[dict[str, Any]]:
    """Judged windows of this model version: another model's drift does not confirm this one's."""
    return [item for item in judged if item["model_version"] == version]
