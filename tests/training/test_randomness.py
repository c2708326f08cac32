"""Random numbers of a micro-batch: a function of the seed and its number alone."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lugha.training.randomness import draw_for, micro_batch_seed


def mask(seed: int, number: int) -> list[float]:
    draw_for(seed, number, torch.device("cpu"))
    drawn: list[float] = torch.nn.functional.dropout(torch.ones(64), 0.5).tolist()
    return drawn


@given(st.integers(0, 2**32), st.integers(0, 2**40), st.integers(0, 2**40))
def test_what_was_drawn_before_does_not_matter(seed: int, number: int, before: int) -> None:
    expected = mask(seed, number)
    mask(seed, before)
    torch.rand(before % 7)
    assert mask(seed, number) == expected


def test_every_micro_batch_and_every_run_has_its_own() -> None:
    assert len({tuple(mask(seed, number)) for seed in (1, 2, 12) for number in (0, 1, 2, 21, 212)}) == 15
    assert len({micro_batch_seed(42, number) for number in range(100_000)}) == 100_000
    assert 0 <= micro_batch_seed(-1, 0) < 2**64
