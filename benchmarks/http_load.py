"""A client that keeps some requests under way at all times, and costs little: plain sockets, connections kept open."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import uvloop


@dataclass(frozen=True)
class Load:
    """What came of some seconds of load."""

    seconds: float
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


def run_load(
    port: int, path: str, texts: Sequence[str], concurrency: int, seconds: float, secret: str = "", key: str = "text"
) -> Load:
    """Ask a server on loopback for so many seconds, always `concurrency` requests at a time."""
    bodies = [json.dumps({key: text}).encode() for text in texts]
    return uvloop.run(_load(port, path, bodies, concurrency, seconds, secret))


async def _load(
    port: int, path: str, bodies: Sequence[bytes], concurrency: int, seconds: float, secret: str
) -> Load:  # fmt: skip
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    following = itertools.cycle(bodies)
    start = time.perf_counter()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {secret}\r\n" if secret else ""

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - start < seconds:
            body, asked = next(following), time.perf_counter()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            status = int(answer[9:12])
            lines = (line.split(b":", 1) for line in answer.lower().split(b"\r\n")[1:] if b":" in line)
            await reader.readexactly(int(dict(lines)[b"content-length"]))
            statuses[status] += 1
            if status == 200:
                latencies.append(1000 * (time.perf_counter() - asked))
            elif status == 429:
                await asyncio.sleep(0.05)
        writer.close()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return Load(time.perf_counter() - start, dict(statuses), latencies)
