"""Which micro-batches a step takes: a function of where the run stands, the same in every process."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lugha.checkpoints.format import TrainerState
from lugha.recipe import TrainSection
from lugha.training.batches import Batches


@dataclass(frozen=True)
class Place:
    """Where a micro-batch stands."""

    number: int  # in the run
    epoch: int
    index: int  # in its epoch


def next_places(batches: Batches, state: TrainerState, count: int) -> tuple[list[Place], TrainerState]:
    """Places of the next step's `count` micro-batches, and the state behind them; epochs follow one another seamlessly."""
    epoch, index = state.epoch, state.micro_batch
    places: list[Place] = []
    while len(places) < count:
        if index >= batches.micro_batches(epoch):
            epoch, index = epoch + 1, 0
        places.append(Place(state.micro_batches + len(places), epoch, index))
        index += 1
    behind = {"epoch": epoch, "micro_batch": index, "micro_batches": state.micro_batches + count}
    return places, state.model_copy(update=behind)


def with_steps(section: TrainSection, batches: Batches) -> TrainSection:
    """The section with the steps that follow from `epochs`, where it is set: whole steps, at least one."""
    if section.epochs is None:
        return section
    steps = max(1, math.floor(section.epochs * batches.micro_batches(0) / section.accumulation))
    return section.model_copy(update={"steps": steps})
