"""MinHash LSH: which rows of a corpus are near-duplicates, without comparing each with each.

A signature has `num_hashes` minima over a row's shingles; two rows agree on a minimum with the probability of their Jaccard
similarity J. The signature is cut into bands; rows with one equal band are a *candidate* pair, which happens with
probability 1 - (1 - J^r)^b (b bands of r rows: 20 x 6 finds .998 at J = .8, .9992 at .85). Candidates are then checked
exactly (`shingles.ShingleSets`), so a loose choice of bands costs time, never precision:

    bands = write_bands(batches(), section, scratch)         one pass; 8 bytes a row and band, on disk
    pairs = bucket_pairs(bands, rows)                        among rows: each with the first few of its bucket
    pairs = cross_pairs(bands, test_rows, train_rows)        between two sets of rows
    sets = ShingleSets(batches of the candidates, ...)       a second pass over their rows alone
    pairs = pairs[sets.jaccard(pairs) >= threshold]

Signatures are never stored, and one band at a time is sorted, so memory is some 40 bytes a row.
After Broder (1997), "On the resemblance and containment of documents"; bands as in Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lugha.corpus.shingles import I64, U64, Batch, mix, shingle_blocks, sorted_distinct
from lugha.recipe.corpus_sections import DedupSection

_LOW_32 = np.uint64(0xFFFFFFFF)
_FIRSTS = 4  # rows of a bucket that each later row of it is compared with
_REFERENCES = 8  # the same between two sets, where one is small

Wanted = Callable[[I64, I64], NDArray[np.bool_]]
"""Which candidate pairs (rows, rows) are worth a check."""


@dataclass(frozen=True)
class Bands:
    """Band keys of `rows` (ascending): one file for each band, uint64 in the order of `rows`; 0 = a row without shingles."""

    rows: I64
    files: list[Path]

    def read(self, band: int) -> U64:
        """The keys of one band, (R,)."""
        return np.fromfile(self.files[band], np.uint64)


def write_bands(batches: Iterable[Batch], section: DedupSection, folder: Path) -> Bands:
    """Compute the band keys of all rows and write them below `folder`."""
    rows = [np.zeros(0, np.int64)]
    files = [folder / f"band-{band:03d}.u64" for band in range(section.num_bands)]
    with ExitStack() as stack:
        streams = [stack.enter_context(path.open("wb")) for path in files]
        for batch in batches:
            rows.append(batch.rows)
            keys = band_keys(signatures(batch, section), section.num_bands)
            for stream, band in zip(streams, keys, strict=True):
                stream.write(band.tobytes())
    return Bands(np.concatenate(rows), files)


def signatures(batch: Batch, section: DedupSection) -> NDArray[np.uint32]:
    """MinHash signatures, (num_hashes, R): minima of `a * x + c` mod 2^32 over a row's shingles x, with odd multipliers a.

    A row without shingles has the largest number everywhere.
    """
    a = (_constants(1, section.num_hashes) >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
    c = (_constants(2, section.num_hashes) >> np.uint64(32)).astype(np.uint32)
    minima = np.full((section.num_hashes, len(batch.rows)), _LOW_32, np.uint32)
    for index, starts, hashes in shingle_blocks(batch, section.ngram):
        x = (hashes >> np.uint64(32)).astype(np.uint32)
        permuted = np.empty_like(x)
        of_block = np.empty((section.num_hashes, len(index)), np.uint32)
        for k in range(section.num_hashes):
            np.multiply(x, a[k], out=permuted)
            permuted += c[k]
            np.minimum.reduceat(permuted, starts, out=of_block[k])
        minima[:, index] = np.minimum(minima[:, index], of_block)  # a long row is spread over several blocks
    return minima


def band_keys(minima: NDArray[np.uint32], num_bands: int) -> U64:
    """Fold the minima of each band into one 64-bit key: (num_hashes, R) -> (num_bands, R); 0 for a row without shingles."""
    per_band = len(minima) // num_bands
    weights = _constants(3, per_band) | np.uint64(1)
    keys = np.zeros((num_bands, minima.shape[1]), np.uint64)
    for i, weight in enumerate(weights):
        keys ^= minima[i::per_band]
        keys *= weight
        keys ^= keys >> np.uint64(31)
    keys[keys == 0] = 1
    keys[:, (minima == _LOW_32).all(axis=0)] = 0
    return keys


def bucket_pairs(bands: Bands, members: I64, wanted: Wanted | None = None) -> I64:
    """Candidate pairs among `members`: every row of a bucket with the first four of it, in the order of `members`.

    Not all pairs of a bucket: their number stays linear in its size. Nor the first alone: in templated text, whose buckets are
    full of rows that are not similar, that left 7 % of the near-duplicates in; the first four leave 0.7 %.

    Args:
        members: distinct rows, the one that shall stay before the one that shall go.

    Returns:
        (P, 2) distinct pairs of rows; the first of a pair comes first in `members`. Sorted by the places there.
    """
    at = np.searchsorted(bands.rows, members)
    found = np.zeros(0, np.uint64)
    for band in range(len(bands.files)):
        keys = bands.read(band)[at]
        order = np.argsort(keys, kind="stable")
        order = order[np.searchsorted(keys[order], 1) :]
        keys = keys[order]
        is_first = np.ones(len(keys), bool)
        is_first[1:] = keys[1:] != keys[:-1]
        start = np.flatnonzero(is_first)[np.cumsum(is_first) - 1]
        for step in range(_FIRSTS):
            later = np.flatnonzero(np.arange(len(keys)) > start + step)
            first, second = order[start[later] + step], order[later]
            if wanted is not None:
                chosen = wanted(members[first], members[second])
                first, second = first[chosen], second[chosen]
            found = sorted_distinct(np.concatenate((found, _pack(first, second))))
    first, second = _unpack(found)
    return np.stack([members[first], members[second]], axis=1)


def cross_pairs(bands: Bands, reference: I64, others: I64) -> I64:
    """Candidate pairs between two sets of rows: each of `others` with up to 8 rows of `reference` in each of its buckets.

    Returns:
        (P, 2) distinct pairs (row of `reference`, row of `others`), sorted.
    """
    at_reference, at_others = np.searchsorted(bands.rows, reference), np.searchsorted(bands.rows, others)
    found = np.zeros(0, np.uint64)
    if not len(reference):
        return np.zeros((0, 2), np.int64)
    for band in range(len(bands.files)):
        keys = bands.read(band)
        order = np.argsort(keys[at_reference], kind="stable")
        known, asked = keys[at_reference][order], keys[at_others]
        left = np.searchsorted(known, asked)
        for step in range(_REFERENCES):
            place = np.minimum(left + step, len(known) - 1)
            hit = np.flatnonzero((known[place] == asked) & (left + step < len(known)) & (asked != 0))
            if not len(hit):
                break
            found = sorted_distinct(np.concatenate((found, _pack(reference[order[place[hit]]], others[hit]))))
    first, second = _unpack(found)
    return np.stack([first, second], axis=1)


def _constants(series: int, count: int) -> U64:
    """Random-looking constants that no version of a library can change."""
    return mix((np.arange(count, dtype=np.uint64) << np.uint64(8)) + np.uint64(series))


def _pack(first: I64, second: I64) -> U64:
    return first.astype(np.uint64) << np.uint64(32) | second.astype(np.uint64)


def _unpack(packed: U64) -> tuple[I64, I64]:
    return (packed >> np.uint64(32)).astype(np.int64), (packed & _LOW_32).astype(np.int64)
