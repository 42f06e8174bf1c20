"""Inference compilers: the same weights in OpenVINO (through Optimum) and ONNX Runtime, in fp32 and int8."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import pandas as pd
from pydantic import Field

import ratchet.params
from ratchet.compress.compilers import Engine, export
from ratchet.entry import entry
from ratchet.files import sha256_json, write_json
from ratchet.measure.fidelity import fidelity
from ratchet.models.batching import encode, load_tokenizer
from ratchet.models.bundle import read_manifest
from ratchet.params import load_params
from ratchet.tables import SPLIT, read_table

READS = {"source": "models/{model}", "splits": "data/splits"}
WRITES = {"bundle": "models/{model}-{engine}", "report": "reports/export/{model}-{engine}.json"}


class Params(ratchet.params.Params):
    """What int8 is calibrated on, and how the compiled bundle is checked."""

    n_calibration: int = Field(ge=1)
    """Training texts, without labels, over which the range of activations is measured."""
    n_check: int = Field(ge=1)
    """Validation texts on which the compiled bundle is compared with its source."""
    n_threads: int = Field(ge=0)
    """CPU threads; 0: all cores."""
    seed: int = Field(ge=0)
    """Seed of the choice of calibration texts."""


def run(
    source: Path, target: Path, engine: Engine, calibration: pd.Series, texts: pd.Series, params: Params
) -> dict[str, object]:
    """Compile, load again, and measure how far the compiled bundle is from its source."""
    tokenizer = load_tokenizer(source, read_manifest(source).max_tokens)
    tokens = encode(tokenizer, calibration.tolist())
    export(source, target, engine, tokens, sha256_json(params.model_dump()))
    return fidelity(source, target, texts.tolist(), params.n_threads)


def main() -> None:
    params = load_params(Params, "export")
    model, engine = sys.argv[1:3]
    names = {"model": model, "engine": engine}
    splits = Path(READS["splits"])
    pool = read_table(splits / "train.parquet", SPLIT)["text"]
    calibration = pool.sample(min(params.n_calibration, len(pool)), random_state=params.seed)
    texts = read_table(splits / "validation.parquet", SPLIT)["text"].head(params.n_check)
    source, target = Path(READS["source"].format(**names)), Path(WRITES["bundle"].format(**names))
    measured = run(source, target, cast(Engine, engine), calibration, texts, params)
    command = f"python -m pipeline_steps.export {model} {engine}"
    write_json(Path(WRITES["report"].format(**names)), {"command": command, **measured})


if __name__ == "__main__":
    entry(main)
