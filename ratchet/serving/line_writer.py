"""Non-blocking log lines: a reader that stalls never makes the server wait."""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque


class LineWriter:
    """Writes lines to an open file, pipe or terminal; one that cannot be written at once is dropped and counted.

    A pipe that is ready takes `PIPE_BUF` bytes without blocking (POSIX), so readiness is asked for before each of
    these. A file is always ready; where the disk is full, or the reader has gone, writing fails instead.
    """

    def __init__(self, file: int) -> None:
        self.n_dropped = 0
        """Lines that were lost, or of which only a part was written."""
        self._file = file
        self._poll = select.poll()
        self._poll.register(file, select.POLLOUT)
        self._torn = False

    def redirect(self, file: int) -> None:
        """Write further lines to another open file; the number of the first one stays and means the other."""
        os.dup2(file, self._file)
        os.close(file)
        self._torn = False

    def write(self, line: bytes) -> None:
        """Write a line and its end; a line that follows a torn one begins anew."""
        whole = rest = (b"\n" if self._torn else b"") + line + b"\n"
        try:
            while rest and self._poll.poll(0):
                rest = rest[os.write(self._file, rest[: select.PIPE_BUF]) :]
        except OSError:
            pass  # counted below: there is nowhere to say it
        self.n_dropped += bool(rest)
        if len(rest) < len(whole):
            self._torn = bool(rest)


class QueuedLines:
    """Lines that a thread of its own writes: not even a slow disk makes whoever logs wait.

    A kill loses those of the last `interval_s`.
    """

    def __init__(self, writer: LineWriter, interval_s: float = 0.05, max_lines: int = 20_000) -> None:
        self._writer, self._interval_s, self._max_lines = writer, interval_s, max_lines
        self._lines: deque[bytes] = deque()
        self._n_full = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    @property
    def n_dropped(self) -> int:
        """Lines that were lost, or of which only a part was written."""
        return self._n_full + self._writer.n_dropped

    def write(self, line: bytes) -> None:
        """Take a line; it is dropped where too many wait."""
        if len(self._lines) >= self._max_lines:
            self._n_full += 1
        else:
            self._lines.append(line)

    def redirect(self, file: int) -> None:
        """Write further lines to another open file, which is then this object's."""
        self._writer.redirect(file)

    def close(self) -> None:
        """Write what waits."""
        self._closing.set()
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            closing = self._closing.wait(self._interval_s)
            for _ in range(len(self._lines)):
                self._writer.write(self._lines.popleft())
            if closing:
                return


class LineHandler(logging.Handler):
    """Logging handler that never blocks: standard error may be a pipe that nobody reads, too."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, and its traceback where it has one."""
        self._writer.write(self.format(record).encode(errors="backslashreplace"))
