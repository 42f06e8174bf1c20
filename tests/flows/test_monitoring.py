"""The monitor: one alert per drift, with its evidence, none in quiet times; and the retraining that follows it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.states import Completed, Failed
from typer.testing import CliRunner

from flows import reference
from flows.labelling import flow as label
from flows.labelling import steps as labelling
from flows.monitoring import flow as monitor
from flows.monitoring import outbox, samples, served
from flows.monitoring import steps as monitoring
from flows.retraining import flow as retrain
from flows.retraining import steps as retraining
from ratchet.commands.labels import app
from ratchet.data.cleaning import text_id
from ratchet.errors import PipelineError
from ratchet.files import read_json, write_json
from ratchet.labels.queues import FileQueue
from ratchet.monitoring import labelled_sample
from ratchet.monitoring.findings import Finding
from ratchet.monitoring.inspection import estimator_of
from ratchet.monitoring.settings import read_monitor_params
from ratchet.registry.audit_log import entries, log_path
from tests.support.flow_world import answer, isolated_copy, made_once
from tests.support.tiny import reviews
from tests.support.watched_world import START, VERSION, correct, make_watched_world, serve_hour

LATER = START + timedelta(days=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield from made_once(tmp_path_factory, make_watched_world)


@pytest.fixture
def world(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return isolated_copy(made, tmp_path, monkeypatch)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []

    def emit(event: str, resource: dict[str, str], payload: dict[str, Any], id: Any = None) -> None:
        found.append((event, payload))

    monkeypatch.setattr(monitor, "emit_event", emit)
    monkeypatch.setattr(monitor, "confirmed", set)
    monkeypatch.setattr(retrain, "emit_event", emit)
    return found


def usual(seed: int, n: int = 150) -> list[str]:
    return reviews(n, seed)["text"].tolist()


def long_ones(seed: int, n: int = 150) -> list[str]:
    """Texts as the model never saw them, each different."""
    return [f"number {row} " + " ".join(usual(seed + row, 4)) for row in range(n)]


def drift(root: Path) -> None:
    """A quiet hour, then two hours of other texts."""
    serve_hour(root, 0, usual(50))
    serve_hour(root, 1, long_ones(100))
    serve_hour(root, 2, long_ones(300))


def test_drift_is_alerted_once_it_is_confirmed_and_only_once(
    world: Path, events: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "utc_now", lambda: LATER)
    serve_hour(world, 0, usual(50))
    serve_hour(world, 1, long_ones(100))
    monitor.monitor.fn()
    assert [name for name, _ in events] == [monitor.RAN]  # one window alone is a warning
    serve_hour(world, 2, long_ones(300))
    monitor.monitor.fn()
    assert [name for name, _ in events[1:]] == [monitor.ALERT, monitor.DRIFT, monitor.RAN]
    payload = events[1][1]
    assert payload["key"] == "drift.requests"
    assert payload["model_version"] == VERSION
    assert payload["evidence"]["p"] <= 0.01
    assert payload["next_step"]
    serve_hour(world, 3, long_ones(500))
    monitor.monitor.fn()
    monitor.monitor.fn()  # nothing has ended since
    assert [name for name, _ in events[4:]] == [monitor.RAN, monitor.RAN]
    history = monitoring.read_history(world)
    assert [item["drift"]["drifted"] for item in history] == [False, True, True, True]
    assert [item["n_requests"] for item in history] == [150] * 4
    people = {name: item["n"] for name, item in history[-1]["slices"]["slices"].items() if name.startswith("gender=")}
    assert sum(people.values()) == 100  # every text that was looked at is in one group: the lexicon is read
    assert people["gender=none"] < 100
    assert history[-1]["slices"]["not_in_reference"] == []


def test_a_promotion_makes_the_reference_that_the_monitor_then_uses(world: Path) -> None:
    bundle = world / "models/baseline"
    message = reference.keep_reference(world, bundle)
    path = world / reference.FOLDER / f"{reference.bundle_version(bundle)}.safetensors"
    assert message == f"its reference is {path.relative_to(world)}"
    made = path.read_bytes()
    for name in ("train", "validation", "test"):
        (world / f"data/splits/{name}.parquet").unlink()  # the data move on
    drift(world)
    monitor.inspect(world, LATER)
    assert path.read_bytes() == made
    path.unlink()
    assert reference.keep_reference(world, bundle).startswith("no reference for the monitor yet (")


def test_what_is_written_holds_no_text_and_reading_texts_is_logged(world: Path) -> None:
    drift(world)
    monitor.inspect(world, LATER)
    page = (world / monitoring.PAGE).read_text()
    assert "drift: requests" in page
    assert not re.search("https?:", page.replace("http://www.w3.org", ""))
    kept = [
        path for path in (world / "models/reference").rglob("*") if path.is_file() and path.name != "tokenizer.json"
    ]
    for path in [*(world / outbox.REPORTS).iterdir(), *kept]:
        assert "number 7 " not in path.read_bytes().decode(errors="ignore")
    metrics = (world / monitoring.METRICS).read_text()
    assert f"ratchet_monitor_last_run_timestamp_seconds {LATER.timestamp()}" in metrics
    assert "ratchet_drift_confirmed 1" in metrics
    read = [entry for entry in entries(log_path(world)) if entry.action == "personal_data"]
    assert sum(int(entry.details["n_rows"]) for entry in read) == 450


def wrong_answers(root: Path, n: int) -> dict[str, str]:
    """Request id → another class than was answered, of so many requests."""
    other = {"negative": "positive", "positive": "negative"}
    log = monitoring.read_log_since(root, None).to_pylist()
    return {row["request_id"]: other[row["predicted"]] for row in log[:n]}


def test_people_who_correct_only_what_is_wrong_are_no_alarm(world: Path) -> None:
    """Each wrong answer is corrected, no right one confirmed: the corrections are shown, and say nothing of traffic."""
    serve_hour(world, 0, usual(50))
    correct(world, 1, wrong_answers(world, 80))
    _, alerts, _ = monitor.inspect(world, LATER)
    assert alerts == []
    latest = monitoring.read_history(world)[-1]
    assert latest["corrections"] == {"n": 80, "n_wrong": 80}
    assert latest["late_labels"]["reason"].startswith("nobody was asked")
    page = (world / monitoring.PAGE).read_text()
    assert "corrections volunteered" in page
    assert "80 say another class; no random sample, so not judged" in page


def test_errors_that_a_random_sample_shows_are_decay_and_are_never_trained_on(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People say of most of what they were asked about that it is of the other class."""
    monkeypatch.setattr(monitoring, "utc_now", lambda: START + timedelta(hours=2))
    serve_hour(world, 0, [f"{text} {row}" for row, text in enumerate(usual(50))])
    asked = monitor.ask.fn(n=60)
    assert "60 of all" in str(asked.message)
    items = FileQueue(world / labelling.QUEUE).items()
    assert len(items) == 60
    assert all(item.suggested == "" and item.query_strategy == "production_random" for item in items.values())
    texts = {row["text"]: row["predicted"] for row in monitoring.read_log_since(world, None).to_pylist()}
    other = {"negative": "positive", "positive": "negative"}
    for person in ("anna", "ben"):
        answer(world, person, {name: other[texts[item.text]] for name, item in items.items()})
    pulled = label.pull.fn(min_agreement=0.6)
    assert "to judge by: 120 new answers, 60 new decisions" in str(pulled.message)
    assert read_json(world / labelling.POINTER)["batches"] == []  # what judges is not what trains
    _, alerts, _ = monitor.inspect(world, LATER)
    assert [item.key for item in alerts] == ["decay.late_labels"]
    late = monitoring.read_history(world)[-1]["late_labels"]
    assert late["n"] == 60
    assert late["accuracy"]["high"] < 0.2
    assert late["slices"]["all"]["settled"]
    assert "settled" in (world / monitoring.PAGE).read_text()
    retraining.request_labels(world, "decay.late_labels", VERSION, 150, 2, LATER)
    assert not {*read_json(world / retraining.REQUEST)["ids"]} & {*items}


def test_the_planner_says_how_many_labels_settle_and_the_queue_asks_for_exactly_those(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "utc_now", lambda: START + timedelta(hours=2))
    settings = (world / "live.yaml").read_text().replace("max_fall: 0.5", "max_fall: 0.1")
    (world / "live.yaml").write_text(settings)
    serve_hour(world, 0, [f"{text} {row}" for row, text in enumerate(usual(50, 290))])
    assert "10 of all" in str(monitor.ask.fn().message)  # as many as n_to_label, while nothing is known
    monitor.ask.fn()  # more, since ten settle nothing
    items, draws = FileQueue(world / labelling.QUEUE).items(), samples.read_draws(world)
    plan = labelled_sample.plan(labelled_sample.labelled(draws[:1], {}), draws[:1], _reference_accuracy(world), 0.1)
    assert len(items) == plan["all"]["n_more"]
    slices = str(monitor.ask.fn().message).partition(": ")[2].split(", ")  # then the slices that these do not settle
    assert all(part.partition(" of ")[2] in plan for part in slices)
    n_asked = sum(int(part.partition(" of ")[0]) for part in slices)
    assert len(FileQueue(world / labelling.QUEUE).items()) == len(items) + n_asked
    again = str(monitor.ask.fn().message)  # what waits for people is not asked again
    assert again == f"0 texts sent; {len(items) + n_asked} wait for answers, and nothing more is needed for {VERSION}"


def test_a_drift_that_peoples_labels_show_to_be_harmless_is_no_alert(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People say that the model is right on texts as it never saw them; what the model itself thinks does not count."""
    monkeypatch.setattr(monitoring, "utc_now", lambda: START + timedelta(hours=2))
    serve_hour(world, 1, long_ones(100))
    monitor.inspect(world, START + timedelta(hours=2))
    monitor.ask.fn(n=40)
    items = FileQueue(world / labelling.QUEUE).items()
    texts = {row["text"]: row["predicted"] for row in monitoring.read_log_since(world, None).to_pylist()}
    for person in ("anna", "ben"):
        answer(world, person, {name: texts[item.text] for name, item in items.items()})
    label.pull.fn()
    serve_hour(world, 2, long_ones(300))
    _, alerts, _ = monitor.inspect(world, LATER)
    latest = monitoring.read_history(world)[-1]
    assert latest["drift"]["again"]
    assert alerts == []
    [found] = [item for item in latest["findings"] if item["kind"] == "drift"]
    assert found["severity"] == "warning"
    assert "Harmless so far" in found["message"]
    assert "by 40 labels of this traffic" in found["message"]


def _reference_accuracy(root: Path) -> float:
    params = read_monitor_params(root)
    return estimator_of(served.served(root, VERSION, params).reference).accuracy


def test_a_window_is_judged_against_the_model_that_answered_it(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The champion changes between the end of the window and the monitor's run."""
    serve_hour(world, 0, usual(50))
    monitor.inspect(world, START + timedelta(hours=2))  # its reference is made while the bundle is there
    serve_hour(world, 2, usual(60))
    shutil.rmtree(world / "models/baseline")  # another champion's bytes are in its place by now
    write_json(world / "models/champion.json", {"bundle": "models/other", "version": "sentiment@v2.0.0"})
    _, alerts, _ = monitor.inspect(world, LATER)
    assert alerts == []
    latest = monitoring.read_history(world)[-1]
    assert latest["model_version"] == VERSION
    assert latest["drift"]["drifted"] is False


def test_a_window_of_an_unknown_model_is_an_alert_and_not_judged_by_another(world: Path) -> None:
    serve_hour(world, 0, usual(50), version="sentiment@v9.0.0")
    _, alerts, _ = monitor.inspect(world, LATER)
    assert [item.key for item in alerts] == ["log.no_reference"]
    assert monitoring.read_history(world)[-1]["drift"] is None
    assert "sentiment@v9.0.0" in (world / monitoring.PAGE).read_text()


def test_a_window_that_two_models_answered_is_judged_in_parts(world: Path) -> None:
    bundle = reference.bundle_version(world / "models/baseline")
    versions = [VERSION] * 150 + [bundle] * 150
    serve_hour(world, 0, usual(50, 300), model_version=versions)
    monitor.inspect(world, LATER)
    history = monitoring.read_history(world)
    assert [(item["model_version"], item["n_answered"]) for item in history] == [(VERSION, 150), (bundle, 150)]
    assert len({item["end"] for item in history}) == 1


def test_health_checks_are_named_and_start_no_retraining(world: Path) -> None:
    """A fixed text as a share of the requests, in three hours; then excluded by rule."""
    check, sender = "health check: the service is up and well", ["probe"] * 40 + ["k1"] * 110
    for hour in range(3):
        serve_hour(world, hour, [check] * 40 + usual(50 + hour, 110), key_id=sender)
    _, alerts, _ = monitor.inspect(world, LATER)
    history = monitoring.read_history(world)
    assert [item["drift"]["drifted"] for item in history] == [False] * 3
    assert not [item for item in alerts if item.kind in ("drift", "decay")]
    [named] = [item for item in history[-1]["findings"] if item["name"].startswith("repeated_text.")]
    assert text_id(check) in named["message"]
    assert "from key probe" in named["message"]
    shutil.rmtree(world / outbox.REPORTS)
    settings = (world / "live.yaml").read_text().replace("exclude_keys: []", "exclude_keys: [probe]")
    (world / "live.yaml").write_text(settings)
    _, alerts, _ = monitor.inspect(world, LATER)
    latest = monitoring.read_history(world)[-1]
    assert latest["excluded"] == {"n": 40, "by_key": 40, "by_text": 0}
    assert (alerts, [item for item in latest["findings"] if item["kind"] == "anomaly"]) == ([], [])


def test_an_alert_is_sent_again_after_a_day_and_after_it_was_gone(tmp_path: Path) -> None:
    alert = Finding("anomaly", "slow", "alert", "slow", {})
    warning = Finding("anomaly", "shed", "warning", "shed", {})

    def n_sent(findings: list[Finding], hours: float) -> int:
        due = outbox.put(tmp_path, "m@1", findings, "runbook.md", START + timedelta(hours=hours), "page.html")
        assert outbox.send(tmp_path, lambda events: {event["id"] for event in events}) <= 1
        return len(due)

    assert [n_sent([alert, warning], 0), n_sent([alert], 1), n_sent([alert], 23), n_sent([alert], 24)] == [1, 0, 0, 1]
    assert [n_sent([], 25), n_sent([alert], 26)] == [0, 1]


def test_findings_of_a_kind_are_one_event_with_the_runbook(tmp_path: Path) -> None:
    found = [Finding("anomaly", name, "alert", f"{name}.", {"n": 1.0}) for name in ("slow", "errors")]
    outbox.put(tmp_path, "m@1", [*found, Finding("drift", "requests", "alert", "d.", {})], "https://x", LATER, "p")
    anomalies, drifted = outbox.read(tmp_path)
    assert (anomalies["key"], anomalies["keys"]) == ("anomaly.2_findings", ["anomaly.errors", "anomaly.slow"])
    assert anomalies["runbook"] == "https://x#if-the-alert-is-anomaly"
    assert drifted["key"] == "drift.requests"


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("at", ["append_history", "announce", "after"])
def test_an_alert_survives_a_kill_and_is_known_by_its_id(world: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Killed between outbox and history, before it is sent, and after that before it is known to have arrived."""
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(monitoring, "utc_now", lambda: LATER)
    monkeypatch.setattr(monitor, "emit_event", lambda name, *_, id=None, **__: sent.append((name, str(id))))
    monkeypatch.setattr(monitor, "confirmed", set)
    drift(world)

    def kill(*_: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        place: Any = {"append_history": monitoring, "announce": monitor, "after": monitor}[at]
        patch.setattr(place, "confirmed" if at == "after" else at, kill)
        with pytest.raises(Killed):
            monitor.monitor.fn()
    monitor.monitor.fn()
    monitor.monitor.fn()
    ids = [own for name, own in sent if name == monitor.ALERT]
    assert len(set(ids)) == 1
    assert len(ids) == (2 if at == "after" else 1)
    assert [item["drift"]["drifted"] for item in monitoring.read_history(world)] == [False, True, True]
    assert outbox.read(world) == []


def answer_all(root: Path, ids: list[str]) -> None:
    """Two annotators who agree."""
    for annotator in ("anna", "ben"):
        answer(root, annotator, dict.fromkeys(ids, "positive"))


def test_what_drifted_is_asked_about_trained_on_and_stops_before_the_release(
    world: Path, events: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    drift(world)
    monitor.inspect(world, LATER)
    now = datetime.now(UTC).isoformat()
    ran: list[str] = []

    def trains(**_: Any) -> Any:
        ran.append("pipeline")
        write_json(world / "reports/decision.json", {"verdict": "accepted", "chosen": "student"})
        return Completed()

    monkeypatch.setattr(retrain, "pipeline", trains)
    first = retrain.retrain.fn(key="drift.requests", model_version=VERSION, occurred=now)
    assert first.name == retrain.WAITING
    items = FileQueue(world / labelling.QUEUE).items()
    assert len(items) == 10
    assert all(item.source == "production" and item.text.startswith("number ") for item in items.values())
    again = retrain.retrain.fn(key="drift.requests", model_version=VERSION, occurred=now)
    assert again.name == retrain.WAITING
    assert FileQueue(world / labelling.QUEUE).items().keys() == items.keys()
    assert ran == []
    answer_all(world, sorted(items))
    label.pull.fn()
    done = retrain.retrain.fn()
    assert ran == ["pipeline"]
    assert "ratchet release" in str(done.message)
    assert events[-1][0] == monitor.ALERT
    assert retraining.read_request(world) is None
    assert read_json(world / retraining.CLOSED)["key"] == "drift.requests"
    assert read_json(world / "models/champion.json")["bundle"] is None
    assert retrain.retrain.fn().name == retrain.WAITING


def test_a_training_that_fails_keeps_the_request(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drift(world)
    monitor.inspect(world, LATER)
    monkeypatch.setattr(retrain, "pipeline", lambda **_: Failed(message="a stage failed"))
    retrain.retrain.fn(key="drift.requests", model_version=VERSION)
    answer_all(world, sorted(FileQueue(world / labelling.QUEUE).items()))
    label.pull.fn()
    with pytest.raises(PipelineError, match="retraining failed"):
        retrain.retrain.fn()
    assert retraining.read_request(world) is not None


def ask(root: Path) -> list[str]:
    """A label request after drift: the ids of its texts."""
    drift(root)
    monitor.inspect(root, LATER)
    assert retrain.retrain.fn(key="drift.requests", model_version=VERSION).name == retrain.WAITING
    return sorted(FileQueue(root / labelling.QUEUE).items())


def test_texts_that_everybody_skips_do_not_hold_a_retraining_up(
    world: Path, events: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def trains(**_: Any) -> Any:
        ran.append(1)
        return Failed(message="stop here")

    monkeypatch.setattr(retrain, "pipeline", trains)
    names = ask(world)
    labels = {**dict.fromkeys(names, "skip"), names[0]: "positive"}
    for person in ("anna", "ben"):
        answer(world, person, labels)
    label.pull.fn()
    with pytest.raises(PipelineError, match="stop here"):
        retrain.retrain.fn()
    assert ran == [1]


@pytest.mark.parametrize("n_answered", [0, 2])
def test_a_request_ends_by_its_deadline_with_what_there_is(
    world: Path, events: list[Any], monkeypatch: pytest.MonkeyPatch, n_answered: int
) -> None:
    ran: list[int] = []

    def trains(**_: Any) -> Any:
        ran.append(1)
        return Failed(message="stop here")

    monkeypatch.setattr(retrain, "pipeline", trains)
    names = ask(world)
    for person in ("anna", "ben"):
        answer(world, person, dict.fromkeys(names[:n_answered], "positive"))
    label.pull.fn()
    waiting = retrain.retrain.fn()
    assert f"{n_answered} of 10 texts are decided" in str(waiting.message)
    if n_answered:
        with pytest.raises(PipelineError, match="stop here"):
            retrain.retrain.fn(max_wait_days=0)
        assert ran == [1]
    else:
        assert "ended without a label" in str(retrain.retrain.fn(max_wait_days=0).message)
        assert retraining.read_request(world) is None
        assert "expired_at" in read_json(world / retraining.CLOSED)
        assert "no labels were asked for" in str(retrain.retrain.fn().message)
        assert ran == []


def test_a_request_that_everybody_skips_is_closed(world: Path, events: list[Any]) -> None:
    names = ask(world)
    for person in ("anna", "ben"):
        answer(world, person, dict.fromkeys(names, "skip"))
    label.pull.fn()
    assert "10 are unusable" in str(retrain.retrain.fn().message)
    assert retraining.read_request(world) is None


def test_requests_are_listed_and_cancelled(world: Path, events: list[Any]) -> None:
    def call(*words: str) -> str:
        done = CliRunner().invoke(app, ["requests", *words])
        return done.output if done.exception is None else str(done.exception)

    assert "no label request is open" in call()
    assert "There is no such label request" in call("--cancel", "drift.requests")
    ask(world)
    assert "0 of 10 texts decided, 0 unusable, 10 waiting" in call()
    assert "There is no such label request" in call("--cancel", "drift.tokens")
    assert "cancelled: drift.requests, 10 texts" in call("--cancel", "drift.requests")
    assert "no label request is open" in call()
    assert "cancelled_at" in read_json(world / retraining.CLOSED)
    logged = [entry for entry in entries(log_path(world)) if entry.details.get("direction") == "cancel"]
    assert [(entry.subject, entry.details["n_texts"]) for entry in logged] == [("drift.requests", 10)]


def test_half_of_what_is_asked_is_a_random_sample_kept_apart(world: Path) -> None:
    ask(world)
    chosen = [item.query_strategy for item in FileQueue(world / labelling.QUEUE).items().values()]
    assert sorted(chosen) == ["drift"] * 5 + ["drift_random"] * 5


@pytest.mark.parametrize(("version", "hours", "why"), [(VERSION, 13, "hours ago"), ("m@v0.9.0", 1, "is served")])
def test_stale_triggers_do_nothing(world: Path, version: str, hours: float, why: str) -> None:
    drift(world)
    monitor.inspect(world, LATER)
    occurred = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    state = retrain.retrain.fn(key="drift.requests", model_version=version, occurred=occurred)
    assert state.name == retrain.STALE
    assert why in str(state.message)
    assert not (world / labelling.QUEUE).exists()


def test_a_server_that_is_away_confirms_nothing_and_the_alert_waits(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx
    from prefect.client import orchestration

    def away(**_: Any) -> Any:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(monitor, "emit_event", lambda *_, **__: None)
    monkeypatch.setattr(orchestration, "get_client", away)
    outbox.put(world, VERSION, [Finding("drift", "requests", "alert", "d.", {})], "runbook.md", LATER, "page.html")
    assert outbox.send(world, monitor.announce) == 0
    assert [event["key"] for event in outbox.read(world)] == ["drift.requests"]
