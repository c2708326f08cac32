"""What is wrong with one store just now: the words, how bad it is, and when it is told.

A failure that may pass is yellow, one that somebody must mend (403, a fault of ours) is red at once, and so is a newest state
that was not verified for too long. Everything is over with the next checkpoint that arrives. The ledger gets the first
failure, then every other reason, and the same reason every ten minutes, not a line each second.
"""

from __future__ import annotations

import re
import threading

from lugha.checkpoints.stores.protocol import StoreError
from lugha.errors import LughaError
from lugha.runs.rates import format_duration
from lugha.runs.status import Level, RunStatus

REPEAT_SECONDS = 600.0
_LONGEST = 500  # letters of a reason
_QUERY = re.compile(r"\?[^\s'\"]*=[^\s'\"]*")


def one_line(error: BaseException) -> str:
    """An error as one line; of one that is not ours, its class too and no query of a URL (they carry signatures)."""
    text = " ".join(str(error).split())
    if not isinstance(error, LughaError):
        text = _QUERY.sub("?...", f"{type(error).__name__}: {text}" if text else type(error).__name__)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."


class Trouble:
    """The failures of one store since the last success."""

    def __init__(self, store: str, status: RunStatus, max_age: float) -> None:
        """
        Args:
            max_age: seconds after which a state that is not verified is red.
        """
        self.failures = 0  # in a row
        self.text: str | None = None
        self._red = False
        self._name, self._status, self._max_age = f"publish {store}", status, max_age
        self._told: tuple[str, float] | None = None  # what the ledger last got, and when
        self._shown: tuple[Level, str] | None = None
        self._showing = threading.Lock()

    def failed(self, error: BaseException) -> None:
        """Another attempt failed."""
        self.failures += 1
        self.text = one_line(error)
        self._red = not isinstance(error, StoreError) or error.permanent

    def over(self) -> None:
        """An attempt succeeded."""
        self.failures, self.text, self._red, self._told = 0, None, False, None

    def is_news(self, now: float) -> bool:
        """Whether the ledger is to get the last failure."""
        assert self.text is not None
        if self._told is not None and self._told[0] == self.text and now - self._told[1] < REPEAT_SECONDS:
            return False
        self._told = (self.text, now)
        return True

    def show(self, age: float, doing: str) -> None:
        """Bring the alarm in line with what is wrong; cheap when nothing is new.

        Args:
            age: seconds since the first state that is not verified.
            doing: what happens now, for an alarm without a failure.
        """
        if self._wanted(age, doing) == self._shown:
            return
        with self._showing:
            wanted = self._wanted(age, doing)
            if wanted is None:
                self._status.clear(self._name)
            else:
                self._status.alarm(self._name, *wanted)
            self._shown = wanted

    def _wanted(self, age: float, doing: str) -> tuple[Level, str] | None:
        text, late = self.text, age >= self._max_age
        if late:
            return "red", f"nothing new was verified for more than {format_duration(self._max_age)}: {text or doing}"
        return None if text is None else ("red" if self._red else "yellow", text)
