"""The deadline: whose clock it is, what is kept free before it, when it is refused."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.errors import RefusedError
from lugha.recipe import RunSection
from lugha.runs.deadline import Deadline, deadline_of, first_save_within, process_age, reserve


def in_seconds(seconds: float) -> str:
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)).isoformat()


def of(allotted: float, left: float | None = None) -> Deadline:
    return Deadline("x", time.monotonic() + (allotted if left is None else left), None, allotted)


def test_none_where_the_recipe_sets_none() -> None:
    assert deadline_of(RunSection()) is None


def test_a_duration_counts_from_the_start_of_the_process() -> None:
    """Seconds of imports are part of it: what a platform counts is the process."""
    code = (
        "import time; time.sleep(0.3)\n"
        "from lugha.runs.deadline import deadline_of, process_age\n"
        "from lugha.recipe import RunSection\n"
        "print(process_age(), 3600 - deadline_of(RunSection(deadline='1h')).left())"
    )
    age, gone = map(float, subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split())
    assert age >= 0.3
    assert age <= gone


def test_the_age_of_this_process_is_that_of_the_kernel() -> None:
    started = float(subprocess.run(["ps", "-o", "etimes=", "-p", str(os.getpid())], capture_output=True, check=True).stdout)
    assert process_age() == pytest.approx(started, abs=1.5)


def test_without_proc_the_age_is_that_of_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert 0 < process_age() < time.monotonic()


def test_a_clock_set_back_gives_no_more_time_and_one_set_forward_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text = in_seconds(3600)
    deadline = deadline_of(RunSection(deadline=text))
    assert deadline is not None
    assert deadline.left() == pytest.approx(3600, abs=5)
    assert deadline.allotted == pytest.approx(3600, abs=5)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 7200)
    assert deadline.left() == pytest.approx(3600, abs=5)
    again = deadline_of(RunSection(deadline=text))  # read anew in the same process
    assert again is not None
    assert again.left() == pytest.approx(3600, abs=5)
    monkeypatch.setattr(time, "time", lambda: real() + 1800)
    assert deadline.left() == pytest.approx(1800, abs=5)


def test_what_is_over_or_too_near_is_refused() -> None:
    with pytest.raises(RefusedError, match="is over since 1 min 40 s. Set a later one: --set run.deadline="):
        deadline_of(RunSection(deadline=in_seconds(-100)))
    with pytest.raises(RefusedError, match="is over since"):
        deadline_of(RunSection(deadline="0.001s"))
    with pytest.raises(RefusedError, match="2 s of it are margin: nothing fits before it"):
        deadline_of(RunSection(deadline=in_seconds(1.5)))


@pytest.mark.parametrize(
    ("allotted", "margin"), [(10, 2), (60, 3), (100, 5), (200, 5), (600, 12), (3600, 72), (15_000, 300), (600_000, 300)]
)
def test_the_margin(allotted: float, margin: float) -> None:
    assert of(allotted).margin == pytest.approx(margin)


def test_what_is_reserved() -> None:
    day = of(86_400)
    assert (
        reserve(day, save=None, publish=0.0, between_checks=0.0) == 1800
    )  # nothing is known: a tenth, half an hour at most
    assert reserve(of(600), save=None, publish=0.0, between_checks=0.0) == 60
    assert reserve(day, save=20.0, publish=100.0, between_checks=5.0) == 3 * 120 + 10
    assert reserve(day, save=0.1, publish=0.0, between_checks=0.0) == pytest.approx(0.3)
    assert reserve(of(600), save=200.0, publish=1000.0, between_checks=0.0) == 300  # or it would not go on at all


def test_the_first_save_comes_in_the_first_tenth() -> None:
    assert first_save_within(of(1000)) == pytest.approx(100, abs=1)
    assert first_save_within(of(1000, left=960)) == pytest.approx(60, abs=1)
    assert first_save_within(of(1000, left=500)) == 0.0


@given(
    allotted=st.floats(1, 1e7),
    save=st.none() | st.floats(0, 1e5),
    publish=st.floats(0, 1e5),
    between=st.floats(0, 1e4),
)
def test_at_least_a_third_of_the_time_is_for_work(
    allotted: float, save: float | None, publish: float, between: float
) -> None:
    deadline = of(allotted)
    held = reserve(deadline, save=save, publish=publish, between_checks=between)
    assert 0 <= held <= allotted / 2
    assert held + deadline.margin <= max(0.52 * allotted, allotted / 2 + 5)
