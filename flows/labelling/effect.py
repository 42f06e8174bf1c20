"""What people's corrections of given labels brought, measured on the validation texts."""

from __future__ import annotations

from pathlib import Path

from flows.labelling.steps import LABELED, POINTER, SPLITS, STORE
from ratchet.embeddings.table import read_embeddings
from ratchet.labels.effect import CLOSED, Effect, effect_of_corrections
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.task import NBootstrap, Seed, SelectionRegularization

EMBEDDINGS = Path("data/embeddings.parquet")


class Params(PrimaryMetricParams):
    """As `sample` and `evaluate` have them."""

    inverse_regularization: SelectionRegularization
    n_bootstrap: NBootstrap
    seed: Seed


def measure_effect(root: Path) -> Effect:
    """The probe of the labels that came with the data beside the probe of the same texts with what people decided.

    Texts that came without a label are in neither: what more labels bring is another question.

    Raises:
        TableError: a table of the last run is missing.
    """
    import numpy as np

    from ratchet.labels.resolution import current_decisions
    from ratchet.labels.selection_model import unit_length
    from ratchet.labels.store import read_store
    from ratchet.measure.bootstrap import weights
    from ratchet.models.examples import class_indices, class_names
    from ratchet.params import load_params
    from ratchet.table_files import read_table
    from ratchet.tables import LABELED as TRAINED_ON
    from ratchet.tables import SPLIT

    params = load_params(Params, "", root / "params.yaml")
    bought = read_table(root / LABELED, TRAINED_ON)["id"]
    train, validation = (
        read_table(root / SPLITS / f"{name}.parquet", SPLIT).dropna(subset="label") for name in ("train", "validation")
    )
    given = train[train["id"].isin(bought)].reset_index(drop=True)
    labels = class_names(validation)
    before = class_indices(given, labels)
    held = current_decisions(read_store(root / POINTER, root / STORE).decisions).set_index("id")
    resolved = given["id"].map(held["label"][held["state"] == "resolved"])
    people = class_indices(given.assign(label=resolved), labels)
    after = np.where(resolved.notna(), people, before)
    after[given["id"].isin(held.index[held["state"] == "unusable"])] = CLOSED
    vectors, rows = (
        unit_length(read_embeddings(root / EMBEDDINGS, frame["id"].tolist())) for frame in (given, validation)
    )
    w = weights(len(validation), params.n_bootstrap, np.random.default_rng(params.seed))
    known = rows, class_indices(validation, labels)
    metric = params.metric_of(labels)
    return effect_of_corrections(vectors, before, after, known, metric, params.inverse_regularization, w)
