"""Terminal progress of a run: a line a stage, and the last output line of each running stage."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from flows.runner.execution import CACHED, FAILED, RAN, RESTORED, Outcome

COLORS = {RAN: "green", CACHED: "cyan", RESTORED: "cyan", FAILED: "bold red"}


class Progress:
    """Counts the stages and prints them; safe to call from the threads of the stages."""

    def __init__(self, n_stages: int, *, verbose: bool = False, console: Console | None = None) -> None:
        self._n_stages = n_stages
        self._verbose = verbose
        self._n_done = 0
        self._running: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._live = Live(console=self.console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def started(self, name: str) -> None:
        """A stage begins; without a live display a line is printed."""
        with self._lock:
            self._running[name] = (time.monotonic(), "")
            if not self.console.is_terminal:
                self._print(f"{' ' * len(self._place(0))} {name} — running")

    def printed(self, name: str, line: str) -> None:
        """A stage printed a line."""
        with self._lock:
            start, last = self._running.get(name, (time.monotonic(), ""))
            self._running[name] = (start, line.strip() or last)
            if self._verbose:
                self._print(f"{name} │ {line}", "dim")

    def finished(self, name: str, outcome: Outcome) -> str:
        """A stage ended; returns the line that was printed."""
        with self._lock:
            self._running.pop(name, None)
            self._n_done += 1
            took = f" {_duration(outcome.seconds)}" if outcome.state in (RAN, FAILED) else ""
            line = f"{self._place(self._n_done)} {name} — {outcome.state.lower()}{took}"
            self._print(line, COLORS[outcome.state])
            return line

    def not_run(self, names: list[str], failed: list[str]) -> None:
        """The stages that a failure kept from running."""
        with self._lock:
            self._print(f"not run, because {' and '.join(failed)} failed: {', '.join(names)}", "yellow")

    def _place(self, n_done: int) -> str:
        width = len(str(self._n_stages))
        return f"[{n_done:{width}}/{self._n_stages}]"

    def _print(self, line: str, style: str = "") -> None:
        self.console.print(Text(line, style=style), soft_wrap=True)

    def _render(self) -> Group:
        lines = []
        for name, (start, last) in list(self._running.items()):
            line = Text(f"  ▸ {name} {_duration(time.monotonic() - start)}  ", style="bold", no_wrap=True)
            lines.append(line.append(last[:200], style="dim not bold"))
        for line in lines:
            line.truncate(self.console.width - 1, overflow="ellipsis")
        return Group(*lines)


def _duration(seconds: float) -> str:
    """Duration for display.

    >>> _duration(0.32), _duration(12.4), _duration(131)
    ('0.3 s', '12 s', '2 min 11 s')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
