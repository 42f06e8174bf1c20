"""Benchmark of bias mitigations on the audit's figures, before and after, of TF-IDF and of the fine-tuned teacher.

    python -m benchmarks.mitigation
    python -m benchmarks.mitigation --attribute origin
    python -m benchmarks.mitigation --into docs/decisions/gates-that-can-fail.md    the report's table into a page

The labels are those that were bought; the teacher is trained by `train` itself under each `train.mitigation`;
thresholds are fitted on the validation texts; all is measured on the test texts. What was trained stays in
`.scratch/bench`, so a run that was stopped carries on, in training from the last finished epoch.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.material import REPORTS, SCRATCH, write_report
from pipeline_steps import audit, baseline, behave, train
from ratchet.compress.graph_predictor import as_graph
from ratchet.engines.loading import load
from ratchet.entry import entry
from ratchet.files import read_json, sha256_json, write_json
from ratchet.measure.bootstrap import difference_estimate, mean_estimate, proportion_estimate, weights
from ratchet.measure.estimate import Estimate
from ratchet.measure.formats import estimate_text, metric_name
from ratchet.models.architecture import read_architecture
from ratchet.models.backbones import resolve_backbone
from ratchet.models.bundle import Manifest, read_manifest
from ratchet.models.checkpoint import save_model
from ratchet.models.examples import class_names
from ratchet.models.tfidf import fit_pipeline
from ratchet.params import load_params
from ratchet.reporting.marked_block import write_block
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT
from ratchet.trust.fairness import audit_feature
from ratchet.trust.group_thresholds import group_thresholds, large_groups
from ratchet.trust.lexicons import Lexicon, lexicon_groups, swapped
from ratchet.trust.mitigation import Mitigation, augmented, resampled, reweighing
from ratchet.trust.sensitive import sensitive_metrics
from ratchet.trust.slices import LENGTH_EDGES, read_length_edges

N_DRAWS = 1000
SHOWN = (
    "accuracy",
    "accuracy_change",
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "sensitive_equalized_odds_difference",
    "counterfactual_flip_rate",
)
BEFORE: tuple[Mitigation, ...] = ("none", "reweighing", "augmentation")
"""What is done before a model learns; 'none' is before any of them."""
AFTER = ("demographic_parity", "equalized_odds")
"""What thresholds by group are to make alike."""
Score = Callable[[list[str]], NDArray[np.float64]]
"""The probability of the positive class, (n_texts,)."""


class Measure:
    """The figures of any model on the same test texts."""

    def __init__(self, tables: Mapping[str, pd.DataFrame], rules: train.Rules, attribute: str) -> None:
        lexicon = rules.lexicon
        judged = load_params(audit.Params, "audit", length_edges=read_length_edges(LENGTH_EDGES))
        self.positive, self.least, self.seed = judged.positive_labels[0], judged.min_group_size, judged.seed
        self.tables = tables
        self.groups = {
            name: lexicon_groups(frame["text"].tolist(), lexicon, attribute) for name, frame in tables.items()
        }
        test = tables["test"]
        self.pairs = [
            (text, edited)
            for key, text in zip(test["id"], test["text"], strict=True)
            for edited in swapped(text, key, lexicon.swaps[attribute], 1, rules.articles, lexicon.phrases)
        ]
        self.weights = weights(len(test), N_DRAWS, np.random.default_rng(self.seed))

    def right(self, name: str) -> NDArray[np.bool_]:
        """Whether each text of a table is of the positive class, (n,)."""
        found: NDArray[np.bool_] = (self.tables[name]["label"] == self.positive).to_numpy(dtype=bool)
        return found

    def figures(
        self, selected: NDArray[np.bool_], flipped: NDArray[np.bool_], before: NDArray[np.bool_]
    ) -> dict[str, Any]:
        """Of whether each test text is predicted positive, and was before, and whether each swap turned it."""
        true, predicted = (np.where(values, self.positive, "other") for values in (self.right("test"), selected))
        audited = audit_feature(true, predicted, self.groups["test"], [self.positive], self.least, self.weights)
        figures = sensitive_metrics({"it": audited}, with_selection=True)
        figures["accuracy"] = mean_estimate(true == predicted, self.weights)
        was_right = self.right("test") == before
        figures["accuracy_change"] = difference_estimate(true == predicted, was_right, self.weights)
        figures["counterfactual_flip_rate"] = proportion_estimate(int(flipped.sum()), len(flipped))
        return {name: figures[name].to_json() for name in SHOWN}

    def all(self, models: Mapping[str, Score]) -> dict[str, Any]:
        """Mitigation → figures, of models by what was done before they learned, and of thresholds after it."""
        texts = {name: self.tables[name]["text"].tolist() for name in ("validation", "test")}
        proba = {name: model(texts["test"]) for name, model in models.items()}
        turned = {name: self._turned(model) for name, model in models.items()}
        before = proba["none"] >= 0.5
        found = {name: self.figures(proba[name] >= 0.5, turned[name], before) for name in models}
        held_out = models["none"](texts["validation"])
        for constraint in AFTER:
            selected = self._under(constraint, held_out, proba["none"])
            name = f"thresholds by group, {constraint.replace('_', ' ')}"
            found[name] = self.figures(selected, turned["none"], before)
        return found

    def _turned(self, model: Score) -> NDArray[np.bool_]:
        one, other = (model([pair[side] for pair in self.pairs]) >= 0.5 for side in (0, 1))
        turned: NDArray[np.bool_] = one != other
        return turned

    def _under(self, constraint: Any, held_out: NDArray[Any], proba: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each test text is selected; as without thresholds where fewer than two groups are large enough."""
        right, groups = self.right("validation"), self.groups
        large, selected = large_groups(right, groups["validation"]), proba >= 0.5
        if len(large) < 2:
            return selected
        learned, known = np.isin(groups["validation"], large), np.isin(groups["test"], large)
        optimizer = group_thresholds(
            held_out[learned], right[learned].astype(int), groups["validation"][learned], constraint
        )
        decided = optimizer.predict(
            proba[known, None], sensitive_features=groups["test"][known], random_state=self.seed
        )
        selected[known] = np.asarray(decided).astype(bool)
        return selected


def tfidf_models(measure: Measure, rules: train.Rules, attribute: str) -> dict[str, Score]:
    """TF-IDF with logistic regression, which takes no weights: reweighing draws the texts anew."""
    values, labeled = load_params(baseline.Params, "baseline"), measure.tables["labeled"]
    weight = reweighing(labeled["label"].to_numpy(dtype=str), measure.groups["labeled"])
    only = Lexicon(attributes={}, phrases=[], swaps={attribute: rules.lexicon.swaps[attribute]}, templates=[])

    settings = read_architecture(Path(train.READS["architecture"])).tfidf

    def fitted(frame: pd.DataFrame) -> Score:
        targets = (frame["label"] == measure.positive).astype(int).tolist()
        model = fit_pipeline(
            frame["text"].tolist(),
            targets,
            max_ngram=values.max_ngram,
            inverse_regularization=settings.inverse_regularization,
            max_characters=settings.max_characters,
        )
        return lambda texts: np.asarray(model.predict_proba(texts)[:, 1], dtype=np.float64)

    rows = {
        "none": labeled,
        "reweighing": resampled(labeled, weight, measure.seed),
        "augmentation": augmented(labeled, only, 1, rules.articles),
    }
    return {name: fitted(frame) for name, frame in rows.items()}


def teacher_models(measure: Measure, rules: train.Rules, attribute: str) -> dict[str, Score]:
    """The teacher as `train` makes it under each mitigation."""
    params = load_params(train.Params, "train", length_edges=read_length_edges(LENGTH_EDGES))

    def trained(kind: Mitigation) -> Score:
        of_whom = {} if kind == "none" else {"mitigated_attribute": attribute}
        values = params.model_copy(update={"mitigation": kind, **of_whom})
        path = _trained(values, rules, measure.tables, SCRATCH.resolve() / "mitigation" / f"{attribute}-{kind}")
        predictor = as_graph(load(path, values.n_threads), values.n_threads)
        column = predictor.labels.index(measure.positive)
        return lambda texts: predictor.predict_proba(texts)[:, column]

    return {kind: trained(kind) for kind in BEFORE}


def _trained(params: train.Params, rules: train.Rules, tables: Mapping[str, pd.DataFrame], folder: Path) -> Path:
    """The bundle of a teacher that was trained in the folder, or was before on the same texts with the same params."""
    labeled, validation = tables["labeled"], tables["validation"]
    made = sha256_json(
        [params.model_dump(), labeled[["id", "text", "label"]].to_numpy(), len(validation), rules.lexicon.model_dump()]
    )
    kept = read_manifest(Path(train.WRITES["teacher"]))
    chosen = read_architecture(Path(train.READS["architecture"])).backbone
    if params.method != "auto":
        chosen = chosen.model_copy(update={"method": params.method, "learning_rate": params.learning_rate})
    own = sha256_json([chosen.model_dump(), params.model_dump()])
    if (kept.params_sha256, kept.data_sha256) == (own, train.labels_sha256(labeled)):
        return Path(train.WRITES["teacher"])  # the pipeline's own
    if (folder / "made.json").is_file() and read_json(folder / "made.json") == made:
        return folder / "teacher"
    folder.mkdir(parents=True, exist_ok=True)
    print(f"training with mitigation: {params.mitigation}", flush=True)
    source = str(resolve_backbone(chosen.source, chosen.sha256).resolve())
    chosen = chosen.model_copy(update={"source": source, "sha256": ""})
    with contextlib.chdir(folder):  # the stage's own checkpoints and plots stay as they are
        teacher = train.run(labeled, labeled.head(0), validation, rules, chosen, params)
        vocabulary = teacher.backbone.resolve()
    manifest = Manifest(
        name="teacher",
        kind="torch",
        precision="fp32",
        labels=class_names(validation),
        max_tokens=params.max_tokens,
        parent="",
        params_sha256=own,
        data_sha256=train.labels_sha256(labeled),
    )
    save_model(teacher.model, vocabulary, folder / "teacher", manifest)
    write_json(folder / "made.json", made)
    return folder / "teacher"


def table(report: Mapping[str, Any]) -> str:
    """A row a model and mitigation, in Markdown."""
    lines = [f"| model | mitigation | {' | '.join(map(metric_name, SHOWN))} |", f"|---|---|{'---:|' * len(SHOWN)}"]
    for model, rows in report["models"].items():
        for name, figures in sorted(rows.items(), key=lambda row: (row[0] != "none", row[0])):
            cells = [estimate_text(Estimate.from_json(figures[key])) for key in SHOWN]
            cells[1] = "" if name == "none" else cells[1]
            lines.append(f"| {model} | {name} | {' | '.join(cells)} |")
    n_texts = report["n_texts"]
    counts = ", ".join(f"{group} {n}" for group, n in n_texts.items())
    return f"`{report['command']}`, test texts by {report['attribute']}: {counts}.\n\n" + "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mitigation", description="Mitigations side by side.")
    parser.add_argument("--attribute", default="gender", help="whom a text speaks of, by the lexicon")
    parser.add_argument("--into", type=Path, help="instead, a Markdown file whose block `mitigation` gets the table")
    options = parser.parse_args(arguments)
    if options.into:
        write_block(options.into, "mitigation", table(read_json(REPORTS / "mitigation.json")))
        return
    began, splits = time.process_time(), Path(audit.READS["splits"])
    tables = {"labeled": read_table(Path(behave.READS["labeled"]), LABELED)}
    tables |= {
        name: read_table(splits / f"{name}.parquet", SPLIT).dropna(subset="label").reset_index(drop=True)
        for name in ("validation", "test")
    }
    rules = train.load_rules()
    measure = Measure(tables, rules, options.attribute)
    found = {}
    for name, models in (("TF-IDF", tfidf_models), ("teacher", teacher_models)):
        found[name] = measure.all(models(measure, rules, options.attribute))
    groups, sizes = np.unique(measure.groups["test"], return_counts=True)
    figures = {
        "attribute": options.attribute,
        "n_texts": dict(zip(groups.tolist(), sizes.tolist(), strict=True)),
        "n_swaps": len(measure.pairs),
        "cpu_s": time.process_time() - began,
        "models": found,
    }
    path = write_report(
        "mitigation",
        figures,
        load_params(train.Params, "train", length_edges=read_length_edges(LENGTH_EDGES)).n_threads,
        "" if options.attribute == "gender" else f"--attribute {options.attribute}",
    )
    print(table(read_json(path)))


if __name__ == "__main__":
    entry(main)
