"""Packing: which pieces of which documents share a training row, so that nearly no computation is spent on padding.

A document's stream is `<s> ids </s>`. A stream longer than a row is cut into pieces that overlap by one token: the overlap
is context only, so every token but `<s>` is predicted exactly once. Nothing is cropped and nothing is dropped.

    pieces = cut_pieces(lengths, row_length=256)      # one entry a piece: document, first token, length
    packs = pack_rows(pieces.length, row_length=256)  # row r holds packs.items[packs.start[r]:packs.start[r + 1]]

Rows are filled by best fit in corpus order (the fullest row that still has room), which is a function of the lengths alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """Pieces of documents' streams, in corpus order; all arrays have shape [pieces]."""

    document: Ints
    start: Ints  # first token of the piece in the document's stream; place 0 is <s>
    length: Ints  # tokens, at most the row length


@dataclass(frozen=True)
class Packs:
    """Rows of pieces: row r holds the pieces `items[start[r]:start[r + 1]]`."""

    items: Ints  # [pieces], a permutation of the pieces' numbers
    start: Ints  # [rows + 1]

    def __len__(self) -> int:
        return len(self.start) - 1

    def row(self, number: int) -> Ints:
        """Numbers of the pieces in row `number`."""
        return self.items[self.start[number] : self.start[number + 1]]


def cut_pieces(lengths: npt.NDArray[np.integer], row_length: int) -> Pieces:
    """Cut streams into pieces of at most `row_length` tokens.

    Args:
        lengths: [documents], ids in each document without `<s>` and `</s>`.
    """
    if row_length < 3:
        raise ValueError("a row must hold <s>, one token and </s>")
    stream = lengths.astype(np.int64) + 2
    step = row_length - 1
    counts = np.maximum(1, -((stream - 1) // -step))  # pieces of a stream: ceil((stream - 1) / step)
    document = np.repeat(np.arange(len(stream)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    start = (np.arange(len(document)) - first) * step
    return Pieces(document, start, np.minimum(stream[document] - start, row_length))


def pack_rows(lengths: Ints, row_length: int) -> Packs:
    """Put pieces into rows of `row_length` by best fit, in order.

    `open_rows[room]` lists the rows with exactly `room` tokens free; `rooms` has bit `room` set where that list is not
    empty, so the best fit is the lowest set bit at or above the piece's length: constant time a piece.
    """
    row_of = np.empty(len(lengths), dtype=np.int64)
    open_rows: list[list[int]] = [[] for _ in range(row_length + 1)]
    rooms = rows = 0
    for piece, length in enumerate(lengths.tolist()):
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms ^= 1 << room
        else:
            row, room = rows, row_length
            rows += 1
        row_of[piece] = row
        left = room - length
        if left:
            open_rows[left].append(row)
            rooms |= 1 << left
    items = np.argsort(row_of, kind="stable")
    start = np.searchsorted(row_of[items], np.arange(rows + 1))
    return Packs(items, start)
