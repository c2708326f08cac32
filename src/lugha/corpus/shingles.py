"""Shingles: what two texts have in common, as sets of hashed character n-grams, and their exact Jaccard similarity.

    text           "Ọ bụ ng'ombe!"                       any Unicode form
    dedup key      "ọ bụ ng ombe"                        NFC, lower case, all but letters, marks and numbers to one blank
    shingles       {"ọ bụ ", " bụ n", "bụ ng", ...}      every n characters in a row (5 by default), as 48-bit hashes
    Jaccard        |A and B| / |A or B|                  1.0: the same set of shingles

A letter is not an accent: marks are never stripped from a key, so "ọ" and "o" differ. A key shorter than n characters is one
shingle as a whole, so it equals only itself; an empty key has none and is similar to nothing. A row of pairs is the
*union* of the shingles of its two sides: each side has a salt, so that a word on one side never meets it on the other.

Hash constants are our own, so a result does not change with a library's version. Work goes in blocks of some 65,000
characters (they stay in the processor's cache); a text of millions of characters is cut into overlapping pieces.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

BLOCK_CHARS = 1 << 16
BATCH_ROWS = 20_000
BATCH_CHARS = 1 << 23
HASH_BITS = 48  # a set's member shares its 64 bits with the number of its row (or pair) in a block: one sort for all
_BLOCK_ROWS = 1 << (64 - HASH_BITS)
_BLOCK_MEMBERS = 1 << 22

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Batch:
    """Dedup keys of some rows. The keys of one row (`sides` of them) stand together, each with the salt of its side."""

    rows: I64
    keys: list[str]
    salts: U64
    sides: int


Batches = Callable[[], Iterator[Batch]]
"""Reads the same batches again at each call: a search makes two passes over the corpus and keeps no text in between."""


def dedup_key(text: pl.Expr) -> pl.Expr:
    """The form in which `text` is compared: NFC, lower case, runs of all but letters, marks and numbers to one blank."""
    plain = text.str.normalize("NFC").str.to_lowercase()
    return plain.str.replace_all(r"[^\p{L}\p{M}\p{N}]+", " ").str.strip_chars(" ")


def salt(label: str) -> np.uint64:
    """A number for `label`: equal texts under different labels have no shingle in common."""
    return np.uint64(int.from_bytes(hashlib.blake2b(label.encode(), digest_size=8).digest(), "little"))


def mix(values: U64) -> U64:
    """Scramble 64-bit numbers in place, one to one: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
    return values


def key_batches(
    frames: Iterable[pl.DataFrame], sides: Sequence[tuple[str, pl.Expr]], take: NDArray[np.bool_] | None = None
) -> Iterator[Batch]:
    """Turn the rows of a corpus into batches of dedup keys, at most 20,000 rows or some 8 million characters at a time.

    Args:
        frames: the rows in order; row 0 is the first row of the first frame.
        sides: for each text column its name, and the expression of its salt's label.
        take: one flag for each row of the corpus; the others are passed over (but counted).
    """
    first = 0
    for frame in frames:
        rows = np.arange(first, first + frame.height)
        first += frame.height
        if take is not None:
            rows = rows[take[rows]]
            frame = frame[rows - (first - frame.height)]
        chars = frame.select(pl.sum_horizontal(pl.col(name).str.len_chars() for name, _ in sides)).to_series().to_numpy()
        for start, stop in _slices(chars, BATCH_ROWS, BATCH_CHARS):
            yield _batch(frame[start:stop], rows[start:stop], sides)


def _batch(frame: pl.DataFrame, rows: I64, sides: Sequence[tuple[str, pl.Expr]]) -> Batch:
    width = len(sides)
    keys = [""] * (len(rows) * width)
    salts = np.zeros(len(keys), np.uint64)
    for i, (name, label) in enumerate(sides):
        columns = frame.select(key=dedup_key(pl.col(name)), label=label)
        keys[i::width] = columns["key"].to_list()
        labels = columns["label"]
        salts[i::width] = labels.replace_strict({x: int(salt(x)) for x in labels.unique()}, return_dtype=pl.UInt64)
    return Batch(rows, keys, salts, width)


def sorted_distinct(values: U64) -> U64:
    """The distinct values, ascending. (`np.unique` of NumPy 2.4 hashes: measured 180 times slower on 64-bit hashes.)"""
    values = np.sort(values)
    return values[np.concatenate(([True], values[1:] != values[:-1]))] if len(values) else values


def _slices(sizes: NDArray[np.integer], most_rows: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut rows into slices of at most `most_rows` rows and about `most` in size, at least one row each."""
    total = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = total[start] - sizes[start]
        stop = int(np.searchsorted(total, before + most, side="right"))
        stop = min(max(stop, start + 1), start + most_rows)
        yield start, stop
        start = stop


def shingle_blocks(batch: Batch, ngram: int) -> Iterator[tuple[I64, I64, U64]]:
    """Hash every shingle of a batch, block by block.

    Yields:
        (index, starts, hashes): `index` (R,) says which rows of the batch the block holds, ascending; the shingles of
        row `index[i]` are `hashes[starts[i]:starts[i + 1]]`, with repetitions. A row without shingles is left out; a
        long row, alone or together with others, goes on in the next block.
    """
    for owners, pieces in _pieces(batch.keys, ngram):
        codes = np.frombuffer("".join(pieces).encode("utf-32-le"), np.uint32).astype(np.uint64)
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        count = len(codes) - ngram + 1
        hashes = codes[:count].copy()
        for i in range(1, ngram):
            hashes *= _MULTIPLIER
            hashes ^= codes[i : i + count]
        # A window that begins in the last n-1 characters of a piece reaches into the next piece: no shingle.
        across = (np.cumsum(lengths)[:, None] - np.arange(1, ngram)).ravel()
        inside = np.ones(count, bool)
        inside[across[across < count]] = False
        hashes = hashes[inside]
        shingles = lengths - (ngram - 1)
        hashes ^= np.repeat(batch.salts[owners], shingles)
        mix(hashes)

        rows = owners // batch.sides
        is_first = np.concatenate(([True], rows[1:] != rows[:-1]))
        yield rows[is_first], (np.cumsum(shingles) - shingles)[is_first], hashes


def _pieces(keys: list[str], ngram: int) -> Iterator[tuple[I64, list[str]]]:
    """Cut keys into blocks of about BLOCK_CHARS; pieces of a long key overlap by n-1 characters, so none is lost."""
    owners: list[int] = []
    pieces: list[str] = []
    size = 0
    for owner, key in enumerate(keys):
        padded = key.ljust(ngram, "\0")  # NUL occurs in no key: a short key differs from every other
        for start in range(0, len(padded) - ngram + 1 if key else 0, BLOCK_CHARS):
            piece = padded[start : start + BLOCK_CHARS + ngram - 1]
            owners.append(owner)
            pieces.append(piece)
            size += len(piece)
            if size >= BLOCK_CHARS:
                yield np.array(owners), pieces
                owners, pieces, size = [], [], 0
    if pieces:
        yield np.array(owners), pieces


class ShingleSets:
    """The distinct shingles of chosen rows, in a file: `jaccard` compares any two of them exactly.

    On disk: for each row its set, sorted, as uint64; rows one after the other. In memory: 16 bytes for each row.
    """

    def __init__(self, batches: Iterable[Batch], ngram: int, path: Path) -> None:
        """Write the sets of all rows of `batches` (rows in ascending order) to `path`."""
        rows, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        with path.open("wb") as stream:
            for batch in batches:
                members, counts = _distinct(batch, ngram)
                stream.write(members.tobytes())
                rows.append(batch.rows)
                sizes.append(counts)
        self._rows, self._sizes = np.concatenate(rows), np.concatenate(sizes)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._members: U64 = np.memmap(path, np.uint64, "r") if self._sizes.any() else np.zeros(0, np.uint64)

    def jaccard(self, pairs: I64) -> NDArray[np.float64]:
        """Jaccard similarity of each pair of rows: (P, 2) -> (P,). Two rows without shingles have 0.0."""
        slots = np.searchsorted(self._rows, pairs)
        sizes = self._sizes[slots].sum(axis=1)
        common = np.zeros(len(pairs), np.int64)
        for start, stop in _slices(sizes, _BLOCK_ROWS, _BLOCK_MEMBERS):
            common[start:stop] = self._common(slots[start:stop])
        similarity: NDArray[np.float64] = common / np.maximum(sizes - common, 1)
        return similarity

    def _common(self, slots: I64) -> I64:
        """Members that both sets of each pair hold: packed with the pair's number and sorted, they stand side by side."""
        sizes = self._sizes[slots].ravel()
        before = np.cumsum(sizes) - sizes
        where = np.repeat(self._starts[slots].ravel() - before, sizes) + np.arange(sizes.sum())
        pair = np.repeat(np.arange(len(slots), dtype=np.uint64), sizes.reshape(-1, 2).sum(axis=1))
        packed = np.sort(self._members[where] | pair << np.uint64(HASH_BITS))
        twice = packed[1:][packed[1:] == packed[:-1]]
        return np.bincount((twice >> np.uint64(HASH_BITS)).astype(np.int64), minlength=len(slots))


def _distinct(batch: Batch, ngram: int) -> tuple[U64, I64]:
    """The sorted sets of a batch's rows, one after the other, and the size of each."""
    packed = [np.zeros(0, np.uint64)]
    for index, starts, hashes in shingle_blocks(batch, ngram):
        counts = np.diff(np.append(starts, len(hashes)))
        owner = np.repeat(index.astype(np.uint64), counts)
        packed.append(owner << np.uint64(HASH_BITS) | hashes >> np.uint64(64 - HASH_BITS))
    distinct = sorted_distinct(np.concatenate(packed))
    sizes = np.bincount((distinct >> np.uint64(HASH_BITS)).astype(np.int64), minlength=len(batch.rows))
    return distinct & np.uint64((1 << HASH_BITS) - 1), sizes
