from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.integrations.evaluation_budget import (
    FREE_SECONDS,
    REFUSED_TIMES,
    Measured,
    TimeSpent,
    allowed_seconds,
    refusal,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_evaluation_that_ate_a_week_is_refused_with_its_arithmetic() -> None:
    """2,444,012 validation pairs at 11.56/s after every 500 steps of 4.26 s."""
    text = refusal(examples=2_444_012, seconds=2_444_012 / 11.56, steps=500, step_seconds=4.26, share=0.05)
    assert text == (
        "Evaluation: 2,444,012 examples at 11.56/s = 58.7 h, after every 500 steps of 4.26 s = 35 min 30 s of training: "
        "99% of the time, where evaluation_share is 5%. Evaluate at most 1,295 examples, or after every 942,952 steps."
    )


@given(
    examples=st.integers(1, 10**8),
    rate=st.floats(0.01, 1e4),
    steps=st.integers(1, 10**5),
    step_seconds=st.floats(1e-3, 1e3),
    share=st.floats(0.001, 0.9),
)
def test_what_a_refusal_proposes_fits(examples: int, rate: float, steps: int, step_seconds: float, share: float) -> None:
    seconds = examples / rate
    text = refusal(examples=examples, seconds=seconds, steps=steps, step_seconds=step_seconds, share=share)
    training = steps * step_seconds
    if text is None:
        assert seconds < max(FREE_SECONDS, REFUSED_TIMES * allowed_seconds(training, share)) * (1 + 1e-9)
        return
    fewer = re.search(r"at most ([\d,]+) examples", text)
    if fewer:
        short = int(fewer[1].replace(",", "")) / rate
        assert short / (short + training) <= share * (1 + 1e-6)
    rarer = re.search(r"after every ([\d,]+) steps\.$", text)
    assert rarer
    long = int(rarer[1].replace(",", "")) * step_seconds
    assert seconds / (seconds + long) <= share * (1 + 1e-6)


def test_a_short_evaluation_is_never_refused() -> None:
    assert refusal(examples=100, seconds=59.0, steps=1, step_seconds=0.001, share=0.05) is None


def test_the_first_batch_of_an_evaluation_is_not_measured() -> None:
    measured = Measured()
    measured.add(50.0)  # compiled, loaded, warmed up
    for _ in range(6):
        measured.add(0.5)
        assert measured.projected(1000) is None
    measured.add(0.5)
    assert measured.projected(1000) == pytest.approx(500.0)


def test_slow_batches_are_projected_early() -> None:
    measured = Measured()
    measured.add(1.0)
    measured.add(12.0)
    assert measured.projected(100) == pytest.approx(1200.0)


def test_the_time_goes_where_each_moment_says() -> None:
    clock = Clock()
    spent = TimeSpent(clock)
    for kind, seconds in [("training", 9.0), ("saving", 2.0), ("training", 1.0), ("evaluation", 4.0), ("training", 1.0)]:
        clock.now += seconds
        assert spent.passed(kind) == seconds  # type: ignore[arg-type]
    assert spent.seconds == {"training": 11.0, "saving": 2.0, "evaluation": 4.0}
    assert spent.step_seconds == 1.0, "the first step warms up"
    assert spent.too_much_evaluation(0.05) is None, "a minute is free"
    clock.now += 86.0
    spent.passed("evaluation")
    assert spent.too_much_evaluation(0.05) == "evaluations took 89% of the time so far (evaluation_share 5%)"
    assert spent.too_much_evaluation(0.9) is None


def test_one_step_alone_is_all_that_is_known() -> None:
    clock = Clock()
    spent = TimeSpent(clock)
    clock.now += 3.0
    spent.passed("training")
    assert spent.step_seconds == 3.0
