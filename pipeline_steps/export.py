"""Inference compilers: the same weights in OpenVINO (through Optimum) and ONNX Runtime, in floats and integers."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

import ratchet.params
from ratchet.compress.accuracy_control import Agreement
from ratchet.compress.compilers import Compilation, EmbeddingBits
from ratchet.compress.fake_quantization import is_rounded
from ratchet.compress.sensitivity import sensitivity
from ratchet.compress.vocabulary import cut_vocabulary, tokens_to_keep
from ratchet.data.class_sample import classes_in_turn
from ratchet.engines.compiling import export
from ratchet.entry import entry
from ratchet.files import sha256_json
from ratchet.ladder import ExportRungs, reason_not_asked
from ratchet.measure.fidelity import fidelity
from ratchet.measure.report_files import write_report
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import read_manifest
from ratchet.models.checkpoint import load_model, save_model
from ratchet.models.left_out import leave_out, reason_left_out
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.task import NTokens, Seed, TrainThreads

READS = {"source": "models/{model}", "splits": "data/splits"}
WRITES = {"bundle": "models/{model}-{engine}", "report": "reports/export/{model}-{engine}.json"}
SALT = "export"


class Params(ratchet.params.Params):
    """What int8 is calibrated on, and how the compiled bundle is checked."""

    embedding_bits: EmbeddingBits
    """Bits of the embeddings in a fused ONNX graph whose matrices are integers, 8 or 4, of a source whose embeddings
    `prune` has rounded to 4; of all others 8."""
    n_calibration: int = Field(ge=1)
    """Training texts, without labels, over which the range of activations is measured."""
    n_sensitivity: int = Field(ge=0)
    """Of these, the texts on which the cost of quantizing each matrix alone is reported; 0: it is not."""
    n_check: int = Field(ge=1)
    """Validation texts, of all classes in turn, on which the compiled bundle is compared with its source."""
    min_agreement: float = Field(ge=0, le=1)
    """Share of these on which OpenVINO's int8 has to predict as its source does; if it does not, operations are given
    back to full precision, those first that change the most predictions, until it does. 0: never."""
    n_tokens: NTokens
    rungs: ExportRungs
    n_threads: TrainThreads
    seed: Seed


def run(
    source: Path,
    target: Path,
    engine: str,
    calibration: pd.Series,
    texts: pd.Series,
    params: Params,
    whole: Path | None = None,
) -> dict[str, Any]:
    """Compile, load again, and measure how far the compiled bundle is from its source.

    `whole` is the bundle from which the source's vocabulary was cut, where it was: the comparison is then with it. For
    ONNX Runtime's int8 also `sensitivity`: mean absolute change of the logits when one matrix alone is int8; for
    OpenVINO's `agreement_uncontrolled`, if it was so low that operations had to be given back.
    """
    whole = whole or source
    tokenizer, digest = load_tokenizer(source, read_manifest(source).max_tokens), sha256_json(params.model_dump())
    tokens = encode(tokenizer, calibration.tolist())
    compilation = Compilation(tokens, params.embedding_bits if is_rounded(load_model(source)[0], 4) else 8)
    export(source, target, engine, compilation, digest)
    report: dict[str, Any] = fidelity(whole, target, texts.tolist(), params.n_threads)
    if engine == "openvino-int8" and report["agreement"]["value"] < params.min_agreement:
        found = report["agreement"]["value"]
        print(f"int8 agrees on {found:.1%} of the texts: operations go back to full precision until it is enough")
        held_to = Agreement(encode(tokenizer, texts.tolist()), params.min_agreement)
        export(source, target, engine, compilation._replace(held_to=held_to), digest)
        report = fidelity(whole, target, texts.tolist(), params.n_threads) | {"agreement_uncontrolled": found}
    if engine == "onnx-int8":
        model, _ = load_model(source)
        report["sensitivity"] = sensitivity(model, tokens[: params.n_sensitivity], params.n_threads)
    return report


def with_task_vocabulary(source: Path, folder: Path, texts: Sequence[str], n_tokens: int) -> Path:
    """The source; or a copy of it below `folder` with about `n_tokens` tokens, where it has more of them, as `prune`
    leaves them to the student."""
    if not tokens_to_keep(source, n_tokens):
        return source
    model, manifest = load_model(source)
    with tempfile.TemporaryDirectory() as tokenizer:
        cut_vocabulary(model, source, Path(tokenizer), texts, manifest.max_tokens, n_tokens)
        save_model(model, Path(tokenizer), folder / manifest.name, manifest)
    return folder / manifest.name


def main() -> None:
    params = load_params(Params, "export")
    model, engine = sys.argv[1:3]
    names = {"model": model, "engine": engine}
    source, target = Path(READS["source"].format(**names)), Path(WRITES["bundle"].format(**names))
    if reason := reason_not_asked(target.name, params.rungs) or reason_left_out(source):
        measured: dict[str, Any] = leave_out(target, reason)
    else:
        splits = Path(READS["splits"])
        pool = read_table(splits / "train.parquet", SPLIT)["text"]
        calibration = pool.sample(min(params.n_calibration, len(pool)), random_state=params.seed)
        validation = read_table(splits / "validation.parquet", SPLIT)
        texts = classes_in_turn(validation, SALT)["text"].head(params.n_check)
        with tempfile.TemporaryDirectory() as folder:
            cut = with_task_vocabulary(source, Path(folder), pool.tolist(), params.n_tokens)
            measured = run(cut, target, engine, calibration, texts, params, source)
    command = f"python -m pipeline_steps.export {model} {engine}"
    write_report(Path(WRITES["report"].format(**names)), {"command": command, **measured})


if __name__ == "__main__":
    entry(main)
