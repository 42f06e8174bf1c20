"""Data-quality benchmark: recall of planted faults, lost rows, time and memory at five million rows.

    make bench-data
    python -m benchmarks.data_quality --rows 200000

Runs the stages `ingest`, `validate` and `split` as they are, each in a process of its own, on a corpus whose faults are
known, and writes reports/bench/data_quality.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.planted_faults import FAULTS, SOUND, write_corpus
from ratchet.errors import ValidationError
from ratchet.files import read_json, write_json
from ratchet.measure.machine import describe_machine
from ratchet.params import read_yaml

ROOT = Path(__file__).parents[1]
REPORT = Path("reports/bench/data_quality.json")
STAGES = ("ingest", "validate", "split")


def prepare(folder: Path) -> None:
    """The repository's params and suites in a workspace, with what a corpus of copies needs."""
    import shutil

    from ruamel.yaml import YAML

    params = read_yaml(ROOT / "params.yaml")
    params["ingest"] |= {
        "source": {
            "kind": "files",
            "path": "source.parquet",
            "sha256": "",
            "dialect": {"format": "parquet"},
            "max_bad_rows": 0,
        },
        "watch": "source.parquet",
    }
    params["task"] |= {
        "metadata_columns": ["planted"],
        "classes": [{"name": name, "values": [value]} for value, name in enumerate(["negative", "positive", "unsure"])],
    }
    YAML().dump(params, folder / "params.yaml")
    shutil.copytree(ROOT / "data" / "suites", folder / "data" / "suites", dirs_exist_ok=True)
    shutil.copy(ROOT / "data" / "accepted_profile.json", folder / "data")
    known = ["negative", "positive"]  # the third class is the planted unknown label, which nobody may learn
    edits: dict[str, dict[str, dict[str, Any]]] = {
        "corpus": {"quarantined_rate": {"max_value": 1.0}},  # nine rows of ten are copies here
        "labels": {"unknown_label": {"value_set": known}, "class_rates": {"min_value": 0.0}},
    }
    for name, bounds in edits.items():
        path = folder / "data" / "suites" / f"{name}.json"
        suite = read_json(path)
        for entry in suite["expectations"]:
            entry["kwargs"] |= bounds.get(entry["meta"]["rule"], {})
        write_json(path, suite)


def run_stage(name: str, folder: Path) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of one stage, run in the workspace.

    Raises:
        ValidationError: it failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", f"pipeline_steps.{name}"], cwd=folder, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValidationError(f"The stage '{name}' failed.", where=folder, got=f"exit code {process.returncode}")
    return {
        "wall_s": round(time.monotonic() - start, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_memory_mb": round(usage.ru_maxrss / 1024),
    }


def audit(folder: Path, planted: dict[str, int], n_rows: int) -> dict[str, Any]:
    """Planted against caught by kind, and where every row is."""
    import pandas as pd

    data = folder / "data"
    validated = pd.read_parquet(data / "validated.parquet", columns=["row", "planted"])
    quarantine = pd.read_parquet(data / "quarantine.parquet", columns=["row", "planted", "rule"])
    flagged = pd.read_parquet(data / "flagged.parquet", columns=["row", "rule"]).merge(validated, on="row")
    tables = {"quarantine": quarantine, "flagged": flagged}
    kinds = {}
    for kind, (table, rule, _) in FAULTS.items():
        found = tables[table]
        caught = found["row"][(found["planted"] == kind) & (found["rule"] == rule)].nunique()
        kinds[kind] = {"planted": planted[kind], "caught": int(caught), "rule": rule, "table": table}
    rows = np.concatenate([validated["row"], quarantine["row"]])
    sound = quarantine[quarantine["planted"] == SOUND]["rule"].value_counts().to_dict()
    splits = read_json(folder / "reports" / "split.json")
    return {
        "kinds": kinds,
        "n_planted": sum(planted.values()),
        "n_caught": sum(kind["caught"] for kind in kinds.values()),
        "n_in": n_rows,
        "n_out": len(validated),
        "n_quarantined": len(quarantine),
        "n_lost": int(n_rows - len(np.intersect1d(rows, np.arange(n_rows)))),
        "n_doubled": len(rows) - len(np.unique(rows)),
        "sound_rows_quarantined_by_rule": sound,
        "near_duplicates_on_two_sides": splits["rules"]["near_duplicate_leak"]["observed"],
        "splits": {side: counts["n_rows"] for side, counts in splits["splits"].items()},
    }


def main(arguments: list[str]) -> int:
    """Make the corpus, run the stages, write the report; 1 where a fault was missed or a row was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--faults", type=int, default=500, help="rows of each kind of fault")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--folder", type=Path, default=Path(".scratch/bench-data"))
    chosen = parser.parse_args(arguments)
    folder = chosen.folder
    (folder / "data").mkdir(parents=True, exist_ok=True)
    prepare(folder)
    planted = write_corpus(folder / "source.parquet", chosen.rows, chosen.faults, chosen.seed)
    stages = {}
    for name in STAGES:
        stages[name] = run_stage(name, folder)
        print(name, stages[name], flush=True)
    found = audit(folder, planted, chosen.rows)
    report = {
        "command": f"python -m benchmarks.data_quality --rows {chosen.rows} --faults {chosen.faults}",
        "seed": chosen.seed,
        "machine": describe_machine(0),
        "stages": stages,
        **found,
    }
    write_json(REPORT, report)
    print(
        f"{found['n_caught']:,} of {found['n_planted']:,} planted faults caught, {found['n_lost']} rows lost: {REPORT}"
    )
    return int(found["n_caught"] < found["n_planted"] or found["n_lost"] > 0 or found["n_doubled"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
