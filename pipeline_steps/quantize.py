"""Fewer bits by bitsandbytes: a memory tool everywhere, a speed tool on GPUs and on CPUs with AVX-512."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pandas as pd
from pydantic import Field

import ratchet.params
from ratchet.compress.quantization import Scheme, quantize, stored_dtypes
from ratchet.data.class_sample import classes_in_turn
from ratchet.entry import entry
from ratchet.files import sha256_json
from ratchet.ladder import QuantizeRungs, reason_not_asked
from ratchet.measure.fidelity import fidelity
from ratchet.measure.report_files import write_report
from ratchet.models.left_out import leave_out, reason_left_out
from ratchet.params import load_params
from ratchet.table_files import read_table
from ratchet.tables import SPLIT
from ratchet.task import TrainThreads

READS = {"source": "models/{model}", "splits": "data/splits"}
WRITES = {"bundle": "models/{model}-{scheme}", "report": "reports/quantize/{model}-{scheme}.json"}
SALT = "quantize"


class Params(ratchet.params.Params):
    """How the stored bundle is checked."""

    n_check: int = Field(ge=1)
    """Validation texts, of all classes in turn, on which the reloaded bundle is compared with its source."""
    rungs: QuantizeRungs
    n_threads: TrainThreads


def run(source: Path, target: Path, scheme: Scheme, texts: pd.Series, params: Params) -> dict[str, Any]:
    """Quantize, load again, and measure how far the reloaded bundle is from its source."""
    quantize(source, target, scheme, sha256_json(params.model_dump()))
    return {**fidelity(source, target, texts.tolist(), params.n_threads), "stored_numbers": stored_dtypes(target)}


def main() -> None:
    params = load_params(Params, "quantize")
    model, scheme = sys.argv[1:3]
    names = {"model": model, "scheme": scheme}
    validation = read_table(Path(READS["splits"]) / "validation.parquet", SPLIT)
    source, target = Path(READS["source"].format(**names)), Path(WRITES["bundle"].format(**names))
    if reason := reason_not_asked(target.name, params.rungs) or reason_left_out(source):
        measured: dict[str, Any] = leave_out(target, reason)
    else:
        texts = classes_in_turn(validation, SALT)["text"].head(params.n_check)
        measured = run(source, target, cast(Scheme, scheme), texts, params)
    command = f"python -m pipeline_steps.quantize {model} {scheme}"
    write_report(Path(WRITES["report"].format(**names)), {"command": command, **measured})


if __name__ == "__main__":
    entry(main)
