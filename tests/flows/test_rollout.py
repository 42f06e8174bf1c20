"""A rollout: a good challenger goes all the way, a bad one goes back, and a kill anywhere changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy

from benchmarks import simulation
from flows.reference import FEATURES, LEXICON
from flows.rollout import flow as rollout
from flows.rollout.files import read_params, read_state
from flows.rollout.flow import advance, by_release, start, stop
from ratchet.errors import BundleError, ParamsError, PipelineError
from ratchet.experiments.assignment import Experiment, assign, read_experiment
from ratchet.experiments.rollout import Rollout
from ratchet.files import write_json
from ratchet.models.bundle import Manifest, write_bundle
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.tables import TABLES
from ratchet.registry.audit_log import entries, log_path
from ratchet.trust.slices import LENGTH_EDGES
from tests.support.films import FILMS
from tests.support.miniature import ROOT

Answer = Callable[[Mapping[Any, Any], np.random.Generator], str]
LIVE = """
log: {url: "sqlite:///log.db", folder: log, batch_size: 500, interval_ms: 200, queue_size: 50000, retention_days: 90,
      personal_data: mask, regions: [US]}
rollout:
  experiment: live/experiment.json
  state: live/rollout.json
  alpha: 0.05
  feedback_delay_s: 20.0
  steps:
    - {name: shadow, share: 0.0, margin: 0.05, min_units: 200, max_units: 2000}
    - {name: small, share: 0.05, margin: 0.2, min_units: 200, max_units: 4000}
    - {name: half, share: 0.5, margin: 0.1, min_units: 200, max_units: 4000}
  guardrails: {alpha: 0.05, slow_ms: 100.0, max_failed_increase: 0.02, max_slow_increase: 0.05,
               max_complaint_increase: 0.05, features: [length], attributes: [gender], max_group_loss: 0.25}
"""
OTHER = {"positive": "negative", "negative": "positive"}
USERS = simulation.Habits(thumb_down=0.4, correction=0.5)
ANNOTATORS = simulation.Habits(thumb_down=0.0, thumb_up=1.0, correction=1.0, mistaken=0.0)
"""Everything is looked at, as disagreements in shadow mode must be: few users judge what nobody saw."""


def right_in(rate: float, women: float | None = None) -> Answer:
    """A model that is right so often, and otherwise so where a text speaks of women."""

    def answer(asked: Mapping[Any, Any], rng: np.random.Generator) -> str:
        right = rng.random() < (women if women is not None and "She" in asked["text"] else rate)
        return str(asked["label"]) if right else OTHER[asked["label"]]

    return answer


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a challenger."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RATCHET_AUDIT_LOG", raising=False)
    (tmp_path / "live.yaml").write_text(LIVE)
    write_json(tmp_path / LENGTH_EDGES, {"edges": [12, 25]})
    (tmp_path / LEXICON).parent.mkdir(parents=True)
    for path in (LEXICON, FEATURES):
        shutil.copy(FILMS / path, tmp_path / path)
    manifest = Manifest(
        name="new",
        kind="tfidf",
        precision="fp64",
        labels=sorted(OTHER),
        max_tokens=0,
        parent="",
        params_sha256="1" * 64,
        data_sha256="2" * 64,
    )
    write_bundle(tmp_path / "models/new", manifest, lambda folder: write_json(folder / "w.json", 1), ())
    return tmp_path


CHAMPION = right_in(0.8)


def serve(
    root: Path,
    n: int,
    challenger: Answer,
    *,
    seed: int = 0,
    failing: float = 0.0,
    hours: int = 0,
    distinct: bool = False,
    texts_served: tuple[str, ...] = ("a film that was seen",),
) -> None:
    """Answer requests as the server would under the experiment that stands, and let users give feedback."""
    rng, experiment = np.random.default_rng(seed), read_experiment(root / "live/experiment.json")
    texts = pd.DataFrame([{"text": text, "label": label} for text in texts_served for label in sorted(OTHER)])
    began = pd.Timestamp.now("UTC") + pd.Timedelta(hours=hours)
    asked = simulation.requests(texts, n, began, 10.0, rng, prefix=f"{experiment.step}-{seed}")
    if distinct:  # the first word is the right class, for those who are asked
        asked["text"] = [f"{row.label} film number {row.request_id}" for row in asked.itertuples()]
    shown = [_answers(row, experiment, challenger, failing, rng) for row in asked.to_dict("records")]
    rows = [answer for answers in shown for answer in answers]
    first = pd.DataFrame([answers[0] for answers in shown]).merge(asked[["request_id", "label"]], on="request_id")
    habits = ANNOTATORS if experiment.mode == "shadow" else USERS
    feedback = simulation.feedback(first, habits, rng, within_s=20.0).astype(object)
    engine = open_database("sqlite:///log.db")
    with engine.begin() as connection:
        for name, found in (
            ("predictions", rows),
            ("feedback", feedback.where(feedback.notna(), None).to_dict("records")),
        ):
            stamped = [{**row, "timestamp": row["timestamp"].value // 1000} for row in found]
            if stamped:
                connection.execute(sqlalchemy.insert(TABLES[name]), stamped)
    engine.dispose()


def _answers(
    asked: Mapping[Any, Any], experiment: Experiment, challenger: Answer, failing: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    arms = [assign(asked["request_id"], experiment), *(["shadow"] if experiment.mode == "shadow" else [])]
    answers = []
    for arm in arms:
        model, failed = CHAMPION if arm == "champion" else challenger, arm != "champion" and rng.random() < failing
        answers.append(
            {
                "timestamp": asked["timestamp"],
                "request_id": asked["request_id"],
                "text": asked["text"],
                "predicted": None if failed else model(asked, rng),
                "confidence": 0.9,
                "model_version": arm,
                "proba": None,
                "latency_ms": 5.0,
                "status": 500 if failed else 200,
                "key_id": "",
                "arm": arm,
                "experiment": experiment.logged(asked["request_id"]),
            }
        )
    return answers


def nobody(state: Rollout) -> tuple[str, str]:
    """Approvals that are missing."""
    return "Waiting", "0 of 1 approvals"


def log_of(root: Path) -> list[tuple[str, str]]:
    """Action and step of each entry of the audit log."""
    return [(entry.action, str(entry.details["step"])) for entry in entries(log_path(root))]


def test_a_good_challenger_goes_all_the_way_and_waits_for_its_approvals(world: Path) -> None:
    state = start(world, "first", Path("models/new"), "", "better in tests")
    assert read_experiment(world / "live/experiment.json").mode == "shadow"
    units = [f"u{index}" for index in range(300)]
    served: list[set[str]] = []
    for step, n in (("shadow", 800), ("small", 3000), ("half", 1500)):
        assert (state.status, state.step) == ("running", step)
        served.append({unit for unit in units if assign(unit, state.experiment(read_params(world))) != "champion"})
        serve(world, n, right_in(0.9))
        state = advance(world, nobody)
    assert served[0] == set() < served[1] < served[2]
    assert state.status == "proved"
    users = state.evidence["satisfaction"]
    assert users["challenger"]["complaint_rate"]["value"] < users["champion"]["complaint_rate"]["value"]
    assert users["challenger"]["n_with_feedback"] > 50
    assert advance(world, nobody) == read_state(world, read_params(world))
    assert len(log_of(world)) == state.n
    assert read_experiment(world / "live/experiment.json").share == 0.5
    state = advance(world, lambda state: ("Promoted", "sentiment@v2.0.0 is the champion"))
    assert state.status == "promoted"
    assert read_experiment(world / "live/experiment.json").mode == "off"
    assert log_of(world) == [("rollout", step) for step in ("shadow", "small", "half", "half", "half")]
    with pytest.raises(ParamsError, match="ended"):
        stop(world, "too late")


@pytest.mark.parametrize(("step", "n"), [("shadow", 600), ("half", 3000)])
def test_a_bad_challenger_goes_back_at_any_step(world: Path, step: str, n: int) -> None:
    state = start(world, "first", Path("models/new"), "", "planted")
    if step == "half":
        for n_before in (800, 3000):
            serve(world, n_before, right_in(0.9))
            state = advance(world, nobody)
    assert state.step == step
    serve(world, n, right_in(0.45), seed=1)
    state = advance(world, nobody)
    assert (state.status, state.step) == ("rolled_back", step)
    assert "worse by more" in state.why or "stopped by" in state.why
    assert read_experiment(world / "live/experiment.json").mode == "off"
    last = entries(log_path(world))[-1]
    assert (last.action, last.details["step"]) == ("rollback", step)
    assert float(last.details["high"]) < 0
    assert advance(world, nobody) == read_state(world, read_params(world))
    assert len(log_of(world)) == state.n


def test_a_challenger_that_fails_is_stopped_by_its_guard_although_its_answers_are_good(world: Path) -> None:
    start(world, "first", Path("models/new"), "", "crashes now and then")
    serve(world, 600, right_in(0.99), failing=0.15)
    state = advance(world, nobody)
    assert state.status == "rolled_back"
    assert "failed answers" in state.why


TEXTS = ("She carries it.", "He carries it.", "A film.", "A long film.", "It is over.")


@pytest.mark.parametrize(("step", "n"), [("shadow", 1000), ("half", 4000)])
def test_a_challenger_that_serves_one_group_of_people_worse_is_stopped_however_good_it_is_for_the_others(
    world: Path, step: str, n: int
) -> None:
    start(world, "first", Path("models/new"), "", "better for most")
    for n_before in (800, 3000) if step == "half" else ():
        serve(world, n_before, right_in(0.9))
        assert advance(world, nobody).status == "running"
    serve(world, n, right_in(0.98, women=0.1), seed=1, texts_served=TEXTS)
    state = advance(world, nobody)
    assert (state.status, state.step, state.why) == ("rolled_back", step, "stopped by good answers, gender=women")
    assert (entries(log_path(world))[-1].action, entries(log_path(world))[-1].why) == ("rollback", state.why)
    assert read_experiment(world / "live/experiment.json").mode == "off"


def test_a_challenger_that_serves_all_people_alike_goes_on_and_says_of_whom_it_saw_too_little(world: Path) -> None:
    start(world, "first", Path("models/new"), "", "better for all")
    serve(world, 1000, right_in(0.95), texts_served=TEXTS)
    state = advance(world, nobody)
    assert (state.status, state.step) == ("running", "small")
    assert "open, by group (texts): gender=several (0)" in state.why  # nothing spoke of both
    assert "gender=women" not in state.why


def test_an_undecided_step_stays_and_is_rolled_back_in_the_end(world: Path) -> None:
    start(world, "first", Path("models/new"), "", "the same")
    assert advance(world, nobody).step == "shadow"  # nothing was seen yet
    serve(world, 100, right_in(0.8))
    state = advance(world, nobody)
    assert (state.status, state.n, state.evidence["decision"]) == ("running", 1, "stay")
    (world / "live.yaml").write_text(
        LIVE.replace("margin: 0.05, min_units: 200, max_units: 2000", "margin: 0.0, min_units: 1, max_units: 50")
    )
    state = advance(world, nobody)
    assert state.status == "rolled_back"
    assert "undecided after" in state.why


@pytest.mark.parametrize("killed_in", ["write_experiment", "record"])
def test_a_rollout_killed_within_a_change_carries_on_and_logs_it_once(
    world: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str
) -> None:
    start(world, "first", Path("models/new"), "", "better in tests")
    serve(world, 800, right_in(0.9))
    real = getattr(rollout, killed_in)

    def kill(*arguments: Any, **named: Any) -> None:
        if killed_in == "record":
            real(*arguments, **named)  # the entry is written, and nobody gets to know
        raise KeyboardInterrupt

    monkeypatch.setattr(rollout, killed_in, kill)
    with pytest.raises(KeyboardInterrupt):
        advance(world, nobody)
    monkeypatch.setattr(rollout, killed_in, real)
    state = advance(world, nobody)
    assert (state.step, state.settled) == ("small", True)
    assert read_experiment(world / "live/experiment.json").share == 0.05
    assert log_of(world) == [("rollout", "shadow"), ("rollout", "small")]


def test_what_was_logged_before_a_step_does_not_count_for_it(world: Path) -> None:
    start(world, "first", Path("models/new"), "", "better in tests")
    serve(world, 800, right_in(0.9))
    advance(world, nobody)
    state = advance(world, nobody)
    assert state.step == "small"
    assert state.evidence["difference"]["n"] == 0


def test_a_proved_challenger_that_turns_bad_while_it_waits_goes_back(world: Path) -> None:
    start(world, "first", Path("models/new"), "", "better in tests")
    for n in (800, 3000, 1500):
        serve(world, n, right_in(0.9))
        state = advance(world, nobody)
    assert state.status == "proved"
    serve(world, 4000, right_in(0.1), seed=1, hours=1)
    asked: list[Rollout] = []
    state = advance(world, lambda state: (asked.append(state), ("Promoted", ""))[1])  # type: ignore[func-returns-value]
    assert (state.status, asked) == ("rolled_back", [])


def test_a_rejected_one_and_one_stopped_by_hand_go_back(world: Path) -> None:
    start(world, "first", Path("models/new"), "", "one")
    state = stop(world, "people complained on the telephone")
    assert (state.status, state.why) == ("rolled_back", "people complained on the telephone")
    with pytest.raises(PipelineError, match="had this name"):
        start(world, "first", Path("models/new"), "", "again")
    start(world, "second", Path("models/new"), "", "again")
    with pytest.raises(PipelineError, match="Another rollout is running"):
        start(world, "third", Path("models/new"), "", "at the same time")


def test_errors_are_raised_before_anything_is_written(world: Path) -> None:
    with pytest.raises(PipelineError, match="no rollout"):
        advance(world, nobody)
    with pytest.raises(BundleError):
        start(world, "first", Path("models/absent"), "", "why")
    assert not (world / "live/experiment.json").exists()
    (world / "live.yaml").write_text(LIVE.replace("[gender]", "[hair]"))
    with pytest.raises(ParamsError, match=r"hair(.|\n)*gender, age"):
        start(world, "first", Path("models/new"), "", "why")
    assert not (world / "live/rollout.json").exists()
    for invalid in ("share: 0.05", "name: small"):
        (world / "live.yaml").write_text(LIVE.replace(invalid, invalid.replace("0.05", "0.0").replace("small", "half")))
        with pytest.raises(ParamsError, match=r"shares|same name"):
            start(world, "first", Path("models/new"), "", "why")
    (world / "live.yaml").write_text(LIVE)
    start(world, "first", Path("models/new"), "", "why")
    (world / "live/rollout.json").write_text("{}")
    with pytest.raises(PipelineError, match="no rollout"):
        advance(world, nobody)


def test_disagreements_go_to_people_and_their_answers_decide(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.labelling import collecting
    from flows.labelling import steps as labelling
    from flows.rollout.files import send_disagreements
    from ratchet.labels.queues import FileQueue

    monkeypatch.delenv(labelling.URL, raising=False)
    monkeypatch.setattr("tests.flows.test_rollout.ANNOTATORS", simulation.Habits(0.0, 0.0, 0.0, 0.0))
    monkeypatch.setattr(labelling, "track", lambda *_: None)
    monkeypatch.setenv(labelling.KEY, "a key for tests")
    monkeypatch.setattr(labelling, "class_labels", lambda root: sorted(OTHER))
    monkeypatch.setattr(collecting, "_pool_items", lambda root: {})
    write_json(world / labelling.POINTER, {"batches": []})
    write_json(world / "params.yaml", {"ingest": {"repairs": []}, "validate": {"personal_data": "off", "regions": []}})
    start(world, "first", Path("models/new"), "", "better in tests")
    serve(world, 600, right_in(0.95), distinct=True)
    assert advance(world, nobody).evidence["difference"]["n"] == 0  # all wait to be judged
    n_sent, _ = send_disagreements(world, 400, 1)
    assert n_sent > 100
    assert send_disagreements(world, 400, 1)[0] == 0
    queue = FileQueue(world / labelling.QUEUE)
    assert {(item.reason, item.suggested) for item in queue.items().values()} == {
        ("champion and challenger disagree", "")
    }
    answers = world / "answers.csv"
    rows = [f"{item.text},{item.text.split()[0]},ann" for item in queue.items().values()]
    answers.write_text("\n".join(["text,label,annotator", *rows]) + "\n")
    found = collecting.fetch(world, queue, FileQueue(world / labelling.CONFLICTS), str(answers))
    collecting.add_to_store(world, queue, found, 1, 0.5)
    state = advance(world, nobody)
    assert (state.step, state.status) == ("small", "running")
    with pytest.raises(PipelineError, match="shadow mode"):
        send_disagreements(world, 10, 1)


def test_the_role_of_champion_is_asked_of_the_release_with_the_version_that_was_proved(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import release

    asked: list[tuple[str, str]] = []

    def promote(request: release.Request, version: Any) -> tuple[str, str]:
        asked.append((version.tag, request.key))
        return release.REJECTED, "rejected by ann"

    monkeypatch.setattr(release, "promote", promote)
    begun = start(world, "first", Path("models/new"), "sentiment@v2.0.0", "why")
    proved = begun.model_copy(update={"status": "proved"})
    assert by_release(world, "key")(proved) == ("Rejected", "rejected by ann")
    assert asked == [("sentiment@v2.0.0", "key")]
    unreleased = proved.model_copy(update={"version": ""})
    assert by_release(world, "key")(unreleased)[0] == release.WAITING
    assert release.PROMOTED in rollout.ENDS
    assert release.REJECTED in rollout.ENDS
    assert release.WAITING not in rollout.ENDS


def test_the_settings_of_the_repository_hold() -> None:
    params = read_params(ROOT)
    assert [step.share for step in params.steps] == [0.0, 0.05, 0.5]
    assert json.loads(params.model_dump_json())["alpha"] <= 0.05


def _late_complaints(root: Path, arm: str) -> None:
    """Every user of one arm complains of what was answered long ago."""
    engine = open_database("sqlite:///log.db")
    with engine.begin() as connection:
        predictions = TABLES["predictions"]
        query = sqlalchemy.select(predictions.c.request_id).where(predictions.c.arm == arm)
        now = int(pd.Timestamp.now("UTC").value // 1000)
        late = [
            {"timestamp": now, "request_id": name, "kind": "thumb", "value": -1.0, "label": None}
            for name in connection.execute(query).scalars().all()
        ]
        connection.execute(sqlalchemy.insert(TABLES["feedback"]), late)
    engine.dispose()


def _to_half(root: Path) -> None:
    start(root, "first", Path("models/new"), "", "better in tests")
    for n in (800, 3000):
        serve(root, n, right_in(0.9))
        state = advance(root, nobody)
    assert (state.step, state.champion) == ("half", "")


def test_an_outcome_is_bet_on_once_however_late_users_complain(world: Path) -> None:
    _to_half(world)
    serve(world, 380, right_in(0.8), seed=3)
    before = advance(world, nobody)
    assert before.evidence["decision"] == "stay"
    assert before.evidence["difference"]["n"] > 50
    _late_complaints(world, "challenger")
    assert json.dumps(advance(world, nobody).evidence) == json.dumps(before.evidence)


def test_a_step_is_against_one_champion_and_begins_anew_with_another(world: Path) -> None:
    _to_half(world)
    serve(world, 380, right_in(0.8), seed=3)
    before = advance(world, nobody)
    assert before.champion == "champion"
    serve(world, 400, right_in(0.8), seed=4, hours=1)
    _swap_champion(world, 4)
    state = advance(world, nobody)
    assert state.why == "the champion changed from champion to sentiment@v2: the step begins anew"
    assert (state.status, state.step, state.champion, state.evidence) == ("running", "half", "sentiment@v2", {})
    assert log_of(world)[-1] == ("rollout", "half")
    state = advance(world, nobody)
    assert 0 < state.evidence["difference"]["n"] <= 400
    assert (state.n, state.champion) == (before.n + 1, "sentiment@v2")


def _swap_champion(root: Path, seed: int) -> None:
    """The answers of one lot were those of another champion."""
    engine, predictions = open_database("sqlite:///log.db"), TABLES["predictions"]
    lot = (predictions.c.arm == "champion") & predictions.c.request_id.like(f"half-{seed}%")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.update(predictions).where(lot).values(model_version="sentiment@v2"))
    engine.dispose()
