"""Spaces: the size is the number of values, and only these are drawn."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from lugha.demo.space import Space, combined, mixed, one_of

VALUES = st.lists(st.integers(), unique=True, max_size=6)


@given(VALUES, VALUES, VALUES)
def test_size_is_the_number_of_values_of_a_nested_space(a: list[int], b: list[int], c: list[int]) -> None:
    pairs = combined(lambda x, y: ("pair", x, y), one_of(a), one_of(b))
    alone = combined(lambda x: ("one", x), one_of(c))
    space = mixed((3, pairs), (1, alone))
    values = list(space.values())
    assert space.size == len(values) == len(set(values)) == len(a) * len(b) + len(c)


@given(VALUES.filter(bool), st.integers())
def test_every_drawn_value_is_one_of_the_space(values: list[int], seed: int) -> None:
    space = mixed((1, one_of(values)), (2, one_of(["x"])))
    rng = random.Random(seed)
    assert {space.draw(rng) for _ in range(50)} <= {*values, "x"}


def test_weights_say_how_often_a_part_is_drawn_from_and_empty_parts_never_are() -> None:
    nothing: Space[str] = one_of([])
    space = mixed((9, one_of(["often"])), (1, one_of(["seldom"])), (50, nothing))
    rng = random.Random(1)
    drawn = [space.draw(rng) for _ in range(2000)]
    assert 1700 < drawn.count("often") < 1900
    assert drawn.count("often") + drawn.count("seldom") == 2000


def test_the_same_seed_draws_the_same_values() -> None:
    space = combined(lambda *x: x, one_of(range(100)), one_of("abc"))
    one, other = ([space.draw(random.Random(7)) for _ in range(5)] for _ in range(2))
    assert one == other
