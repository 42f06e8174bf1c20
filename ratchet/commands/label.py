"""`ratchet label`: people label in the browser what `ratchet labels push` sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.defaults import N_ANNOTATORS
from ratchet.commands.flow_run import SHARE

if TYPE_CHECKING:
    from ratchet.labels.annotations import Item
    from ratchet.studio.labelling.gold import Gold
    from ratchet.studio.labelling.ranking import Known


def label(
    person: Annotated[
        list[str],
        typer.Option("--person", metavar="NAME", help="Who labels; once for each, with an address of theirs."),
    ],
    annotators: Annotated[int, typer.Option(min=1, help="People who answer each text.")] = N_ANNOTATORS,
    hidden: Annotated[
        float,
        typer.Option(
            click_type=SHARE, metavar="RATE", help="Share of texts whose suggestion is hidden, drawn at random."
        ),
    ] = 0.2,
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="Settle what people disagreed about, instead.")
    ] = False,
    gold: Annotated[
        str, typer.Option(metavar="FILE", help="A sheet with `text` and the right `label`: asked between the others.")
    ] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="On loopback; 0: any that is free.")] = 8788,
) -> None:
    """Label in the browser: one text, one key.

    What `ratchet labels push` sent, on this machine alone; each answer is on the disk before the next text is shown.
    `ratchet labels pull` brings them into the label store. Prints an address for each person; ends with Ctrl-C."""
    import secrets
    import socket

    from flows.labelling import steps as labelling
    from ratchet.errors import MissingExtraError, PipelineError
    from ratchet.labels.queues import FileQueue
    from ratchet.measure.primary import PrimaryMetricParams
    from ratchet.params import load_params
    from ratchet.studio.labelling.answer_log import alone
    from ratchet.studio.labelling.app import make_app
    from ratchet.studio.labelling.desk import Desk
    from ratchet.studio.labelling.ranking import Ranking

    try:
        import uvicorn
    except ImportError:
        raise MissingExtraError("The labelling view needs uvicorn.", fix="pip install 'ratchet[studio]'") from None
    root = Path.cwd()
    folder = root / (labelling.CONFLICTS if conflicts else labelling.QUEUE)
    guidelines = labelling.present_guidelines(root)
    queue = FileQueue(folder, guidelines)
    items, labels = queue.items(), labelling.present_labels(root)
    if not items:
        fix = "ratchet labels pull brings conflicts" if conflicts else "send some: ratchet labels push"
        raise PipelineError("There is nothing to label.", where=folder, fix=fix)
    metric = load_params(PrimaryMetricParams, "", root / "params.yaml").metric_of(labelling.class_labels(root))
    with alone(folder):
        ranking = Ranking(
            items, labels, _known(root, list(items)), metric if set(labels) <= set(metric.classes) else None
        )
        desk = Desk(
            queue,
            folder,
            person,
            labels,
            1 if conflicts else annotators,
            1.0 if conflicts else hidden,
            ranking,
            gold=_gold(root, gold, items, folder, person, labels) if gold else None,
        )
        try:
            listener = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise PipelineError("The port is taken.", where=port, got=error, fix="name another: --port 0") from error
        with listener:
            port = listener.getsockname()[1]
            tokens = {name: secrets.token_urlsafe(32) for name in person}
            app = make_app(desk, tokens, port, guidelines)
            for name, token in tokens.items():
                print(f"{name}: http://127.0.0.1:{port}/?token={token}", flush=True)
            config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
            uvicorn.Server(config).run(sockets=[listener])


def _gold(root: Path, file: str, items: dict[str, Item], folder: Path, people: list[str], labels: list[str]) -> Gold:
    """The gold questions of a sheet, cleaned and masked as the corpus is."""
    from ratchet.data.cleaning_params import CleaningParams
    from ratchet.labels.annotations import masked
    from ratchet.labels.queues import read_answers
    from ratchet.params import load_params
    from ratchet.studio.labelling.gold import Gold

    cleaning = load_params(CleaningParams, "", root / "params.yaml").cleaning
    questions = [masked(answer, cleaning, items) for answer in read_answers(Path(file), items)]
    return Gold(questions, items, folder, people, labels)


def _known(root: Path, names: list[str]) -> Known:
    """Embeddings of the texts that are asked about and of those that are labelled; none before `embed` has run."""
    import numpy as np
    import pyarrow.parquet as pq

    from flows.labelling import steps as labelling
    from ratchet.studio.labelling.ranking import NOTHING, Known

    if not (root / labelling.EMBEDDINGS).is_file():
        return NOTHING
    labelled: dict[str, str] = {}
    if (root / labelling.LABELED).is_file():
        table = pq.read_table(root / labelling.LABELED, columns=["id", "label"])
        labelled = dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))
    wanted = {*names, *labelled}
    table = pq.read_table(root / labelling.EMBEDDINGS, columns=["id", "embedding"])
    rows = [row for row, name in enumerate(table["id"].to_pylist()) if name in wanted]
    part = table.take(rows)
    if not rows:
        return NOTHING
    vectors = part["embedding"].combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return Known({name: row for row, name in enumerate(part["id"].to_pylist())}, unit, labelled)
