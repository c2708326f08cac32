"""Documents packed into rows for a decoder: several in a row, none attending to another, nothing cropped.

Positions restart at each stream, which is how transformers knows that attention must not cross from one document to the next
(also under Mistral's sliding window). Labels are said by position: a token is predicted because of where it stands, whatever
its id. Legend: B rows of a micro-batch, T tokens of a row.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from lugha.errors import InputError
from lugha.tokens.packing import Packs, Pieces, cut_pieces, pack_rows
from lugha.tokens.special import Roles
from lugha.training.batches import IGNORED, Batch, Ints
from lugha.training.order import permuted


class Documents(Protocol):
    """Documents as token ids, by number: `TokenShards`, or a few encoded in memory."""

    @property
    def lengths(self) -> npt.NDArray[np.integer]:
        """[documents] ids in each."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> npt.NDArray[np.integer]: ...


class Stream(NamedTuple):
    """Consecutive tokens that attend to one another alone, and which of them are predicted (never the first)."""

    ids: Ints  # [n]
    predicted: npt.NDArray[np.bool_]  # [n]


class Answered(Protocol):
    """Prompts with answers as token ids, by number: `TokenShards` of kind "examples" or "preferences"."""

    def __getitem__(self, number: int) -> npt.NDArray[np.integer]: ...

    def predicted(self, number: int) -> npt.NDArray[np.bool_]:
        """For each id of a sequence whether it belongs to the answer."""


def answered_stream(shards: Answered, number: int, roles: Roles) -> Stream:
    """`<s> prompt answer </s>` of a sequence: the answer is predicted, and the end where it ends an answer."""
    ids, answer = shards[number], shards.predicted(number)
    stream = np.concatenate([[roles.bos], ids, [roles.eos]]).astype(np.int64)
    return Stream(stream, np.concatenate([[False], answer, [answer[-1:].any()]]))


def packed_rows(rows: Sequence[Iterable[Stream]], row_length: int, pad: int) -> Batch:
    """Lay streams end to end into rows of T = `row_length` tokens, filled up with `pad`.

    Returns:
        `input_ids`, `labels`, `position_ids`, each int64 [B, T]; labels are `input_ids` where they are predicted. Positions
        restart at each stream and at the padding, which no stream sees.
    """
    shape = (len(rows), row_length)
    input_ids = np.full(shape, pad, dtype=np.int64)
    labels = np.full(shape, IGNORED, dtype=np.int64)
    positions = np.zeros(shape, dtype=np.int64)
    for row, streams in enumerate(rows):
        end = 0
        for ids, predicted in streams:
            begin, end = end, end + len(ids)
            input_ids[row, begin:end] = ids
            labels[row, begin:end][predicted] = ids[predicted]
            positions[row, begin:end] = np.arange(len(ids))
        positions[row, end:] = np.arange(row_length - end)
    return {
        "input_ids": torch.from_numpy(input_ids),
        "labels": torch.from_numpy(labels),
        "position_ids": torch.from_numpy(positions),
    }


@dataclass(frozen=True, eq=False)
class PackedBatches:
    """Packed rows of documents; a micro-batch has B = `rows` rows of T = `row_length` tokens."""

    shards: Documents
    row_length: int
    rows: int
    seed: int
    roles: Roles
    shuffled: bool = True

    def __post_init__(self) -> None:
        if len(self) == 0:
            raise InputError(
                "The split has no documents: nothing to train or measure on. See the split stage's manifest.json."
            )

    @functools.cached_property
    def pieces(self) -> Pieces:
        """Pieces of all documents."""
        return cut_pieces(self.shards.lengths, self.row_length)

    @functools.cached_property
    def packs(self) -> Packs:
        """Rows of pieces; the same in every epoch, only their order changes."""
        return pack_rows(self.pieces.length, self.row_length)

    def __len__(self) -> int:
        return len(self.packs)

    @property
    def tokens_per_epoch(self) -> int:
        """Predicted tokens in an epoch: every token of a stream but its `<s>`."""
        return int((self.shards.lengths.astype(np.int64) + 1).sum())

    @property
    def padding(self) -> float:
        """Share of the tokens in all rows that are padding."""
        return 1.0 - float(self.pieces.length.sum()) / (len(self.packs) * self.row_length)

    def micro_batches(self, epoch: int) -> int:
        """Full micro-batches and, where rows are left over, one short one."""
        return -(-len(self.packs) // self.rows)

    def micro_batch(self, epoch: int, index: int) -> Batch:
        """`input_ids`, `labels`, `position_ids`, each int64 [B, T]; labels are `input_ids` where they are predicted."""
        places = np.arange(index * self.rows, min((index + 1) * self.rows, len(self.packs)))
        if self.shuffled:
            places = permuted(places, n=len(self.packs), seed=self.seed, epoch=epoch)
        rows = [[self._stream(int(piece)) for piece in self.packs.row(int(pack))] for pack in places]
        return packed_rows(rows, self.row_length, self.roles.pad)

    def _stream(self, piece: int) -> Stream:
        ids = self._piece_ids(piece)
        predicted = np.ones(len(ids), dtype=np.bool_)
        predicted[0] = False  # context: either <s>, or already predicted by the piece before
        return Stream(ids, predicted)

    def _piece_ids(self, piece: int) -> Ints:
        document, start = int(self.pieces.document[piece]), int(self.pieces.start[piece])
        length = int(self.pieces.length[piece])
        ids = self.shards[document]
        out = np.empty(length, dtype=np.int64)
        begin = 0
        if start == 0:
            out[0], begin = self.roles.bos, 1
        body = ids[max(0, start - 1) : start - 1 + length]
        out[begin : begin + len(body)] = body
        if begin + len(body) < length:
            out[-1] = self.roles.eos
        return out
