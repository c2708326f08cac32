"""For how long the newest state of a run has been unsafe in one store.

    submits:   1 ---- 2 ---- 3 ---- 4
    verified:         2
    age:                     |--------->  now      since 3: the first submit that is newer than what was verified

Submits have numbers in their order (not steps: a run that walked back to an older checkpoint does steps again). Times are
those of one clock that never goes back.
"""

from __future__ import annotations

from collections import deque


class Freshness:
    """Submits that are newer than the newest verified one, of one store."""

    def __init__(self) -> None:
        self._newest_verified = 0
        self._unsafe: deque[tuple[int, float]] = deque()  # (number, time), oldest first

    def submitted(self, number: int, now: float) -> None:
        """A newer state exists from `now` on."""
        if number > self._newest_verified:
            self._unsafe.append((number, now))

    def verified(self, number: int) -> None:
        """The state of this submit is safe, and with it all that came before."""
        self._newest_verified = max(self._newest_verified, number)
        while self._unsafe and self._unsafe[0][0] <= self._newest_verified:
            self._unsafe.popleft()

    def age(self, now: float) -> float:
        """Seconds since the first state that is not safe; 0.0 when the newest is."""
        return now - self._unsafe[0][1] if self._unsafe else 0.0
