"""What the next labels are worth, by the labels there are: those of the last run, and people's since."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from flows.labelling.effect import EMBEDDINGS
from flows.labelling.steps import LABELED, POINTER, SPLITS, STORE
from ratchet.labels.forecast import Forecast, forecast
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.params import At
from ratchet.task import Seed

MAX_LABELS = 4000
"""Labels that are cross-validated; of more, so many by class, from which the law goes on to all of them."""


class Params(PrimaryMetricParams):
    """As `sample` has them."""

    seed: Seed
    annotator_hour: Annotated[float, Field(ge=0), At("sample.usd_per_annotator_hour")]


@dataclass(frozen=True)
class Worth:
    """A forecast, and what the labels cost."""

    forecast: Forecast
    hours: float
    """Of people's time, by the timed answers; NaN: nobody was timed."""
    usd: float
    """NaN: nobody was timed."""


def next_labels(root: Path, n_more: int) -> Worth:
    """What so many more labels would bring and cost.

    Raises:
        TableError: a table of the last run is missing.
        TrainingError: there are too few labels to tell.
    """
    import pandas as pd

    from ratchet.data.sampling import sample_by_class
    from ratchet.embeddings.table import read_embeddings
    from ratchet.labels.label_cost import seconds_per_label
    from ratchet.labels.resolution import current_decisions
    from ratchet.labels.selection_model import unit_length
    from ratchet.labels.store import read_store
    from ratchet.models.examples import class_indices, class_names
    from ratchet.params import load_params
    from ratchet.table_files import read_table
    from ratchet.tables import LABELED as TRAINED_ON
    from ratchet.tables import SPLIT

    params = load_params(Params, "", root / "params.yaml")
    labels = class_names(read_table(root / SPLITS / "validation.parquet", SPLIT, ["label"]))
    known = read_table(root / LABELED, TRAINED_ON)[["id", "label"]]
    train = read_table(root / SPLITS / "train.parquet", SPLIT, ["id"])["id"]
    store = read_store(root / POINTER, root / STORE)
    held = current_decisions(store.decisions)
    people = held[(held["state"] == "resolved") & held["label"].isin(labels) & held["id"].isin(train)][["id", "label"]]
    closed = held["id"][held["state"] == "unusable"]
    every = pd.concat([people, known[~known["id"].isin(closed)]]).drop_duplicates("id").reset_index(drop=True)
    part = sample_by_class(every, MAX_LABELS)
    vectors = unit_length(read_embeddings(root / EMBEDDINGS, part["id"].tolist()))
    told = forecast(
        vectors, class_indices(part, labels), params.metric_of(labels), n_more, params.seed, n_labels=len(every)
    )
    seconds = seconds_per_label(store.annotations, store.decisions, params.seed).value
    hours = n_more * seconds / 3600
    return Worth(told, hours, hours * params.annotator_hour)
