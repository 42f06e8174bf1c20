"""Server process: opens the log, loads the champion, listens, and shuts down without losing a request."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.writer import LogWriter, to_stored_row
from ratchet.serving.app import make_app
from ratchet.serving.auth import Access
from ratchet.serving.line_writer import LineHandler, LineWriter
from ratchet.serving.served_model import ModelSource
from ratchet.serving.service import Service
from ratchet.serving.settings import LogParams, ServeParams


def serve(params: ServeParams, log_params: LogParams, bundle: Path | None, root: Path) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        BundleError: there is no champion, or it fails verification.
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
        to_stored_row(log_params.personal_data, log_params.regions),
    )
    service = Service(champion, source, params, writer)
    access = Access(Path(params.key_file), params.keys == "required")
    messages = LineWriter(sys.stderr.fileno())
    logging.basicConfig(
        format="%(levelname)s: %(message)s", level=logging.WARNING, handlers=[LineHandler(messages)], force=True
    )
    service.metrics.register_gauge(
        "ratchet_messages_dropped", "Messages lost on standard error.", lambda: messages.n_dropped
    )
    log_line = None
    if params.access_log:
        lines = LineWriter(_open_access_log(params.access_log))
        service.metrics.register_gauge(
            "ratchet_access_log_lines_dropped", "Requests left out of it.", lambda: lines.n_dropped
        )
        log_line = lines.write
    config = uvicorn.Config(
        make_app(service, access, log_line),
        host=params.host,
        port=params.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
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
    """Uvicorn server that prints its address; on SIGTERM reports not ready, and stops listening after `drain_s`."""

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
        """Begin a graceful shutdown: requests in flight are answered, exit code 0; a second signal ends it at once."""
        if self.should_exit:
            self.force_exit = True
        if self._service.draining or not self._service.params.drain_s:
            self.should_exit = True
        else:
            timer = threading.Timer(self._service.params.drain_s, setattr, (self, "should_exit", True))
            timer.daemon = True
            timer.start()
        self._service.draining = True


def _open_access_log(target: str) -> int:
    """Where lines of the access log go; a file is appended to, so that it may be followed and rotated."""
    if target == "-":
        return sys.stdout.fileno()
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    return os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
