"""`ratchet serve` and `ratchet compact`: the server, and its log into Parquet files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ratchet.params import load_params
from ratchet.serving.settings import LIVE_FILE, LogParams, ServeParams

Settings = Annotated[Path, typer.Option("--settings", help="The settings of what runs in production.")]


def serve(
    bundle: Annotated[Path | None, typer.Option(help="Serve this bundle; by default the champion.")] = None,
    host: Annotated[str, typer.Option(help="Address; by default that of the settings.")] = "",
    port: Annotated[int, typer.Option(min=-1, max=65535, help="Port; -1: that of the settings; 0: any free one.")] = -1,
    settings: Settings = LIVE_FILE,
    root: Annotated[Path, typer.Option(help="The clone whose signed tags verify the champion.")] = Path(),
) -> None:
    """Serve the champion over HTTP, verified, until SIGTERM."""
    from ratchet.serving.served_model import attestation_check, registry_check
    from ratchet.serving.server import serve as run

    params = load_params(ServeParams, "serve", settings)
    changes = {**({"host": host} if host else {}), **({"port": port} if port >= 0 else {})}
    checks = {"verify": lambda: registry_check(root), "attestation": lambda: attestation_check(params.attestation_keys)}
    check = checks[params.registry]() if params.registry in checks else None
    run(params.model_copy(update=changes), load_params(LogParams, "log", settings), bundle, check)


def publish(settings: Settings = LIVE_FILE) -> None:
    """Put pointers and experiments into the database that replicas read.

    For `serve.state: database`: after a release, a promotion or a rollback. A rollout does it by itself."""
    from ratchet.prediction_log.database import open_database
    from ratchet.serving.shared_state import SharedState, published

    params = load_params(ServeParams, "serve", settings)
    engine = open_database(load_params(LogParams, "log", settings).url)
    try:
        for name, text in published(params).items():
            SharedState(engine).write(name, text)
            print(f"{name} is published")
    finally:
        engine.dispose()


def compact(settings: Settings = LIVE_FILE) -> None:
    """Move the prediction log's past hours into Parquet files.

    Files that were kept for `retention_days` of the settings are deleted."""
    from ratchet.prediction_log.compaction import compact_database

    params = load_params(LogParams, "log", settings)
    print(compact_database(params.url, Path(params.folder), datetime.now(UTC), params.retention_days))
