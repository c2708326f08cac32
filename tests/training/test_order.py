"""Data order is a function: a permutation for every (seed, epoch), computed anywhere without a replay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.training.order import permuted


@given(n=st.integers(1, 3000), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 1000))
def test_every_epoch_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    assert sorted(permuted(np.arange(n), n=n, seed=seed, epoch=epoch).tolist()) == list(range(n))


@given(n=st.integers(2, 2000), data=st.data())
def test_any_part_is_computed_alone(n: int, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, n - 1))
    end = data.draw(st.integers(begin, n))
    whole = permuted(np.arange(n), n=n, seed=7, epoch=2)
    assert np.array_equal(permuted(np.arange(begin, end), n=n, seed=7, epoch=2), whole[begin:end])


def test_epochs_and_seeds_differ_and_neighbours_part() -> None:
    first = permuted(np.arange(10_000), n=10_000, seed=1, epoch=0)
    assert not np.array_equal(first, permuted(np.arange(10_000), n=10_000, seed=1, epoch=1))
    assert not np.array_equal(first, permuted(np.arange(10_000), n=10_000, seed=2, epoch=0))
    assert abs(np.corrcoef(np.arange(10_000), first)[0, 1]) < 0.05
    assert (np.abs(np.diff(first)) == 1).mean() < 0.01


def test_a_place_outside_is_an_error() -> None:
    with pytest.raises(IndexError):
        permuted(np.array([5]), n=5, seed=1, epoch=0)
