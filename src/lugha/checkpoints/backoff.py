"""Pauses between attempts: doubled each time, up to a cap, and never the same for two processes.

A thousand jobs that lost the same store at the same moment must not all come back at the same moment.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Pause before the next attempt, in seconds: between half of `first` x 2^n and all of it, at most `cap`."""

    first: float = 1.0
    cap: float = 60.0

    def pause(self, failures: int, chance: random.Random | None = None) -> float:
        """Seconds to wait after so many failures in a row (1: the first)."""
        # The exponent is bounded: 2.0**2000 is an OverflowError, after a weekend without a network.
        whole = min(self.cap, self.first * 2.0 ** min(failures - 1, 60))
        return whole * (chance or random.Random()).uniform(0.5, 1.0)
