"""The challenge set: where a cheap model is weak beyond chance, edits that change a label, edits that must not.

A random sample says how good a model is on average, not where it fails. Weak slices are found on the cross-validated
errors of a cheap model on the labelled texts, with a test that accounts for all slices tried; the validation texts that
fall in them are the first part. Contrast and invariance cases are made from validation texts by lexicons in
data/challenge, which people edit. What freezes the set: a
text's side and its place in the set follow from hashes of its id, the edits from the lexicons, and the slices from the
list in data/challenge/weak_slices.yaml. A task may have any number of classes: a cheap model errs on a class or it does
not, and each contrast edit leads from one class to another that its file names.

Source: SliceLine, Sagadeeva & Boehm 2021, https://doi.org/10.1145/3448016.3457323; Gardner et al. 2020,
https://arxiv.org/abs/2004.02709; Ribeiro et al. 2020, https://arxiv.org/abs/2005.04118.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

import ratchet.params
from ratchet.embeddings.table import read_embeddings
from ratchet.entry import entry
from ratchet.labels.selection_model import fit_selection_model, unit_length
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.measure.challenge import KINDS
from ratchet.measure.report_files import write_report
from ratchet.models.examples import class_indices, class_names
from ratchet.params import load_params, read_params
from ratchet.table_files import read_table, write_table
from ratchet.tables import CHALLENGE, LABELED, SPLIT
from ratchet.task import LengthEdges, Seed, SelectionRegularization
from ratchet.trust.challenge_cases import edited_cases, keep_at_most, slice_cases
from ratchet.trust.language import Articles, Language
from ratchet.trust.predicates import Texts, Vectors, candidates, feature_of, holds, near_ids
from ratchet.trust.slices import PatternFeatures, Patterns, read_length_edges
from ratchet.trust.text_edits import Contrast, Invariance, Turning, contrast_edits, invariance_edits
from ratchet.trust.weak_slices import Weakness, conjunctions, distinct, distinctive_words, weak_slices

if TYPE_CHECKING:
    import pandas as pd

READS = {
    "length_edges": "reports/length_edges.json",
    "labeled": "data/labeled.parquet",
    "splits": "data/splits",
    "embeddings": "data/embeddings.parquet",
    "weak_slices": "data/challenge/weak_slices.yaml",
    "contrast": "data/challenge/contrast.yaml",
    "invariance": "data/challenge/invariance.yaml",
    "features": "data/lexicons/features.yaml",
    "language": "data/lexicons/language.yaml",
}
WRITES = {"challenge": "data/challenge.parquet", "report": "reports/challenge.json"}


class Params(ratchet.params.Params):
    """Which slices are tried, and how many cases are kept."""

    features: list[str] = Field(min_length=0)
    """Features whose groups are tried: length, a feature of data/lexicons/features.yaml, or a column of the data."""
    length_edges: LengthEdges
    max_words: int = Field(ge=0, le=500)
    """Words that are tried as slices, most frequent first."""
    n_clusters: int = Field(ge=0, le=500)
    """Neighbourhoods in embedding space that are tried."""
    min_slice_size: int = Field(ge=5)
    """Fewest labelled texts of a slice."""
    max_slice_share: float = Field(gt=0, le=1)
    """Largest share of the labelled texts in a slice."""
    max_labeled: int = Field(ge=50, le=20_000)
    """Labelled texts on which slices are sought, at most."""
    n_folds: int = Field(ge=2, le=20)
    """Folds of the cross-validation by which the cheap model's errors on them are found."""
    alpha: float = Field(gt=0, lt=1)
    """Largest chance that any slice is called weak when the errors fall on texts at random."""
    n_permutations: int = Field(ge=100, le=100_000)
    """Random deals of the errors behind the p-values."""
    max_overlap: float = Field(ge=0, le=1)
    """Two slices that share a larger part of their texts are one; the weaker one is kept."""
    max_slices: int = Field(ge=1)
    """Weak slices that are kept at most."""
    max_contrast: int = Field(ge=0)
    """Contrast cases of each edit, at most."""
    max_invariance: int = Field(ge=0)
    """Invariance cases of each edit, at most."""
    inverse_regularization: SelectionRegularization
    salt: str = Field(min_length=1)
    """Another one keeps other cases."""
    seed: Seed


class Rules(NamedTuple):
    """What the task's files hold."""

    frozen: list[list[str]]
    contrast: Contrast
    invariance: Invariance
    patterns: Patterns
    articles: Articles


class Frozen(ratchet.params.Params):
    """data/challenge/weak_slices.yaml."""

    frozen: list[list[str]]
    """Slices, each as its predicates."""


class Challenge(NamedTuple):
    """What `run` returns."""

    cases: pd.DataFrame
    report: dict[str, Any]


def run(labeled: Texts, validation: Texts, anchors: Mapping[str, Vectors], rules: Rules, params: Params) -> Challenge:
    """The cases, and the report.

    Args:
        labeled: texts on whose cross-validated errors slices are found.
        validation: labelled texts of which the cases are made.
        anchors: id → embedding of unit length, of texts that frozen slices name.
        rules: slices, edits, features.
        params: see `Params`.
    """
    import pandas as pd

    labels = class_names(validation.frame)
    wrong = _wrong(labeled, params)
    n_tried, weak, words = _find(labeled, wrong, rules.patterns, params)
    known = {**anchors, **dict(zip(labeled.frame["id"], labeled.vectors, strict=True))}
    slices = rules.frozen or [list(item.predicates) for item in weak]
    masks = {" & ".join(slice_): _inside(slice_, validation, known, rules.patterns, params) for slice_ in slices}
    turned = {
        label: {name: turning for name, turning in of_label.items() if turning.becomes in labels}
        for label, of_label in contrast_edits(rules.contrast, rules.articles).items()
    }
    same = invariance_edits(rules.invariance, rules.contrast, rules.articles)
    kept = {label: {name: Turning(edit, label) for name, edit in same.items()} for label in labels}
    parts = [
        slice_cases(validation.frame, masks),
        edited_cases(validation.frame, turned, "contrast", params.salt, params.max_contrast),
        edited_cases(validation.frame, kept, "invariance", params.salt, params.max_invariance),
    ]
    cases = pd.concat(parts, ignore_index=True)
    report: dict[str, Any] = {
        "n_labeled": len(wrong),
        "error_rate": proportion_estimate(int(np.sum(wrong)), len(wrong)).to_json(),
        "n_slices_tried": n_tried,
        "found": [
            {
                "slice": " & ".join(item.predicates),
                "n_texts": item.n,
                "error_rate": proportion_estimate(item.n_errors, item.n).to_json(),
                "p_value": item.p_value,
                "distinctive_words": ", ".join(words[item.predicates]),
            }
            for item in weak
        ],
        "frozen": bool(rules.frozen),
        "slices": {name: {"n_validation": int(mask.sum())} for name, mask in masks.items()},
        "kinds_without_cases": [kind for kind in KINDS if kind not in set(cases["kind"])],
        "cases": {
            kind: cases["name"][cases["kind"] == kind].value_counts().sort_index().to_dict()
            for kind in ("contrast", "invariance")
        },
    }
    if unknown := sorted(rules.contrast.classes - set(labels)):
        report["contrast_without_class"] = f"contrast.yaml speaks of {', '.join(unknown)}, which no validation text has"
    return Challenge(cases, report)


def _wrong(labeled: Texts, params: Params) -> Any:
    """Whether a cheap model that did not see it errs on each labelled text, (n_labeled,)."""
    labels = class_names(labeled.frame)
    targets = class_indices(labeled.frame, labels)
    folds = np.random.default_rng(params.seed).permutation(np.arange(len(targets)) % params.n_folds)
    predicted = np.empty_like(targets)
    for fold in range(params.n_folds):
        held_out = folds == fold
        model = fit_selection_model(
            labeled.vectors[~held_out], targets[~held_out], len(labels), params.inverse_regularization
        )
        predicted[held_out] = model(labeled.vectors[held_out]).argmax(axis=1)
    return predicted != targets


def _find(
    labeled: Texts, wrong: Any, patterns: Patterns, params: Params
) -> tuple[int, list[Weakness], dict[tuple[str, ...], list[str]]]:
    """How many slices were tried, the weak ones that differ, and what sets the words of each apart."""
    atoms = candidates(
        labeled,
        params.features,
        params.length_edges,
        patterns,
        params.min_slice_size,
        params.max_words,
        params.n_clusters,
        params.seed,
    )
    disjoint = {name: feature_of(name) for name in atoms}
    slices = conjunctions(atoms, params.min_slice_size, params.max_slice_share, disjoint)
    rng = np.random.default_rng(params.seed)
    weak = weak_slices(slices, wrong, params.alpha, params.n_permutations, rng)
    weak = distinct(weak, slices, params.max_overlap)[: params.max_slices]
    bags = labeled.bags()
    return len(slices), weak, {item.predicates: distinctive_words(bags, slices[item.predicates], 8) for item in weak}


def _inside(
    predicates: Sequence[str], texts: Texts, anchors: Mapping[str, Vectors], patterns: Patterns, params: Params
) -> Any:
    return np.logical_and.reduce([holds(item, texts, anchors, params.length_edges, patterns) for item in predicates])


def _rules() -> Rules:
    return Rules(
        read_params(Frozen, Path(READS["weak_slices"])).frozen,
        read_params(Contrast, Path(READS["contrast"])),
        read_params(Invariance, Path(READS["invariance"])),
        read_params(PatternFeatures, Path(READS["features"])).patterns,
        read_params(Language, Path(READS["language"])).articles,
    )


def main() -> None:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    params, rules, store = (
        load_params(Params, "challenge", length_edges=read_length_edges(Path(READS["length_edges"]))),
        _rules(),
        Path(READS["embeddings"]),
    )
    splits = Path(READS["splits"])
    validation = read_table(splits / "validation.parquet", SPLIT).dropna(subset="label")
    labeled, pool = read_table(Path(READS["labeled"]), LABELED), read_table(splits / "train.parquet", SPLIT, ["id"])
    # texts that people labelled and that are in no split have no embedding, and are left out
    labeled = labeled[labeled["id"].isin(pool["id"])]
    kept = keep_at_most(labeled["id"].tolist(), params.salt, params.max_labeled)
    frames = {"labeled": labeled[kept], "validation": validation}
    sides = {
        name: Texts(frame.reset_index(drop=True), unit_length(read_embeddings(store, frame["id"].tolist())))
        for name, frame in frames.items()
    }
    named = near_ids([predicate for slice_ in rules.frozen for predicate in slice_])
    anchors = dict(zip(named, unit_length(read_embeddings(store, named)), strict=True))
    print(f"seeking weak slices in {len(sides['labeled'].frame):,} labelled texts", flush=True)
    with threadpool_limits(1):  # the same clusters and probabilities on every machine's count of cores
        made = run(sides["labeled"], sides["validation"], anchors, rules, params)
    write_table(Path(WRITES["challenge"]), made.cases, CHALLENGE)
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.challenge", **made.report})


if __name__ == "__main__":
    entry(main)
