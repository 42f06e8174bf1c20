"""The teacher: a pretrained encoder fine-tuned on the labels that were bought, by Lightning.

A mitigation can be chosen for whom the texts speak of, and slices of the validation texts are watched in every epoch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from ratchet.data.cleaning_params import CleaningParams
from ratchet.data.sampling import sample_by_class
from ratchet.entry import entry
from ratchet.files import sha256_json
from ratchet.measure.machine_figures import drop
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.measure.report_files import write_report
from ratchet.models.backbones import load_classifier, resolve_backbone
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import Manifest
from ratchet.models.calibration import calibrate
from ratchet.models.checkpoint import save_model
from ratchet.models.examples import Examples, class_indices, class_names
from ratchet.models.fit_params import FitParams
from ratchet.models.frozen import fit_head
from ratchet.models.training import Fit, fit
from ratchet.models.tuning import Method, count_parameters, merge, prepare
from ratchet.params import load_params, read_params
from ratchet.table_files import read_table
from ratchet.tables import LABELED, SPLIT
from ratchet.task import Backbones, LengthEdges
from ratchet.trust.language import Articles, Language
from ratchet.trust.lexicons import Lexicon, lexicon_groups
from ratchet.trust.mitigation import Mitigation, mitigate
from ratchet.trust.slices import PatternFeatures, Patterns, read_length_edges, slice_masks

READS = {
    "length_edges": "reports/length_edges.json",
    "labeled": "data/labeled.parquet",
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
    "live": "reports/live/train",
}
SCRATCH = Path(".scratch/train")


class Params(FitParams, PrimaryMetricParams, CleaningParams):
    """How the teacher is trained."""

    method: Method
    """Which parameters learn: all (full), the head, the biases (bitfit), or few new ones: ia3, lora, dora (merged
    afterwards), adapter (stays in the model, which can then not be compressed)."""
    backbones: Backbones
    max_tokens: int = Field(ge=8, le=8192)
    """Texts are cut to this many tokens."""
    max_texts: int = Field(ge=2)
    """Labelled texts to learn from, at most: a sample by class, by hash, in which rare classes stay whole."""
    lora_rank: int = Field(ge=1, le=1024)
    """Rank of the updates of lora and dora."""
    lora_targets: list[str] = Field(min_length=1)
    """Names that the linear layers they update end in, e.g. query, value; all-linear: all of the encoder."""
    rank_stabilized: bool
    """Whether updates are scaled by alpha ÷ √rank (rsLoRA), which suits high ranks."""
    adapter_size: int = Field(ge=1, le=4096)
    """Channels of an adapter's bottleneck."""
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


def load_rules() -> Rules:
    """The task's files, checked."""
    return Rules(
        read_params(Lexicon, Path(READS["lexicon"])),
        read_params(PatternFeatures, Path(READS["features"])).patterns,
        read_params(Language, Path(READS["language"])).articles,
    )


def run(
    labeled: pd.DataFrame, validation: pd.DataFrame, rules: Rules, params: Params
) -> tuple[Any, Fit, dict[str, Any]]:
    """The fine-tuned, calibrated model, what fitting did, and how many parameters learned from how many texts of what,
    at what temperature.

    Raises:
        ParamsError: an attribute is not in the lexicon, or the primary metric does not fit the classes.
        TableError: a slice feature is unknown.
    """
    import torch

    from ratchet.measure.slice_history import SliceHistory

    n_labeled, labeled = len(labeled), sample_by_class(labeled, params.max_texts)
    print(f"learning from {len(labeled):,} of {n_labeled:,} labelled texts", flush=True)
    labels = class_names(validation)
    metric, y_true = params.metric_of(labels), class_indices(validation, labels)
    slices = _slices(validation, rules, params)
    watch = SliceHistory(slices, params.max_slice_fall, metric, y_true, params.seed)
    learned = mitigate(
        params.mitigation, labeled, rules.lexicon, params.mitigated_attribute, params.max_copies, rules.articles
    )
    weight = None if learned.weight is None else learned.weight.astype("float32")
    folder = resolve_backbone(params.backbones[0].source, params.backbones[0].sha256)
    tokenizer = load_tokenizer(folder, params.max_tokens)
    train, held_out = (
        Examples(encode(tokenizer, frame["text"].tolist()), class_indices(frame, labels), weight=of_each)
        for frame, of_each in ((learned.rows, weight), (validation, None))
    )
    torch.manual_seed(params.seed)
    model = prepare(
        load_classifier(folder, len(labels)),
        params.method,
        lora_rank=params.lora_rank,
        lora_targets=params.lora_targets,
        rank_stabilized=params.rank_stabilized,
        adapter_size=params.adapter_size,
    )
    counts = count_parameters(model, params.train_embeddings)
    print(f"{params.method} tuning: {counts['n_trainable']:,} of {counts['n_parameters']:,} parameters learn")
    fitting = fit_head if params.method == "head" else fit
    fitted = fitting(model, train, held_out, params, SCRATCH, Path(WRITES["live"]), metric=metric, callbacks=[watch])
    model = merge(model)
    return (
        model,
        fitted,
        {
            **counts,
            "n_texts": len(labeled),
            "mitigation": learned.report,
            "slice_history": watch.rows,
            "calibration_temperature": calibrate(model, held_out),
        },
    )


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
    model, fitted, counts = run(labeled, validation, load_rules(), params)
    manifest = Manifest(
        name="teacher",
        kind="torch",
        precision="fp32",
        labels=class_names(validation),
        max_tokens=params.max_tokens,
        parent="",
        cleaning=params.cleaning,
        params_sha256=sha256_json(params.model_dump()),
        data_sha256=labels_sha256(labeled),
    )
    first = params.backbones[0]
    save_model(model, resolve_backbone(first.source, first.sha256), Path(WRITES["teacher"]), manifest)
    report = {
        "command": "python -m pipeline_steps.train",
        "n_labeled": len(labeled),
        "data_sha256": manifest.data_sha256,
        **counts,
        **fitted.to_json(),
        "trials": fitted.choice.to_json()["trials"],
    }
    write_report(Path(WRITES["report"]), report, Path(WRITES["measurements"]))
    choice = {"command": report["command"], **fitted.choice.to_json(), "precision": fitted.precision}
    write_report(Path(WRITES["precision"]), drop(choice))


if __name__ == "__main__":
    entry(main)
