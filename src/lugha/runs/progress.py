"""Progress of long work: one line with rate, unit and time left.

On a terminal the line is rewritten in place; in a log file or a pipe a new line appears every `log_seconds`, so that a job's
log stays short. Nothing is printed for work that ends within a second.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from lugha.runs.rates import format_count, format_duration, rate, seconds_left


class Progress:
    """Counts units of one piece of work: `with Progress("clean", "rows", total) as p: p.add(n)`."""

    def __init__(
        self, label: str, unit: str, total: int | None = None, *, stream: TextIO | None = None, log_seconds: float = 15.0
    ) -> None:
        self.label, self.unit, self.total = label, unit, total
        self.done = 0
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._pause = 0.2 if self._live else log_seconds
        self._started = self._shown = time.monotonic()
        self._last_shown = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and 0 <= self._last_shown != self.done:
            self._show()
        if self._live and self._last_shown >= 0:
            self._stream.write("\n")

    def add(self, count: int) -> None:
        """Say that `count` more units are done."""
        self.done += count
        now = time.monotonic()
        if now - self._shown >= self._pause and now - self._started >= 1.0:
            self._shown = now
            self._show()

    def _show(self) -> None:
        self._last_shown = self.done
        elapsed = time.monotonic() - self._started
        line = f"{self.label}: {format_count(self.done)}"
        if self.total:
            line += f"/{format_count(self.total)}"
        line += f" {self.unit}, {format_count(rate(self.done, elapsed))} {self.unit}/s"
        if self.total:
            line += f", {format_duration(seconds_left(self.done, self.total, elapsed))} left"
        self._stream.write(f"\r\x1b[2K{line}" if self._live else f"{line}\n")
        self._stream.flush()
