"""Intervals against Student's table and figures by hand; a difference is judged seed by seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.pipeline.sweep_ranking import mean_interval, rank, t_quantile


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # The column "0.975" of every printed table.
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_quantiles_are_those_of_the_table(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, abs=5e-4)


def test_other_levels_and_the_normal_limit() -> None:
    assert t_quantile(2, 0.99) == pytest.approx(9.925, abs=5e-4)
    assert t_quantile(1, 0.5) == pytest.approx(1.0)
    assert t_quantile(100_000) == pytest.approx(1.95996, abs=1e-4)


def test_an_interval_by_hand() -> None:
    # Mean 2, standard deviation 1, standard error 1 / sqrt 3: 2 +- 4.3027 x 0.57735.
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((-0.4841, 4.4841), abs=1e-4)
    assert mean_interval([5.0, 5.0]) == (5.0, 5.0)
    assert mean_interval([5.0]) is None


def test_what_a_seed_does_to_both_cancels() -> None:
    # Seeds differ by 1, variants by 0.1 +- 0.01: means overlap widely, differences do not.
    best, worse = rank({0: {1: 1.0, 2: 2.0, 3: 3.0}, 1: {1: 1.1, 2: 2.09, 3: 3.11}})
    assert (best.variant, best.difference, best.difference_interval, best.distinguishable) == (0, 0.0, None, None)
    assert worse.mean == pytest.approx(2.1)
    assert worse.difference == pytest.approx(0.1)
    # 0.1 +- 4.3027 x 0.01 / sqrt 3
    assert worse.difference_interval == pytest.approx((0.07516, 0.12484), abs=1e-5)
    assert worse.distinguishable is True
    assert best.interval is not None and worse.interval is not None
    assert best.interval[1] > worse.interval[0]


def test_noise_is_not_a_difference() -> None:
    _, second = rank({0: {1: 1.0, 2: 1.2, 3: 1.1}, 1: {1: 1.2, 2: 1.1, 3: 1.15}})
    assert second.difference == pytest.approx(0.05)
    assert second.distinguishable is False


def test_one_seed_has_no_interval_and_no_verdict() -> None:
    places = rank({0: {7: 2.0}, 1: {7: 1.0}})
    assert [p.variant for p in places] == [1, 0]
    assert all(p.interval is None and p.distinguishable is None for p in places)
    assert places[1].difference == 1.0


def test_a_run_that_diverged_puts_its_variant_last() -> None:
    places = rank({0: {1: 0.1, 2: None}, 1: {1: 5.0, 2: 6.0}, 2: {1: None, 2: None}, 3: {}})
    assert [(p.variant, p.seeds, p.diverged) for p in places] == [(1, 2, 0), (0, 1, 1), (2, 0, 2)]
    assert places[2].mean is None and places[2].difference is None
    assert rank({}) == []
    assert rank({0: {1: None}})[0].mean is None


@given(st.dictionaries(st.integers(0, 5), st.lists(st.floats(-9, 9), min_size=3, max_size=3), min_size=1))
def test_places_are_in_the_order_of_their_means(scores: dict[int, list[float]]) -> None:
    places = rank({variant: dict(enumerate(values)) for variant, values in scores.items()})
    means = [p.mean for p in places if p.mean is not None]
    assert means == sorted(means)
    assert sorted(p.variant for p in places) == sorted(scores)
    for place in places:
        assert place.interval is not None and place.mean is not None
        assert place.interval[0] <= place.mean + 1e-9 and place.mean - 1e-9 <= place.interval[1]
