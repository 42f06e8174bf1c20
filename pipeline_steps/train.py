"""The teacher: the backbone that `architect` chose, tuned from its frozen probe on the labels that were bought.

The head is the probe's, a logistic regression on frozen features; from there Lightning fine-tunes by the arm that was
chosen, and where the result is worse than the probe on the validation texts, the probe is the teacher. A mitigation can
be chosen for whom the texts speak of, and slices of the validation texts are watched in every epoch.

Source: Kumar et al. 2022, Fine-tuning can distort pretrained features, https://arxiv.org/abs/2202.10054
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from ratchet.compress.distillation import no_student
from ratchet.compress.graph_session import fused_logits
from ratchet.compress.task_vocabulary import task_vocabulary
from ratchet.data.cleaning_params import CleaningParams
from ratchet.data.sampling import sample_by_class
from ratchet.embeddings.encoder import embed
from ratchet.entry import entry
from ratchet.files import sha256_json
from ratchet.labels.selection_model import unit_length
from ratchet.measure.machine_figures import drop
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.measure.prior import prior_offset
from ratchet.measure.report_files import write_report
from ratchet.models.architecture import BackboneSettings, read_architecture
from ratchet.models.backbones import resolve_backbone
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import Manifest
from ratchet.models.calibration import fit_temperature, fold_temperature
from ratchet.models.checkpoint import save_model
from ratchet.models.examples import Examples, check_labels, class_indices, class_names
from ratchet.models.fit_params import TuningParams
from ratchet.models.head_start import classifier_from, finished, learner_of, prepared
from ratchet.models.predictor import softmax
from ratchet.models.probe import Probe, fit_probe, save_probe
from ratchet.models.tfidf import load_pipeline
from ratchet.models.training import Fit, fit, without_steps
from ratchet.models.tuning import Method, count_parameters
from ratchet.params import load_params, read_params
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT, UNLABELED
from ratchet.task import LengthEdges
from ratchet.trust.language import Articles, Language
from ratchet.trust.lexicons import Lexicon, lexicon_groups
from ratchet.trust.mitigation import Mitigation, mitigate
from ratchet.trust.slices import PatternFeatures, Patterns, read_length_edges, slice_masks

READS = {
    "architecture": "reports/architecture.json",
    "baseline": "models/baseline",
    "length_edges": "reports/length_edges.json",
    "labeled": "data/labeled.parquet",
    "unlabeled": "data/unlabeled.parquet",
    "splits": "data/splits",
    "lexicon": "data/lexicons/identity.yaml",
    "features": "data/lexicons/features.yaml",
    "language": "data/lexicons/language.yaml",
}
WRITES = {
    "teacher": "models/teacher",
    "report": "reports/train.json",
    "measurements": "measurements/train.json",
    "precision": "reports/precision.json",
    "teaching": "reports/teaching.json",
    "probe": "data/probe.safetensors",
    "live": "reports/live/train",
}
SCRATCH, VOCABULARY = Path(".scratch/train"), Path(".scratch/train_vocabulary")
HEAD = "head"
"""The method by which only the head learns."""


class Params(TuningParams, PrimaryMetricParams, CleaningParams):
    """How the teacher is trained."""

    method: Method | Literal["auto"]
    """Which parameters learn: as `architect` chose, at its learning rate (auto), or all (full), the head, the upper
    half of the layers (last_layers), the biases (bitfit), or few new ones: ia3, lora, dora (merged afterwards), adapter
    (stays in the model, which can then not be compressed); or all of them from pairs of texts (contrastive)."""
    max_texts: int = Field(ge=2)
    """Labelled texts to learn from, at most: a sample by class, by hash, in which rare classes stay whole."""
    mitigation: Mitigation
    """What is done about whom texts speak of: none; reweighing: a text counts for as much as makes group and label
    independent; augmentation: copies with swapped identity terms are learned from too."""
    mitigated_attribute: str
    """Attribute of data/lexicons/identity.yaml that it is done for; empty with mitigation none: nobody is counted."""
    max_copies: int = Field(ge=1, le=100)
    """Copies of a text that augmentation adds, at most."""
    slices: list[str]
    """Features whose slices of the validation texts are watched: length, any of data/lexicons/features.yaml, source."""
    attributes: list[str]
    """Attributes of data/lexicons/identity.yaml whose groups are watched too."""
    length_edges: LengthEdges
    max_slice_fall: float = Field(ge=0)
    """By how much a slice's primary metric may get worse from one epoch to the next before a warning."""


class Rules(NamedTuple):
    """What the task's files hold."""

    lexicon: Lexicon
    patterns: Patterns
    articles: Articles


class Teacher(NamedTuple):
    """What training made."""

    model: Any
    backbone: Path
    """The folder it came from, with the tokenizer."""
    fitted: Fit
    probe: Probe
    """The calibrated head of the frozen backbone, from which tuning started."""
    report: dict[str, Any]
    """How many parameters learned from how many texts of what, and what they gave."""


def load_rules() -> Rules:
    """The task's files, checked."""
    return Rules(
        read_params(Lexicon, Path(READS["lexicon"])),
        read_params(PatternFeatures, Path(READS["features"])).patterns,
        read_params(Language, Path(READS["language"])).articles,
    )


def run(
    labeled: pd.DataFrame,
    unlabeled: pd.DataFrame,
    validation: pd.DataFrame,
    rules: Rules,
    chosen: BackboneSettings,
    params: Params,
) -> Teacher:
    """The fine-tuned, calibrated model; a large vocabulary is cut to the labelled and the unlabelled texts before.

    Raises:
        ParamsError: an attribute is not in the lexicon, or the primary metric does not fit the classes.
        SourceError: the backbone cannot be found.
        TableError: a slice feature is unknown.
        TrainingError: a class has no labelled text.
    """
    from ratchet.measure.slice_history import SliceHistory

    labels = class_names(validation)
    check_labels(labeled, labels)
    metric, y_true = params.metric_of(labels), class_indices(validation, labels)
    texts = [*labeled["text"], *unlabeled["text"]]
    folder, vocabulary = task_vocabulary(resolve_backbone(chosen.source, chosen.sha256), texts, VOCABULARY)
    learned = mitigate(
        params.mitigation, labeled, rules.lexicon, params.mitigated_attribute, params.max_copies, rules.articles
    )
    rows = learned.rows if learned.weight is None else learned.rows.assign(weight=learned.weight)
    model, head, offset = _from_probe(rows, labels, folder, chosen, params)
    rows = sample_by_class(rows, params.max_texts)
    weight = rows["weight"].to_numpy("float32") if "weight" in rows else None
    tokenizer = load_tokenizer(folder, params.max_tokens)
    train, held_out = (
        Examples(encode(tokenizer, frame["text"].tolist()), class_indices(frame, labels), weight=of_each)
        for frame, of_each in ((rows, weight), (validation, None))
    )

    def logits_of(model: Any) -> NDArray[np.float32]:
        return fused_logits(model, held_out.tokens, params.n_threads)

    def score(logits: NDArray[np.float32]) -> float:
        return metric.value(y_true, softmax(logits))

    probe, start = copy.deepcopy(model), logits_of(model)
    before = score(start)
    watch = SliceHistory(_slices(validation, rules, params), params.max_slice_fall, metric, y_true, params.seed)
    model = prepared(model, chosen.method, params)
    counts = count_parameters(model, params.train_embeddings)
    print(
        f"{chosen.method} tuning: {counts['n_trainable']:,} of {counts['n_parameters']:,} parameters learn", flush=True
    )
    fitted = without_steps("only the head learns: it is the probe's")
    if chosen.method != HEAD:
        how = params.model_copy(update={"learning_rate": chosen.learning_rate})
        live = Path(WRITES["live"])
        fitted = fit(
            model,
            train,
            held_out,
            how,
            SCRATCH,
            live,
            metric=metric,
            prior_offset=offset.tolist(),
            callbacks=[watch],
            learner=learner_of(chosen.method),
        )
        model = finished(model, chosen.method, train, offset, params.seed)
    end = logits_of(model)
    after = score(end)
    worse = after < before if metric.greater_is_better else after > before
    print(f"{metric.name} of the validation texts: probe {before:.3f}, tuned {after:.3f}", flush=True)
    if worse:
        model, end = probe, start
    temperature = fit_temperature(end, held_out.hard)
    fold_temperature(model, temperature)
    report = {
        **counts,
        "n_labeled": len(labeled),
        "n_texts": len(rows),
        "backbone": chosen.source,
        "vocabulary": vocabulary,
        "method": HEAD if worse else chosen.method,
        "validation": {"metric": metric.name, "probe": before, "tuned": after},
        "mitigation": learned.report,
        "slice_history": watch.rows,
        "calibration_temperature": temperature,
    }
    return Teacher(model, folder, fitted, head.divided(fit_temperature(start, held_out.hard)), report)


def _from_probe(
    rows: pd.DataFrame, labels: list[str], folder: Path, chosen: BackboneSettings, params: Params
) -> tuple[Any, Probe, NDArray[np.float64]]:
    """The classifier whose head is the probe of all rows, that head, and its prior's offset, (n_classes,)."""
    targets = class_indices(rows, labels)
    embeddings = embed(folder, rows["text"].tolist(), params.max_tokens, params.n_threads, params.batch_size)
    weight = rows["weight"].to_numpy() if "weight" in rows else None
    probe = fit_probe(unit_length(embeddings), targets, len(labels), chosen.probe_regularization, weight)
    offset = prior_offset(targets, len(labels), chosen.prior_strength)
    return classifier_from(folder, probe, offset), Probe(probe.weights, probe.intercepts - offset), offset


def _slices(validation: pd.DataFrame, rules: Rules, params: Params) -> dict[str, NDArray[np.bool_]]:
    """The rows of each declared slice of the validation texts, and of each group of people that they speak of."""
    masks = slice_masks(validation, params.slices, params.length_edges, rules.patterns)
    texts = validation["text"].tolist()
    for attribute in params.attributes:
        groups = lexicon_groups(texts, rules.lexicon, attribute)
        masks |= {f"{attribute}={group}": groups == group for group in sorted(set(groups.tolist()))}
    return masks


def labels_sha256(labeled: pd.DataFrame) -> str:
    """Which texts were labelled, and how."""
    return sha256_json(labeled[["id", "label"]].to_numpy())


def main() -> None:
    params = load_params(Params, "train", length_edges=read_length_edges(Path(READS["length_edges"])))
    labeled = read_table(Path(READS["labeled"]), LABELED)
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT).dropna(subset="label")
    architecture = read_architecture(Path(READS["architecture"]))
    chosen = architecture.backbone
    if params.method != "auto":
        chosen = chosen.model_copy(update={"method": params.method, "learning_rate": params.learning_rate})
    elif architecture.kind == "tfidf":
        print("TF-IDF was better than any fine-tuning begun: the probe is the teacher", flush=True)
        chosen = chosen.model_copy(update={"method": HEAD})
    Path(WRITES["live"]).mkdir(parents=True, exist_ok=True)
    unlabeled = read_table(Path(READS["unlabeled"]), UNLABELED)
    teacher = run(labeled, unlabeled, validation, load_rules(), chosen, params)
    manifest = Manifest(
        name="teacher",
        kind="torch",
        precision="fp32",
        labels=class_names(validation),
        max_tokens=params.max_tokens,
        parent="",
        cleaning=params.cleaning,
        params_sha256=sha256_json([chosen.model_dump(), params.model_dump()]),
        data_sha256=labels_sha256(labeled),
    )
    save_model(teacher.model, teacher.backbone, Path(WRITES["teacher"]), manifest)
    save_probe(teacher.probe, Path(WRITES["probe"]))
    shutil.rmtree(VOCABULARY, ignore_errors=True)
    fitted = teacher.fitted
    report = {
        "command": "python -m pipeline_steps.train",
        "data_sha256": manifest.data_sha256,
        **teacher.report,
        **fitted.to_json(),
        "trials": fitted.choice.to_json()["trials"],
    }
    write_report(Path(WRITES["report"]), report, Path(WRITES["measurements"]))
    choice = {"command": report["command"], **fitted.choice.to_json(), "precision": fitted.precision}
    write_report(Path(WRITES["precision"]), drop(choice))
    reason = not_taught(architecture.kind, teacher, load_pipeline(Path(READS["baseline"])), validation, params)
    teaching = {"left_out": reason, "teacher_is_probe": report["method"] == HEAD}
    write_report(Path(WRITES["teaching"]), {"command": report["command"], **teaching})


def not_taught(kind: str, teacher: Teacher, baseline: Any, validation: pd.DataFrame, params: Params) -> str:
    """Why nothing is distilled from the teacher; empty where it is better than TF-IDF, and of a family that can be."""
    if kind == "tfidf":
        return "no model was better than TF-IDF on the labelled texts, see reports/architect.json"
    labels = class_names(validation)
    metric, y_true = params.metric_of(labels), class_indices(validation, labels)
    simple = metric.value(y_true, baseline.predict_proba(validation["text"].tolist()))
    scores = teacher.report["validation"]
    found = (max if metric.greater_is_better else min)(scores["probe"], scores["tuned"])
    if found == simple or (found < simple) == metric.greater_is_better:
        return f"the teacher's {metric.name} is {found:.3f}, that of TF-IDF {simple:.3f} on the validation texts"
    return no_student(teacher.model)


if __name__ == "__main__":
    entry(main)
