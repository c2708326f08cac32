"""One evaluation of a Trainer while it runs, and when the next one is due."""

from __future__ import annotations

import math
from typing import Any

from lugha.integrations.evaluation_budget import Measured, refusal
from lugha.integrations.random_state import random_state


class RunningEvaluation:
    """An evaluation that is about to begin, or runs; of one data set or of several, one after another.

    Attributes:
        before: where the random numbers stood.
        seconds: that it took so far.
    """

    def __init__(self) -> None:
        self.before = random_state()
        self.seconds = 0.0
        self._measured = Measured()
        self._loader: object = None

    def batch(self, loader: object, seconds: float) -> None:
        """A batch of one of its data sets is done."""
        if loader is not self._loader:
            self._loader, self._measured = loader, Measured()
        self.seconds += seconds
        self._measured.add(seconds)

    def refusal(self, loader: Any, *, steps: int, step_seconds: float, share: float) -> str | None:
        """Why it is not to be gone through with; see `evaluation_budget.refusal`."""
        try:
            batches = len(loader)
        except TypeError:
            return None  # an endless stream
        seconds = self._measured.projected(batches)
        if seconds is None:
            return None
        examples = _examples(loader, batches)
        return refusal(examples=examples, seconds=seconds, steps=steps, step_seconds=step_seconds, share=share)


def is_overdue(args: Any, state: Any) -> bool:
    """Whether the step that training goes on from was to be evaluated, and was not: it is saved before that."""
    if not state.global_step or any(
        line.get("step") == state.global_step and any(key.startswith("eval_") for key in line) for line in state.log_history
    ):
        return False
    if args.eval_strategy == "epoch":
        return bool(state.epoch == round(state.epoch) and args.eval_delay <= state.epoch)
    due = args.eval_strategy == "steps" and state.global_step % state.eval_steps == 0
    return bool(due and args.eval_delay <= state.global_step)


def steps_between(args: Any, state: Any) -> int:
    """Training steps between two evaluations."""
    steps = state.eval_steps
    if args.eval_strategy == "epoch":
        steps = math.ceil(state.max_steps / max(1, state.num_train_epochs))
    return max(1, int(min(steps, state.max_steps)))


def _examples(loader: Any, batches: int) -> int:
    try:
        rows: int = len(loader.dataset)
        return rows
    except (AttributeError, TypeError):
        return batches * int(getattr(loader, "batch_size", None) or 1)
