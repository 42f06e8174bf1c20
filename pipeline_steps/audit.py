"""Whether texts, and the people they speak of, are served alike, and whether confidence can be believed; every bundle.

Of k classes, those of `positive_labels` count as selected, one decision against the rest; equalized odds looks at every
class against the rest. Without a selection the figures of selection are absent.

Source: Barocas, Hardt & Narayanan, Fairness and Machine Learning, chapter 3, https://fairmlbook.org; fairlearn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from ratchet.embeddings.table import read_embeddings
from ratchet.entry import entry
from ratchet.errors import TableError
from ratchet.gates.measured_reports import read_report
from ratchet.measure.bootstrap import Weights, weights
from ratchet.measure.report_files import write_report
from ratchet.params import load_params, read_params
from ratchet.table_files import read_table
from ratchet.tables import PREDICTIONS, SPLIT
from ratchet.task import NBins, NBootstrap, Seed, Selected
from ratchet.trust.audited_groups import AuditedGroups, Rules, WithLengthEdges, audited_groups
from ratchet.trust.bundle_audit import confidence_figures, fairness_figures
from ratchet.trust.domain_distance import distance_figures
from ratchet.trust.group_thresholds import Constraint, thresholds_report
from ratchet.trust.lexicons import Lexicon, audit_matches, lexicon_groups
from ratchet.trust.selected_classes import need_classes
from ratchet.trust.sensitive import PARITY, SENSITIVE, slice_differences
from ratchet.trust.slices import PatternFeatures, read_length_edges

if TYPE_CHECKING:
    import pandas as pd

TRAINED = {"teacher": "reports/train.json", "student": "reports/distil.json", "pruned": "reports/prune.json"}
READS = {
    "length_edges": "reports/length_edges.json",
    "predictions": "data/predictions.parquet",
    "splits": "data/splits",
    "embeddings": "data/embeddings.parquet",
    "lexicon": "data/lexicons/identity.yaml",
    "features": "data/lexicons/features.yaml",
    **TRAINED,
}
WRITES = {"report": "reports/audit.json", "details": "reports/audit_details.json"}
REFERENCES = ("baseline", "teacher", "champion")
"""With whom every slice is compared, where they predicted."""
PARTS = ("train", "validation", "test", "transfer")
DETAILS = ("features", "slices", "slices_against", "groups_left_out", "confidence", "thresholds")
"""What goes to the file of details: by feature and slice, and the curves of confidence."""


class Params(WithLengthEdges):
    """Which groups are compared, and on what."""

    splits: list[Literal["validation", "transfer"]] = Field(min_length=1)
    """Whose texts are audited; with both, the domains are groups of the feature `source`."""
    positive_labels: Selected
    false_alarm_rate: float = Field(gt=0, lt=1)
    """Share of the domain's own texts that a flag for texts from elsewhere may raise, by its threshold."""
    thresholds: Literal["none"] | Constraint
    """What thresholds by group are to make alike; their price is told beside the bundle as it is. The gates judge the
    bundle as it is: it knows no groups."""
    threshold_attribute: str
    """The attribute whose groups get thresholds."""
    n_bins: NBins
    n_examples: int = Field(ge=0, le=100)
    """Matches of each group of the lexicon that are shown."""
    n_bootstrap: NBootstrap
    seed: Seed


def load_rules() -> Rules:
    """The task's files, checked."""
    patterns = read_params(PatternFeatures, Path(READS["features"])).patterns
    return Rules(read_params(Lexicon, Path(READS["lexicon"])), patterns)


def run(
    predictions: pd.DataFrame, texts: pd.DataFrame, rules: Rules, trained: Mapping[str, Any], params: Params
) -> dict[str, Any]:
    """For every bundle its audit metrics, the gaps of each feature, the rates of each slice, and its calibration.

    Args:
        predictions: a row per text and bundle; of texts that are not audited, only the confidence counts.
        texts: the audited texts with `id`, `text`, `source` and metadata columns.
        rules: terms by which a text speaks of people, and the task's own features.
        trained: bundle → report of its training, with the temperature that was fitted.
        params: see `Params`.

    Raises:
        TableError: a feature is unknown, a positive label is no class, thresholds are asked for and nothing is
            selected, or a bundle predicted not every text.
    """
    texts = texts.drop_duplicates("id").sort_values("id", ignore_index=True)
    classes = sorted(set(predictions["label"]) | set(predictions["predicted"]))
    need_classes(params.positive_labels, classes, "params.yaml, task.selected")
    if params.thresholds != "none" and not params.positive_labels:
        raise TableError(
            "Thresholds by group are asked for, and no class counts as selected.",
            where="params.yaml, audit.thresholds",
            got=params.thresholds,
            expected="none, or selected classes",
            fix="turn the thresholds off, or name classes in task.selected",
        )
    groups = audited_groups(texts, rules, params, READS["lexicon"])
    w = weights(len(texts), params.n_bootstrap, np.random.default_rng(params.seed))
    aligned = {str(name): _aligned(str(name), rows, texts) for name, rows in predictions.groupby("bundle", sort=True)}
    right = {name: (rows["label"] == rows["predicted"]).to_numpy(dtype=bool) for name, rows in aligned.items()}
    bundles = {}
    for name, rows in aligned.items():
        bundles[name] = fairness_figures(
            rows, groups.slices, groups.sensitive, params.positive_labels, params.min_group_size, w
        )
        against = {other: right[other] for other in REFERENCES if other in right and other != name}
        bundles[name]["slices_against"] = {
            other: _json(slice_differences(right[name], theirs, groups.all, params.min_group_size))
            for other, theirs in against.items()
        }
        elsewhere = predictions[(predictions["bundle"] == name) & (predictions["split"] == "transfer")]
        parents = [made for made in TRAINED if name == made or name.startswith(f"{made}-")]
        temperature = trained.get(parents[0], {}).get("calibration_temperature") if parents else None
        confidence, metrics = confidence_figures(
            rows,
            elsewhere,
            temperature,
            w,
            n_bins=params.n_bins,
            false_alarm_rate=params.false_alarm_rate,
            rng=np.random.default_rng(params.seed),
        )
        bundles[name]["confidence"] = confidence
        bundles[name]["metrics"] |= metrics
        if params.thresholds != "none":
            bundles[name]["thresholds"] = _thresholds(params.thresholds, rows, texts, rules.lexicon, params, w)
    matches = {
        name: audit_matches(texts["text"].tolist(), rules.lexicon, name, params.n_examples)
        for name in params.attributes
    }
    return {
        "n_texts": len(texts),
        "features": list(groups.all),
        "sensitive_features": list(groups.sensitive),
        "positive_labels": params.positive_labels,
        "without_cases": _without_cases(groups, predictions, params),
        "matches": matches,
        "bundles": bundles,
    }


def _without_cases(groups: AuditedGroups, predictions: pd.DataFrame, params: Params) -> dict[str, str]:
    """Metric → why nothing can be measured for it, of those that the task has no data for."""
    found: dict[str, str] = {}
    if not params.positive_labels:
        found |= dict.fromkeys(("selection_rate_difference", *PARITY), "no class counts as selected")
    if not groups.sensitive:
        found |= dict.fromkeys((*PARITY, *SENSITIVE), "no groups of people are named")
    if not (predictions["split"] == "transfer").any():
        found["other_domain_auroc"] = "no text of another domain is kept"
    return found


def _thresholds(
    constraint: Constraint, rows: pd.DataFrame, texts: pd.DataFrame, lexicon: Lexicon, params: Params, w: Weights
) -> dict[str, Any]:
    """What thresholds by group on the probability of being selected would give and cost."""
    selected = params.positive_labels
    y_true, y_pred = (rows[name].isin(selected).to_numpy(dtype=bool) for name in ("label", "predicted"))
    proba = rows[[f"proba_{label}" for label in selected]].to_numpy(dtype=np.float64).sum(axis=1)
    people = lexicon_groups(texts["text"].tolist(), lexicon, params.threshold_attribute)
    return thresholds_report(
        constraint, proba, y_pred, y_true, people, texts["id"], params.min_group_size, w, params.seed
    )


def _aligned(bundle: str, rows: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    aligned = rows.drop_duplicates("id").set_index("id").reindex(texts["id"])
    if aligned["predicted"].isna().any():
        raise TableError(
            "A bundle has no prediction for some texts.",
            where=READS["predictions"],
            got=f"{bundle}: {int(aligned['predicted'].isna().sum())} of {len(texts)} texts lack one",
            fix="run the stage that predicts: dvc repro evaluate",
        )
    return aligned


def summary_and_details(report: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report in figures that people compare, and its details, which gates and the page read.

    Both stay in git: a release is judged again from the slices that git holds.
    """
    bundles: Mapping[str, Mapping[str, Any]] = report["bundles"]
    short = {name: {key: part[key] for key in part if key not in DETAILS} for name, part in bundles.items()}
    long = {name: {key: part[key] for key in part if key in DETAILS} for name, part in bundles.items()}
    return {**report, "bundles": short}, {"bundles": long}


def _json(slices: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {key: {name: item.to_json() for name, item in values.items()} for key, values in slices.items()}


def main() -> None:
    import pandas as pd

    params = load_params(Params, "audit", length_edges=read_length_edges(Path(READS["length_edges"])))
    rules = load_rules()
    predictions = read_table(Path(READS["predictions"]), PREDICTIONS)
    splits = Path(READS["splits"])
    tables = {name: read_table(splits / f"{name}.parquet", SPLIT, ["id"] if name == "test" else None) for name in PARTS}
    texts = pd.concat([tables[name].dropna(subset="label") for name in params.splits], ignore_index=True)
    vectors = {name: read_embeddings(Path(READS["embeddings"]), table["id"].tolist()) for name, table in tables.items()}
    trained = {name: read_report(Path(path)) for name, path in TRAINED.items()}
    report = run(predictions, texts, rules, trained, params)
    report["other_domain"] = distance_figures(vectors, params.false_alarm_rate, params.n_bootstrap, params.seed)
    for name, part in zip(WRITES, summary_and_details(report), strict=True):
        write_report(Path(WRITES[name]), {"command": "python -m pipeline_steps.audit", **part})


if __name__ == "__main__":
    entry(main)
