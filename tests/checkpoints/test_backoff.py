"""Pauses between attempts."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from lugha.checkpoints.backoff import Backoff


@given(failures=st.integers(1, 1_000_000), seed=st.integers(0, 1000))
def test_a_pause_is_between_half_of_the_doubled_one_and_all_of_it_and_never_over_the_cap(failures: int, seed: int) -> None:
    pause = Backoff(1.0, 60.0).pause(failures, random.Random(seed))
    whole = min(60.0, 2.0 ** min(failures - 1, 10))
    assert whole / 2 <= pause <= whole


def test_two_processes_do_not_come_back_together() -> None:
    pauses = {Backoff(1.0, 60.0).pause(5) for _ in range(20)}
    assert len(pauses) > 10
