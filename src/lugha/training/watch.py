"""When to stop: every process asks at its own moments, and all of them stop at the same one.

    watch = Watch(ranks, reason=...)
    watch.check()             # at the beginning of a step, and of every batch of a validation
    watch.between()           # before each further micro-batch
    watch.worked(seconds, micro_batches)

What asks (a signal, a file, a clock, a store that fails) is known to one process; the flag is summed over all, so that none
waits for another that has gone. The sum costs some hundredth of a millisecond on one machine, but makes processes wait for each
other, which ddp otherwise does once a step. So one process asks before every micro-batch, and so do several whose micro-batches
take a second or more; several with shorter ones ask at each step.
"""

from __future__ import annotations

from collections.abc import Callable

from lugha.training.distributed import Ranks, total

_LONG_SECONDS = 1.0  # a micro-batch of this length hides the waiting of a sum


class StopAskedError(Exception):
    """The step is not to be finished: its gradients are dropped, and the run stops as it stood before it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Watch:
    """Asks whether to stop, and knows the longest time in which it did not."""

    def __init__(self, ranks: Ranks, *, reason: Callable[[float], str | None]) -> None:
        """
        Args:
            reason: why this process is to stop, None to go on; gets `longest`.
        """
        self.longest = 0.0  # seconds between two moments at which it asked, inside steps
        self._ranks, self._reason = ranks, reason
        self._often = ranks.size == 1
        self._micro_batch_seconds = 0.0  # of the last step, in this process

    def check(self) -> None:
        """Ask; all processes do it at the same place.

        Raises:
            StopAskedError: in all of them, where one is asked to stop.
        """
        mine = self._reason(self.longest)
        asked, seconds = total([mine is not None, self._micro_batch_seconds])
        self._often = self._ranks.size == 1 or seconds / self._ranks.size >= _LONG_SECONDS
        if asked:
            raise StopAskedError(mine or "a request to another process")

    def between(self) -> None:
        """Ask between two micro-batches, where that costs nothing.

        Raises:
            StopAskedError: as `check`.
        """
        if self._often:
            self.check()

    def worked(self, seconds: float, micro_batches: int) -> None:
        """A step is done.

        Args:
            micro_batches: those that this process took.
        """
        self._micro_batch_seconds = seconds / micro_batches
        self.longest = max(self.longest, self._micro_batch_seconds if self._often else seconds)
