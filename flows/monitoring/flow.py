"""Production monitoring: judges the ended windows of the prediction log, and alerts on what has changed.

Each window is judged by the log's suite, for drift, decay, anomalies and slices. Alerts become Prefect events, each
once, with the evidence and the next step; what they set off is set up by `ratchet alerts`. The page to
read is reports/monitor/drift.html. A run that finds no ended window says so by its event alone: silence is an alert.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import flow  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.events import emit_event  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows.monitoring import steps as monitoring  # noqa: E402
from flows.reference import read_lexicon, read_patterns  # noqa: E402
from ratchet.monitoring.findings import Finding  # noqa: E402

RAN, ALERT, DRIFT, DECAY = "ratchet.monitor.ran", "ratchet.alert", "ratchet.drift", "ratchet.decay"
"""Event names: heartbeat of the monitor, an alert, and the two that start a retraining."""
RESOURCE = "ratchet.monitor"


@flow(name="monitor", validate_parameters=True, persist_result=False)
def monitor() -> State[Any]:
    """Judge the windows that have ended since the last run.

    Raises:
        RatchetError: live.yaml, the log or the model is not fit to be watched.
    """
    root, now = Path.cwd(), monitoring.utc_now()
    version, alerts, message = inspect(root, now)
    for finding in alerts:
        announce(finding, version)
    emit_event(RAN, {"prefect.resource.id": RESOURCE}, payload={"message": message, "n_alerts": len(alerts)})
    return Completed(message=message)


def inspect(root: Path, now: Any) -> tuple[str, list[Finding], str]:
    """The model's version, the alerts not yet sent, and a summary message; writes history and page."""
    from ratchet.files import write_json
    from ratchet.monitoring.delayed_labels import join_labels
    from ratchet.monitoring.features import load_pieces
    from ratchet.monitoring.inspection import estimator_of, inspect_window, judge_late_labels
    from ratchet.monitoring.page import monitor_page
    from ratchet.monitoring.settings import read_monitor_params
    from ratchet.monitoring.windows import answered

    params = read_monitor_params(root)
    history = monitoring.read_history(root)
    windows = monitoring.new_windows(root, history, params, now)
    if not windows:
        monitoring.write_metrics(root, history[-1] if history else {}, 0, now)
        return "", [], "no window has ended since the last run"
    bundle, reference = monitoring.served_reference(root, windows, params)
    pieces, judged = load_pieces(bundle), list(history)
    lexicon, patterns = read_lexicon(root, params.attributes), read_patterns(root)
    findings: list[Finding] = []
    seen: dict[str, Finding] = {}  # of every window, so that none is lost where a run judges several
    for window in windows:
        monitoring.log_access(root, window)
        found = inspect_window(window, reference, pieces, _same(judged, reference.version), params, lexicon, patterns)
        rules, broken = monitoring.judge_by_suite(root, window, reference.labels, params)
        findings = [*found.findings, *broken]
        seen |= _by_key(findings)
        judged.append({**found.figures, "rules": rules, "findings": [item.to_json() for item in findings]})
    every = answered(monitoring.read_log_since(root, None), reference.version)
    late = join_labels(every, monitoring.read_log_since(root, None, "feedback"))
    labels = judge_late_labels(late, estimator_of(reference), params)
    findings += labels.findings
    latest = {**judged[-1], "late_labels": labels.figures, "findings": [item.to_json() for item in findings]}
    judged[-1] = latest
    monitoring.append_history(root, judged[len(history) :])
    page = monitor_page(judged)
    monitoring.replace_text(root / monitoring.PAGE, page)
    write_json(root / monitoring.LATEST, latest)
    n_alerts = sum(item.severity == "alert" for item in findings)
    monitoring.write_metrics(root, latest, n_alerts, now)
    alerts = monitoring.unsent_alerts(root, reference.version, [*{**seen, **_by_key(labels.findings)}.values()], now)
    message = f"{len(windows)} windows judged; {len(findings)} findings in the last, {len(alerts)} alerts sent"
    return reference.version, alerts, message


def announce(finding: Finding, version: str) -> None:
    """Emit the alert event, and for drift and decay the event that starts a retraining."""
    payload = {
        "key": finding.key,
        "kind": finding.kind,
        "message": finding.message,
        "next_step": finding.next_step,
        "model_version": version,
        "evidence": finding.evidence,
        "page": monitoring.PAGE.as_posix(),
        "found_at": monitoring.utc_now().isoformat(),  # a template cannot write the event's own time as JSON
    }
    resource = {"prefect.resource.id": f"{RESOURCE}.{finding.key}", "prefect.resource.name": finding.key}
    emit_event(ALERT, resource, payload=payload)
    if finding.kind in ("drift", "decay"):
        emit_event(DRIFT if finding.kind == "drift" else DECAY, resource, payload=payload)


def _by_key(findings: list[Finding]) -> dict[str, Finding]:
    return {item.key: item for item in findings}


def _same(judged: list[dict[str, Any]], version: str) -> list[dict[str, Any]]:
    """Judged windows of this model version: another model's drift does not confirm this one's."""
    return [item for item in judged if item["model_version"] == version]
