"""The whole story after the first promotion, on this machine and without any other:  make demo

A champion is released and serves Rotten Tomatoes texts; IMDb texts arrive; the monitor finds the drift; texts go to
two simulated annotators; the pipeline retrains, the gates judge; the challenger proves itself in the shadow, on 5 % and
on half of the requests; two people approve, it is promoted; a planted bad model is sent back. Everything is the real
program: the server, its log, the registry's signatures and hook, DVC, the label store, the monitor, the rollout. Only
the pipeline's model is small, and the people are simulated by the data set's own labels.
"""

from __future__ import annotations

import csv
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examples.story.client import Client
    from examples.story.world import World

CHECK_EVERY, MAX_CHECKS = 300, 36
"""Requests between two looks at the rollout, and looks at most."""


def play(folder: Path, source: Path) -> list[dict[str, Any]]:
    """Play the story; its timeline.

    Raises:
        PipelineError: an expected event did not happen.
    """
    from examples.story import world as demo_world
    from examples.story.client import Client
    from examples.story.page import Timeline

    timeline = Timeline()
    world = demo_world.make_world(folder.resolve(), source.resolve())
    os.chdir(world.root)  # the flows work on the repository that they are run in
    os.environ |= {
        name: world.environment()[name] for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "PYTHONPATH")
    }
    os.environ |= {"RATCHET_WHO": "ann", "RATCHET_PSEUDONYM_KEY": "demo"}
    timeline.add("world", "A Git server that judges pushes, four people with keys, 1,500 labelled texts.")
    _release(world, timeline, "the first one")
    with demo_world.serving(world) as (url, secret), closing(Client(url, secret)) as client:
        timeline.add("serve", "The champion serves, verified by its signatures.", **client.model())
        _ordinary_traffic(world, client, timeline)
        finding = _drift(world, client, timeline)
        _label(world, finding, timeline)
        _rollout(world, client, timeline)
        _bad_model(world, client, timeline)
    return timeline.entries


def _release(world: World, timeline: Any, why: str) -> Any:
    """Train, decide, push, release, approve twice, promote; the version."""
    version = _propose(world, timeline, why)
    _promote(world, timeline, version)
    return version


def _propose(world: World, timeline: Any, why: str) -> Any:
    from examples.story import world as demo_world
    from flows import release
    from ratchet.errors import PipelineError
    from ratchet.files import read_json

    decision = demo_world.run_pipeline(world)
    bundles = read_json(world.root / "reports/evaluate.json")["bundles"]
    accuracy = {name: round(item["metrics"]["accuracy"]["value"], 3) for name, item in bundles.items()}
    timeline.add("train and gate", f"The pipeline ran: {decision['verdict']}.", **accuracy)
    demo_world.commit_and_push(world, f"Measure: {why}")
    version = release.propose(_request(world, why))
    if version is None:
        raise PipelineError("The gates rejected the model of the story.", got=decision["reasons"])
    timeline.add("release", f"{version.tag} is signed and pushed; the server's hook judged every gate again.")
    return version


def _promote(world: World, timeline: Any, version: Any) -> None:
    from flows import release
    from ratchet.errors import PipelineError

    state, why = release.promote(_request(world, "as measured"), version)
    if state != release.WAITING:
        raise PipelineError("It was promoted without approvals.", got=state)
    timeline.add("approval", f"It waits: {why.split(':')[0]}.")
    _approve(world, version)
    state, why = release.promote(_request(world, "as measured"), version)
    if state != release.PROMOTED:
        raise PipelineError("The promotion failed.", got=why)
    timeline.add("promotion", f"bob and cay approved; {why}.")


def _approve(world: World, version: Any) -> None:
    from examples.story import world as demo_world

    for who in ("bob", "cay"):
        demo_world.approve(world, version, who, "the figures are good")


def _request(world: World, why: str) -> Any:
    from flows.release import Request

    return Request(world.root, "ann", why, key=str(world.keys / "ann"), model_key=str(world.keys / "model.pem"))


def _ordinary_traffic(world: World, client: Client, timeline: Any) -> None:
    import pandas as pd

    from ratchet.errors import PipelineError

    texts = pd.read_parquet(world.folder / "known_traffic.parquet").head(1000)
    accuracy = client.ask(texts)
    alerts = _monitor(world)
    drifted = [item.key for item in alerts if item.kind == "drift"]
    if drifted:
        raise PipelineError("Ordinary traffic was taken for drift.", got=", ".join(drifted))
    timeline.add("ordinary traffic", "1,000 Rotten Tomatoes texts; the monitor finds no drift.", accuracy=accuracy)


def _monitor(world: World) -> list[Any]:
    """Run the monitor once the log is written; the alerts."""
    import time

    from flows.monitoring import flow as monitor
    from flows.monitoring import steps as monitoring

    time.sleep(1.0)
    return monitor.inspect(world.root, monitoring.utc_now())[1]


def _drift(world: World, client: Client, timeline: Any) -> Any:
    import pandas as pd

    from ratchet.errors import PipelineError

    texts = pd.read_parquet(world.folder / "new_traffic.parquet")
    accuracy = client.ask(texts.head(1000))
    timeline.add("new traffic", "1,000 IMDb texts arrive; the server is not informed.", accuracy=accuracy)
    alerts = _monitor(world)
    for item in alerts:
        timeline.add("alert", f"{item.key}: {item.message}")
    found = [item for item in alerts if item.kind == "drift"]
    if not found:
        raise PipelineError("The drift was not found.", got=[item.key for item in alerts])
    return found[0]


def _label(world: World, finding: Any, timeline: Any) -> None:
    """Have texts of the drifted windows labelled by two annotators, who answer with the data set's labels."""
    import pandas as pd

    from flows.labelling import collecting
    from flows.labelling import steps as labelling
    from flows.monitoring import steps as monitoring
    from flows.retraining import steps as retraining
    from ratchet.data.personal_data import mask_personal_data

    request = retraining.request_labels(
        world.root, finding.key, retraining.served_version(world.root), 0, 2, monitoring.utc_now()
    )
    queue = labelling.open_queue(world.root, 2)
    sent = pd.read_parquet(world.folder / "new_traffic.parquet").head(1000)  # the log holds them masked
    truth = {
        mask_personal_data(text, ["US"])[0]: label for text, label in zip(sent["text"], sent["label"], strict=True)
    }
    for who in ("annotator-1", "annotator-2"):
        with (world.root / labelling.QUEUE / f"{who}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "label", "annotator", "lead_time_s"])
            writer.writerows([key, truth[item.text], who, 20] for key, item in queue.items().items())
    conflicts = labelling.open_queue(world.root, 1, conflicts=True)
    answers = collecting.fetch(world.root, queue, conflicts, "")
    done = collecting.add_to_store(world.root, queue, answers, 2, 1.0)
    timeline.add("labels", f"{len(request['ids'])} texts went to two annotators: {done}.")
    retraining.close_request(world.root, request, monitoring.utc_now())


def _rollout(world: World, client: Client, timeline: Any) -> None:
    """Retrain, release, and let the challenger prove itself; it becomes champion by its approvals."""
    import shutil

    from flows.rollout import flow as rollout
    from ratchet.errors import PipelineError

    version = _propose(world, timeline, "people's labels of what drifted")
    challenger = world.root / "models/challenger"
    shutil.copytree(world.root / "models/words", challenger)
    state = rollout.start(world.root, "retrained", Path("models/challenger"), version.tag, "labels of what drifted")
    timeline.add("shadow", f"{version.tag} is asked beside the champion, unseen.")
    promote = rollout.by_release(world.root, str(world.keys / "ann"))
    state = _until(world, client, timeline, promote, 2000)
    if state.status != "proved":
        raise PipelineError("The challenger did not prove itself.", got=rollout.summary(state))
    timeline.add("approval", f"{promote(state)[1].split(':')[0]}: the rollout does not go around the policy.")
    _approve(world, version)
    state = rollout.advance(world.root, promote)
    if state.status != "promoted":
        raise PipelineError("The challenger was not promoted.", got=rollout.summary(state))
    client.reload()
    import pandas as pd

    accuracy = client.ask(pd.read_parquet(world.folder / "new_traffic.parquet").tail(500))
    timeline.add(
        "promotion",
        "The challenger is champion; the server took it without a restart.",
        accuracy=accuracy,
        **client.model(),
    )


def _until(world: World, client: Client, timeline: Any, promote: Any, at: int) -> Any:
    """Traffic with feedback, and a look at the rollout after every so many requests, until it proved itself or not."""
    import time

    import pandas as pd

    from flows.rollout import flow as rollout
    from ratchet.errors import PipelineError

    texts, step = pd.read_parquet(world.folder / "new_traffic.parquet"), ""
    for _ in range(MAX_CHECKS):
        client.reload()
        client.ask(texts.iloc[at : at + CHECK_EVERY], feedback=True)
        at += CHECK_EVERY
        time.sleep(0.5)  # the log is written
        state = rollout.advance(world.root, promote)
        if (state.status, state.step) != ("running", step):
            timeline.add(f"rollout: {state.step}", rollout.summary(state), status=state.status, requests=at)
            step = state.step
        if state.status != "running":
            client.reload()
            return state
    raise PipelineError("The rollout came to no end.", got=rollout.summary(state))


def _bad_model(world: World, client: Client, timeline: Any) -> None:
    """Roll out a model trained on half of its labels flipped, which the guardrails roll back."""
    import numpy as np
    import pandas as pd

    from examples.story import pipeline as demo_line
    from flows.rollout import flow as rollout
    from ratchet.errors import PipelineError
    from ratchet.models.bundle import Manifest, write_bundle
    from ratchet.models.tfidf import PACKAGES, fit_pipeline, save_pipeline

    labeled = pd.read_parquet(world.root / demo_line.LABELED)
    wrong = np.random.default_rng(13).random(len(labeled)) < 0.5
    targets = labeled["label"].eq(demo_line.LABELS[1]).to_numpy() ^ wrong
    pipeline = fit_pipeline(
        labeled["text"].tolist(), targets.astype(int).tolist(), max_ngram=1, inverse_regularization=4.0
    )
    manifest = Manifest(
        name="bad",
        kind="tfidf",
        precision="fp64",
        labels=demo_line.LABELS,
        max_tokens=0,
        parent="",
        params_sha256="0" * 64,
        data_sha256="0" * 64,
    )
    write_bundle(world.root / "models/bad", manifest, lambda folder: save_pipeline(pipeline, folder), PACKAGES)
    rollout.start(world.root, "planted", Path("models/bad"), "", "planted: it learned wrong labels")
    timeline.add("planted bad model", "A model that learned half of its labels the wrong way round starts its rollout.")
    state = _until(world, client, timeline, rollout.by_release(world.root, ""), 14_000)
    if state.status != "rolled_back" or client.model()["challenger"] is not None:
        raise PipelineError("The bad model was not sent back.", got=rollout.summary(state))
    timeline.add("rollback", "The champion answers everybody again, by itself.", **client.model())
