"""What a person sees while a run trains: one line with loss, rate with its unit, and time left."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

from lugha.runs.rates import format_count, format_duration


def progress_line(
    *, step: int, steps: int, loss: float, lr: float, per_second: float, unit: str, left_seconds: float
) -> str:
    """`step 120/1,000  loss 3.214  lr 9.8e-04  12.3 k target tokens/s  4 min 10 s left`."""
    return (
        f"step {step:,}/{steps:,}  loss {loss:.3f}  lr {lr:.1e}  "
        f"{format_count(per_second)} {unit}/s  {format_duration(left_seconds)} left"
    )


class LiveLine:
    """Rewrites one line on a terminal; in a log prints at most one line every `log_seconds`. Any thread may write."""

    def __init__(self, stream: TextIO | None = None, log_seconds: float = 10.0) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._log_seconds = log_seconds
        self._shown = 0.0
        self._open = False
        self._lock = threading.Lock()

    def show(self, text: str) -> None:
        """Show the newest state."""
        if not self._live and time.monotonic() - self._shown < self._log_seconds:
            return
        self._shown = time.monotonic()
        with self._lock:
            self._stream.write(f"\r\x1b[2K{text}" if self._live else f"{text}\n")
            self._stream.flush()
            self._open = self._live

    def say(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            self._stream.write(f"{chr(10) if self._open else ''}{text}\n")
            self._stream.flush()
            self._open = False
