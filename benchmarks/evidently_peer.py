"""Verdicts of Evidently's drift preset on batches, with its defaults. Runs in its own environment, on files alone.

    .venv-evidently/bin/python benchmarks/evidently_peer.py FOLDER

FOLDER holds reference.parquet and batch-*.parquet with the columns text, n_words, positive and predicted. Written is
FOLDER/verdicts.json: batch → the columns called drifted, whether the data set is, and the CPU-seconds it took.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd


def verdict(reference: Any, batch: pd.DataFrame, definition: Any) -> dict[str, Any]:
    """The preset's answer on one batch."""
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    began = time.process_time()
    current = Dataset.from_pandas(batch, data_definition=definition)
    found = json.loads(Report([DataDriftPreset()]).run(current, reference).json())
    columns: dict[str, bool] = {}
    data_set = False
    for metric in found["metrics"]:
        config, value = metric["config"], metric["value"]
        if config["type"].endswith("DriftedColumnsCount"):
            data_set = value["share"] >= config["drift_share"]
        elif config["type"].endswith("ValueDrift"):
            # its tests give p-values, its distances do not
            is_p_value = "p_value" in config["method"]
            columns[config["column"]] = value < config["threshold"] if is_p_value else value >= config["threshold"]
    return {"columns": columns, "data_set": bool(data_set), "cpu_s": time.process_time() - began}


def main() -> None:
    from evidently import DataDefinition, Dataset

    folder = Path(sys.argv[1])
    definition = DataDefinition(
        text_columns=["text"], numerical_columns=["n_words", "positive"], categorical_columns=["predicted"]
    )
    reference = Dataset.from_pandas(pd.read_parquet(folder / "reference.parquet"), data_definition=definition)
    verdicts = {
        path.stem: verdict(reference, pd.read_parquet(path), definition)
        for path in sorted(folder.glob("batch-*.parquet"))
    }
    result = {"version": importlib.metadata.version("evidently"), "batches": verdicts}
    (folder / "verdicts.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
