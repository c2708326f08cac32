"""What is told of the steps: one line of metrics.jsonl for each `log_every` of them, and the live line of a terminal.

Figures are means over the units of all steps since the line before, so nothing falls between two lines.
"""

from __future__ import annotations

from collections.abc import Mapping

from lugha.checkpoints.format import TrainerState
from lugha.runs.folder import RunFolder
from lugha.runs.rates import rate
from lugha.training.display import LiveLine, progress_line


class StepLog:
    """Sums since the last line; `unit` is the plural that names what the road counts: tokens, pairs."""

    def __init__(self, run: RunFolder, line: LiveLine, unit: str) -> None:
        self._run, self._line, self._unit = run, line, unit
        self._sums: dict[str, float] = {}
        self._units, self._seconds = 0, 0.0

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
