"""The sealed test: the shortlisted bundles scored once, on texts whose labels no other stage reads.

What was chosen by validation texts looks better on them than it is. So everything that fits, chooses, explains or
probes stays away from the labels of the test texts, and the gates of quality, slices and fairness rest on the figures
of this stage. One opening scores the whole shortlist, the baseline, the teacher and the released bundles: the champion,
and the high-water mark, the best one ever released, so that small losses cannot add up over releases. The flow counts
the openings, since each of them wears the test out a little.

Source: Dwork et al. 2015, The reusable holdout, https://doi.org/10.1126/science.aaa9375.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.files import read_json
from ratchet.measure.bootstrap import Weights, weights
from ratchet.measure.comparison import majority_proba, quality_against, quality_of
from ratchet.measure.estimate import estimates_json
from ratchet.measure.prediction_table import prediction_table
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.measure.report_files import write_report
from ratchet.models.bundle import Manifest
from ratchet.models.champion import champion_path, champion_proba, mark_path
from ratchet.models.discovery import CHAMPION, MARK, discover
from ratchet.models.examples import class_indices
from ratchet.models.lineage import ancestors_of
from ratchet.models.predictor import Predictor
from ratchet.models.training_data import known_data
from ratchet.params import load_params, read_params
from ratchet.table_files import read_table, write_table
from ratchet.tables import LABELED, PREDICTIONS, SOFT_LABELS, SPLIT
from ratchet.task import InferenceThreads, NBins, NBootstrap, NearDuplicateThreshold, Seed, Selected
from ratchet.trust.audited_groups import AuditedFeatures, AuditedGroups, Rules, WithLengthEdges, audited_groups
from ratchet.trust.bundle_audit import fairness_figures
from ratchet.trust.leakage import better_on_test, leak_rate, leaked
from ratchet.trust.lexicons import Lexicon
from ratchet.trust.sensitive import slice_differences
from ratchet.trust.slices import PatternFeatures, read_length_edges

if TYPE_CHECKING:
    import pandas as pd

READS = {
    "shortlist": "reports/shortlist.json",
    "bundles": "models/*",  # every bundle that an earlier stage writes, discovered from its manifest
    "champion": "models/champion.json",
    "high_water_mark": "models/high_water_mark.json",
    "predictions": "data/predictions.parquet",
    "splits": "data/splits",
    "labeled": "data/labeled.parquet",
    "soft_labels": "data/soft_labels.parquet",
    "length_edges": "reports/length_edges.json",
    "lexicon": "data/lexicons/identity.yaml",
    "features": "data/lexicons/features.yaml",
}
WRITES = {"predictions": "data/judged.parquet", "report": "reports/judge.json"}
ALWAYS = ("baseline", "teacher")
"""Judged beside the shortlist, as what it is compared with."""
REFERENCES = (*ALWAYS, CHAMPION, MARK)


class Params(WithLengthEdges, PrimaryMetricParams):
    """By what the bundles are judged."""

    borrowed: ClassVar = {"audit": AuditedFeatures}
    n_examples: int = Field(ge=0, le=100)
    """Test texts that were trained on, of which so many are shown."""
    max_openings: int = Field(ge=1, le=20)
    """Times the same test texts may be opened before the summary says that they are used up; the gate against the
    high-water mark counts on no more than twenty."""
    near_duplicate_threshold: NearDuplicateThreshold
    positive_labels: Selected
    n_bins: NBins
    n_bootstrap: NBootstrap
    n_threads: InferenceThreads
    seed: Seed


class Texts(NamedTuple):
    """The labelled texts of a run."""

    test: pd.DataFrame
    validation: pd.DataFrame
    """The rows of `evaluate` on validation texts: id, bundle, label, predicted."""
    labeled: pd.DataFrame
    taught: pd.DataFrame | None = None
    """Id and text of what the teacher labelled for its students; None: nothing."""


def run(
    predictors: Mapping[str, Predictor],
    lineages: Mapping[str, Sequence[Manifest]],
    best: str,
    texts: Texts,
    groups: AuditedGroups,
    params: Params,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The predictions of the test texts, and the report: by bundle its metrics, slices and comparisons.

    Args:
        predictors: the bundles that are judged, by name; among them the champion and the high-water mark, if any.
        lineages: bundle → its manifest and those of its parents; of what is released, and no candidate, none.
        best: the bundle that was the best of them on the validation texts; empty: none was within the limits.
        texts: see `Texts`.
        groups: of the test texts, in their order.
        params: see `Params`.
    """
    import pandas as pd

    labels = next(iter(predictors.values())).labels
    w = weights(len(texts.test), params.n_bootstrap, np.random.default_rng(params.seed))
    proba = {name: champion_proba(item, texts.test["text"].tolist(), labels) for name, item in predictors.items()}
    tables = {name: prediction_table(name, "test", labels, texts.test, item) for name, item in proba.items()}
    seen = _seen(texts, params)
    bundles: dict[str, Any] = {}
    for name in proba:
        bundles[name] = figures_of(name, best, tables, groups, w, params)
        if name in lineages:
            right = (tables[name]["label"] == tables[name]["predicted"]).to_numpy(dtype=bool)
            leaks = {
                "test_leak_rate": leak_rate(seen, *_trained_on(lineages[name], texts)),
                "better_on_test": better_on_test(right, _right_on_validation(name, texts.validation)),
            }
            bundles[name]["metrics"] |= estimates_json(leaks)
    report = {
        "n_test": len(texts.test),
        "primary_metric": params.metric_of(labels).name,
        "best": best,
        "max_openings": params.max_openings,
        "leaked": texts.test["text"][seen].head(params.n_examples).tolist(),
        "bundles": bundles,
    }
    return pd.concat(tables.values(), ignore_index=True), report


def figures_of(
    name: str,
    best: str,
    tables: Mapping[str, pd.DataFrame],
    groups: AuditedGroups,
    w: Weights,
    params: Params,
) -> dict[str, Any]:
    """Quality, slices and fairness of one bundle on the same texts as the others, and what it is compared with.

    Args: see `compared_figures`.
    """
    found = fairness_figures(
        tables[name], groups.slices, groups.sensitive, params.positive_labels, params.min_group_size, w
    )
    compared = compared_figures(name, best, tables, groups, w, params)
    return {**compared, "metrics": {**found["metrics"], **compared["metrics"]}, "slices": found["slices"]}


def compared_figures(
    name: str,
    best: str,
    tables: Mapping[str, pd.DataFrame],
    groups: AuditedGroups,
    w: Weights,
    params: Params,
) -> dict[str, Any]:
    """Quality of one bundle, its differences to the bundles that it is compared with, and those by slice.

    Args:
        name: the bundle.
        best: the one that was the best on the validation texts; empty: none was.
        tables: bundle → its predictions, see `prediction_table`; of the same texts in the same order.
        groups: of these texts.
        w: resampling weights, (n_draws, n_texts).
        params: see `Params`.
    """
    labels = [column.removeprefix("proba_") for column in map(str, tables[name]) if column.startswith("proba_")]
    primary, y_true = params.metric_of(labels), class_indices(tables[name], labels)
    own = _proba(tables[name])
    right = own.argmax(axis=1) == y_true
    others = {other: other for other in REFERENCES if other in tables} | ({"best": best} if best else {})
    compared = {other: _proba(tables[bundle]) for other, bundle in others.items() if bundle != name}
    against = {**compared, "majority": majority_proba(y_true, len(labels))}
    return {
        "is_best": name == best,
        "metrics": estimates_json(quality_of(own, y_true, primary, params.n_bins, w)),
        "against": {
            other: estimates_json(quality_against(own, item, y_true, primary, w)) for other, item in against.items()
        },
        "slices_against": {
            other: {
                key: estimates_json(values)
                for key, values in slice_differences(
                    right, item.argmax(axis=1) == y_true, groups.all, params.min_group_size
                ).items()
            }
            for other, item in compared.items()
        },
    }


def _proba(table: pd.DataFrame) -> Any:
    """Probabilities of the classes, (n_texts, n_classes), in the order of the columns."""
    columns = [column for column in map(str, table) if column.startswith("proba_")]
    return table[columns].to_numpy(dtype=np.float64)


def _seen(texts: Texts, params: Params) -> Any:
    """Which test texts were trained on, (n_test,)."""
    import pandas as pd

    learned = pd.concat([table[["id", "text"]] for table in (texts.labeled, texts.taught) if table is not None])
    learned = learned.drop_duplicates("id")
    return leaked(
        texts.test["id"].tolist(),
        texts.test["text"].tolist(),
        learned["id"].tolist(),
        learned["text"].tolist(),
        params.near_duplicate_threshold,
    )


def _trained_on(lineage: Sequence[Manifest], texts: Texts) -> tuple[list[str], list[str]]:
    """Hashes of the training data that the manifests name, and of the data that the test texts were compared with."""
    taught = [] if texts.taught is None else [texts.taught["id"]]
    return [item.data_sha256 for item in lineage], known_data(texts.labeled, taught)


def _right_on_validation(name: str, validation: pd.DataFrame) -> Any:
    rows = validation[validation["bundle"] == name]
    return (rows["label"] == rows["predicted"]).to_numpy(dtype=bool)


def main() -> None:
    """Load the shortlist and what it is compared with, open the test, save."""
    params = load_params(Params, "judge", length_edges=read_length_edges(Path(READS["length_edges"])))
    splits, shortlist = Path(READS["splits"]), read_json(Path(READS["shortlist"]))
    paths = discover(Path(READS["bundles"]).parent)
    names = [name for name in dict.fromkeys((*ALWAYS, *shortlist["shortlist"])) if name in paths]
    judged = {name: paths[name] for name in names}
    released = {CHAMPION: champion_path(Path(READS["champion"])), MARK: mark_path(Path(READS["high_water_mark"]))}
    judged |= {name: path for name, path in released.items() if path is not None}
    test = read_table(splits / "test.parquet", SPLIT).dropna(subset="label").reset_index(drop=True)
    predictions = read_table(Path(READS["predictions"]), PREDICTIONS)
    texts = Texts(
        test,
        predictions[predictions["split"] == "validation"],
        read_table(Path(READS["labeled"]), LABELED),
        read_table(Path(READS["soft_labels"]), SOFT_LABELS),
    )
    rules = Rules(
        read_params(Lexicon, Path(READS["lexicon"])), read_params(PatternFeatures, Path(READS["features"])).patterns
    )
    groups = audited_groups(test, rules, params, READS["lexicon"])
    print(f"judging {len(judged)} bundles on {len(test):,} sealed test texts", flush=True)
    predictors = {name: load(path, params.n_threads) for name, path in judged.items()}
    lineages = {name: ancestors_of(name, paths) for name in names}
    table, report = run(predictors, lineages, shortlist["best"] or "", texts, groups, params)
    write_table(Path(WRITES["predictions"]), table, PREDICTIONS)
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.judge", **report})


if __name__ == "__main__":
    entry(main)
