"""Data order as a function: which item stands at place i of epoch e, without a list, a replay or a state.

A keyed Feistel network permutes [0, 2^(2h)) and out-of-range results are walked on until they fall into [0, n) (cycle
walking; Black & Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002). Any part of any epoch's order is computed
in time proportional to that part, so resuming is a seek:

    permuted(np.arange(1000, 1010), n=24_440_132, seed=42, epoch=3)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ROUNDS = 4
_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def permuted(places: Ints, *, n: int, seed: int, epoch: int) -> Ints:
    """Items at `places` (each in [0, n)) of the order that belongs to (seed, epoch); for fixed n a permutation.

    Args:
        places: shape [k].

    Returns:
        shape [k], each in [0, n).
    """
    if len(places) == 0:
        return places.astype(np.int64)
    if places.min() < 0 or places.max() >= n:
        raise IndexError(f"places must lie in [0, {n})")
    half_bits = max(1, (max(n - 1, 1).bit_length() + 1) // 2)
    keys = np.random.Generator(np.random.Philox(key=[seed, epoch])).integers(0, 2**64, _ROUNDS, dtype=np.uint64)
    values = places.astype(np.uint64)
    outside = np.ones(len(values), dtype=bool)
    while outside.any():
        values[outside] = _feistel(values[outside], keys, np.uint64(half_bits))
        outside = values >= n
    return values.astype(np.int64)


def _feistel(values: Words, keys: Words, half_bits: np.uint64) -> Words:
    mask = np.uint64((1 << int(half_bits)) - 1)
    left, right = values >> half_bits, values & mask
    for key in keys:
        mixed = (right + key) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
        mixed *= _GOLDEN
        mixed ^= mixed >> np.uint64(32)
        left, right = right, left ^ (mixed & mask)
    return (left << half_bits) | right
