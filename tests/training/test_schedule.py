"""Learning rates: warm-up, peak, fall, and the founding end points."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lugha.recipe import TrainSection
from lugha.training.schedule import learning_rate

kinds = st.sampled_from(["cosine", "linear", "wsd"])


@example("wsd", 2, 0)
@given(kinds, st.integers(1, 300), st.integers(0, 350))
def test_rates_stay_between_zero_and_the_peak_and_end_at_the_minimum(kind: str, steps: int, warmup: int) -> None:
    train = TrainSection.model_validate(
        {"schedule": kind, "steps": steps, "warmup_steps": warmup, "lr": 1e-3, "min_lr": 1e-4}
    )
    rates = [learning_rate(s, train) for s in range(steps)]
    assert all(0 < r <= 1e-3 + 1e-12 for r in rates)
    peak = rates.index(max(rates))
    assert all(a <= b for a, b in pairwise(rates[: peak + 1]))  # rises, then falls
    assert all(a >= b for a, b in pairwise(rates[peak:]))
    if warmup < steps - 1:
        assert rates[-1] == pytest.approx(1e-4)


def test_wsd_holds_the_peak_until_the_last_share() -> None:
    train = TrainSection(schedule="wsd", steps=100, warmup_steps=10, decay_share=0.2, lr=1e-3, min_lr=0.0)
    assert [learning_rate(s, train) for s in (10, 50, 80)] == [1e-3] * 3
    assert learning_rate(90, train) == pytest.approx(1e-3 * (1 - 10 / 19))


def test_cosine_is_half_way_in_the_middle() -> None:
    train = TrainSection(schedule="cosine", steps=101, warmup_steps=0, lr=1.0, min_lr=0.0)
    assert learning_rate(50, train) == pytest.approx(0.5)
