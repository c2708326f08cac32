"""The end that a run sets itself: everything saved and published before `run.deadline`.

    deadline = deadline_of(recipe.run)              # None where the recipe sets none
    if deadline and deadline.left() < deadline.margin + reserve(deadline, ...): stop

A duration counts from the start of the process, imports and waiting included, since that is what a platform counts. A time is
that of the clock on the wall; it is also kept as a time of the monotonic clock from its first reading, and the earlier of the
two holds: a clock that is set back does not give a run more time than it has.
"""

from __future__ import annotations

import datetime
import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path

from lugha.errors import RefusedError
from lugha.recipe.durability_sections import RunSection
from lugha.recipe.durations import parse_duration
from lugha.runs.rates import format_duration

_IMPORTED = time.monotonic()
_MARGIN_SHARE, _LEAST_MARGIN, _MOST_MARGIN = 0.02, 2.0, 300.0
_SHORT_SHARE, _SHORT_MARGIN = 0.05, 5.0  # a process takes a second or more to end, on a busy machine longer
_UNMEASURED_SHARE, _MOST_UNMEASURED = 0.1, 1800.0
_MOST_RESERVED = 0.5  # of the allotted time: with less than half of it to work in a run would not go on at all


@dataclass(frozen=True)
class Deadline:
    """When a process must have ended."""

    text: str  # as the recipe says it
    latest: float  # of time.monotonic()
    when: float | None  # of time.time(); None for a duration
    allotted: float  # seconds that the process has in all

    def left(self) -> float:
        """Seconds until then; negative after it."""
        left = self.latest - time.monotonic()
        return left if self.when is None else min(left, self.when - time.time())

    @property
    def margin(self) -> float:
        """Seconds kept free at the end for what cannot be measured: 2 % of all, 5 s where that is 5 % or less, 2 s to 5 min."""
        exit_and_wait = max(_LEAST_MARGIN, min(_SHORT_MARGIN, _SHORT_SHARE * self.allotted))
        return min(_MOST_MARGIN, max(exit_and_wait, _MARGIN_SHARE * self.allotted))


def deadline_of(section: RunSection) -> Deadline | None:
    """The deadline that a recipe sets this process.

    Raises:
        RefusedError: it is past, or so near that nothing fits before it.
    """
    text = section.deadline
    if text is None:
        return None
    if text[:4].isdigit() and text[4:5] == "-":
        when = datetime.datetime.fromisoformat(text).timestamp()
        latest, allotted = _first_reading(text, when)
        deadline = Deadline(text, latest, when, allotted)
    else:
        allotted = parse_duration(text)
        deadline = Deadline(text, time.monotonic() - process_age() + allotted, None, allotted)
    left = deadline.left()
    if left <= 0:
        raise RefusedError(
            f"run.deadline {text} is over since {format_duration(-left)}. Set a later one: --set run.deadline=..., or null."
        )
    if left <= deadline.margin:
        raise RefusedError(
            f"run.deadline {text} is in {format_duration(left)}, and {format_duration(deadline.margin)} of it are margin: "
            "nothing fits before it. Set a later one: --set run.deadline=..., or null."
        )
    return deadline


def reserve(deadline: Deadline, *, save: float | None, publish: float, between_checks: float) -> float:
    """Seconds before the deadline's margin at which a run must stop, so that its last save and publication fit.

    Args:
        save: seconds of the last save; None: none was measured yet.
        publish: seconds from a save to its verification in every store; 0.0 without stores.
        between_checks: the longest time between two moments at which the run asks whether to stop.
    """
    needed = 3 * ((save or 0.0) + publish) + 2 * between_checks
    if save is None:
        needed = max(needed, min(_MOST_UNMEASURED, _UNMEASURED_SHARE * deadline.allotted))
    return min(needed, _MOST_RESERVED * deadline.allotted)


def check_there_is_time(deadline: Deadline | None) -> None:
    """To be called before the first step: a run that would stop at once is not begun.

    Raises:
        RefusedError: what is kept for the end is all that is left.
    """
    if deadline is None:
        return
    left, kept = deadline.left(), deadline.margin + reserve(deadline, save=None, publish=0.0, between_checks=0.0)
    if left <= kept:
        raise RefusedError(
            f"run.deadline {deadline.text} leaves {format_duration(max(0.0, left))}, and {format_duration(kept)} are kept for "
            "the last save: no step would be made. Set a later one: --set run.deadline=..., or null."
        )


def first_save_within(deadline: Deadline) -> float:
    """Seconds from now in which a run with a deadline saves for the first time, so that it knows what a save takes."""
    return max(0.0, _UNMEASURED_SHARE * deadline.allotted - (deadline.allotted - deadline.left()))


def process_age() -> float:
    """Seconds since this process was started; where the kernel does not say so, since lugha was imported."""
    try:
        # Behind the name, which may hold anything but ends with the last bracket, field 22 of all is the 20th (proc(5)).
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        age = -1.0
    return age if age >= 0 else time.monotonic() - _IMPORTED


@functools.cache
def _first_reading(text: str, when: float) -> tuple[float, float]:
    """Of a time: the same moment of the monotonic clock, and the seconds until it, when this process first asks."""
    left = when - time.time()
    return time.monotonic() + left, max(left, 0.0)
