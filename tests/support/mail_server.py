"""A mail server on loopback that takes every message and delivers none."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage


@contextmanager
def mail_server() -> Iterator[tuple[int, list[EmailMessage]]]:
    """Its port, and the messages that it took. Source: RFC 5321 (as much of SMTP as a client without secrets needs)."""
    got: list[EmailMessage] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 loopback")
            while line := self.rfile.readline():
                verb = line[:4].decode().upper()
                if verb == "DATA":
                    self._say("354 go on")
                    parts = list(iter(self.rfile.readline, b".\r\n"))
                    text = b"".join(part.removeprefix(b".") for part in parts)  # a leading dot was doubled
                    got.append(email.message_from_bytes(text, policy=email.policy.default))
                self._say("221 bye" if verb == "QUIT" else "250 loopback")
                if verb == "QUIT":
                    return

        def _say(self, answer: str) -> None:
            self.wfile.write(answer.encode() + b"\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], got
        finally:
            server.shutdown()
