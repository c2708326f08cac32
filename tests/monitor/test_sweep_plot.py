"""The plot of a sweep: a panel for each key, all kinds of values, equal bytes for equal data."""

from __future__ import annotations

import re

import pytest

from lugha.monitor.sweep_plot import Point, _figure, sweep_plot

POINTS = [
    Point({"train.lr": lr, "model.kv_heads": heads}, 1.0 + heads / 10 + lr * 100 + seed / 100)
    for lr in (1e-4, 3e-4, 1e-3)
    for heads in (1, 2)
    for seed in range(3)
]


def test_a_panel_for_each_key_with_its_values() -> None:
    svg = sweep_plot(POINTS, measure="bits/byte", title="small: 1,000 tokens")
    assert svg == sweep_plot(POINTS, measure="bits/byte", title="small: 1,000 tokens")
    texts = set(re.findall(r">([^<>\n]+)</text>", svg))
    assert {"train.lr", "model.kv_heads", "1e-4", "3e-4", "1e-3", "1", "2", "kv_heads 2", "lr 3e-4"} <= texts
    assert "bits/byte" in svg
    assert "small: 1,000 tokens" in svg


def test_rates_stand_on_a_logarithmic_axis_and_every_run_is_a_point() -> None:
    rates, heads = _figure(POINTS, "bits/byte", "").axes
    assert (rates.get_xscale(), heads.get_xscale()) == ("log", "linear")
    points = [line for line in rates.lines if line.get_marker() == "o"]
    assert sum(len(line.get_xdata()) for line in points) == len(POINTS)
    means = [line for line in rates.lines if line.get_marker() == "_"]
    assert [list(line.get_ydata()) for line in means] == [
        pytest.approx([1.0 + heads / 10 + lr * 100 + 0.01 for lr in (1e-4, 3e-4, 1e-3)]) for heads in (1, 2)
    ]


def test_many_other_keys_become_one_line_of_means() -> None:
    points = [Point({"a": a, "b": b}, float(a + b)) for a in (0, 1) for b in range(7)]
    first, second = _figure(points, "loss", "").axes
    assert len([line for line in first.lines if line.get_marker() == "_"]) == 1
    assert len([line for line in second.lines if line.get_marker() == "_"]) == 2


@pytest.mark.parametrize(
    "values", [("cosine", "wsd"), (True, False), ([0.9, 0.95], [0.9, 0.99]), (None, 2), (0.0, 0.1), (5,)]
)
def test_any_value_can_be_drawn(values: tuple[object, ...]) -> None:
    assert "</svg>" in sweep_plot([Point({"key": v}, float(i)) for i, v in enumerate(values)], measure="loss")
