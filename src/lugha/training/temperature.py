"""Temperature sampling: how often a small direction is trained beside a large one, without a throw of dice.

    draws([1_000_000, 10_000], temperature=5)        ->  [722_405, 287_595]: places of each in an epoch
    turns(begin, count, n=10_000, seed=42)           ->  which of its 10,000 examples stand at these places

Direction d, of n_d examples, is drawn with p_d ~ n_d^(1/T) (Aharoni et al. 2019, "Massively Multilingual Neural Machine
Translation in the Wild", arXiv 1907.05019; NLLB-200 and mBART train so). T = 1 leaves the sizes as they are, T -> infinity
makes all directions equal. Here a direction has a whole number c_d of places in every epoch, and epoch e takes places e c_d
to (e + 1) c_d - 1 of an endless row, whose pass k over the examples has the order of (seed, k). So at the end of any epoch no
example of a direction has been seen more often than another by more than one, no example of a large direction is left out
for ever, and what stands where needs no state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lugha.training.order import Ints, permuted


def draws(sizes: Sequence[int], temperature: float) -> Ints:
    """How many examples of each direction an epoch of sum(sizes) examples holds: [directions], at least 1 of each.

    Shares p_d ~ n_d^(1/T), made whole by largest remainder (ties: the earlier). At T = 1 exactly `sizes`.
    """
    n = np.asarray(sizes, dtype=np.int64)
    if temperature == 1 or len(n) == 0:
        return n
    weights = (n / n.max()) ** (1 / temperature)  # of the largest 1: nothing overflows
    exact = weights / weights.sum() * n.sum()
    whole: Ints = np.maximum(np.floor(exact), 1).astype(np.int64)
    by_remainder = np.argsort(whole - exact, kind="stable")
    missing = int(n.sum() - whole.sum())
    whole[by_remainder[: max(missing, 0)]] += 1
    for _ in range(-missing):  # small directions were raised to 1 each: the largest give that back
        whole[np.argmax(whole)] -= 1
    return whole


def turns(begin: int, count: int, *, n: int, seed: int) -> Ints:
    """`count` places of an endless row of the items 0 ... n - 1, from place `begin` on: [count].

    Pass k over the items, places k n to (k + 1) n - 1, has the order of (seed, k). Whole passes within the stretch stand in
    order of the items: who draws shuffles anyway, and a direction of ten examples takes thousands of passes.
    """
    end = begin + count
    first, last = begin // n, end // n  # the passes in which the stretch begins and ends
    if first == last:
        return permuted(np.arange(begin - first * n, end - first * n), n=n, seed=seed, epoch=first)
    head = permuted(np.arange(begin - first * n, n), n=n, seed=seed, epoch=first)
    tail = permuted(np.arange(end - last * n), n=n, seed=seed, epoch=last)
    return np.concatenate([head, np.tile(np.arange(n), last - first - 1), tail])
