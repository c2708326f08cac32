"""The clock of saves, on a clock of the test's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.training.save_clock import SaveClock, young_interval

HOUR = 3600.0


class Hand:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def clock(hand: Hand, interval: Any, **more: Any) -> SaveClock:
    return SaveClock(interval, **{"between": None, "every": None, "now": hand} | more)


def test_a_fixed_interval_counts_from_the_end_of_the_save_before() -> None:
    hand = Hand()
    found = clock(hand, 600.0)
    hand.now += 599
    assert not found.due(7)
    hand.now += 1
    assert found.due(7)
    hand.now += 50  # the save itself
    assert found.saved(50.0) == 600.0
    hand.now += 599
    assert not found.due(8)
    hand.now += 1
    assert found.due(8)


def test_steps_beside_the_clock() -> None:
    hand = Hand()
    found = clock(hand, 600.0, every=4)
    assert [step for step in range(1, 13) if found.due(step)] == [4, 8, 12]
    hand.now += 600
    assert found.due(5)
    found.saved(1.0)
    assert not found.due(5)
    assert found.due(8)


def test_the_first_save_comes_earlier_where_that_is_asked() -> None:
    hand = Hand()
    found = clock(hand, 600.0, first_within=20.0)
    hand.now += 20
    assert found.due(1)
    found.saved(1.0)
    hand.now += 599
    assert not found.due(2)


def test_auto_measures_after_a_minute_and_then_takes_youngs_interval() -> None:
    hand = Hand()
    found = clock(hand, "auto", between=41 * HOUR)
    hand.now += 59.9
    assert not found.due(1)
    hand.now += 0.1
    assert found.due(1)
    assert found.saved(10.0) == pytest.approx(math.sqrt(2 * 10 * 41 * HOUR)) == pytest.approx(28.6 * 60, rel=0.01)
    hand.now += 1700
    assert not found.due(2)
    assert found.saved(60.0) == pytest.approx(HOUR)  # a dearer save, a longer interval; an hour at most


def test_bounds_of_sense() -> None:
    assert young_interval(0.001, HOUR) == 60.0  # a minute at least
    assert young_interval(30.0, 60.0) == 300.0  # a tenth of the time at most, even on a machine that dies every minute
    assert young_interval(20.0, 10_000 * HOUR) == HOUR
    assert young_interval(1000.0, 10_000 * HOUR) == 10_000.0


@given(cost=st.floats(0, 1e4), between=st.floats(1, 1e8))
def test_saves_never_take_more_than_a_tenth_of_the_time(cost: float, between: float) -> None:
    interval = young_interval(cost, between)
    assert interval >= 60
    assert cost <= 0.1 * interval * (1 + 1e-9)
    assert interval <= max(HOUR, 10 * cost)


@given(a=st.floats(0, 1e4), b=st.floats(0, 1e4), between=st.floats(1, 1e8))
def test_a_dearer_save_never_comes_more_often(a: float, b: float, between: float) -> None:
    assert young_interval(min(a, b), between) <= young_interval(max(a, b), between)
