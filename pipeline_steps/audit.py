"""Whether quality and selection rates differ between groups of texts, for every bundle that was evaluated.

Source: Barocas, Hardt & Narayanan, Fairness and Machine Learning, chapter 3, https://fairmlbook.org; fairlearn.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

import ratchet.params
from ratchet.entry import entry
from ratchet.errors import TableError
from ratchet.files import write_json
from ratchet.measure.bootstrap import weights
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import PREDICTIONS, SPLIT
from ratchet.trust.fairness import FeatureAudit, audit_feature, bundle_metrics, feature_gaps, slices_json
from ratchet.trust.slices import slice_groups

if TYPE_CHECKING:
    import pandas as pd

READS = {"predictions": "data/predictions.parquet", "splits": "data/splits"}
WRITES = {"report": "reports/audit.json"}


class Params(ratchet.params.Params):
    """Which groups are compared, and on what."""

    splits: list[Literal["test", "transfer"]] = Field(min_length=1)
    """Whose texts are audited; with both, the domains are groups of the feature `source`."""
    features: list[str] = Field(min_length=1)
    """What defines groups: length, negation, rating, or source."""
    columns: list[str]
    """Metadata columns of the data that define groups too, such as a region or a language."""
    length_edges: list[int] = Field(min_length=2, max_length=2)
    """The most words of a short text, and of a medium one."""
    positive_labels: list[str] = Field(min_length=1)
    """Classes whose prediction counts as being selected."""
    min_group_size: int = Field(ge=1)
    """A rate that rests on fewer texts is left undefined, and out of every gap."""
    n_bootstrap: int = Field(ge=100, le=100_000)
    """Bootstrap draws behind each 95 % interval."""
    seed: int = Field(ge=0)
    """Seed of the resampling."""


def run(predictions: pd.DataFrame, texts: pd.DataFrame, params: Params) -> dict[str, Any]:
    """For every bundle its audit metrics, the gaps of each feature, and the rates of each slice.

    Args:
        predictions: a row per text and bundle.
        texts: the audited texts with `id`, `text`, `source` and metadata columns; predictions of others are ignored.
        params: see `Params`.

    Raises:
        TableError: a feature is unknown, a positive label is no class, or a bundle predicted not every text.
    """
    texts = texts.drop_duplicates("id").sort_values("id", ignore_index=True)
    classes = sorted(set(predictions["label"]) | set(predictions["predicted"]))
    if unknown := sorted(set(params.positive_labels) - set(classes)):
        raise TableError(
            "A positive label is no class.", where="params.yaml, audit.positive_labels", got=", ".join(unknown),
            expected=f"some of {', '.join(classes)}", fix="name classes of the data",
        )  # fmt: skip
    names = [*params.features, *(name for name in params.columns if name not in params.features)]
    groups = {name: slice_groups(texts, name, params.length_edges) for name in names}
    w = weights(len(texts), params.n_bootstrap, np.random.default_rng(params.seed))
    bundles = {}
    for bundle, rows in predictions.groupby("bundle", sort=True):
        aligned = rows.drop_duplicates("id").set_index("id").reindex(texts["id"])
        if aligned["predicted"].isna().any():
            raise TableError(
                "A bundle has no prediction for some texts.", where=READS["predictions"],
                got=f"{bundle}: {int(aligned['predicted'].isna().sum())} of {len(texts)} texts lack one",
                fix="run the stage that predicts: dvc repro evaluate",
            )  # fmt: skip
        y_true, y_pred = (aligned[name].to_numpy(dtype=str) for name in ("label", "predicted"))
        audits = {
            name: audit_feature(y_true, y_pred, of_rows, params.positive_labels, params.min_group_size, w)
            for name, of_rows in groups.items()
        }
        bundles[str(bundle)] = _report(audits, params)
    return {"n_texts": len(texts), "features": names, "positive_labels": params.positive_labels, "bundles": bundles}


def _report(audits: dict[str, FeatureAudit], params: Params) -> dict[str, Any]:
    small = {
        f"{name}={group}": size
        for name, audit in audits.items() for group, size in audit.sizes.items() if size < params.min_group_size
    }  # fmt: skip
    return {
        "metrics": {name: estimate.to_json() for name, estimate in bundle_metrics(audits).items()},
        "features": {
            name: {gap: rate.estimate().to_json() for gap, rate in feature_gaps(audit).items()}
            for name, audit in audits.items()
        },
        "slices": {key: value for name, audit in audits.items() for key, value in slices_json(name, audit).items()},
        "n_groups_left_out": len(small),
        "groups_left_out": small,
    }


def main() -> None:
    import pandas as pd

    params = load_params(Params, "audit")
    predictions = read_table(Path(READS["predictions"]), PREDICTIONS)
    tables = [read_table(Path(READS["splits"]) / f"{name}.parquet", SPLIT) for name in params.splits]
    texts = pd.concat([table.dropna(subset="label") for table in tables], ignore_index=True)
    report = run(predictions[predictions["split"].isin(params.splits)], texts, params)
    write_json(Path(WRITES["report"]), {"command": "python -m pipeline_steps.audit", **report})


if __name__ == "__main__":
    entry(main)
