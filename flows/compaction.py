"""Moves the prediction log's hours that are over into Parquet files: `ratchet compact`, as a scheduled flow."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.runner.environment import set_environment

set_environment()  # Prefect reads its settings at import

from prefect import flow  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.states import Completed  # noqa: E402


@flow(name="compact", validate_parameters=True, persist_result=False)
def compact() -> State[Any]:
    """Compact the log that the block `log` of live.yaml names, and delete files past their retention.

    Raises:
        RatchetError: the database cannot be opened, or a file holds other columns.
    """
    from ratchet.params import load_params
    from ratchet.prediction_log.compaction import compact_database
    from ratchet.serving.settings import LIVE_FILE, LogParams

    root = Path.cwd()
    params = load_params(LogParams, "log", root / LIVE_FILE)
    done = compact_database(params.url, root / params.folder, datetime.now(UTC), params.retention_days)
    return Completed(message=str(done))
