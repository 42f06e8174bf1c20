"""A server from params: opens the log, loads the champion, listens, and ends without losing a request."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.writer import LogWriter, as_kept
from ratchet.serving.app import make_app
from ratchet.serving.auth import Access
from ratchet.serving.served_model import ModelSource
from ratchet.serving.service import Service
from ratchet.serving.settings import LogParams, ServeParams


def serve(params: ServeParams, log_params: LogParams, bundle: Path | None, root: Path) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        BundleError: there is no champion, or it does not hold.
        SourceError: the database of the log cannot be opened.
    """
    # batches are tokenised by the thread that scores them: to wake others for a few texts costs more than the texts
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    registry = root if params.registry == "verify" and bundle is None else None
    source = ModelSource(Path(params.pointer), bundle, registry, params.n_threads, params.batch_size)
    champion = source.load()
    engine = open_database(log_params.url)
    writer = LogWriter(
        engine,
        log_params.batch_size,
        log_params.interval_ms,
        log_params.queue_size,
        as_kept(log_params.personal_data, log_params.phone_region),
    )
    service = Service(champion, source, params, writer)
    access = Access(Path(params.key_file), params.keys == "required")
    config = uvicorn.Config(
        make_app(service, access, _log_line(params.access_log)),
        host=params.host,
        port=params.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(params.shutdown_s) + 1,
    )
    # the event loop may answer many requests in a row; a worker that waits for its turn meanwhile leaves a core idle
    sys.setswitchinterval(params.switch_ms / 1000)
    gc.collect()
    gc.freeze()  # what was imported and loaded stays: the collector need not walk through it while requests wait
    try:
        Server(config, service).run()
    finally:
        engine.dispose()


class Server(uvicorn.Server):
    """Says where it listens; on SIGTERM says first that it is not ready, and stops listening after `drain_s`."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        if self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            print(
                f"{self._service.champion.version} serves on http://{host}:{port}, "
                f"loaded in {self._service.champion.load_s:.1f} s",
                file=sys.stderr,
                flush=True,
            )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end: what is being answered is answered, the process exits with 0; a second signal ends it."""
        if self.should_exit:
            self.force_exit = True
        if self._service.draining or not self._service.params.drain_s:
            self.should_exit = True
        else:
            timer = threading.Timer(self._service.params.drain_s, setattr, (self, "should_exit", True))
            timer.daemon = True
            timer.start()
        self._service.draining = True


def _log_line(target: str) -> Callable[[bytes], None] | None:
    """Where lines of the access log go; each is written whole, so that a file may be followed and rotated."""
    if not target:
        return None
    if target == "-":
        file = sys.stdout.fileno()
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        file = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    return lambda line: _write_line(file, line)


def _write_line(file: int, line: bytes) -> None:
    os.write(file, line + b"\n")
