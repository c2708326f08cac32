"""How much of a run its evaluations may take.

Trainer evaluates as often as it is told, whatever that costs. A run that lost a week evaluated 2,444,012 examples at 11.56/s,
58.7 hours, after every 500 steps, which are half an hour of training. Here the first evaluation is measured while it runs, and
one that takes most of the run is refused with the figures that would fit; one that is merely too frequent is left out until the
share of all evaluations so far is back at its limit.

All functions are arithmetic on seconds and counts; the clock is `TimeSpent`'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal

from lugha.runs.rates import format_duration

# An evaluation is refused when it would take so many times its share: below, leaving some out does.
REFUSED_TIMES = 10.0
FREE_SECONDS = 60.0  # of evaluation in all: whoever tries a script for a minute shall see that it evaluates
_MEASURED_BATCHES, _MEASURED_SECONDS = 8, 10.0

Kind = Literal["training", "evaluation", "saving"]


class TimeSpent:
    """Where the seconds of a training go: each moment says what the time since the moment before was."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds: dict[Kind, float] = {"training": 0.0, "evaluation": 0.0, "saving": 0.0}
        self.steps = 0
        self._now, self._mark = now, now()
        self._first = 0.0

    def passed(self, kind: Kind) -> float:
        """The time since the last call went into `kind`; returns it in seconds."""
        now = self._now()
        spent, self._mark = now - self._mark, now
        self.seconds[kind] += spent
        if kind == "training":
            self.steps += 1
            self._first = self._first or spent
        return spent

    @property
    def step_seconds(self) -> float:
        """Mean seconds of a training step, data included; the first, which warms up, counts only when it is alone."""
        if self.steps > 1:
            return (self.seconds["training"] - self._first) / (self.steps - 1)
        return self.seconds["training"]

    def too_much_evaluation(self, share: float) -> str | None:
        """In words, when evaluations took more than their share so far."""
        evaluation, training = self.seconds["evaluation"], self.seconds["training"]
        if evaluation <= max(FREE_SECONDS, allowed_seconds(training, share)):
            return None
        return (
            f"evaluations took {evaluation / (evaluation + training):.0%} of the time so far (evaluation_share {share:.0%})"
        )


class Measured:
    """One evaluation while it runs: batches done and seconds since the first was done, which warms up."""

    def __init__(self) -> None:
        self.batches = 0
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """One more batch is done."""
        if self.batches:
            self.seconds += seconds
        self.batches += 1

    def projected(self, batches: int) -> float | None:
        """Seconds that `batches` of them take; None until enough was measured."""
        if self.batches < 2 or (self.batches < _MEASURED_BATCHES and self.seconds < _MEASURED_SECONDS):
            return None
        return batches * self.seconds / (self.batches - 1)


def allowed_seconds(training: float, share: float) -> float:
    """Seconds of evaluation beside so many of training, so that evaluation is `share` of both."""
    return training * share / (1 - share)


def refusal(*, examples: int, seconds: float, steps: int, step_seconds: float, share: float) -> str | None:
    """Why an evaluation is not to be gone through with, with what would fit; None: it may go on.

    Args:
        examples: in the evaluation set.
        seconds: that they are projected to take.
        steps: of training between two evaluations.
        step_seconds: of one of them.
        share: of the time that evaluation may take.
    """
    training = steps * step_seconds
    allowed = allowed_seconds(training, share)
    if seconds < FREE_SECONDS or seconds < REFUSED_TIMES * allowed:
        return None
    rate = examples / seconds
    fitting = math.floor(rate * allowed)
    interval = math.ceil(seconds * (1 - share) / share / step_seconds)
    instead = f"Evaluate at most {fitting:,} examples, or" if fitting else "Evaluate"
    return (
        f"Evaluation: {examples:,} examples at {rate:,.2f}/s = {_in_words(seconds)}, after every {steps:,} steps of "
        f"{step_seconds:.3g} s = {_in_words(training)} of training: {seconds / (seconds + training):.0%} of the time, "
        f"where evaluation_share is {share:.0%}. {instead} after every {interval:,} steps."
    )


def _in_words(seconds: float) -> str:
    """Hours with their fraction: what people multiply."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else format_duration(seconds)
