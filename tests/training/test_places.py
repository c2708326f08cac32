"""Which micro-batches a step takes: all of an epoch, then all of the next, wherever it stops."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.checkpoints.format import TrainerState
from lugha.recipe import TrainSection
from lugha.training.batches import Batch
from lugha.training.places import next_places, with_steps


@dataclass(frozen=True)
class Epochs:
    """Batches of which only the numbers count; the length of an epoch may change."""

    lengths: tuple[int, ...]
    tokens_per_epoch: int = 1
    padding: float = 0.0

    def micro_batches(self, epoch: int) -> int:
        return self.lengths[epoch % len(self.lengths)]

    def micro_batch(self, epoch: int, index: int) -> Batch:
        raise NotImplementedError


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_steps_of_any_size_take_every_micro_batch_once_and_in_order(lengths: list[int], counts: list[int]) -> None:
    batches, state, taken = Epochs(tuple(lengths)), TrainerState(), []
    for count in counts:
        places, state = next_places(batches, state, count)
        assert len(places) == count
        taken += places
    endless = [(epoch, index) for epoch in range(200) for index in range(batches.micro_batches(epoch))]
    assert [(p.epoch, p.index) for p in taken] == endless[: len(taken)]
    assert [p.number for p in taken] == list(range(len(taken)))
    assert state.micro_batches == len(taken)


@pytest.mark.parametrize(
    ("epochs", "accumulation", "steps"), [(None, 4, 1000), (3, 1, 30), (3, 4, 7), (0.5, 1, 5), (0.01, 4, 1)]
)
def test_epochs_become_whole_steps(epochs: float | None, accumulation: int, steps: int) -> None:
    section = TrainSection(epochs=epochs, accumulation=accumulation)
    assert with_steps(section, Epochs((10,))).steps == steps
