"""What is told of the steps: one line of metrics.jsonl for each `log_every` of them, and the live line of a terminal.

Figures are means over the units of all steps since the line before, so nothing falls between two lines: the sums since then
are part of a run's state, and a run that was stopped between two lines writes the lines of one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lugha.checkpoints.format import METRICS, TrainerState
from lugha.errors import InputError
from lugha.runs.files import write_bytes
from lugha.runs.folder import RunFolder, read_jsonl
from lugha.runs.rates import rate
from lugha.runs.status import RunStatus
from lugha.training.display import LiveLine, progress_line

_NOTE_SECONDS = 10.0  # between two notes in status.json, each of which is flushed to the disk


class StepLog:
    """Sums since the last line; `unit` is the plural that names what the road counts: tokens, pairs."""

    def __init__(self, run: RunFolder, line: LiveLine, unit: str, status: RunStatus, state: TrainerState) -> None:
        self._run, self._line, self._unit, self._status = run, line, unit, status
        self._noted_at = -math.inf
        self._sums = dict(state.unlogged_sums)
        self._units, self._seconds = state.unlogged_units, state.unlogged_seconds

    def unlogged(self) -> dict[str, Any]:
        """What a `TrainerState` keeps of the steps since the last line."""
        return {"unlogged_sums": dict(self._sums), "unlogged_units": self._units, "unlogged_seconds": self._seconds}

    def add(self, sums: Mapping[str, float], units: int, seconds: float) -> None:
        """A step: sums over its units of the loss and the measures."""
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in sums.items()}
        self._units, self._seconds = self._units + units, self._seconds + seconds

    def write(self, state: TrainerState, steps: int, left_seconds: float, **figures: float) -> None:
        """A line about all steps added since the line before.

        Args:
            figures: of the last step: lr, grad_norm, step_seconds, ...
        """
        per_second = rate(self._units, self._seconds)
        means = {name: value / self._units for name, value in self._sums.items()}
        counted = {self._unit: state.units, f"{self._unit}_per_second": per_second}
        self._run.log_metrics(kind="train", step=state.step, **means, **counted, **figures)
        self._line.show(
            progress_line(
                step=state.step,
                steps=steps,
                loss=means["loss"],
                lr=figures["lr"],
                per_second=per_second,
                unit="target tokens" if self._unit == "tokens" else self._unit,
                left_seconds=left_seconds,
            )
        )
        self._sums, self._units, self._seconds = {}, 0, 0.0
        if time.monotonic() - self._noted_at >= _NOTE_SECONDS or state.step == steps:
            self._noted_at = time.monotonic()
            self._status.note("running", step=state.step, steps=steps, loss=means["loss"], left_seconds=round(left_seconds))


def recall(run: RunFolder, checkpoint: Path, step: int) -> None:
    """Bring `metrics.jsonl` to what it was when a checkpoint was saved: later lines go, lost ones come back from its copy.

    Lines are lost with a machine, and at its power's end, since they are not flushed one by one.

    Args:
        step: that of the checkpoint.

    Raises:
        InputError: the log is damaged, and the checkpoint has no copy.
    """
    copy = checkpoint / METRICS
    if copy.is_file():
        try:
            here = sum(line.get("step", 0) <= step for line in read_jsonl(run.metrics))
        except InputError:
            here = -1
        if here < len(read_jsonl(copy)):
            write_bytes(run.metrics, copy.read_bytes())
    run.forget_after(step)


def is_validated(run: RunFolder, step: int) -> bool:
    """Whether the validation of a step stands in the log."""
    return any(line["kind"] == "validation" and line["step"] == step for line in read_jsonl(run.metrics))
