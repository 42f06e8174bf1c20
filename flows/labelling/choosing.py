"""The choice of texts for people: by a model's uncertainty, by diversity, at random, or suspected label errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flows.labelling.steps import EMBEDDINGS, LABELED, OUTBOX, POINTER, SPLITS, STORE, SUSPECTS
from ratchet.errors import PipelineError
from ratchet.files import read_json, sha256_file

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pipeline_steps.sample import Params
    from ratchet.labels.annotations import Item
    from ratchet.labels.queues import Queue


class _Model(NamedTuple):
    """What a model says of a pool."""

    proba: NDArray[np.float64]
    """Class probabilities, (n_pool, n_classes)."""
    labels: list[str]
    """The classes, in the order of its columns."""
    version: str
    """name@hash of the manifest."""


def fill_outbox(root: Path, queue: Queue, n: int, query_strategy: str, bundle: str, max_pool: int) -> None:
    """Choose `n` texts and write them down before any is sent: after a crash exactly these are sent.

    Chosen are texts of the training split that have no label and were never sent. What has one takes part, for
    strategies that look at it, and for the reasons. Where no model was accepted the texts are a diverse sample, or a
    random one where there are no embeddings.

    Raises:
        PipelineError: the strategy asks a model and there is none, or there is no such strategy.
        TrainingError: the strategy asks several models, and the labels show fewer than two classes.
    """
    import numpy as np

    from pipeline_steps.sample import Params
    from ratchet.embeddings.table import read_embeddings
    from ratchet.labels.queues import write_items
    from ratchet.params import load_params

    params = load_params(Params, "sample", root / "params.yaml")
    folder = root / bundle if bundle else accepted_folder(root)
    has_embeddings = (root / EMBEDDINGS).is_file()
    strategy = _strategy(root, query_strategy, params.query_strategy, folder is not None, has_embeddings)
    sent = queue.items()
    rng = np.random.default_rng([params.seed, len(sent)])
    pool = _pool(root, {*sent}, max_pool, rng)
    model = None if folder is None else _ask(folder, pool["text"].tolist())
    asked = "no model was accepted, so none" if model is None else model.version
    print(f"{asked} is asked about {len(pool):,} texts; '{strategy}' chooses {n}", flush=True)
    embeddings = read_embeddings(root / EMBEDDINGS, pool["id"].tolist()) if has_embeddings or model else None
    write_items(root / OUTBOX, _chosen(root, pool, model, embeddings, strategy, n, rng, params))


def fill_outbox_with_suspects(root: Path, queue: Queue, n: int) -> None:
    """Write an outbox of at most `n` suspected label errors: training texts whose labels `vet` doubts."""
    from ratchet.labels.queues import write_items
    from ratchet.labels.store import read_store
    from ratchet.labels.suspects import suspect_items
    from ratchet.table_files import read_table
    from ratchet.tables import SUSPECTS as SUSPECTS_TABLE

    asked = {*queue.items(), *read_store(root / POINTER, root / STORE).annotations["id"]}
    write_items(root / OUTBOX, suspect_items(read_table(root / SUSPECTS, SUSPECTS_TABLE), asked, n))


def model_folder(root: Path) -> Path:
    """The champion's folder, or that of the bundle which the last run accepted.

    Raises:
        PipelineError: there is neither.
    """
    if (folder := accepted_folder(root)) is None:
        raise PipelineError(
            "There is no model to ask.",
            where=root,
            expected="a champion, or a bundle that the last run accepted",
            fix="`make run` first, or name one: --bundle models/teacher",
        )
    return folder


def accepted_folder(root: Path) -> Path | None:
    """The same; None where there is neither."""
    from ratchet.models.champion import champion_path

    if (champion := champion_path(root / "models/champion.json")) is not None:
        return root / champion
    decision = root / "reports/decision.json"
    chosen = read_json(decision)["chosen"] if decision.is_file() else None
    return root / "models" / str(chosen) if chosen else None


def _strategy(root: Path, named: str, usual: str, has_model: bool, has_embeddings: bool) -> str:
    """The strategy to choose by: the one that was named, or the usual one where what it needs is there."""
    from ratchet.labels.query_strategies import QUERY_STRATEGIES, WITHOUT_MODEL

    if named and named not in QUERY_STRATEGIES:
        raise PipelineError("There is no such strategy.", got=named, expected=", ".join(QUERY_STRATEGIES))
    if named and not has_model and named not in WITHOUT_MODEL:
        raise PipelineError(
            "There is no model to ask.",
            where=root,
            got=f"the strategy '{named}', which asks one",
            expected=f"a champion, an accepted bundle, or a strategy that needs none: {', '.join(WITHOUT_MODEL)}",
            fix="leave --query-strategy out, or name a bundle: --bundle models/teacher",
        )
    if named or has_model:
        return named or usual
    return "typiclust" if has_embeddings else "random"


def _pool(root: Path, sent: set[str], max_pool: int, rng: np.random.Generator) -> pd.DataFrame:
    """The texts that may be chosen, whose label is missing, and those with a label: at most so many of each."""
    import numpy as np

    from ratchet.labels.store import read_store
    from ratchet.table_files import read_table
    from ratchet.tables import LABELED as LABELED_TABLE
    from ratchet.tables import SPLIT

    train = read_table(root / SPLITS / "train.parquet", SPLIT, ["id", "text", "source"])
    train["label"] = None
    if (root / LABELED).is_file():
        train["label"] = train["id"].map(
            read_table(root / LABELED, LABELED_TABLE, ["id", "label"]).set_index("id")["label"]
        )
    labeled = train["label"].notna().to_numpy()
    asked = train["id"].isin({*sent, *read_store(root / POINTER, root / STORE).annotations["id"]}).to_numpy()
    free = np.flatnonzero(~labeled & ~asked)
    free, known = rng.permutation(free)[:max_pool], np.flatnonzero(labeled)
    if len(known) > max_pool:  # with every label of a large corpus, a sample shows what is known as well
        known = rng.permutation(known)[:max_pool]
    return train.iloc[np.sort([*known, *free]).astype(int)]


def _ask(folder: Path, texts: list[str]) -> _Model:
    from ratchet.engines.loading import load
    from ratchet.models.bundle import MANIFEST

    predictor = load(folder)
    version = f"{predictor.manifest.name}@{sha256_file(folder / MANIFEST)[:12]}"
    return _Model(predictor.predict_proba(texts), list(predictor.labels), version)


def _chosen(
    root: Path,
    pool: pd.DataFrame,
    model: _Model | None,
    embeddings: NDArray[np.float32] | None,
    strategy: str,
    n: int,
    rng: np.random.Generator,
    params: Params,
) -> list[Item]:
    """The items, with the model's suggestions if there is one."""
    from flows.labelling.steps import class_labels
    from ratchet.labels.query_strategies import ASKS_COMMITTEE
    from ratchet.labels.selection import choose, committee
    from ratchet.models.examples import class_indices

    labeled = pool["label"].notna().to_numpy()
    labels = class_labels(root) if model is None else model.labels
    draw_proba = None
    if strategy in ASKS_COMMITTEE and embeddings is not None:
        options = params.inverse_regularization, params.balanced
        draw_proba = committee(embeddings[labeled], class_indices(pool[labeled], labels), len(labels), *options)
    proba, version = (None, "") if model is None else (model.proba, model.version)
    return choose(pool, proba, embeddings, labeled, labels, version, strategy, n, rng, draw_proba)
