"""Server process: opens the log, loads the models, listens, and shuts down without losing a request."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from sqlalchemy.engine import Engine

from ratchet.engines.loading import load
from ratchet.errors import ParamsError
from ratchet.prediction_log.database import open_database
from ratchet.prediction_log.writer import LogWriter, to_stored_row
from ratchet.serving.access import Access
from ratchet.serving.app import make_app
from ratchet.serving.auth import KeyPlace, read_keys
from ratchet.serving.connections import Pool, protocol_within
from ratchet.serving.line_writer import LineHandler, LineWriter, QueuedLines
from ratchet.serving.metrics import Metrics
from ratchet.serving.pace import Layout, choose_layout, layout_for, n_cores
from ratchet.serving.served_model import ModelSource, Passes, ServedModel
from ratchet.serving.service import DEFAULT_MODEL, Service
from ratchet.serving.settings import LogParams, ModelParams, ServeParams
from ratchet.serving.shared_state import SharedState
from ratchet.serving.tracing import Tracing

_LOGGER = logging.getLogger("ratchet.serving")
_SPARE_FILES = 200
"""Open files beside connections: the log, the models, the libraries."""


def serve(
    params: ServeParams, log_params: LogParams, bundle: Path | None, check: Callable[[Path], None] | None
) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP opens the access log anew.

    Args:
        params: of the server.
        log_params: of the prediction log.
        bundle: to serve instead of the champion.
        check: raises an error unless a bundle was released; None: pointers are trusted as they are.

    Raises:
        BundleError: there is no champion, or it fails verification.
        ParamsError: the keys cannot be read.
        SourceError: the database of the log cannot be opened.
    """
    # batches are tokenised by the thread that scores them: to wake others for a few texts costs more than the texts
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _allow_connections(params.max_connections)
    messages = LineWriter(sys.stderr.fileno())
    logging.basicConfig(
        format="%(levelname)s: %(message)s", level=logging.WARNING, handlers=[LineHandler(messages)], force=True
    )
    engine = open_database(log_params.url)
    try:
        shared = SharedState(engine) if params.state == "database" else None
        keys: KeyPlace = shared or Path(params.key_file)
        if params.keys == "required":
            _check_keys(keys)
        metrics = Metrics()
        services = _services(params, log_params, bundle, check, shared, engine, metrics)
        access = Access(keys, params.keys == "required", params.max_key_age_s)
        first = next(iter(services.values()))
        lines = _access_log(params.access_log)
        register_gauges(metrics, services, access, messages, lines)
        pool = Pool(params, metrics.count_closed)
        config = uvicorn.Config(
            make_app(services, access, lines.write if lines else None, Tracing() if params.traces == "otlp" else None),
            host=params.host,
            port=params.port,
            loop="uvloop",
            http=protocol_within(pool),
            ws="none",
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=params.keep_alive_s,  # type: ignore[arg-type]
            timeout_graceful_shutdown=int(params.shutdown_s) + 1,
        )
        # the event loop may answer many requests in a row; a worker that waits its turn meanwhile leaves a core idle
        sys.setswitchinterval(params.switch_ms / 1000)
        gc.collect()
        gc.freeze()  # what was imported and loaded stays: the collector need not walk through it while requests wait
        Server(config, first, services, _reopening(lines, params.access_log)).run()
        if lines is not None:
            lines.close()
    finally:
        engine.dispose()


class Server(uvicorn.Server):
    """Uvicorn server that prints its address; on SIGTERM reports not ready, and stops listening after `drain_s`."""

    def __init__(
        self, config: uvicorn.Config, first: Service, services: dict[str, Service], reopen: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._first, self._services, self._reopen = first, services, reopen

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, self._reopen) and None)
        await super().startup(sockets)
        if self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            champion = self._first.champion
            print(
                f"{champion.version} serves on http://{host}:{port}, loaded in {champion.load_s:.1f} s",
                file=sys.stderr,
                flush=True,
            )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin a graceful shutdown: requests in flight are answered, exit code 0; a second signal ends it at once."""
        if self.should_exit:
            self.force_exit = True
        if self._first.draining or not self._first.params.drain_s:
            self.should_exit = True
        else:
            timer = threading.Timer(self._first.params.drain_s, setattr, (self, "should_exit", True))
            timer.daemon = True
            timer.start()
        for service in self._services.values():
            service.draining = True


def _services(
    params: ServeParams,
    log_params: LogParams,
    bundle: Path | None,
    check: Callable[[Path], None] | None,
    shared: SharedState | None,
    engine: Engine,
    metrics: Metrics,
) -> dict[str, Service]:
    """The services of all models, the first one that of `pointer` or of the bundle."""
    first = ModelParams(name=DEFAULT_MODEL, pointer=params.pointer, experiment=params.experiment)
    n_threads = 1 if params.n_threads == "auto" else params.n_threads
    sources = dict[str, ModelSource]()
    for model in (first, *params.models):
        if model.name in sources:
            raise ParamsError("Two models have one name.", where="serve.models", got=model.name)
        is_first = model is first
        sources[model.name] = ModelSource(
            Path(model.pointer),
            bundle if is_first else None,
            None if bundle is not None and is_first else check,
            Passes(n_threads, params.batch_size, params.max_batch),
            Path(model.experiment),
            shared,
            "" if is_first else f":{model.name}",
        )
    champions = {name: source.load() for name, source in sources.items()}
    layout = _layout(params, next(iter(champions.values())))
    if layout.n_threads != n_threads:
        sources = {
            name: replace(source, passes=source.passes._replace(n_threads=layout.n_threads))
            for name, source in sources.items()
        }
        champions = {name: source.load() for name, source in sources.items()}
    log = LogWriter(
        engine,
        log_params.batch_size,
        log_params.interval_ms,
        log_params.queue_size,
        to_stored_row(log_params.personal_data, log_params.regions),
    )
    return {
        name: Service(champions[name], source, params, log, metrics, name, layout.n_workers)
        for name, source in sources.items()
    }


def _layout(params: ServeParams, model: ServedModel) -> Layout:
    """Workers and threads as params say; what they leave to a measurement is measured on this model."""
    cores, size = n_cores(), model.pace.batch_size
    return layout_for(
        params.n_workers,
        params.n_threads,
        cores,
        lambda: choose_layout(lambda n_threads: load(model.folder, n_threads, size), size, cores),
    )


def _check_keys(place: KeyPlace) -> None:
    """Say at the start what nobody would otherwise know before the first request.

    Raises:
        ParamsError: the keys cannot be read.
    """
    try:
        if not read_keys(place):
            _LOGGER.warning("there are no API keys: every request gets 401 until ratchet keys add")
    except OSError as error:
        raise ParamsError(
            "The API keys cannot be read.",
            where=place,
            got=error.strerror,
            fix="let the server's user read the file, or set serve.keys: off where nobody else can reach it",
        ) from None


def register_gauges(
    metrics: Metrics,
    services: dict[str, Service],
    access: Access,
    messages: LineWriter,
    lines: QueuedLines | None,
) -> None:
    """Register what is computed when Prometheus scrapes."""
    log = next(iter(services.values())).log
    batchers = [service.batcher for service in services.values()]
    gauges: dict[str, tuple[str, Callable[[], float]]] = {
        "ratchet_queue_requests": ("Requests that wait.", lambda: sum(batcher.n_waiting for batcher in batchers)),
        "ratchet_log_rows_waiting": ("Rows not yet written.", lambda: log.n_waiting),
        "ratchet_log_rows_written": ("Rows written.", lambda: log.n_written),
        "ratchet_log_rows_dropped": ("Rows lost to a full queue.", lambda: log.n_dropped),
        "ratchet_log_rows_repaired": ("Rows with a character replaced.", lambda: log.n_repaired),
        "ratchet_log_rows_refused": ("Rows set aside.", lambda: log.n_refused),
        "ratchet_log_rows_lost": ("Rows that could not be set aside.", lambda: log.n_lost),
        "ratchet_messages_dropped": ("Messages lost on standard error.", lambda: messages.n_dropped),
        "ratchet_keys_unreadable": ("1 while the API keys cannot be read.", lambda: float(bool(access.problem))),
    }
    if lines is not None:
        gauges["ratchet_access_log_lines_dropped"] = "Requests left out of it.", lambda: lines.n_dropped
    for name, (meaning, value) in gauges.items():
        metrics.register_gauge(name, meaning, value)


def _access_log(target: str) -> QueuedLines | None:
    return QueuedLines(LineWriter(_open_access_log(target))) if target else None


def _reopening(lines: QueuedLines | None, target: str) -> Callable[[], None]:
    """Opens the access log anew, so that it may be moved away; standard output stays as it is."""

    def reopen() -> None:
        if lines is None or target == "-":
            return
        try:
            lines.redirect(_open_access_log(target))
        except OSError as error:
            _LOGGER.warning("the access log cannot be opened anew: %s", error.strerror)

    return reopen


def _open_access_log(target: str) -> int:
    """Where lines of the access log go; a file is appended to, so that it may be followed and rotated."""
    if target == "-":
        return sys.stdout.fileno()
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    return os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)


def _allow_connections(n_connections: int) -> None:
    """Raise the limit of open files to what so many connections need, as far as the system lets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = n_connections + _SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
