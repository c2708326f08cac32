"""Which rows of a corpus resemble each other on *one* side: what a split must keep together, and what leaks.

Dedup compares rows as a whole; here each text is a row of its own, under the salt of its language. So an English sentence
meets itself in another direction, or on the other side, which for a model that reads and writes English is the same
sentence. Texts are numbered row by row, side by side: text t of pairs is side t % 2 of row t // 2.

Two questions, answered in one search (band keys in one pass, exact check of the candidates in a second):

    linked    among rows that are to be divided: which have a similar text, in different groups
    leaks     between an evaluation set and all rows outside of the sets: which of these have a text of the set

An exact leak (equal dedup keys) is found by digest, whatever the length of the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lugha.corpus.minhash import bucket_pairs, cross_pairs, write_bands
from lugha.corpus.shards import Kind
from lugha.corpus.shingles import I64, U64, Batch, ShingleSets, key_batches, sorted_distinct
from lugha.recipe.corpus_sections import DedupSection
from lugha.runs.progress import Progress

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Leaks:
    """Rows outside of the evaluation sets, by what they share with one set; (N,) flags each."""

    exact: Flags
    near: Flags

    @property
    def any(self) -> Flags:
        """Rows that share a text with the set, exactly or nearly."""
        return self.exact | self.near


@dataclass(frozen=True)
class Likeness:
    """The answer.

    linked: (P, 2) rows of different groups with a similar text; empty where nothing is to be divided.
    leaks: for each evaluation set the rows that leak into it.
    digests: (N, sides) digest of language and dedup key of each text; 0 for an empty key.
    """

    linked: I64
    leaks: dict[str, Leaks]
    digests: U64


def find_likeness(
    frames: Callable[[], Iterable[pl.DataFrame]],
    kind: Kind,
    *,
    sets: Mapping[str, Flags],
    groups: I64 | None,
    threshold: float,
    scratch: Path,
) -> Likeness:
    """Search the corpus that `frames` reads.

    Args:
        sets: the evaluation sets by name (at least one): (N,) flags of their rows.
        groups: (N,) number of the group of each row; None: nothing is to be divided, only leaks are sought.
        threshold: exact Jaccard similarity from which two texts are alike.
        scratch: a folder for temporary files.
    """
    outside = ~np.any(list(sets.values()), axis=0)
    width = len(_sides(kind))
    if groups is None and outside.all():
        nothing = np.zeros(len(outside), bool)
        return Likeness(
            np.zeros((0, 2), np.int64),
            {name: Leaks(nothing, nothing) for name in sets},
            np.zeros((len(outside), width), np.uint64),
        )
    method = DedupSection(threshold=threshold)
    digests: list[U64] = []

    def batches(take: Flags) -> Iterator[Batch]:
        """The texts flagged in `take` (N, sides), each as a row of its own."""
        rows = np.logical_or.reduce(take, axis=1)
        with Progress("split: compare", "rows", int(rows.sum())) as progress:
            for batch in key_batches(frames(), _sides(kind), rows):
                texts = (batch.rows[:, None] * width + np.arange(width)).ravel()
                chosen = np.flatnonzero(take[batch.rows])
                yield Batch(texts[chosen], [batch.keys[i] for i in chosen], batch.salts[chosen], sides=1)
                progress.add(len(batch.rows))

    def all_batches() -> Iterator[Batch]:
        for batch in batches(np.ones((len(outside), width), bool)):
            digests.append(_digests(batch))
            yield batch

    bands = write_bands(all_batches(), method, scratch)
    digest = np.concatenate(digests)
    texts = np.arange(len(digest))
    others = texts[outside[texts // width]]
    of_set = {name: texts[rows[texts // width]] for name, rows in sets.items()}

    candidates = {name: cross_pairs(bands, _first_equals(members, digest), others) for name, members in of_set.items()}
    linked = np.zeros((0, 2), np.int64)
    if groups is not None:
        linked = bucket_pairs(bands, others, lambda a, b: groups[a // width] != groups[b // width])
    take = np.zeros(len(digest), bool)
    for pairs in (linked, *candidates.values()):
        take[pairs] = True
    shingles = ShingleSets(batches(take.reshape(-1, width)), method.ngram, scratch / "sets.u64")

    leaks = {}
    for name, pairs in candidates.items():
        near = np.zeros(len(outside), bool)
        near[pairs[shingles.jaccard(pairs) >= threshold, 1] // width] = True
        equal = are_among(digest, digest[of_set[name]]).reshape(-1, width).any(axis=1)
        leaks[name] = Leaks(equal & outside, near)
    return Likeness(linked[shingles.jaccard(linked) >= threshold] // width, leaks, digest.reshape(-1, width))


def are_among(digests: U64, known: U64) -> Flags:
    """Which of `digests` (any shape) occur in `known`; 0, the digest of an empty key, equals nothing."""
    known = sorted_distinct(known.ravel())
    if not len(known):
        return np.zeros(digests.shape, bool)
    place = np.minimum(np.searchsorted(known, digests), len(known) - 1)
    found: Flags = (known[place] == digests) & (digests != 0)
    return found


def _sides(kind: Kind) -> list[tuple[str, pl.Expr]]:
    if kind == "documents":
        return [("text", pl.col("lang"))]
    return [("source_text", pl.col("source_lang")), ("target_text", pl.col("target_lang"))]


def _digests(batch: Batch) -> U64:
    hashes = (
        hashlib.blake2b(key.encode(), digest_size=8, key=salt).digest() if key else bytes(8)
        for key, salt in zip(batch.keys, map(bytes, batch.salts[:, None]), strict=True)
    )
    return np.frombuffer(b"".join(hashes), np.uint64)


def _first_equals(texts: I64, digest: U64) -> I64:
    """One text of each digest but 0: repeated lines must not crowd out others among the references of a bucket."""
    distinct, first = np.unique(digest[texts], return_index=True)
    return np.sort(texts[first[distinct != 0]])
