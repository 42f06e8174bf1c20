"""`ratchet studio`: what a run left, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PIPELINE, STEPS, REPORTS, MEASUREMENTS = "dvc.yaml", "pipeline_steps", "reports", "measurements"


def studio(
    port: Annotated[int, typer.Option(min=0, max=65535, help="On loopback; 0: any that is free.")] = 8787,
    guests: Annotated[
        bool, typer.Option("--guests", help="Let everybody on this machine read, also without the token.")
    ] = False,
    root: Annotated[Path, typer.Option(help="The clone.")] = Path(),
) -> None:
    """Show a run in the browser: verdict, ladder, texts, errors, comparison of revisions.

    On this machine alone, offline. Prints an address with a token; nothing is written. Ends with Ctrl-C."""
    import secrets
    import socket

    from ratchet.errors import MissingExtraError, PipelineError
    from ratchet.registry.policy import POLICY, read_policy
    from ratchet.reporting.change import Change, Sources, describe
    from ratchet.reporting.revisions import find_revisions
    from ratchet.studio.app import make_app
    from ratchet.studio.workspace import Paths, Workspace

    try:
        import uvicorn
    except ImportError:
        raise MissingExtraError("The studio needs uvicorn.", fix="pip install 'ratchet[studio]'") from None
    paths = read_policy((root / POLICY).read_bytes()).paths
    predictions = f"{paths.data}/predictions.parquet"
    sources = Sources(paths.evaluate, paths.decision, predictions, paths.lock, PIPELINE, paths.data, STEPS)

    def compare(base: str, head: str) -> Change:
        return describe(*find_revisions(root, base, head or None), sources)

    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise PipelineError("The port is taken.", where=port, got=error, fix="name another: --port 0") from error
    with listener:
        port, token = listener.getsockname()[1], secrets.token_urlsafe(32)
        workspace = Workspace(Paths(root, root / paths.data, root / REPORTS, root / MEASUREMENTS, root / paths.models))
        app = make_app(workspace, token, port, compare, guests)
        print(f"Open http://127.0.0.1:{port}/?token={token}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])
