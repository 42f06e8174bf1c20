"""What each mitigation changes: TF-IDF with logistic regression before and after, on the audit's own figures.

    python -m benchmarks.mitigation
    python -m benchmarks.mitigation --attribute origin

The labels are those that were bought; thresholds are fitted on the validation texts; all is measured on the test texts.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.material import write_report
from pipeline_steps import audit, baseline, behave
from ratchet.entry import entry
from ratchet.measure.bootstrap import mean_estimate, weights
from ratchet.models.tfidf import fit_pipeline
from ratchet.params import load_params
from ratchet.release.formats import estimate_text
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT
from ratchet.trust.fairness import audit_feature
from ratchet.trust.group_thresholds import group_thresholds, large_groups
from ratchet.trust.lexicons import Lexicon, lexicon_groups, swapped
from ratchet.trust.mitigation import augmented, resampled, reweighing
from ratchet.trust.sensitive import sensitive_metrics

N_DRAWS = 1000
SHOWN = ("accuracy", "demographic_parity_difference", "demographic_parity_ratio",
         "sensitive_equalized_odds_difference", "counterfactual_flip_rate")  # fmt: skip


def measure(
    predicted: NDArray[np.bool_], flipped: NDArray[np.bool_], test: pd.DataFrame, groups: NDArray[np.str_],
    positive: str, least: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """The figures of one model: whether each text is predicted positive, and whether each swap turned it."""
    w = weights(len(test), N_DRAWS, np.random.default_rng(seed))
    y_true = test["label"].to_numpy(dtype=str)
    y_pred = np.where(predicted, positive, "other")
    y_true = np.where(y_true == positive, positive, "other")
    figures = sensitive_metrics({"it": audit_feature(y_true, y_pred, groups, [positive], least, w)})
    figures["accuracy"] = mean_estimate(y_true == y_pred, w)
    rng = np.random.default_rng(seed)
    figures["counterfactual_flip_rate"] = mean_estimate(flipped, weights(len(flipped), N_DRAWS, rng))
    return {name: figures[name].to_json() for name in SHOWN}


def compare(tables: Mapping[str, pd.DataFrame], lexicon: Lexicon, attribute: str) -> dict[str, Any]:
    """Mitigation → figures; 'none' is before."""
    values, judged = load_params(baseline.Params, "baseline"), load_params(audit.Params, "audit")
    positive, seed, labeled, test = judged.positive_labels[0], judged.seed, tables["labeled"], tables["test"]
    groups = {name: lexicon_groups(frame["text"].tolist(), lexicon, attribute) for name, frame in tables.items()}
    only = Lexicon(
        attributes={}, phrases=[], swaps={attribute: lexicon.swaps[attribute]}, templates=[]
    )  # fmt: skip
    pairs = [
        (text, edited) for key, text in zip(test["id"], test["text"], strict=True)
        for edited in swapped(text, key, lexicon.swaps[attribute], 1)
    ]  # fmt: skip

    def fitted(frame: pd.DataFrame) -> Any:
        targets = (frame["label"] == positive).astype(int).tolist()
        return fit_pipeline(frame["text"].tolist(), targets, max_ngram=values.max_ngram,
                            inverse_regularization=values.inverse_regularization)  # fmt: skip

    def figures(model: Any) -> dict[str, Any]:
        before, after = (model.predict([pair[side] for pair in pairs]) for side in (0, 1))
        return measure(model.predict(test["text"].tolist()) == 1, before != after, test, groups["test"], positive,
                       judged.min_group_size, seed)  # fmt: skip

    weight = reweighing(labeled["label"].to_numpy(dtype=str), groups["labeled"])
    plain = fitted(labeled)
    found = {
        "none": figures(plain),
        "reweighing": figures(fitted(resampled(labeled, weight, seed))),
        "counterfactual augmentation": figures(fitted(augmented(labeled, only))),
    }
    validation = tables["validation"]
    held_out = plain.predict_proba(validation["text"].tolist())[:, 1]
    right = (validation["label"] == positive).to_numpy(dtype=int)
    large = large_groups(right == 1, groups["validation"])
    learned, known = np.isin(groups["validation"], large), np.isin(groups["test"], large)
    for constraint in ("demographic_parity", "equalized_odds"):
        optimizer = group_thresholds(held_out[learned], right[learned], groups["validation"][learned], constraint)
        proba = plain.predict_proba(test["text"].tolist())[:, 1]
        predicted = proba >= 0.5
        predicted[known] = optimizer.predict(
            proba[known, None], sensitive_features=groups["test"][known], random_state=seed
        )
        before, after = (plain.predict([pair[side] for pair in pairs]) for side in (0, 1))
        found[f"thresholds by group, {constraint.replace('_', ' ')}"] = measure(
            predicted.astype(bool), before != after, test, groups["test"], positive, judged.min_group_size, seed
        )
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mitigation", description="Mitigations side by side.")
    parser.add_argument("--attribute", default="gender", help="whom a text speaks of, by the lexicon")
    options = parser.parse_args(arguments)
    splits = Path(audit.READS["splits"])
    tables = {"labeled": read_table(Path(behave.READS["labeled"]), LABELED)}
    tables |= {
        name: read_table(splits / f"{name}.parquet", SPLIT).dropna(subset="label").reset_index(drop=True)
        for name in ("validation", "test")
    }
    found = compare(tables, behave.load_rules().lexicon, options.attribute)
    for name, figures in found.items():
        told = "  ".join(f"{key} {estimate_text(_estimate(value))}" for key, value in figures.items())
        print(f"{name:45} {told}")
    write_report("mitigation", {"attribute": options.attribute, "mitigations": found}, 1)


def _estimate(value: dict[str, Any]) -> Any:
    from ratchet.measure.estimate import Estimate

    return Estimate.from_json(value)


if __name__ == "__main__":
    entry(main)
