"""Preferences for a decoder: a prompt with a chosen and a rejected answer, both in one micro-batch.

A micro-batch holds n pairs as 2n rows padded on the right: row 2i is prompt and chosen answer of its i-th pair, row 2i + 1
prompt and rejected answer. A row is the stream `<s> ids </s>`; the answer and `</s>` are predicted, the prompt is not. What is
predicted goes by position, never by id: an answer may hold any character.

No attention mask is needed: attention is causal and padding stands behind everything that counts. Positions run on through the
padding, because transformers takes positions that restart for the mark of packed documents and would build a mask for them.

Pairs of similar length stand together under a budget of padded tokens, in an order that is a function of (seed, epoch).
Legend: n pairs, T tokens of the longest row.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from lugha.errors import InputError
from lugha.tokens.special import Roles
from lugha.training.batches import IGNORED, Batch, Ints
from lugha.training.order import permuted
from lugha.training.packed_batches import answered_stream


class Preferences(Protocol):
    """Prompts with answers as token ids: sequences 2i and 2i + 1 are pair i, as in `TokenShards` of kind "preferences"."""

    @property
    def lengths(self) -> npt.NDArray[np.integer]:
        """[2 * pairs] ids in each."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> npt.NDArray[np.integer]: ...

    def predicted(self, number: int) -> npt.NDArray[np.bool_]:
        """For each id of a sequence whether it belongs to the answer."""


@dataclass(frozen=True, eq=False)
class PreferenceBatches:
    """Pairs of answers; a micro-batch has at most `token_budget` padded tokens (a pair that alone has more stands alone).

    Pairs are numbered as in the shards. A pair with a row longer than `max_length` is left out, and counted in `too_long`.
    """

    shards: Preferences
    token_budget: int
    max_length: int
    seed: int
    roles: Roles
    shuffled: bool = True
    window: int = 16_384

    def __post_init__(self) -> None:
        if self.pairs_per_epoch == 0:
            raise InputError(
                f"No preference of {len(self.shards) // 2:,} fits tokens.max_length {self.max_length} with both answers: "
                "nothing to train or measure on. Raise it, or shorten the prompts."
            )

    @functools.cached_property
    def lengths(self) -> Ints:
        """[pairs, 2] tokens of each row, with `<s>` and `</s>`."""
        lengths: Ints = (self.shards.lengths.astype(np.int64) + 2).reshape(-1, 2)
        return lengths

    @functools.cached_property
    def members(self) -> Ints:
        """Numbers of the pairs that fit, ascending."""
        return np.flatnonzero(self.lengths.max(axis=1, initial=0) <= self.max_length).astype(np.int64)

    @functools.cached_property
    def answer_tokens(self) -> Ints:
        """[pairs, 2] predicted tokens of each row."""
        counts = [int(p.sum()) + int(p[-1:].any()) for p in map(self.shards.predicted, range(len(self.shards)))]
        return np.array(counts, dtype=np.int64).reshape(-1, 2)

    @functools.cached_property
    def prompts(self) -> Ints:
        """[pairs] number of each pair's prompt; pairs with one prompt are not independent observations."""
        known: dict[bytes, int] = {}
        ids = (self.shards[2 * i][~self.shards.predicted(2 * i)] for i in range(self.pairs))
        return np.array([known.setdefault(i.tobytes(), len(known)) for i in ids], dtype=np.int64)

    @property
    def pairs(self) -> int:
        """All pairs, also those that are too long."""
        return len(self.shards) // 2

    @property
    def pairs_per_epoch(self) -> int:
        """Pairs that an epoch sees, each once."""
        return len(self.members)

    @property
    def too_long(self) -> int:
        """Pairs left out because a row is longer than `max_length`."""
        return self.pairs - self.pairs_per_epoch

    @property
    def tokens_per_epoch(self) -> int:
        """Predicted tokens in an epoch, of both answers."""
        return int(self.answer_tokens[self.members].sum())

    @property
    def padding(self) -> float:
        """Share of the tokens of epoch 0 that are padding."""
        padded = sum(self.lengths[members].size * int(self.lengths[members].max()) for members in self._plan(0))
        return 1.0 - float(self.lengths[self.members].sum()) / padded

    def micro_batches(self, epoch: int) -> int:
        """Number of micro-batches in `epoch`; it differs a little between epochs."""
        return len(self._plan(epoch))

    def micro_batch(self, epoch: int, index: int) -> Batch:
        """`input_ids`, `labels`, `position_ids` [2n, T] and `pair` [n], all int64; `pair` holds the pairs' numbers."""
        members = self._plan(epoch)[index]
        shape = (2 * len(members), int(self.lengths[members].max()))
        input_ids = np.full(shape, self.roles.pad, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        sequences: Ints = (2 * members[:, None] + np.arange(2)).ravel()
        for row, sequence in enumerate(sequences.tolist()):
            stream, predicted = answered_stream(self.shards, sequence, self.roles)
            input_ids[row, : len(stream)] = stream
            labels[row, : len(stream)][predicted] = stream[predicted]
        return {
            "input_ids": torch.from_numpy(input_ids),
            "labels": torch.from_numpy(labels),
            "position_ids": torch.arange(shape[1]).repeat(shape[0], 1),
            "pair": torch.from_numpy(members),
        }

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as the run; the epoch before and this one
    def _plan(self, epoch: int) -> list[Ints]:
        """Numbers of the pairs in each micro-batch of an epoch."""
        order = np.arange(self.pairs_per_epoch)
        if self.shuffled:
            order = permuted(order, n=len(order), seed=self.seed, epoch=epoch)
        longest = self.lengths.max(axis=1, initial=0)
        batches: list[Ints] = []
        for begin in range(0, len(order), self.window):
            part = self.members[order[begin : begin + self.window]]
            batches += self._cut(part[np.argsort(longest[part], kind="stable")], longest)
        # Mixed even where epochs do not differ: a validation that stops early sees long pairs too.
        of_epoch = epoch if self.shuffled else 0
        mixed = permuted(np.arange(len(batches)), n=len(batches), seed=self.seed + 1, epoch=of_epoch)
        return [batches[i] for i in mixed]

    def _cut(self, by_length: Ints, longest: Ints) -> list[Ints]:
        """Cut pairs of ascending length where the next would exceed the budget: its row is the longest of its batch."""
        batches, begin = [], 0
        for place, length in enumerate(longest[by_length].tolist()):
            if place > begin and 2 * (place + 1 - begin) * length > self.token_budget:
                batches.append(by_length[begin:place])
                begin = place
        batches.append(by_length[begin:])
        return batches
