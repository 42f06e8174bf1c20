"""Why the bundles that may be chosen predict what they do, and whether that explanation is true.

SHAP values of words, exact ones of models that are linear in them, stored as tables that
`ratchet.trust.explanation_tables` reads as a `shap.Explanation`; words and stems overall, by slice and by error; what
deleting the named words does beyond deleting random ones; whether gradients, another grouping of the words, the teacher
and shap's own explainer name the same words.
Which bundles: those on the shortlist, on validation texts.
Source: Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874; DeYoung et al. 2020,
https://aclanthology.org/2020.acl-main.408; Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from pydantic import Field

import ratchet.params
from ratchet.compress.graph_predictor import as_graph
from ratchet.data.class_sample import classes_in_turn
from ratchet.data.words import word_spans
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.files import replace_folder
from ratchet.gates.ranking import read_shortlist
from ratchet.measure.estimate import Estimate, exact, undefined
from ratchet.measure.formats import estimate_or_reason, metric_name, number
from ratchet.measure.power import shown_difference
from ratchet.measure.report_files import write_report
from ratchet.models.discovery import discover
from ratchet.models.lineage import torch_parent
from ratchet.models.linear_text import LinearPredictor
from ratchet.models.predictor import Predictor
from ratchet.params import load_params, read_params
from ratchet.reporting.explanation_page import render_page
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.task import InferenceThreads, LengthEdges, NBootstrap, Seed
from ratchet.trust.attributions import Attribution, attribute
from ratchet.trust.explanation_tables import write_explanation
from ratchet.trust.faithfulness import RATES, Curves, curves
from ratchet.trust.language import Language
from ratchet.trust.linear_attributions import attribute_linear, searched_difference
from ratchet.trust.lockstep import Score, cached_score
from ratchet.trust.second_opinions import Draws, Others, mean_over_texts, second_opinions
from ratchet.trust.slices import PatternFeatures, Patterns, read_length_edges, slice_masks
from ratchet.trust.word_importance import global_words, outcome_groups, stem_key, words_by_group

if TYPE_CHECKING:
    import pandas as pd

READS = {
    "length_edges": "reports/length_edges.json",
    "shortlist": "reports/shortlist.json",
    "bundles": "models/*",  # every bundle that an earlier stage writes, discovered from its manifest
    "splits": "data/splits",
    "features": "data/lexicons/features.yaml",
    "language": "data/lexicons/language.yaml",
}
WRITES = {"pages": "reports/explain", "report": "reports/explain.json"}
Item = TypeVar("Item")
SEARCHED = 10
"""Texts are chosen among this many times as many, so that wrong predictions are found among them."""
N_RECOMPUTED = 2
"""Texts whose values shap's own explainer computes again, every group of words opened."""
N_WORDS, N_GROUP_WORDS = 50, 8
"""Words the report lists overall, and for a slice or kind of error."""


class Params(ratchet.params.Params):
    """Which bundles and texts are explained, and how closely."""

    n_texts: int = Field(ge=1)
    """Validation texts to explain, balanced over classes."""
    wrong_rate: float = Field(ge=0, le=1)
    """Share of them that should be misclassified ones, as far as there are any."""
    max_evals: int = Field(ge=16)
    """Masked texts to score for one explanation."""
    n_random_orders: int = Field(ge=1)
    """Random orders of a text's words that its explanation is compared with."""
    n_compared: int = Field(ge=2)
    """Of these, texts on which it is compared with the teacher's, with gradients and with another grouping."""
    n_gradient_steps: int = Field(ge=20)
    """Steps of integrated gradients."""
    slices: list[str]
    """Features whose slices get a list of words of their own; see `ratchet.trust.slices`."""
    length_edges: LengthEdges
    n_bootstrap: NBootstrap
    n_threads: InferenceThreads
    seed: Seed


class Rules(NamedTuple):
    """What the task's files hold."""

    patterns: Patterns
    stemmer: str


def load_rules() -> Rules:
    """The task's files, checked."""
    return Rules(
        read_params(PatternFeatures, Path(READS["features"])).patterns,
        read_params(Language, Path(READS["language"])).stemmer,
    )


class Explained(NamedTuple):
    """A bundle's explanations."""

    texts: list[tuple[str, str, Attribution]]
    """Id, true label and attribution."""
    report: dict[str, Any]


def run(predictor: Predictor, validation: pd.DataFrame, rules: Rules, params: Params, others: Others) -> Explained:
    """The explanations of one bundle on labelled validation texts; without any text with a word, none.

    The metrics: `n_explained`; `additivity_error`, the largest over the texts (see `Attribution`); `shap_difference`,
    the largest difference from shap's own values over `N_RECOMPUTED` texts; and means over texts with intervals:
    `faithfulness_gain` and `sufficiency_gain` (see `ratchet.trust.faithfulness`), and those of `second_opinions`.
    `power` holds of each mean the difference that so many texts can show (`shown_difference`).
    """
    score, rng = cached_score(predictor), np.random.default_rng(params.seed)
    chosen = choose_texts(predictor, validation, params)
    asked = chosen["text"].tolist()
    attributions = attribute_linear(predictor, asked) or attribute(predictor, score, asked, params.max_evals)
    found = curves(attributions, score, params.n_random_orders, rng) if attributions else None
    errors, draws = [item.additivity_error for item in attributions], Draws(params.n_bootstrap, params.seed)
    metrics = {
        "n_explained": exact(len(attributions), len(attributions)),
        "additivity_error": exact(max(errors), len(errors)) if errors else undefined("no text was explained"),
        "shap_difference": _recomputed(predictor, score, attributions, params.max_evals),
        "faithfulness_gain": mean_over_texts(found.comprehensiveness_gain if found else np.zeros(0), draws),
        "sufficiency_gain": mean_over_texts(found.sufficiency_gain if found else np.zeros(0), draws),
        **second_opinions(
            predictor,
            score,
            evenly_spaced(attributions, params.n_compared),
            others,
            max_evals=params.max_evals,
            n_steps=params.n_gradient_steps,
            n_random_orders=params.n_random_orders,
            draws=draws,
        ),
    }
    labels, y_true = predictor.labels, chosen["label"].astype(str).tolist()
    groups = {
        **outcome_groups(attributions, y_true, labels),
        **slice_masks(chosen, params.slices, params.length_edges, rules.patterns),
    }
    words = global_words(attributions, labels, params.n_bootstrap, params.seed, n_rows=N_WORDS)
    report = {
        "metrics": {name: estimate.to_json() for name, estimate in metrics.items()},
        "power": {name: shown for name, item in metrics.items() if not math.isnan(shown := shown_difference(item))},
        "n_wrong": sum(labels[item.predicted] != label for item, label in zip(attributions, y_true, strict=True)),
        "words": words,
        "stems": global_words(attributions, labels, params.n_bootstrap, params.seed, stem_key(rules.stemmer), N_WORDS),
        "groups": words_by_group(attributions, labels, groups, params.n_bootstrap, params.seed, N_GROUP_WORDS),
        "curves": _curves_table(found, draws),
    }
    texts = list(zip(chosen["id"].astype(str), y_true, attributions, strict=True))
    return Explained(texts, report)


def _recomputed(predictor: Predictor, score: Score, attributions: Sequence[Attribution], max_evals: int) -> Estimate:
    """The largest difference from shap's own values of the first texts with words; of a linear model, whose values are
    shap's, from those of a search."""
    texts = [item.text for item in attributions if item.spans][:N_RECOMPUTED]
    if not texts:
        return undefined("no text was explained")
    if isinstance(predictor, LinearPredictor) and attributions[0].unit == "log-odds":
        return exact(float(searched_difference(predictor, texts).max()), len(texts))
    from ratchet.trust.word_explainer import shap_difference

    found = [
        shap_difference(branch, score if branch is predictor else cached_score(branch), [text], max_evals)
        for text, branch in zip(texts, predictor.branches(texts), strict=True)
    ]
    return exact(float(np.max(found)), len(texts))


def choose_texts(predictor: Predictor, validation: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Labelled texts to explain: in the order of a seeded hash, `wrong_rate` of them misclassified, classes in turn.

    The hash is of the id, so the choice changes little when texts are added. Texts of every class are looked at,
    however rare it is (`classes_in_turn`).
    """
    usable = validation[validation["label"].notna() & validation["text"].map(lambda text: len(word_spans(text)) > 0)]
    found = classes_in_turn(usable, str(params.seed)).head(SEARCHED * params.n_texts).reset_index(drop=True)
    proba = predictor.predict_proba(found["text"].tolist())
    wrong = np.array(predictor.labels, dtype=object)[proba.argmax(axis=1)] != found["label"].to_numpy(dtype=object)
    turn = found.groupby(["label", wrong]).cumcount().to_numpy()  # rank within class and outcome
    in_turn = np.argsort(turn, kind="stable")
    mistakes = in_turn[wrong[in_turn]][: round(params.wrong_rate * params.n_texts)]
    rest = in_turn[~wrong[in_turn]]
    more = in_turn[wrong[in_turn]][len(mistakes) :]  # where there are too few right ones
    return found.iloc[np.concatenate([mistakes, rest, more])[: params.n_texts]]


def evenly_spaced(items: Sequence[Item], n: int) -> list[Item]:
    """At most `n` of them, from the first to the last: of texts in the order of `choose_texts` some of each kind.

    >>> evenly_spaced("mmrrrrrr", 4)
    ['m', 'r', 'r', 'r']
    """
    chosen = np.linspace(0, len(items) - 1, min(n, len(items))).round().astype(int)
    return [items[index] for index in chosen]


def main() -> None:
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # before shap is there: it would compile for longer than it works
    params = load_params(Params, "explain", length_edges=read_length_edges(Path(READS["length_edges"])))
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT)
    rules = load_rules()
    names, paths = read_shortlist(Path(READS["shortlist"])), discover(Path(READS["bundles"]).parent)
    asked = names and names != ["teacher"]
    teacher = as_graph(load(paths["teacher"], params.n_threads), params.n_threads) if asked else None
    teacher_score = cached_score(teacher) if teacher else None
    bundles = {}
    with replace_folder(Path(WRITES["pages"])) as folder:
        for name in names:
            print(f"explaining {params.n_texts} texts by {name}", flush=True)
            predictor = load(paths[name], params.n_threads)
            parent = torch_parent(name, paths, params.n_threads)
            texts, report = run(predictor, validation, rules, params, Others(teacher, teacher_score, parent))
            report |= {"parent": parent.manifest.name if parent else None}
            page = render_page(name, predictor.labels, texts, report, _figures(report))
            (folder / f"{name}.html").write_text(page, encoding="utf-8")
            write_explanation(folder, name, texts, predictor.labels)
            bundles[name] = {
                **report,
                "page": f"{WRITES['pages']}/{name}.html",
            }
        listed = "".join(f"{name}.html\n" for name in names) or "No bundle is on the shortlist.\n"
        (folder / "contents.txt").write_text(listed, encoding="utf-8")
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.explain", "bundles": bundles})


def _figures(report: dict[str, Any]) -> dict[str, str]:
    """Name and value of each metric, and the difference that its texts can show."""
    told = {}
    for key, value in report["metrics"].items():
        estimate, shown = Estimate.from_json(value), report["power"].get(key)
        more = f"; {estimate.n} texts show differences from {number(shown)}" if shown else ""
        told[metric_name(key)] = estimate_or_reason(estimate) + more
    return told


def _curves_table(found: Curves | None, draws: Draws) -> list[dict[str, Any]]:
    """Mean confidence in the prediction by share of the words, deleted and kept, named and random, with intervals."""
    if found is None:
        return []
    columns = found._asdict().items()
    return [
        {"rate": rate, **{name: mean_over_texts(values[:, at], draws).to_json() for name, values in columns}}
        for at, rate in enumerate(RATES)
    ]


if __name__ == "__main__":
    entry(main)
