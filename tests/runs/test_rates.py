"""The one function for each rate, at its edges."""

from __future__ import annotations

import math

import pytest

from lugha.runs.rates import bits_per_byte, format_count, format_duration, rate, seconds_left


def test_a_rate_before_any_time_is_zero_and_the_time_left_unknown() -> None:
    assert rate(10, 0.0) == 0.0
    assert math.isinf(seconds_left(0, 10, 5.0))
    assert format_duration(math.inf) == "unknown time"


def test_time_left_follows_the_rate_seen() -> None:
    assert seconds_left(250, 1000, 10.0) == pytest.approx(30.0)
    assert seconds_left(1001, 1000, 10.0) == 0.0


def test_bits_per_byte_of_a_fair_coin_per_byte() -> None:
    assert bits_per_byte(100 * math.log(2), 100) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 05 min"), (604_800, "7 d 00 h")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (7, "7"), (3.14159, "3.14"), (1234, "1,234"), (12_345, "12.3 k"), (4_560_000, "4.56 M"), (2.5e9, "2.5 G")],
)
def test_counts_for_people(count: float, text: str) -> None:
    assert format_count(count) == text
