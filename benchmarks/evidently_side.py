"""The same batches before Evidently's drift preset with its defaults, and before the detectors here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.drift_material import Setting
from benchmarks.material import SCRATCH
from benchmarks.shifts import SHIFTS, plant_rows
from ratchet.files import read_json
from ratchet.measure.bootstrap import proportion_estimate
from ratchet.monitoring.drift import Null, Sample, judge

PYTHON = Path(".venv-evidently/bin/python")
MAKE = "make evidently-env"
LABELS = np.array(["negative", "positive"])


def beside_evidently(
    setting: Setting,
    reference: Sample,
    held: NDArray[np.int64],
    pool: NDArray[np.int64],
    null: Null,
    n_windows: int,
    alpha: float,
    seed: int,
) -> dict[str, Any]:
    """Alarm rates of both on `n_windows` batches of each shift; a reason where Evidently's environment is missing.

    Evidently gets the text, its number of words, the probability and the class, as a user would give them.
    """
    if not PYTHON.is_file():
        return {"reason": f"Evidently needs an environment of its own: {MAKE}"}
    folder = SCRATCH / "evidently"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    clean = setting.material.clean.rows(held)
    _frame([setting.texts.clean[row] for row in held], clean).to_parquet(folder / "reference.parquet")
    rng = np.random.default_rng([seed, 99])
    ours: dict[str, list[bool]] = defaultdict(list)
    for place, shift in enumerate(SHIFTS):
        for number in range(n_windows):
            rows = plant_rows(shift, setting.material, pool, null.n_window, rng)
            batch = setting.material.batch(rows)
            ours[shift.name].append(judge(reference, batch, null).p <= alpha)
            _frame(_texts(setting, rows), batch).to_parquet(folder / f"batch-{place}-{number}.parquet")
    environment = {**os.environ, "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"}
    subprocess.run([str(PYTHON), "benchmarks/evidently_peer.py", str(folder)], check=True, env=environment)
    found = read_json(folder / "verdicts.json")
    return {
        "version": found["version"],
        "n_window": null.n_window,
        "n_reference": len(held),
        "cpu_s_a_batch": float(np.mean([item["cpu_s"] for item in found["batches"].values()])),
        "shifts": {shift.name: _row(place, found["batches"], ours[shift.name]) for place, shift in enumerate(SHIFTS)},
    }


def _row(place: int, verdicts: dict[str, Any], ours: list[bool]) -> dict[str, Any]:
    mine = [item for name, item in verdicts.items() if name.startswith(f"batch-{place}-")]
    columns = sorted({name for item in mine for name in item["columns"]})
    any_column = [any(item["columns"].values()) for item in mine]
    return {
        "here": proportion_estimate(sum(ours), len(ours)).to_json(),
        "evidently_data_set": proportion_estimate(sum(item["data_set"] for item in mine), len(mine)).to_json(),
        "evidently_any_column": proportion_estimate(sum(any_column), len(mine)).to_json(),
        "evidently_columns": {
            name: float(np.mean([item["columns"].get(name, False) for item in mine])) for name in columns
        },
    }


def _texts(setting: Setting, rows: Any) -> list[str]:
    return [
        *(setting.texts.mistyped[row] for row in rows.mistyped),
        *(setting.texts.clean[row] for row in rows.clean),
        *(setting.texts.other[row] for row in rows.other),
    ]


def _frame(texts: list[str], sample: Sample) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "text": texts,
            "n_words": sample.texts.n_words,
            "positive": sample.proba[:, 1],
            "predicted": LABELS[sample.proba.argmax(axis=1)],
        }
    )
