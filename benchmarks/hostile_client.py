"""A client that means harm: mutated and random requests, and connections that are slow, half-closed or never read.

    python -m benchmarks.hostile_client PORT SECRET SEED SECONDS KIND

KIND is `hostile`, or `well-formed` for as many requests as anybody sends. Prints counts as JSON: requests by kind, and
answers by status. Nothing it meets ends it but its time.
"""

from __future__ import annotations

import gzip
import json
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

ROUTES = ("/v1/predict", "/v1/explain", "/v1/feedback", "/v2/models/champion/infer", "/v1/models/default/predict")
N_SLOW = 40
"""Connections that are held open and fed a byte at a time."""
_TIMEOUT_S = 2.0


class Hostile:
    """Makes and sends requests from a seed."""

    def __init__(self, port: int, secret: str, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self._port, self._secret, self._draw = port, secret, random.Random(seed)
        self._slow: list[socket.socket] = []
        self._kept: socket.socket | None = None

    def well_formed(self) -> bytes:
        """A request that anybody might send."""
        text = " ".join(self._draw.choices(("a", "dull", "superb", "film", "moving"), k=self._draw.randint(1, 60)))
        return self._request(self._head("/v1/predict"), json.dumps({"text": text}).encode())

    def mutated(self) -> bytes:
        """A well-formed request with some bytes changed, cut, repeated or put elsewhere."""
        data = bytearray(self.well_formed())
        for _ in range(self._draw.randint(1, 8)):
            at, length = self._draw.randrange(len(data)), self._draw.randint(1, 20)
            match self._draw.randrange(4):
                case 0:
                    data[at] = self._draw.randrange(256)
                case 1:
                    del data[at : at + length]
                case 2:
                    data[at:at] = self._draw.randbytes(length)
                case _:
                    data[at:at] = data[at : at + length] * self._draw.randint(1, 30)
            if not data:
                data = bytearray(b"\0")
        return bytes(data)

    def wrong_body(self) -> bytes:
        """A sound head with a body that is hardly one: deep, wide, half of a pair, of another type or encoding."""
        deep = self._draw.randint(1, 50_000)
        bodies: list[Callable[[], bytes]] = [
            lambda: b"[" * deep,
            lambda: b'{"text":' * deep,
            lambda: json.dumps({f"f{n}": n for n in range(deep // 10)}).encode(),
            lambda: json.dumps({"texts": [1] * (deep // 10)}).encode(),
            lambda: b'{"text": "half \\ud83d"}',
            lambda: b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["\\ud83d"]}]}',
            lambda: json.dumps({"text": "\0" + "🔥" * (deep // 100)}).encode(),
            lambda: json.dumps({"request_id": "0" * 32, "kind": "thumb", "value": deep}).encode(),
            lambda: self._draw.randbytes(self._draw.randint(0, 2000)),
            lambda: gzip.compress(b"0" * (deep * 100)),
        ]
        body = self._draw.choice(bodies)()
        more = b"content-encoding: gzip\r\n" if body[:2] == b"\x1f\x8b" or self._draw.random() < 0.05 else b""
        return self._request(self._head(self._draw.choice(ROUTES), self._draw.random() < 0.9) + more, body)

    def oversized(self) -> bytes:
        """A body or a head beyond all limits."""
        if self._draw.random() < 0.5:
            return self._request(self._head("/v1/predict"), b" " * 2_100_000)
        return b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n" + b"x: y\r\n" * 5000

    def random_bytes(self) -> bytes:
        """Anything."""
        return self._draw.randbytes(self._draw.randint(1, 3000))

    def run(self, seconds: float, kinds: dict[str, int]) -> None:
        """Send requests of these kinds, by weight, for so long."""
        end = time.monotonic() + seconds
        names, weights = list(kinds), list(kinds.values())
        while time.monotonic() < end:
            name = self._draw.choices(names, weights)[0]
            self.counts[name] += 1
            with suppress(OSError):
                self._send(name)

    def _send(self, name: str) -> None:
        if name == "slow":
            self._feed_slow()
        elif name == "half_closed":
            with self._open() as own:
                own.sendall(self.well_formed()[: self._draw.randint(1, 300)])
                own.shutdown(socket.SHUT_WR)
                self._read(own)
        elif name == "gone":  # closes before its answer
            with self._open() as own:
                own.sendall(self.well_formed())
        elif name == "well_formed":
            self._send_kept(self.well_formed())
        else:
            self._send_kept(getattr(self, name)())

    def _send_kept(self, data: bytes) -> None:
        """Send on the connection that is open, as long as the server leaves it open."""
        if self._kept is None:
            self._kept = self._open()
        try:
            self._kept.sendall(data)
            if not self._read(self._kept):
                raise ConnectionError
        except OSError:
            self._kept.close()
            self._kept = None

    def _feed_slow(self) -> None:
        """Open another slow connection, or send a byte on one of them."""
        if len(self._slow) < N_SLOW:
            self._slow.append(self._open())
            self._slow[-1].sendall(self._head("/v1/predict") + b"content-length: 1000\r\n")
            return
        index = self._draw.randrange(len(self._slow))
        try:
            self._slow[index].send(self._draw.choice((b"a", b"\r\n", b"x: y\r\n")))
        except OSError:
            self._slow.pop(index).close()

    def _open(self) -> socket.socket:
        own = socket.create_connection(("127.0.0.1", self._port), _TIMEOUT_S)
        own.settimeout(0.05)
        return own

    def _read(self, own: socket.socket) -> bool:
        """Read an answer's beginning and count its status; False where none came."""
        answer = own.recv(65536)
        self.statuses[answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "none"] += 1
        return bool(answer)

    def _head(self, path: str, with_key: bool = True) -> bytes:
        key = f"authorization: Bearer {self._secret}\r\n" if with_key else ""
        return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{key}".encode()

    def _request(self, head: bytes, body: bytes) -> bytes:
        return head + b"content-length: %d\r\n\r\n" % len(body) + body


HOSTILE = {
    "mutated": 50,
    "wrong_body": 30,
    "random_bytes": 10,
    "half_closed": 5,
    "gone": 3,
    "slow": 10,
    "oversized": 1,
}
"""Kind → weight."""


def main() -> None:
    """Run, and print what was sent and answered."""
    port, secret, seed, seconds, kind = sys.argv[1:]
    client = Hostile(int(port), secret, int(seed))
    client.run(float(seconds), HOSTILE if kind == "hostile" else {"well_formed": 1})
    print(json.dumps({"requests": client.counts, "statuses": client.statuses}))


if __name__ == "__main__":
    main()
