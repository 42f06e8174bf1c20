"""Why the bundles that may be chosen predict what they do, and whether that explanation is true.

SHAP values of words; words and stems overall, by slice and by error; what deleting the named words does beyond
deleting random ones; whether gradients, another grouping of the words, and the teacher name the same words.
Which bundles: the first of the ranking that `promote` uses, of those that lose little accuracy against the teacher.
Source: Lundberg & Lee 2017, https://arxiv.org/abs/1705.07874; DeYoung et al. 2020,
https://aclanthology.org/2020.acl-main.408; Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

import ratchet.params
from ratchet.compress.graph_predictor import as_graph
from ratchet.data.splits import unit_hash
from ratchet.entry import entry
from ratchet.files import replace_folder
from ratchet.gates.measured_reports import read_whole
from ratchet.gates.ranking import contenders
from ratchet.measure.estimate import Estimate, exact, undefined
from ratchet.measure.report_files import write_report
from ratchet.models.lineage import torch_parent
from ratchet.models.predictor import Predictor, load
from ratchet.params import load_params
from ratchet.reporting.explanation_page import render_figure, render_page
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.trust.attributions import Attribution, attribute, word_spans
from ratchet.trust.faithfulness import RATES, Curves, curves
from ratchet.trust.lockstep import cached_score
from ratchet.trust.second_opinions import Draws, Others, mean_over_texts, second_opinions
from ratchet.trust.slices import slice_masks
from ratchet.trust.word_importance import global_words, outcome_groups, stem_key, words_by_group

if TYPE_CHECKING:
    import pandas as pd

BUNDLES = {
    "baseline": "models/baseline",
    "teacher": "models/teacher",
    "student": "models/student",
    "pruned": "models/pruned",
    "pruned-bnb-int8": "models/pruned-bnb-int8",
    "pruned-bnb-nf4": "models/pruned-bnb-nf4",
    "pruned-onnx-fp32": "models/pruned-onnx-fp32",
    "pruned-onnx-int8": "models/pruned-onnx-int8",
    "pruned-openvino-fp32": "models/pruned-openvino-fp32",
    "pruned-openvino-int8": "models/pruned-openvino-int8",
}
READS = {
    "evaluate": "reports/evaluate.json",
    "evaluate_measurements": "measurements/evaluate.json",
    **BUNDLES,
    "splits": "data/splits",
}
WRITES = {"pages": "reports/explain", "report": "reports/explain.json"}
SEARCHED = 10
"""Texts are chosen among this many times as many, so that wrong predictions are found among them."""
N_WORDS, N_GROUP_WORDS = 50, 8
"""Words the report lists overall, and for a slice or kind of error."""


class Params(ratchet.params.Params):
    """Which bundles and texts are explained, and how closely."""

    n_candidates: int = Field(ge=1)
    """Bundles to explain, from the top of the ranking."""
    max_accuracy_loss: float = Field(ge=0, le=1)
    """Bundles that lose more accuracy against the teacher are passed over."""
    size_tie: float = Field(ge=0, le=1)
    """As promote's: bundles at most this much larger than the smallest count as equally small; a rate."""
    latency_tie: float = Field(ge=0, le=1)
    """As promote's: bundles at most this much slower than the fastest count as equally fast; a rate."""
    n_texts: int = Field(ge=1)
    """Test texts to explain, balanced over classes."""
    wrong_rate: float = Field(ge=0, le=1)
    """Share of them that should be misclassified ones, as far as there are any."""
    max_evals: int = Field(ge=16)
    """Masked texts to score for one explanation."""
    n_random_orders: int = Field(ge=1)
    """Random orders of a text's words that its explanation is compared with."""
    n_compared: int = Field(ge=2)
    """Texts on which the explanation is compared with the teacher's, with gradients and with another grouping."""
    n_gradient_steps: int = Field(ge=20)
    """Steps of integrated gradients."""
    slices: list[str]
    """Features whose slices get a list of words of their own; see `ratchet.trust.slices`."""
    length_edges: list[int] = Field(min_length=2, max_length=2)
    """Most words of a short text, and of a medium one."""
    n_bootstrap: int = Field(ge=100, le=100_000)
    """Bootstrap draws behind each 95 % interval."""
    n_threads: int = Field(ge=0)
    """CPU threads; 0: all cores."""
    seed: int = Field(ge=0)
    """Seed of the choice of texts, of the other grouping, of random orders and bootstraps."""


class Explained(NamedTuple):
    """A bundle's explanations."""

    texts: list[tuple[str, str, Attribution]]
    """Id, true label and attribution."""
    report: dict[str, Any]


def run(predictor: Predictor, test: pd.DataFrame, params: Params, others: Others) -> Explained:
    """The explanations of one bundle on labelled test texts; without any text with a word, none.

    The metrics: `n_explained`; `additivity_error`, the largest over the texts (see `Attribution`); and means over texts
    with intervals: `faithfulness_gain` and `sufficiency_gain` (see `ratchet.trust.faithfulness`), and those of
    `second_opinions`.
    """
    score, rng = cached_score(predictor), np.random.default_rng(params.seed)
    chosen = choose_texts(predictor, test, params)
    attributions = attribute(predictor, score, chosen["text"].tolist(), params.max_evals)
    found = curves(attributions, score, params.n_random_orders, rng) if attributions else None
    errors, draws = [item.additivity_error for item in attributions], Draws(params.n_bootstrap, params.seed)
    metrics = {
        "n_explained": exact(len(attributions), len(attributions)),
        "additivity_error": exact(max(errors), len(errors)) if errors else undefined("no text was explained"),
        "faithfulness_gain": mean_over_texts(found.comprehensiveness_gain if found else np.zeros(0), draws),
        "sufficiency_gain": mean_over_texts(found.sufficiency_gain if found else np.zeros(0), draws),
        **second_opinions(
            predictor,
            score,
            attributions[: params.n_compared],
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
        **slice_masks(chosen, params.slices, params.length_edges),
    }
    words = global_words(attributions, labels, params.n_bootstrap, params.seed, n_rows=N_WORDS)
    report = {
        "metrics": {name: estimate.to_json() for name, estimate in metrics.items()},
        "n_wrong": sum(labels[item.predicted] != label for item, label in zip(attributions, y_true, strict=True)),
        "words": words,
        "stems": global_words(attributions, labels, params.n_bootstrap, params.seed, stem_key(), N_WORDS),
        "groups": words_by_group(attributions, labels, groups, params.n_bootstrap, params.seed, N_GROUP_WORDS),
        "curves": _curves_table(found, draws),
    }
    texts = list(zip(chosen["id"].astype(str), y_true, attributions, strict=True))
    return Explained(texts, report)


def choose_texts(predictor: Predictor, test: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Labelled texts to explain: in the order of a seeded hash, `wrong_rate` of them misclassified, classes in turn.

    The hash is of the id, so the choice changes little when texts are added.
    """
    usable = test[test["label"].notna() & test["text"].map(lambda text: len(word_spans(text)) > 0)]
    order = usable["id"].map(lambda key: unit_hash(key, str(params.seed))).sort_values(kind="stable").index
    found = usable.loc[order].head(SEARCHED * params.n_texts).reset_index(drop=True)
    proba = predictor.predict_proba(found["text"].tolist())
    wrong = np.array(predictor.labels, dtype=object)[proba.argmax(axis=1)] != found["label"].to_numpy(dtype=object)
    turn = found.groupby(["label", wrong]).cumcount().to_numpy()  # the how-many-eth of its class and kind
    in_turn = np.lexsort((found["label"].to_numpy(dtype=str), turn))
    mistakes = in_turn[wrong[in_turn]][: round(params.wrong_rate * params.n_texts)]
    rest = in_turn[~wrong[in_turn]]
    more = in_turn[wrong[in_turn]][len(mistakes) :]  # where there are too few right ones
    return found.iloc[np.concatenate([mistakes, rest, more])[: params.n_texts]]


def main() -> None:
    params = load_params(Params, "explain")
    test = read_table(Path(READS["splits"]) / "test.parquet", SPLIT)
    known = {
        name: item
        for name, item in read_whole(Path(READS["evaluate"]), Path(READS["evaluate_measurements"]))["bundles"].items()
        if name in BUNDLES
    }
    names = contenders(known, params.max_accuracy_loss, params.size_tie, params.latency_tie)[: params.n_candidates]
    asked = names and names != ["teacher"]
    teacher = as_graph(load(Path(BUNDLES["teacher"]), params.n_threads), params.n_threads) if asked else None
    teacher_score = cached_score(teacher) if teacher else None
    bundles = {}
    with replace_folder(Path(WRITES["pages"])) as folder:
        for name in names:
            print(f"explaining {params.n_texts} texts by {name}", flush=True)
            predictor = load(Path(BUNDLES[name]), params.n_threads)
            parent = torch_parent(name, BUNDLES, params.n_threads)
            texts, report = run(predictor, test, params, Others(teacher, teacher_score, parent))
            report |= {"parent": parent.manifest.name if parent else None}
            figures = {key: _words(Estimate.from_json(value)) for key, value in report["metrics"].items()}
            page = render_page(name, predictor.labels, texts, report, figures)
            (folder / f"{name}.html").write_text(page, encoding="utf-8")
            (folder / f"{name}.png").write_bytes(render_figure(report["words"], predictor.labels))
            bundles[name] = {
                **report,
                "page": f"{WRITES['pages']}/{name}.html",
                "figure": f"{WRITES['pages']}/{name}.png",
            }
        listed = "".join(f"{name}.html\n" for name in names) or "No bundle is near enough to the teacher to explain.\n"
        (folder / "contents.txt").write_text(listed, encoding="utf-8")
    write_report(Path(WRITES["report"]), {"command": "python -m pipeline_steps.explain", "bundles": bundles})


def _curves_table(found: Curves | None, draws: Draws) -> list[dict[str, Any]]:
    """Mean confidence in the prediction by share of the words, deleted and kept, named and random, with intervals."""
    if found is None:
        return []
    columns = found._asdict().items()
    return [
        {"rate": rate, **{name: mean_over_texts(values[:, at], draws).to_json() for name, values in columns}}
        for at, rate in enumerate(RATES)
    ]


def _words(estimate: Estimate) -> str:
    if estimate.reason:
        return f"undefined: {estimate.reason}"
    if estimate.low == estimate.high:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.3f} (95 % interval {estimate.low:.3f} to {estimate.high:.3f})"


if __name__ == "__main__":
    entry(main)
