"""How the state of a run gets onto the disk, and from there on its way to the stores.

    saves = Saves(recipe, run, data, publisher, stop, ledger=ledger, status=status, resumed=found)
    if saves.due(step):
        saves.save(model, optimiser, state)
    saves.newest, saves.step

All processes gather, the first one writes; it alone looks at clocks and files. A full disk is no end: older checkpoints go where
the policy allows it, else the run waits until there is room (checkpoints/room.py). The same holds for a line of a log.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import torch

from lugha.checkpoints.format import METRICS, TrainerState, read_manifest_of
from lugha.checkpoints.publisher import Publisher
from lugha.checkpoints.restore import Verified
from lugha.checkpoints.retention import prune_local
from lugha.checkpoints.room import saved_with_room
from lugha.checkpoints.save import optimiser_tensors, save_checkpoint
from lugha.models.state import weights_of
from lugha.recipe import Recipe, dump_recipe
from lugha.runs.deadline import first_save_within, reserve
from lugha.runs.folder import RunFolder
from lugha.runs.ledger import LOCAL, Ledger
from lugha.runs.status import RunStatus
from lugha.runs.stopping import Stop
from lugha.training.data import RunData
from lugha.training.distributed import on_first_rank
from lugha.training.save_clock import SaveClock

if TYPE_CHECKING:
    from transformers import PreTrainedModel

P = ParamSpec("P")
T = TypeVar("T")


class Saves:
    """The saves of one attempt at a run."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        data: RunData,
        publisher: Publisher,
        stop: Stop,
        *,
        ledger: Ledger,
        status: RunStatus,
        resumed: Verified | None,
        say: Callable[[str], None],
    ) -> None:
        """The clock of saves starts.

        Args:
            resumed: the checkpoint that this attempt goes on from.
            say: gets a line when the run waits for room.
        """
        self.newest: Path | None = resumed.folder if resumed else None
        self.step = resumed.manifest.step if resumed else 0  # of the newest
        self._recipe, self._run, self._data = recipe, run, data
        self._publisher, self._stop, self._ledger, self._status, self._say = publisher, stop, ledger, status, say
        self._seconds: float | None = None  # of the last save: what the loop waited, but not for room
        self._clock = SaveClock(
            recipe.checkpoints.interval,
            between=recipe.run.time_between_interruptions,
            every=recipe.train.save_every,
            first_within=first_save_within(stop.deadline) if stop.deadline else math.inf,
        )

    def due(self, step: int) -> bool:
        """Whether to save after this step: by the clock, the step, or a touch of RUN/SAVE. The first process is asked."""
        return self._clock.due(step) or self._stop.save_asked()

    def stop_reason(self, between_checks: float) -> str | None:
        """Why to stop now: a signal, a file, a notice, the policy of publishing, or a deadline that needs the rest of the time.

        Args:
            between_checks: the longest time, in seconds, in which nobody asks.
        """
        held, deadline = 0.0, self._stop.deadline
        if deadline is not None:
            held = reserve(deadline, save=self._seconds, publish=self._publisher.seconds, between_checks=between_checks)
        return self._stop.reason(held) or self._publisher.stop_reason()

    def save(self, model: PreTrainedModel, optimiser: torch.optim.Optimizer, state: TrainerState) -> None:
        """Save a checkpoint and hand it to the publisher; older ones go where the recipe says so.

        Raises:
            InterruptedRunError: the disk is full, and no room was made in time.
        """
        begun = time.monotonic()
        weights, moments = weights_of(model), optimiser_tensors(model, optimiser)
        gathered = time.monotonic() - begun

        def write() -> Path:
            begun = time.monotonic()
            metrics = self._run.metrics.read_text(encoding="utf-8") if self._run.metrics.is_file() else ""
            folder = save_checkpoint(
                self._run.checkpoints,
                run=self._run.id,
                weights=weights,
                optimiser=moments,
                state=state,
                depends_on=self._data.depends_on,
                normalisers=self._data.normalisers,
                tokenizer=self._data.tokenizer_file,
                recipe_yaml=dump_recipe(self._recipe),
                texts=self._data.texts | {METRICS: metrics},
            )
            self._seconds = gathered + time.monotonic() - begun
            return folder

        size = sum(tensor.nbytes for tensor in (*weights.tensors.values(), *moments.values()))
        self.newest = on_first_rank(lambda: self._kept(write, size, state.step))
        self.step = state.step

    def _kept(self, write: Callable[[], Path], size: int, step: int) -> Path:
        """Write a checkpoint and all that goes with one, in the first process."""
        run, stores = self._run, self._recipe.publish.stores
        folder = self._with_room(write, size)
        self._clock.saved(self._seconds or 0.0)
        size, seconds = read_manifest_of(folder).bytes, round(self._seconds or 0.0, 3)
        self.patiently(self._ledger.write, "saved", store=LOCAL, step=step, name=folder.name, bytes=size, seconds=seconds)
        self.patiently(run.log_event, "saved", step=step, checkpoint=folder.name)
        self.submit(folder)
        self.patiently(prune_local, run, self._recipe.checkpoints, stores=stores)
        self._stop.saved()
        self._status.note("running", step=step, saved=folder.name)
        return folder

    def submit(self, checkpoint: Path) -> None:
        """Hand a checkpoint to the publisher; nothing where every store has it."""
        self.patiently(self._publisher.submit, checkpoint, give_up=self._is_hurried)

    def patiently(self, write: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Do a small write; on a full disk, wait until there is room.

        Raises:
            InterruptedRunError: there was none in time, or the run is asked to stop.
        """
        return self._with_room(functools.partial(write, *given, **named), 0)

    def _with_room(self, write: Callable[[], T], size: int) -> T:
        return saved_with_room(
            write,
            run=self._run,
            section=self._recipe.checkpoints,
            stores=self._recipe.publish.stores,
            status=self._status,
            expected_bytes=size,
            give_up=self._is_hurried,
            say=self._say,
        )

    def _is_hurried(self) -> bool:
        """Whether nobody may wait any longer."""
        return (self._stop.reason() or self._publisher.stop_reason()) is not None
