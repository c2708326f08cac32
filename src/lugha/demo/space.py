"""Countable sets of values that can be drawn from: what the sample grammar is made of.

A `Space` knows how many values it holds without listing them, can list them, and can draw one. Three ways to make one:

    one_of([a, b, c])                        3 values
    combined(make, one_of(..), one_of(..))   one value for each combination: sizes multiply
    mixed((3.0, space), (1.0, other))        the union: sizes add; drawn three times as often from the first

So a grammar is an expression, its number of sentences is arithmetic, and no sentence has to be generated to be counted.
The spaces of a union must not overlap, and `make` must give different values for different arguments; then `size` is exact.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Space(Generic[T_co]):
    """A set of `size` values: `draw` takes one at random, `values` lists them all."""

    size: int
    draw: Callable[[random.Random], T_co]
    values: Callable[[], Iterator[T_co]]


def one_of(values: Iterable[T]) -> Space[T]:
    """The given values, each as likely as the next."""
    listed = tuple(values)

    def draw(rng: random.Random) -> T:
        return listed[rng.randrange(len(listed))]

    return Space(len(listed), draw, lambda: iter(listed))


def combined(make: Callable[..., T], *parts: Space[Any]) -> Space[T]:
    """`make(a, b, ...)` for every choice of a from the first part, b from the second, and so on."""

    def draw(rng: random.Random) -> T:
        return make(*(part.draw(rng) for part in parts))

    def values() -> Iterator[T]:
        return itertools.starmap(make, itertools.product(*(part.values() for part in parts)))

    return Space(math.prod(part.size for part in parts), draw, values)


def mixed(*parts: tuple[float, Space[T]]) -> Space[T]:
    """The union of disjoint spaces, each drawn from in proportion to its weight; empty ones are left out."""
    filled = [(weight, space) for weight, space in parts if space.size]
    bounds = list(itertools.accumulate(weight for weight, _ in filled))
    spaces = [space for _, space in filled]

    def draw(rng: random.Random) -> T:
        return spaces[bisect.bisect_right(bounds, rng.random() * bounds[-1], hi=len(bounds) - 1)].draw(rng)

    return Space(sum(s.size for s in spaces), draw, lambda: itertools.chain.from_iterable(s.values() for s in spaces))
