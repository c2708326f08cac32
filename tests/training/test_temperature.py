"""Temperature: whole places that add up, and rows in which nobody waits longer than one pass."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.training.temperature import draws, turns

SIZES = st.lists(st.integers(1, 3000), min_size=1, max_size=8)
TEMPERATURES = st.floats(1, 100)


@given(SIZES, TEMPERATURES)
def test_places_add_up_to_the_epoch_and_nobody_is_left_out(sizes, temperature) -> None:
    places = draws(sizes, temperature)
    assert places.sum() == sum(sizes)
    assert places.min() >= 1


@given(SIZES)
def test_temperature_one_leaves_the_sizes(sizes) -> None:
    assert draws(sizes, 1.0).tolist() == sizes


@given(st.lists(st.integers(100, 100_000), min_size=2, max_size=6), st.floats(1, 20))
def test_shares_are_those_of_the_formula_to_one_place(sizes, temperature) -> None:
    weights = np.array(sizes, float) ** (1 / temperature)
    exact = weights / weights.sum() * sum(sizes)
    places = draws(sizes, temperature)
    assert np.abs(places - exact).max() < 1 + 1e-6 or exact.min() < 1


@given(SIZES, TEMPERATURES)
def test_a_larger_direction_never_has_fewer_places(sizes, temperature) -> None:
    places = draws(sorted(sizes), temperature)
    assert all(a <= b + 1 for a, b in pairwise(places.tolist()))


def test_known_values() -> None:
    # 1,000,000^(1/5) / 10,000^(1/5) = 2.5119, so 1,010,000 places divide as 722,405 and 287,595.
    assert draws([1_000_000, 10_000], 5).tolist() == [722_405, 287_595]
    assert draws([1000, 1, 1], 1e9).tolist() == [334, 334, 334]
    assert draws([], 5).tolist() == []


@given(st.integers(1, 40), st.integers(1, 120), st.integers(0, 2**32), st.integers(1, 12))
def test_after_every_epoch_no_item_was_seen_more_often_by_more_than_one(n, count, seed, epochs) -> None:
    seen: Counter[int] = Counter(dict.fromkeys(range(n), 0))
    for epoch in range(epochs):
        drawn = turns(epoch * count, count, n=n, seed=seed)
        assert len(drawn) == count
        seen.update(drawn.tolist())
        assert set(seen) == set(range(n))
        assert max(seen.values()) - min(seen.values()) <= 1


@given(st.integers(1, 40), st.integers(0, 300), st.integers(1, 100), st.integers(1, 100), st.integers(0, 9))
def test_a_stretch_is_the_same_in_one_piece_and_in_two(n, begin, first, second, seed) -> None:
    """What stands where is a function of the place; within whole passes the pieces may stand in another order."""
    whole = turns(begin, first + second, n=n, seed=seed)
    parts = np.concatenate([turns(begin, first, n=n, seed=seed), turns(begin + first, second, n=n, seed=seed)])
    assert sorted(whole.tolist()) == sorted(parts.tolist())


def test_passes_have_orders_of_their_own() -> None:
    passes = [turns(k * 50, 50, n=50, seed=7).tolist() for k in range(4)]
    assert all(sorted(one) == list(range(50)) for one in passes)
    assert len({tuple(one) for one in passes}) == 4


@pytest.mark.parametrize("count", [1, 10**6])
def test_a_single_example_takes_every_place(count: int) -> None:
    assert turns(3, count, n=1, seed=0).tolist() == [0] * count
