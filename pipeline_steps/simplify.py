"""Rungs without layers, taught by the teacher's probabilities on all texts there are: the static student, TF-IDF; and
the probe, whose layers are the frozen backbone's.

Each is one value of the stage's matrix and one bundle. Source: Hinton, Vinyals & Dean 2015,
https://arxiv.org/abs/1503.02531; Tulkens & van Dongen 2024, Model2Vec, https://github.com/MinishLab/model2vec.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from ratchet.engines.kinds.static import StaticPredictor
from ratchet.engines.kinds.tfidf import TfidfPredictor
from ratchet.entry import entry
from ratchet.errors import ParamsError
from ratchet.files import read_json, sha256_json
from ratchet.ladder import SimplifyRungs, reason_not_asked
from ratchet.measure.primary import PrimaryMetricParams
from ratchet.measure.report_files import write_report
from ratchet.models import tfidf
from ratchet.models.architecture import read_architecture
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import Manifest, read_manifest, write_bundle
from ratchet.models.examples import Examples, class_indices, reason_of_one_class, soft_labels
from ratchet.models.left_out import leave_out
from ratchet.models.predictor import Predictor, softmax
from ratchet.models.probe import load_probe
from ratchet.models.static_model import PACKAGES, save_static
from ratchet.models.tfidf import save_pipeline, terms_of
from ratchet.models.training_data import taught_data
from ratchet.models.word_tokens import WordTokens
from ratchet.params import At, load_params
from ratchet.table_files import read_table
from ratchet.tables import SOFT_LABELS
from ratchet.task import MaxNgram, NTokens, Seed, TrainThreads

READS = {
    "teacher": "models/teacher",
    "teaching": "reports/teaching.json",
    "architecture": "reports/architecture.json",
    "head": "data/probe.safetensors",
    "soft_labels": "data/soft_labels.parquet",
    "validation": "data/soft_validation.parquet",
}
WRITES = {
    "bundle": "models/{rung}",
    "report": "reports/simplify/{rung}.json",
}
TEACHER, PROBE = "teacher", "probe"
BATCH = 32
"""Texts in one forward pass."""


class Params(PrimaryMetricParams):
    """How closely models without layers fit the teacher, and what they look at."""

    static_regularization: float = Field(gt=0)
    """Inverse regularization of the static student; larger fits closer."""
    min_pair_texts: int = Field(ge=1)
    """Texts in which two neighbouring tokens have to occur to have class scores of their own."""
    max_pairs: int = Field(ge=0)
    """Such pairs at most, the most frequent; 0: none, and the static student is additive in its tokens."""
    tfidf_regularization: float = Field(gt=0)
    """Inverse regularization of TF-IDF taught by the teacher."""
    temperature: Annotated[float, At("distil.temperature")]
    """Of the teacher's probabilities, for the static student."""
    max_ngram: MaxNgram
    n_tokens: NTokens
    n_calibration: Annotated[int, At("export.n_calibration")]
    rungs: SimplifyRungs
    n_threads: TrainThreads
    seed: Seed


class Inputs(NamedTuple):
    """What every rung may learn from."""

    texts: pd.DataFrame
    """Text, label if any, and the teacher's logits `logit_<class>`."""
    validation: pd.DataFrame
    """Labelled texts that are not learned from, likewise."""
    labels: list[str]
    max_tokens: int
    """At which the teacher cuts texts."""


class Rung(NamedTuple):
    """A model, not yet written."""

    kind: str
    precision: str
    max_tokens: int
    """As in a manifest."""
    parent: str
    """The bundle that it was made from; empty: none."""
    predictor: Callable[[Manifest, Path], Predictor]
    """Of the bundle once it is written."""
    packages: tuple[str, ...]
    save: Callable[[Path], None]
    report: dict[str, Any]


def static(inputs: Inputs, params: Params) -> Rung:
    """Scores of tokens and of pairs of tokens, from the vectors of the teacher's encoder without context.

    The teacher's probabilities are softened: of the texts that it has learned itself it is surer than of any other."""
    from ratchet.compress.static_student import teach, token_vectors
    from ratchet.models.checkpoint import load_model

    folder, unseen = Path(READS["teacher"]), inputs.validation
    teacher, _ = load_model(folder)
    words = WordTokens(folder)
    taught = teach(
        words.encode(inputs.texts["text"].tolist()),
        softmax(soft_labels(inputs.texts, inputs.labels) / params.temperature),
        Examples(words.encode(unseen["text"].tolist()), class_indices(unseen, inputs.labels)),
        token_vectors(teacher, words.template, words.n_tokens, params.n_threads),
        inverse_regularization=params.static_regularization,
        min_pair_texts=params.min_pair_texts,
        max_pairs=params.max_pairs,
    )

    def save(target: Path) -> None:
        save_static(taught.model, target)
        shutil.copyfile(folder / "tokenizer.json", target / "tokenizer.json")

    return Rung("static", "fp16", 0, TEACHER, StaticPredictor, PACKAGES, save, taught.report)


def tfidf_taught(inputs: Inputs, params: Params) -> Rung:
    """TF-IDF of words and of runs of words, with logistic regression on the teacher's probabilities."""
    from ratchet.models.soft_tfidf import fit_soft_pipeline

    pipeline = fit_soft_pipeline(
        inputs.texts["text"].tolist(),
        softmax(soft_labels(inputs.texts, inputs.labels)),
        max_ngram=params.max_ngram,
        inverse_regularization=params.tfidf_regularization,
    )
    report = {"n_terms": len(terms_of(pipeline))}

    def save(target: Path) -> None:
        save_pipeline(pipeline, target)

    return Rung("tfidf", "fp64", 0, TEACHER, TfidfPredictor, tfidf.PACKAGES, save, report)


def probe(inputs: Inputs, params: Params) -> Rung:
    """The frozen backbone, its vocabulary cut to the texts, under the head from which the teacher's tuning started; in
    integers by ONNX Runtime, as in floats it is as large and as slow as the teacher."""
    from ratchet.compress.compilers import Compilation
    from ratchet.compress.vocabulary import cut_vocabulary, tokens_to_keep
    from ratchet.engines.kinds import onnx
    from ratchet.models.backbones import resolve_backbone
    from ratchet.models.head_start import classifier_from

    chosen, max_tokens = read_architecture(Path(READS["architecture"])).backbone, inputs.max_tokens
    folder = resolve_backbone(chosen.source, chosen.sha256)
    model = classifier_from(folder, load_probe(Path(READS["head"])), np.zeros(len(inputs.labels)))
    texts, n_tokens = inputs.texts["text"], tokens_to_keep(folder, params.n_tokens)
    calibration = texts.sample(min(params.n_calibration, len(texts)), random_state=params.seed).tolist()

    def save(target: Path) -> None:
        cut_vocabulary(model, folder, target, texts.tolist(), max_tokens, n_tokens)
        onnx.compile_model(model, target, "int8", Compilation(encode(load_tokenizer(target, max_tokens), calibration)))

    def load(manifest: Manifest, path: Path) -> Predictor:
        return onnx.load(path, manifest, params.n_threads, BATCH)

    report = {"backbone": chosen.source, "n_tokens": n_tokens or model.config.vocab_size}
    return Rung("onnx", "int8", max_tokens, "", load, onnx.PACKAGES, save, report)


RUNGS: dict[str, Callable[[Inputs, Params], Rung]] = {"static": static, "tfidf-taught": tfidf_taught, PROBE: probe}
"""Name of the bundle → what makes it; the matrix of the stage in dvc.yaml has the same names."""


def run(rung: str, inputs: Inputs, params: Params) -> Rung:
    """The model of that name, with its metric on the validation texts still to be measured.

    Raises:
        ParamsError: there is no such rung.
    """
    if rung not in RUNGS:
        raise ParamsError("There is no such rung.", got=rung, expected=", ".join(RUNGS))
    return RUNGS[rung](inputs, params)


def reason_against(rung: str, texts: pd.DataFrame, params: Params) -> str:
    """Why a rung is not built; empty where it is."""
    teaching = read_json(Path(READS["teaching"]))
    if reason := reason_not_asked(rung, params.rungs) or str(teaching["left_out"]):
        return reason
    if rung == PROBE:  # which has learned from labels
        return "the teacher is the probe: tuning did not improve it" if teaching["teacher_is_probe"] else ""
    labels = read_manifest(Path(READS["teacher"])).labels
    return reason_of_one_class(soft_labels(texts, labels), labels)


def main() -> None:
    params, rung = load_params(Params, "simplify"), sys.argv[1]
    paths = {name: Path(path.format(rung=rung)) for name, path in WRITES.items()}
    command = {"command": f"python -m pipeline_steps.simplify {rung}"}
    texts, validation = (read_table(Path(READS[name]), SOFT_LABELS) for name in ("soft_labels", "validation"))
    if reason := reason_against(rung, texts, params):
        write_report(paths["report"], {**command, **leave_out(paths["bundle"], reason)})
        return
    parent = read_manifest(Path(READS["teacher"]))
    made = run(rung, Inputs(texts, validation, parent.labels, parent.max_tokens), params)
    manifest = parent.model_copy(
        update={
            "name": rung,
            "kind": made.kind,
            "precision": made.precision,
            "max_tokens": made.max_tokens,
            "parent": made.parent,
            "params_sha256": sha256_json(params.model_dump()),
            "data_sha256": taught_data(parent.data_sha256, texts["id"]),
        }
    )
    written = write_bundle(paths["bundle"], manifest, made.save, made.packages)
    metric, y_true = params.metric_of(parent.labels), class_indices(validation, parent.labels)
    proba = made.predictor(written, paths["bundle"]).predict_proba(validation["text"].tolist())
    measured = {"metric": metric.name, "value": metric.value(y_true, proba)}
    report = {**command, "n_texts": len(texts), "validation": measured, **made.report}
    write_report(paths["report"], report)


if __name__ == "__main__":
    entry(main)
