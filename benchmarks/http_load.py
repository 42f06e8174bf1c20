"""Closed-loop HTTP load generator: a fixed number of concurrent requests, at little processor time of its own.

It shares the cores with the server that it measures: its own cost is reported with its findings. Streams of asyncio on
uvloop took 0.12 ms of processor time a request, these plain sockets take 0.07.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_PAUSE_S = 0.05
"""Back-off of a client after a refusal, in seconds."""


@dataclass(frozen=True)
class Load:
    """Result of a load test."""

    seconds: float
    cpu_s: float
    """Processor time of this client."""
    statuses: dict[int, int]
    latencies_ms: list[float]
    """Of the requests that were answered with 200."""

    @property
    def requests_per_s(self) -> float:
        """Requests answered with 200."""
        return self.statuses.get(200, 0) / self.seconds

    def percentile_ms(self, rank: float) -> float:
        """A percentile of the latency."""
        return float(np.percentile(self.latencies_ms, rank)) if self.latencies_ms else float("nan")


def text_body(text: str) -> dict[str, object]:
    """A text as `/v1/predict` and LitServe's peer take it."""
    return {"text": text}


def infer_body(text: str) -> dict[str, object]:
    """A text as the Open Inference Protocol takes it, in JSON."""
    return {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}


def run_load(
    port: int,
    path: str,
    texts: Sequence[str],
    concurrency: int,
    seconds: float,
    secret: str = "",
    body: Callable[[str], object] = text_body,
) -> Load:
    """Ask a server on loopback for so many seconds, always `concurrency` requests at a time, and each client once.

    Args:
        port: where it listens.
        path: the route.
        texts: asked in turn.
        concurrency: requests at a time.
        seconds: how long.
        secret: a key of the server; empty: none.
        body: what a text is sent as, in JSON.

    Raises:
        ConnectionError: the server closed a connection.
    """
    requests = [_request(path, body(text), secret) for text in texts]
    clients = [_Client(port) for _ in range(concurrency)]
    try:
        return _run(clients, requests, seconds)
    finally:
        for client in clients:
            client.socket.close()


def _request(path: str, body: object, secret: str) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {secret}\r\n" if secret else ""
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


class _Client:
    """A connection that is kept open, with one request on it at a time."""

    __slots__ = ("_answer", "asked", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = 0.0
        self._answer = b""

    def ask(self, request: bytes) -> None:
        """Send a request: loopback takes one as a whole."""
        self.asked = time.perf_counter()
        self.socket.sendall(request)

    def read(self) -> int:
        """The status of the answer, when all of it is there; 0 before."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed a connection")
        data = self._answer + data
        body = data.find(b"\r\n\r\n") + 4
        if body > 3:
            head = data[:body].lower()
            at = head.index(b"content-length:") + 15
            if len(data) - body >= int(head[at : head.index(b"\r", at)]):
                self._answer = b""
                return int(data[9:12])
        self._answer = data
        return 0


def _run(clients: Sequence[_Client], requests: Sequence[bytes], seconds: float) -> Load:
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    pausing: deque[tuple[float, _Client]] = deque()
    by_file = {client.socket.fileno(): client for client in clients}
    start, cpu = time.perf_counter(), time.process_time()
    n_asked, n_under_way = 0, len(clients)
    with select.epoll() as ready:
        for client in clients:
            ready.register(client.socket, select.EPOLLIN)
            client.ask(requests[n_asked % len(requests)])
            n_asked += 1
        while n_under_way or pausing:
            for file, _ in ready.poll(_PAUSE_S if pausing else -1):
                client = by_file[file]
                if not (status := client.read()):
                    continue
                now = time.perf_counter()
                statuses[status] += 1
                if status == 200:
                    latencies.append(1000 * (now - client.asked))
                if now - start >= seconds:
                    n_under_way -= 1
                elif status == 429:
                    n_under_way -= 1
                    pausing.append((now + _PAUSE_S, client))
                else:
                    client.ask(requests[n_asked % len(requests)])
                    n_asked += 1
            while pausing and pausing[0][0] <= time.perf_counter():
                _, client = pausing.popleft()
                client.ask(requests[n_asked % len(requests)])
                n_asked, n_under_way = n_asked + 1, n_under_way + 1
    return Load(time.perf_counter() - start, time.process_time() - cpu, dict(statuses), latencies)
