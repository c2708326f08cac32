"""Examples packed into rows for a decoder: prompt and response, of which the response and its end are predicted.

An example's stream is `<s> prompt response </s>`. Examples share a row like documents do (`packed_batches.py`), but are never
cut: one whose stream is longer than a row is left out and counted in `too_long`.

Sequence p * F + f of the shards is pair p in format f. An epoch sees `per_pair` of the F formats of each pair: the formats
of a pair stand in an order of their own, drawn by (seed, pair), and every epoch takes the next ones of it. With one
format in an epoch, any F consecutive epochs show each format of each pair once. The examples are mixed by (seed, epoch), packed
with the longest first (best fit decreasing), and the rows are mixed again, so that neither the formats of a pair nor similar
lengths come in runs. All of this is a function of (seed, epoch, index); nothing is drawn while training. Where nothing is
shuffled (validation), examples are packed in the order of the shards.

Legend: B rows of a micro-batch, T tokens of a row.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lugha.errors import InputError
from lugha.tokens.packing import Packs, pack_rows
from lugha.tokens.special import Roles
from lugha.training.batches import Batch, Ints
from lugha.training.order import permuted
from lugha.training.packed_batches import answered_stream, packed_rows

_PAIRS_AT_ONCE = 1_000_000


class Examples(Protocol):
    """Prompts with their responses as token ids, by number: `TokenShards` of kind "examples"."""

    @property
    def lengths(self) -> npt.NDArray[np.integer]:
        """[sequences] ids in each."""

    @property
    def predicted_counts(self) -> npt.NDArray[np.integer]:
        """[sequences] predicted ids in each."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> npt.NDArray[np.integer]: ...

    def predicted(self, number: int) -> npt.NDArray[np.bool_]:
        """For each id of a sequence whether it belongs to the response."""


@dataclass(frozen=True)
class _Plan:
    """One epoch: row r holds the sequences `sequences[packs.row(r)]`."""

    sequences: Ints
    packs: Packs


@dataclass(frozen=True, eq=False)
class ExampleBatches:
    """Packed rows of examples; a micro-batch has B = `rows` rows of T = `row_length` tokens.

    Raises:
        InputError: no example fits a row, or `per_pair` exceeds `formats`.
    """

    shards: Examples
    formats: int  # F; sequences of a pair
    per_pair: int | None  # of them in an epoch; None: all
    row_length: int
    rows: int
    seed: int
    roles: Roles
    shuffled: bool = True

    def __post_init__(self) -> None:
        if self.per_pair is not None and self.per_pair > self.formats:
            raise InputError(
                f"examples.per_pair {self.per_pair} exceeds the number of formats, {self.formats}. "
                f"Set it to {self.formats} or less, or leave it out: all formats are then seen in every epoch."
            )
        if len(self.shards) == 0:
            raise InputError("The split has no examples: nothing to train or measure on. See the tokens' manifest.json.")
        if self.too_long == len(self.shards):
            raise InputError(
                f"None of {len(self.shards):,} examples fits tokens.max_length {self.row_length}; the shortest has "
                f"{int(self.shards.lengths.min()) + 2} tokens. Raise it, or choose a shorter template."
            )

    @property
    def too_long(self) -> int:
        """Examples, in all formats, whose stream is longer than a row; no epoch sees them."""
        return int((self.shards.lengths > self.row_length - 2).sum())

    @property
    def tokens_per_epoch(self) -> int:
        """Predicted tokens in epoch 0, ends included; where formats are drawn, epochs differ a little."""
        sequences = self._plan(0).sequences
        return int(self.shards.predicted_counts[sequences].sum(dtype=np.int64)) + len(sequences)

    @property
    def padding(self) -> float:
        """Share of the tokens of epoch 0 that are padding."""
        plan = self._plan(0)
        real = int(self.shards.lengths[plan.sequences].sum(dtype=np.int64)) + 2 * len(plan.sequences)
        return 1.0 - real / (len(plan.packs) * self.row_length)

    def micro_batches(self, epoch: int) -> int:
        """Full micro-batches and, where rows are left over, one short one; differs a little between epochs."""
        return -(-len(self._plan(epoch).packs) // self.rows)

    def micro_batch(self, epoch: int, index: int) -> Batch:
        """`input_ids`, `labels`, `position_ids`, each int64 [B, T]; labels are `input_ids` where they are predicted."""
        plan = self._plan(epoch)
        rows = range(index * self.rows, min((index + 1) * self.rows, len(plan.packs)))
        members = [
            [answered_stream(self.shards, int(i), self.roles) for i in plan.sequences[plan.packs.row(row)]] for row in rows
        ]
        return packed_rows(members, self.row_length, self.roles.pad)

    def sequences(self, epoch: int) -> Ints:
        """Numbers of the sequences that an epoch sees, in the order in which they are packed."""
        return self._plan(epoch).sequences

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as the run; the epoch before and this one
    def _plan(self, epoch: int) -> _Plan:
        lengths = self.shards.lengths
        sequences = self._of_epoch(epoch)
        sequences = sequences[lengths[sequences] <= self.row_length - 2]
        if self.shuffled:
            places = permuted(np.arange(len(sequences)), n=len(sequences), seed=self.seed, epoch=epoch)
            sequences = sequences[places]
            # Padding of MAFAND en-ibo in rows of 256: 5 % in any order, 2 % with the longest first; rows are mixed below.
            sequences = sequences[np.argsort(-lengths[sequences], kind="stable")]
        packs = pack_rows(lengths[sequences].astype(np.int64) + 2, self.row_length)
        if self.shuffled:
            packs = _mixed(packs, self.seed + 1, epoch)
        return _Plan(sequences, packs)

    def _of_epoch(self, epoch: int) -> Ints:
        """The sequences of an epoch in the order of the shards, those that do not fit a row included."""
        if self.per_pair is None:
            return np.arange(len(self.shards))
        pairs = len(self.shards) // self.formats
        turn = (epoch * self.per_pair + np.arange(self.per_pair)) % self.formats
        formats = np.sort(self._format_order[:, turn].astype(np.int64), axis=1)
        of_pairs: Ints = np.arange(pairs)[:, None] * self.formats + formats
        return of_pairs.ravel()

    @functools.cached_property
    def _format_order(self) -> npt.NDArray[np.uint8]:
        """[pairs, F] the formats of each pair in its own order, a function of (seed, pair)."""
        pairs = len(self.shards) // self.formats
        orders = []
        for begin in range(0, pairs, _PAIRS_AT_ONCE):
            numbers = np.arange(begin * self.formats, min(begin + _PAIRS_AT_ONCE, pairs) * self.formats)
            keys = _scrambled(numbers.astype(np.uint64), self.seed).reshape(-1, self.formats)
            orders.append(np.argsort(keys, axis=1).astype(np.uint8))
        return np.concatenate(orders)


def _mixed(packs: Packs, seed: int, epoch: int) -> Packs:
    """The same rows in another order: as they are made, those with the longest examples come first."""
    order = permuted(np.arange(len(packs)), n=len(packs), seed=seed, epoch=epoch)
    sizes = np.diff(packs.start)[order]
    start = np.concatenate([[0], np.cumsum(sizes)])
    shift = np.repeat(packs.start[:-1][order] - start[:-1], sizes)
    return Packs(packs.items[np.arange(len(packs.items)) + shift], start)


def _scrambled(numbers: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each number and the seed (the finaliser of SplitMix64; Steele, Lea & Flood, OOPSLA 2014)."""
    key = np.random.Generator(np.random.Philox(key=[seed, 0])).integers(0, 2**64, dtype=np.uint64)
    mixed = (numbers + key) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
