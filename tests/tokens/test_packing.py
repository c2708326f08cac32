"""Packing: nothing cropped, nothing dropped, every token predicted once, rows nearly full."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.tokens.packing import cut_pieces, pack_rows

lengths = st.lists(st.integers(0, 70), max_size=60).map(lambda x: np.array(x, dtype=np.int64))


@given(lengths, st.integers(3, 40))
def test_every_token_but_the_first_is_predicted_exactly_once(documents: np.ndarray, row_length: int) -> None:
    pieces = cut_pieces(documents, row_length)
    predicted: dict[int, list[int]] = {d: [] for d in range(len(documents))}
    for document, start, length in zip(pieces.document, pieces.start, pieces.length, strict=True):
        assert 2 <= length <= row_length
        predicted[int(document)] += range(start + 1, start + length)  # the first token of a piece is context
    for document, length in enumerate(documents):
        assert predicted[document] == list(range(1, length + 2))  # the stream is <s>, length ids, </s>


@given(lengths, st.integers(3, 40))
def test_rows_hold_every_piece_once_and_never_overflow(documents: np.ndarray, row_length: int) -> None:
    pieces = cut_pieces(documents, row_length)
    packs = pack_rows(pieces.length, row_length)
    assert sorted(packs.items.tolist()) == list(range(len(pieces.length)))
    for row in range(len(packs)):
        assert len(packs.row(row)) > 0
        assert pieces.length[packs.row(row)].sum() <= row_length


def test_sentences_fill_rows_to_more_than_99_percent() -> None:
    documents = np.clip(np.random.default_rng(0).lognormal(3.1, 0.7, 20_000), 1, 200).astype(np.int64)
    pieces = cut_pieces(documents, 256)
    packs = pack_rows(pieces.length, 256)
    assert pieces.length.sum() / (len(packs) * 256) > 0.99


def test_a_row_too_short_for_one_token_is_refused() -> None:
    with pytest.raises(ValueError, match="must hold"):
        cut_pieces(np.array([3]), 2)
