"""Non-blocking log lines: a reader that stalls never makes the server wait."""

from __future__ import annotations

import logging
import os
import select


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


class LineHandler(logging.Handler):
    """Logging handler that never blocks: standard error may be a pipe that nobody reads, too."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, and its traceback where it has one."""
        self._writer.write(self.format(record).encode(errors="backslashreplace"))
