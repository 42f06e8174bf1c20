"""The architecture, chosen by measurement: TF-IDF, probes of the backbones at hand, and ways to fine-tune the best one.

Every candidate is judged on labelled texts that it did not learn from: those of held-out folds, and the validation
texts. TF-IDF and the probes are cross-validated; the backbone with the best probe is then fine-tuned for a few steps by
each arm, on all folds but the first.

Sources: Kumar et al. 2022, https://arxiv.org/abs/2202.10054 (head first, then the rest); Jamieson & Talwalkar 2016,
https://arxiv.org/abs/1502.07943 (many candidates for few steps, few for many).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from ratchet.compress.graph_session import fused_logits
from ratchet.compress.task_vocabulary import task_vocabulary
from ratchet.data.sampling import sample_by_class
from ratchet.embeddings.encoder import embed
from ratchet.entry import entry
from ratchet.labels.selection_model import unit_length
from ratchet.measure.candidates import Candidate, Judge
from ratchet.measure.primary import PrimaryMetricParams, primary_metric
from ratchet.measure.prior import adjusted, choose_strength, prior_offset
from ratchet.measure.report_files import write_report
from ratchet.models.architecture import Architecture, Arm, BackboneSettings, TfidfSettings, write_architecture
from ratchet.models.backbones import encoder_parameters, is_installed, resolve_backbone
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.examples import Examples, check_labels, class_indices, class_names
from ratchet.models.fit_params import TuningParams
from ratchet.models.head_start import classifier_from, finished, learner_of, prepared
from ratchet.models.predictor import softmax
from ratchet.models.probe import choose_regularization, fit_probe, stratified_folds
from ratchet.models.tfidf import fit_pipeline
from ratchet.models.tfidf_search import choose_tfidf
from ratchet.models.training import fit
from ratchet.params import At, load_params
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT
from ratchet.task import Backbones, BackboneSource, NBootstrap

READS = {"labeled": "data/labeled.parquet", "splits": "data/splits"}
WRITES = {
    "report": "reports/architect.json",
    "measurements": "measurements/architect.json",
    "architecture": "reports/architecture.json",
}
SCRATCH, VOCABULARY = Path(".scratch/architect"), Path(".scratch/architect_vocabulary")
FIRST = 0
"""The fold that the arms do not learn from."""
TFIDF, HEAD = "tfidf", "head"


class Params(TuningParams, PrimaryMetricParams):
    """What is compared, and how far."""

    borrowed: ClassVar = {"train": TuningParams}
    backbones: Backbones
    arms: list[Arm]
    """Ways to fine-tune that are tried on the backbone with the best probe where there are as many labels as they ask
    for; none: its probe is the teacher."""
    n_steps: int = Field(ge=0)
    """Optimizer steps of all arms that are tried together, shared out evenly."""
    n_folds: int = Field(ge=2, le=20)
    """Folds of the cross-validation."""
    max_compared: int = Field(ge=10)
    """Labelled texts that candidates are compared on, at most: a sample by class."""
    max_ngram: Annotated[int, At("baseline.max_ngram")]
    tie: float = Field(ge=0)
    """Differences of the primary metric up to which the smaller backbone, or the arm with the lesser log loss, wins."""
    n_bootstrap: NBootstrap


@dataclass(frozen=True)
class Texts:
    """Labelled texts, followed by the validation texts."""

    texts: list[str]
    targets: NDArray[np.int64]
    """Class indices, (n_texts,)."""
    folds: NDArray[np.int64]
    """The fold of each labelled text, (n_labeled,)."""
    n_classes: int

    @property
    def n_labeled(self) -> int:
        return len(self.folds)

    def rows(self, labeled: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mask of all texts, (n_texts,): the given labelled ones and every validation text."""
        return np.concatenate([labeled, np.ones(len(self.texts) - self.n_labeled, dtype=bool)])


@dataclass(frozen=True)
class Found:
    """What was tried, and what won."""

    candidates: list[Candidate]
    tfidf: Candidate
    neural: Candidate
    """The best that is not TF-IDF, whether or not TF-IDF won."""
    winner: Candidate
    reason: str


def run(labeled: pd.DataFrame, validation: pd.DataFrame, params: Params) -> tuple[Found, Judge]:
    """Everything that was tried, what won, and the judge of it.

    Raises:
        TrainingError: a class has no labelled text, or there are fewer than two classes.
        SourceError: a backbone cannot be found.
    """
    labels = class_names(validation)
    check_labels(labeled, labels)
    n_labels, labeled = len(labeled), sample_by_class(labeled, params.max_compared)
    both = pd.concat([labeled, validation])
    targets = class_indices(both, labels)
    folds = stratified_folds(targets[: len(labeled)], params.n_folds, params.seed)
    texts = Texts(both["text"].tolist(), targets, folds, len(labels))
    judge = Judge(params.metric_of(labels), targets, params.tie, params.n_bootstrap, params.seed)
    tfidf = try_tfidf(texts, judge, params)
    here = [backbone for backbone in params.backbones if is_installed(backbone.source)] or params.backbones
    probes = [try_probe(texts, judge, backbone, params) for backbone in here]
    probe = judge.smallest([candidate for candidate, _ in probes])
    vectors = next(vectors for candidate, vectors in probes if candidate is probe)
    arms = try_arms(texts, judge, probe, vectors, [arm for arm in params.arms if arm.suits(n_labels)], params)
    return choose(judge, tfidf, [candidate for candidate, _ in probes], probe, arms), judge


def choose(
    judge: Judge, tfidf: Candidate, probes: Sequence[Candidate], probe: Candidate, arms: Sequence[Candidate]
) -> Found:
    """The best arm unless all are worse than the probe beyond chance; TF-IDF where that arm is worse than it beyond
    chance, or a probe that nothing is to be fine-tuned from is no better.

    A few steps show less than fine-tuning to the end gives: an arm has only to be no worse than its start, and no worse
    than TF-IDF. `train` goes back to the probe if at the end that is still better on the validation texts, and has
    nothing distilled if TF-IDF is.
    """
    neural, reason = probe, "no arm of fine-tuning was tried"
    if arms:
        start, *others = arms
        worse = [judge.difference(arm, start).high < 0 for arm in others]
        neural, reason = (start, "every arm is worse than the probe") if all(worse) else (judge.best(others), "")
        reason = reason or "the best arm of the backbone with the best probe"
    against = judge.difference(neural, tfidf)
    if against.high < 0 or (neural.settings["method"] == HEAD and against.value <= 0):
        reason = f"nothing was better than TF-IDF ({neural.name}: {against.value:+.3f})"
        return Found([tfidf, *probes, *arms], tfidf, neural, tfidf, reason)
    return Found([tfidf, *probes, *arms], tfidf, neural, neural, reason)


def try_tfidf(texts: Texts, judge: Judge, params: Params) -> Candidate:
    """TF-IDF with the settings that cross-validation chose."""
    began, n = time.process_time(), texts.n_labeled
    choice = choose_tfidf(texts.texts[:n], texts.targets[:n], texts.n_classes, texts.folds, params.max_ngram)
    settings: dict[str, Any] = {
        "max_characters": choice.max_characters,
        "inverse_regularization": choice.inverse_regularization,
    }
    pipeline = fit_pipeline(texts.texts[:n], texts.targets[:n].tolist(), max_ngram=params.max_ngram, **settings)
    proba = np.concatenate([choice.held_out, pipeline.predict_proba(texts.texts[n:])])
    strength = choose_strength(judge.metric, texts.targets[:n], choice.held_out)
    return Candidate(
        TFIDF,
        _adjusted(proba, texts, strength),
        {**settings, "prior_strength": strength},
        pipeline.steps[-1][1].coef_.size,
        time.process_time() - began,
    )


def try_probe(
    texts: Texts, judge: Judge, backbone: BackboneSource, params: Params
) -> tuple[Candidate, NDArray[np.float32]]:
    """The probe of a backbone, and the unit vectors of all texts, (n_texts, hidden)."""
    began, n = time.process_time(), texts.n_labeled
    folder = resolve_backbone(backbone.source, backbone.sha256)
    vectors = unit_length(embed(folder, texts.texts, params.max_tokens, params.n_threads, params.batch_size))
    targets = texts.targets[:n]
    regularization, held_out = choose_regularization(vectors[:n], targets, texts.n_classes, texts.folds)
    probe = fit_probe(vectors[:n], targets, texts.n_classes, regularization)
    strength = choose_strength(judge.metric, targets, held_out)
    proba = np.concatenate([held_out, softmax(probe.logits(vectors[n:]))])
    settings = {
        "source": backbone.source,
        "sha256": backbone.sha256,
        "method": HEAD,
        "learning_rate": params.learning_rate,
        "probe_regularization": regularization,
        "prior_strength": strength,
    }
    name, used = f"probe of {backbone.source}", time.process_time() - began
    return Candidate(name, _adjusted(proba, texts, strength), settings, encoder_parameters(folder), used), vectors


def try_arms(
    texts: Texts,
    judge: Judge,
    probe: Candidate,
    vectors: NDArray[np.float32],
    arms: Sequence[Arm],
    params: Params,
) -> list[Candidate]:
    """The probe on all folds but the first, and each arm from there; empty where there is no arm, or no step for it."""
    if not arms or params.n_steps < len(arms):
        return []
    known = texts.folds != FIRST
    inside, n_classes = np.flatnonzero(known), texts.n_classes
    targets, strength = texts.targets[inside], probe.settings["prior_strength"]
    start = fit_probe(vectors[inside], targets, n_classes, probe.settings["probe_regularization"])
    offset = prior_offset(targets, n_classes, strength)
    rows = texts.rows(~known)

    def candidate(name: str, proba: NDArray[np.float64], changes: dict[str, Any], used: float) -> Candidate:
        everywhere = np.full((len(texts.texts), n_classes), np.nan)
        everywhere[rows] = proba
        return Candidate(name, everywhere, {**probe.settings, **changes}, probe.n_parameters, used)

    proba = adjusted(start.logits(vectors[rows]), offset)
    tried = [candidate("its probe without the first fold", proba, {}, 0.0)]
    whole = resolve_backbone(probe.settings["source"], probe.settings["sha256"])
    folder, _ = task_vocabulary(whole, texts.texts, VOCABULARY)
    tokens = encode(load_tokenizer(folder, params.max_tokens), texts.texts)
    judged = Examples([tokens[row] for row in np.flatnonzero(rows)], texts.targets[rows])
    n_steps = params.n_steps // len(arms)
    drawn = np.random.default_rng(params.seed).permutation(inside)[: n_steps * params.batch_size]
    learned = Examples([tokens[row] for row in drawn], texts.targets[drawn])
    for arm in arms:
        began = time.process_time()
        model = prepared(classifier_from(folder, start, offset), arm.method, params)
        changed = {"learning_rate": arm.learning_rate, "n_epochs": 1, "min_steps": n_steps, "precision": "32-true"}
        how = params.model_copy(update=changed)  # in 32-bit: the choice is not to depend on the kind of machine
        once = how.epochs(len(learned)) == 1  # then no epoch has to be chosen: one batch is looked at, for form's sake
        seen = Examples(judged.tokens[: params.batch_size], judged.hard[: params.batch_size]) if once else judged
        metric = primary_metric("accuracy", judge.metric.classes) if once else judge.metric
        learner = learner_of(arm.method)
        fit(model, learned, seen, how, SCRATCH, metric=metric, prior_offset=offset.tolist(), learner=learner)
        model = finished(model, arm.method, learned, offset, params.seed)
        proba = softmax(fused_logits(model, judged.tokens, params.n_threads))
        changes = {"method": arm.method, "learning_rate": arm.learning_rate}
        name = f"{arm.method} at {arm.learning_rate:.0e}, {n_steps} steps"
        tried.append(candidate(name, proba, changes, time.process_time() - began))
    shutil.rmtree(VOCABULARY, ignore_errors=True)
    return tried


def _adjusted(proba: NDArray[np.float64], texts: Texts, strength: float) -> NDArray[np.float64]:
    """Probabilities for the classes as the metric weighs them: without `strength` times the log prior."""
    offset = prior_offset(texts.targets[: texts.n_labeled], texts.n_classes, strength)
    return adjusted(np.log(np.maximum(proba, 1e-12)), offset)


def to_json(found: Found, judge: Judge) -> dict[str, Any]:
    """The candidates with their metric, their difference from TF-IDF and what they cost, and what won."""
    return {
        "primary_metric": judge.metric.name,
        "candidates": [
            {
                "name": candidate.name,
                judge.metric.name: judge.estimate(candidate).to_json(),
                "against_tfidf": judge.difference(candidate, found.tfidf).to_json(),
                "log_loss": judge.log_loss(candidate),
                "n_parameters": candidate.n_parameters,
                "cpu_s": candidate.cpu_s,
            }
            for candidate in found.candidates
        ],
        "winner": found.winner.name,
        "best_neural": found.neural.name,
        "reason": found.reason,
    }


def main() -> None:
    params = load_params(Params, "architect")
    labeled = read_table(Path(READS["labeled"]), LABELED)
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT).dropna(subset="label")
    found, judge = run(labeled, validation, params)
    for candidate in found.candidates:
        print(f"{candidate.name}: {judge.metric.name} {judge.estimate(candidate).value:.3f}", flush=True)
    print(f"{found.winner.name} wins: {found.reason}", flush=True)
    command = "python -m pipeline_steps.architect"
    write_report(Path(WRITES["report"]), {"command": command, **to_json(found, judge)}, Path(WRITES["measurements"]))
    architecture = Architecture(
        command=command,
        kind="tfidf" if found.winner is found.tfidf else "backbone",
        tfidf=TfidfSettings.model_validate(found.tfidf.settings),
        backbone=BackboneSettings.model_validate(found.neural.settings),
    )
    write_architecture(Path(WRITES["architecture"]), architecture)


if __name__ == "__main__":
    entry(main)
