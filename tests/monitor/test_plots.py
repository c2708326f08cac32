"""Curves take their colours from the page, and the smoothed curve follows the raw one."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.monitor.plots import Curve, loss_curve, smooth

TRAIN = Curve([float(step) for step in range(1, 2001)], [8.0 / step**0.3 for step in range(1, 2001)])
VALIDATION = Curve([500.0, 1000.0], [2.0, 1.8])


def test_the_drawing_belongs_to_the_page() -> None:
    svg = loss_curve(TRAIN, VALIDATION, width=9, height=3.6)
    assert svg == loss_curve(TRAIN, VALIDATION, width=9, height=3.6)
    assert svg.startswith("<svg viewBox=")
    assert not re.search(r"#[0-9a-f]{6}\b", svg), "a colour of its own would not change in the dark"
    assert {"var(--accent)", "var(--second)", "var(--soft)", "var(--rule)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert "<style" not in svg
    assert "font-family" not in svg
    assert "http" not in svg
    assert len(svg) < 100_000, "2,000 points are thinned out"


def test_two_drawings_share_no_ids() -> None:
    wide, narrow = (set(re.findall(r'id="([^"]+)"', loss_curve(TRAIN, VALIDATION, width=w, height=3))) for w in (9, 4.8))
    assert wide
    assert not wide & narrow


@pytest.mark.parametrize("curve", [Curve([1.0], [9.5]), Curve([1.0, 2.0], [9.5, float("nan")])])
def test_one_point_or_one_that_is_not_a_number_can_be_drawn(curve: Curve) -> None:
    assert loss_curve(curve, Curve([], []), width=4, height=3).startswith("<svg")


@given(st.lists(st.floats(0, 20), min_size=1, max_size=300))
def test_smoothing_stays_within_the_values(values: list[float]) -> None:
    smoothed = smooth(values)
    assert len(smoothed) == len(values)
    assert smoothed.min() >= min(values) - 1e-9
    assert smoothed.max() <= max(values) + 1e-9


def test_smoothing_follows_a_line_and_leaves_gaps_out() -> None:
    line = np.linspace(0, 10, 400)
    inner = slice(15, -15)  # at the ends the mean has one side only
    assert smooth(list(line))[inner] == pytest.approx(line[inner])
    holed = [3.0, float("nan"), float("inf"), 3.0]
    assert smooth(holed) == pytest.approx([3.0] * 4)
    assert np.isnan(smooth([float("nan")])).all()
