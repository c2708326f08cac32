"""Which variant is better, and whether the difference is more than the noise between seeds.

    rank({0: {42: 1.31, 43: 1.33}, 1: {42: 1.40, 43: 1.41}})  ->  two `Place`s, the lowest mean first

Every figure has a 95 % Student t-interval over the seeds (Student 1908, "The probable error of a mean"). A variant is compared
with the best by the differences *seed by seed*: the same seed draws the same data order, so that what a seed does to both
cancels, and the interval is narrower than that of two independent means. A variant is distinguishable from the best where
that interval excludes 0. Three warnings belong to it: the best is chosen after looking, so that among many variants some
difference looks real by chance; a few seeds make wide intervals (two: +-12.7 standard errors); and one seed says nothing
about noise at all, therefore it gets no interval and no verdict.

Pure functions on numbers; lower scores are better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Interval = tuple[float, float]


@dataclass(frozen=True)
class Place:
    """Where a variant stands."""

    variant: int
    seeds: int  # that have a score
    diverged: int  # seeds whose loss became not a number; such a variant stands behind all that have none
    mean: float | None
    interval: Interval | None  # of the mean; None below two seeds
    difference: float | None  # mean of (this - best) over the seeds that both have
    difference_interval: Interval | None
    distinguishable: bool | None  # from the best; None: it is the best, or there is no interval


def t_quantile(degrees: int, confidence: float = 0.95) -> float:
    """The t for which a Student variable with `degrees` (1 or more) lies within +-t with probability `confidence`.

    The probability is a finite series for whole degrees (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4); its inverse is
    found by bisection to 1e-12.
    """
    low, high = 0.0, 1.0
    while _within(high, degrees) < confidence:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return high


def _within(t: float, degrees: int) -> float:
    """P(|T| < t) for Student's T."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = total = cosine if odd else 1.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    if not odd:
        return sine * total
    return 2 / math.pi * (angle + (sine * total if degrees > 1 else 0.0))


def mean_interval(values: Sequence[float]) -> Interval | None:
    """95 % t-interval of the mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = statistics.fmean(values)
    reach = t_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - reach, mean + reach


def rank(scores: Mapping[int, Mapping[int, float | None]]) -> list[Place]:
    """Places of all variants, best first.

    Args:
        scores: variant -> seed -> score (lower is better), None where the run diverged. A variant without any seed is
            left out.
    """
    finite = {v: {s: x for s, x in by_seed.items() if x is not None} for v, by_seed in scores.items() if by_seed}
    diverged = {v: len(scores[v]) - len(finite[v]) for v in finite}

    def order(variant: int) -> tuple[bool, float, int]:
        values = finite[variant].values()
        return diverged[variant] > 0, statistics.fmean(values) if values else math.inf, variant

    ordered = sorted(finite, key=order)
    best = ordered[0] if ordered and finite[ordered[0]] else None
    return [_place(variant, finite, diverged[variant], best) for variant in ordered]


def _place(variant: int, scores: Mapping[int, Mapping[int, float]], diverged: int, best: int | None) -> Place:
    own = scores[variant]
    differences = [] if best is None else [own[seed] - scores[best][seed] for seed in own if seed in scores[best]]
    between = None if variant == best else mean_interval(differences)
    return Place(
        variant=variant,
        seeds=len(own),
        diverged=diverged,
        mean=statistics.fmean(own.values()) if own else None,
        interval=mean_interval(list(own.values())),
        difference=statistics.fmean(differences) if differences else None,
        difference_interval=between,
        distinguishable=None if between is None else not between[0] <= 0.0 <= between[1],
    )
