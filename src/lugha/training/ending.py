"""How an attempt at a run ends: finished, or stopped so that the same command goes on; and what is told of it meanwhile.

A training is finished when its last checkpoint is verified and promoted in every store that the recipe names; then, and only
then, `train.json` is there. What stops it before that (a signal, a deadline, a store that fails for too long) leaves the last
finished step saved, publishes what fits into the time that is left, and ends with exit code 75.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lugha.checkpoints.format import read_checkpoint
from lugha.checkpoints.publisher import Publisher
from lugha.errors import InterruptedRunError
from lugha.runs.files import write_json
from lugha.runs.folder import RunFolder
from lugha.runs.manifest import peak_memory_bytes
from lugha.runs.status import RunStatus
from lugha.runs.stopping import Interrupted, Stop
from lugha.training.distributed import on_first_rank
from lugha.training.saving import Saves

_UNPUBLISHED = "unpublished"  # alarm


@dataclass(frozen=True)
class TrainResult:
    """What a finished training leaves."""

    run: RunFolder
    checkpoint: Path
    step: int
    weights_sha256: str


@contextlib.contextmanager
def told(status: RunStatus) -> Iterator[None]:
    """The run's state in `status.json`, whatever ends the block."""
    status.note("running")
    try:
        yield
    except (InterruptedRunError, Interrupted, KeyboardInterrupt) as error:
        status.note("stopped", why=str(error))
        raise
    except Exception as error:
        status.note("failed", why=" ".join(f"{type(error).__name__}: {error}".split()))
        raise


@dataclass(frozen=True)
class Ending:
    """What the end of an attempt needs to know."""

    run: RunFolder
    saves: Saves
    publisher: Publisher
    stop: Stop
    status: RunStatus
    say: Callable[[str], None]

    def leave(self, why: str, step: int, steps: int) -> InterruptedRunError:
        """Publish what fits into the time that is left; returns the error to end with. The last finished step is saved.

        Args:
            why: the reason to stop.
            step: the last finished.
            steps: of the whole training.
        """

        def work() -> str:
            saved = f"saved {self.saves.newest}" if self.saves.newest else "nothing was learned yet"
            missing = self._missing_in_stores()
            if missing:
                saved += f". {missing[0][:1].upper()}{missing[0][1:]}; the next attempt goes on with it"
            with contextlib.suppress(InterruptedRunError):  # a full disk: the line on stderr has to do
                self.run.log_event("stopped", step=step, why=why, unpublished=missing)
            return (
                f"Stopped at step {step:,} of {steps:,} by {why}; {saved}. "
                "The same command with --resume auto goes on from there."
            )

        return InterruptedRunError(on_first_rank(work))

    def finish(self) -> TrainResult:
        """Wait until the last checkpoint is verified everywhere, promote it, and write `train.json`, the mark of the end.

        Raises:
            InterruptedRunError: the time or the policy of publishing ended before; the same command goes on to publish.
        """

        def work() -> TrainResult:
            checkpoint = self.saves.newest
            assert checkpoint is not None  # the last step saves
            self.publisher.promote(checkpoint)
            if missing := self._missing_in_stores():
                with contextlib.suppress(InterruptedRunError):
                    self.run.log_event("stopped", step=self.saves.step, why="not published", unpublished=missing)
                raise InterruptedRunError(
                    f"Trained to the end and saved {checkpoint}, but {missing[0]}. The same command goes on to publish it."
                )
            manifest = read_checkpoint(checkpoint)
            result = TrainResult(self.run, checkpoint, manifest.step, manifest.weights_sha256())
            record = {
                "checkpoint": str(checkpoint.relative_to(self.run.path)),
                "step": result.step,
                "weights_sha256": result.weights_sha256,
                "peak_memory_bytes": peak_memory_bytes(),
            }
            self.saves.patiently(write_json, self.run.finished, record)
            self.saves.patiently(self.run.log_event, "finished", step=result.step, checkpoint=checkpoint.name)
            self.status.note("finished", step=result.step)
            return result

        return on_first_rank(work)

    def _missing_in_stores(self) -> list[str]:
        """Wait for the stores as long as time and policy allow; returns what is not verified, a line each."""
        missing = self.publisher.drain(None, give_up=lambda: self.stop.seconds_left() <= 0, waiting=self.say)
        if missing:
            self.status.alarm(_UNPUBLISHED, "red", missing[0])
        self.stop.obeyed()
        return missing
