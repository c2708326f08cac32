"""When a run saves: by the clock on the wall, at steps where the recipe says so, never at a step boundary alone.

    clock = SaveClock(recipe.checkpoints.interval, between=recipe.run.time_between_interruptions, every=None)
    if clock.due(step): save(); clock.saved(seconds)

A fixed interval is what it is. `auto` is Young's: with a save that takes C seconds and interruptions every M seconds, saving
every sqrt(2 C M) seconds loses least time to saves and to work done twice (J. W. Young 1974, "A first order approximation to
the optimum checkpoint interval", CACM 17(9)). C is what the loop waited for the last save.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal

FIRST_SECONDS = 60.0  # auto: the save that measures C comes so soon
_MOST_OVERHEAD = 0.1  # auto: at most this share of the time goes into saves
_LEAST_SECONDS, _MOST_SECONDS = 60.0, 3600.0  # auto: an hour of work is the most that one interruption may cost


def young_interval(cost: float, between: float) -> float:
    """Seconds from one save to the next, within bounds of sense.

    Args:
        cost: seconds that training waits for a save.
        between: mean seconds between interruptions.
    """
    least = max(_LEAST_SECONDS, cost / _MOST_OVERHEAD)
    return max(least, min(_MOST_SECONDS, math.sqrt(2 * cost * between)))


class SaveClock:
    """Says when a save is due."""

    def __init__(
        self,
        interval: float | Literal["auto"],
        *,
        between: float | None,
        every: int | None,
        first_within: float = math.inf,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """The clock starts.

        Args:
            interval: seconds, or auto.
            between: mean seconds between interruptions; needed for auto.
            every: steps at which a save is due as well.
            first_within: seconds in which the first save is due at the latest.
            now: seconds of a clock that nobody sets.
        """
        self.interval = interval
        self._between, self._every, self._now = between, every, now
        first = min(first_within, FIRST_SECONDS if interval == "auto" else interval)
        self._next = now() + first

    def due(self, step: int) -> bool:
        """Whether to save after this step."""
        return self._now() >= self._next or (self._every is not None and step % self._every == 0)

    def saved(self, cost: float) -> float:
        """A save is done; returns the seconds to the next.

        Args:
            cost: seconds that training waited for it.
        """
        seconds = self.interval
        if seconds == "auto":
            assert self._between is not None  # the recipe's rule
            seconds = young_interval(cost, self._between)
        self._next = self._now() + seconds
        return seconds
