"""Moves the prediction log's hours that are over into Parquet files, and deletes what was kept long enough.

    python -m flows.compaction

The same as `ratchet compact`, as a flow that a deployment runs every hour.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import flow  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows.runner.command import run_flow, say_start  # noqa: E402


@flow(name="compact", validate_parameters=True, persist_result=False)
def compact() -> State[Any]:
    """Compact what the block `log` of live.yaml names.

    Raises:
        RatchetError: the database cannot be opened, or a file holds other columns.
    """
    from ratchet.params import load_params
    from ratchet.prediction_log.compaction import compact as run
    from ratchet.prediction_log.database import open_database
    from ratchet.serving.settings import LIVE_FILE, LogParams

    root = Path.cwd()
    params = load_params(LogParams, "log", root / LIVE_FILE)
    engine = open_database(params.url)
    try:
        done = run(engine, root / params.folder, datetime.now(UTC), params.retention_days)
    finally:
        engine.dispose()
    told = f"{done.n_rows} rows into {done.n_files} files, {done.n_deleted} files deleted"
    return Completed(message=told)


def main() -> int:
    """Run once; the exit code."""
    say_start()
    return run_flow(lambda: compact(return_state=True))


if __name__ == "__main__":
    sys.exit(main())
