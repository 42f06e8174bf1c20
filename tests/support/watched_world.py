"""The miniature repository of the labelling loop with a model that is served, and a prediction log of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as pq

from ratchet.engines.loading import load
from ratchet.files import sha256_file, write_json
from ratchet.models.bundle import MANIFEST
from ratchet.params import read_yaml
from ratchet.prediction_log.tables import TableName, arrow_schema, hour_file
from ratchet.table_files import write_table
from ratchet.tables import SPLIT
from ratchet.trust.slices import LENGTH_EDGES
from tests.support.films import FILMS, copy_task_files
from tests.support.label_world import make_world
from tests.support.tiny import reviews

VERSION = "sentiment@v1.0.0"
START = datetime(2026, 3, 1, 8, tzinfo=UTC)
FOLDER = Path("log")


def make_watched_world(root: Path) -> Path:
    """`root`, the working directory, with splits, a baseline, `live.yaml`, and the suites."""
    make_world(root)
    write_table(Path("data/splits/test.parquet"), reviews(300, 7), SPLIT)
    copy_task_files(Path(), "suites", "lexicons")
    whole = read_yaml(FILMS / "params.yaml")
    tree = read_yaml(Path("params.yaml")) | {"validate": whole["validate"]}
    Path("params.yaml").write_text(json.dumps(tree), encoding="utf-8")
    write_json(LENGTH_EDGES, {"edges": [12, 25]})
    settings = read_yaml(FILMS / "live.yaml")
    settings["log"] |= {"url": "sqlite:///log.db", "folder": FOLDER.as_posix()}
    settings["monitor"] |= {"window_sizes": [100], "n_splits": 400, "n_to_label": 10, "alpha": 0.01, "max_fall": 0.5}
    manifest = Path("models/baseline") / MANIFEST
    write_json(Path("releases/v1.0.0/release.json"), {"version": VERSION, "manifest_sha256": sha256_file(manifest)})
    lines = [
        f"{block}:\n" + "".join(f"  {k}: {v}\n" for k, v in settings[block].items()) for block in ("log", "monitor")
    ]
    Path("live.yaml").write_text("".join(lines), encoding="utf-8")
    return root


def serve_hour(root: Path, hour: int, texts: list[str], version: str = VERSION, **columns: list[Any]) -> None:
    """Answer the texts, one each twelve seconds of that hour, and log them; `columns` replace those of the log."""
    predictor = load(root / "models/baseline")
    proba, n = predictor.predict_proba(texts), len(texts)
    start = START + timedelta(hours=hour)
    write_hour(
        root,
        "predictions",
        start,
        {
            "timestamp": [start + timedelta(seconds=12 * row) for row in range(n)],
            "request_id": [f"{hour}-{row}" for row in range(n)],
            "text": texts,
            "predicted": [predictor.labels[index] for index in proba.argmax(axis=1)],
            "confidence": proba.max(axis=1),
            "model_version": [version] * n,
            "proba": list(proba.astype(np.float32)),
            "latency_ms": [4.0] * n,
            "status": [200] * n,
            "key_id": [f"k{row % 2}" for row in range(n)],
            "arm": ["champion"] * n,
            "experiment": [""] * n,
            **columns,
        },
    )


def correct(root: Path, hour: int, labels: dict[str, str]) -> None:
    """People's corrections of requests, by id."""
    start = START + timedelta(hours=hour)
    n = len(labels)
    write_hour(
        root,
        "feedback",
        start,
        {
            "timestamp": [start + timedelta(seconds=row) for row in range(n)],
            "request_id": list(labels),
            "kind": ["correction"] * n,
            "value": [None] * n,
            "label": list(labels.values()),
        },
    )


def write_hour(root: Path, table: TableName, start: datetime, columns: Mapping[str, Any]) -> None:
    """One compacted file."""
    schema = arrow_schema(table)
    path = hour_file(root / FOLDER, table, start)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pyarrow.table([pyarrow.array(columns[name], schema.field(name).type) for name in schema.names], schema), path
    )
