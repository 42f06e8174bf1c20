"""Log lines that nobody reads or that the disk refuses: dropped and counted, without making anybody wait."""

from __future__ import annotations

import fcntl
import logging
import os
import select
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ratchet.serving.line_writer import LineHandler, LineWriter

LINE = b"x" * 150


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Its two ends, to read and to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def test_a_pipe_that_nobody_reads_is_filled_and_then_left(pipe: tuple[int, int]) -> None:
    reader, target = pipe
    writer = LineWriter(target)
    for _ in range(1000):
        writer.write(LINE)
    assert 0 < writer.n_dropped < 1000
    held = os.read(reader, 10**6)
    assert held == (1000 - writer.n_dropped) * (LINE + b"\n")
    writer.write(b"again")
    assert os.read(reader, 100) == b"again\n"


def test_a_long_line_is_torn_and_the_next_one_begins_anew(pipe: tuple[int, int]) -> None:
    reader, target = pipe
    fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, 4 * select.PIPE_BUF)
    writer = LineWriter(target)
    writer.write(b"y" * 10 * select.PIPE_BUF)
    assert writer.n_dropped == 1
    os.read(reader, 10**6)
    writer.write(b"next")
    assert os.read(reader, 100) == b"\nnext\n"
    assert writer.n_dropped == 1


def test_a_reader_that_has_gone_and_a_full_disk_cost_lines_and_nothing_else(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    with Path("/dev/full").open("wb", buffering=0) as full:
        for writer in (LineWriter(pipe[1]), LineWriter(full.fileno())):
            writer.write(LINE)
            writer.write(LINE)
            assert writer.n_dropped == 2


def test_messages_with_any_character_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "messages"
    with path.open("wb", buffering=0) as file:
        record = logging.LogRecord("x", logging.WARNING, "", 0, "half %s", ("\ud83d",), None)
        LineHandler(LineWriter(file.fileno())).emit(record)
    assert path.read_text() == "half \\ud83d\n"
