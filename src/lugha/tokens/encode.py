"""From texts to token ids, exactly and fast: each distinct word is encoded once.

    Encoder(tokenizer).encode(["Habari ya asubuhi.", ...])  ->  ids of all texts end to end, and where each begins

A text is cut into words where a cut can change no id; the ids of a word are asked of the tokenizer when the word is first
seen, and looked up afterwards. Nine words of ten are repeats even in a corpus of 4 MB, so this is faster than `encode_batch`
(`bench/tokens/encode.py`), and a document of megabytes is no longer one call that no other core can share.

    bytes      cut before a blank that follows a character which is no white space; the blank goes with the right part. In the
               split pattern a blank can only stand behind white space or first in its token, nothing looks back, and only
               the end of a run of white space looks ahead.
    metaspace  cut at every blank, and leave it out: it is written as `▁`, the text begins with another `▁`, and no token
               holds one but at its start. (Checked: a tokenizer that has tokens of several blanks is not cut.)

A tokenizer of any other make is never cut, nor one with added tokens of its own, which may hold blanks.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lugha.tokens.style import BLANK, style_of

BATCH_CHARACTERS = 1_000_000
_REMEMBERED_CHARACTERS = 4_000_000  # of distinct words, about 500,000 of them and 100 MB
_BEFORE_BLANK = re.compile(r"(?<=\S)(?= )")  # all white space of the split pattern is white space to Python too


@dataclass(frozen=True)
class Encoded:
    """Token ids of several texts, end to end: text i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: NDArray[Any]  # [sum of lengths], uint16 or uint32
    offsets: NDArray[np.int64]  # [texts + 1]


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Little-endian type that token ids are stored in: uint16 up to 65,535 tokens, else uint32."""
    return np.dtype("<u2" if vocab_size <= 65_535 else "<u4")


def as_plain_text(tokenizer: Tokenizer) -> Tokenizer:
    """Make `tokenizer` read special tokens as ordinary characters and keep texts whole; returns it."""
    tokenizer.encode_special_tokens = True
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class Encoder:
    """Encodes texts with one tokenizer as plain text: special tokens are neither added nor found, nothing is truncated."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = as_plain_text(Tokenizer.from_str(tokenizer.to_str()))  # a copy: the caller's stays as it is
        self._cut, self._ids_of_nothing = _cutter(tokenizer)
        self.dtype = token_dtype(tokenizer.get_vocab_size())
        self._known = _KnownWords(self.dtype)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Encode `texts`; an empty text has no ids."""
        words: list[str] = []
        ends = [0]
        for text in texts:
            words += self._cut(text)
            ends.append(len(words))
        known = self._known
        new = list(set(words).difference(known.number))
        known.add(new, self._encode_words(new))
        numbers = np.fromiter(map(known.number.__getitem__, words), np.int64, len(words))
        offsets = _running_sum(known.length[numbers])
        # Token k of the result stands in word w at k - offsets[w], and so in the store at k + start[w] - offsets[w].
        shift = np.repeat(known.start[numbers] - offsets[:-1], np.diff(offsets))
        encoded = Encoded(known.store[shift + np.arange(offsets[-1])], offsets[ends])
        if known.characters > _REMEMBERED_CHARACTERS:
            self._known = _KnownWords(self.dtype)
        return encoded

    def _encode_words(self, words: list[str]) -> list[list[int]]:
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(words, add_special_tokens=False)]
        if "" in words:
            ids[words.index("")] = self._ids_of_nothing
        return ids


class _KnownWords:
    """Words by number, and their ids end to end: word n has `store[start[n] : start[n] + length[n]]`."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.number: dict[str, int] = {}
        self.start: NDArray[np.int64] = np.zeros(0, np.int64)
        self.length: NDArray[np.int64] = np.zeros(0, np.int64)
        self.store: NDArray[Any] = np.zeros(0, dtype)
        self.characters = 0

    def add(self, words: list[str], ids: list[list[int]]) -> None:
        length = np.fromiter(map(len, ids), np.int64, len(ids))
        store = np.fromiter(itertools.chain.from_iterable(ids), self.store.dtype, int(length.sum()))
        self.number.update(zip(words, itertools.count(len(self.number)), strict=False))
        self.start = np.concatenate([self.start, _running_sum(length)[:-1] + len(self.store)])
        self.length = np.concatenate([self.length, length])
        self.store = np.concatenate([self.store, store])
        self.characters += sum(map(len, words))


def _cutter(tokenizer: Tokenizer) -> tuple[Callable[[str], list[str]], list[int]]:
    """The function that cuts a text into words, and the ids of a word of no letters (between two blanks)."""
    style = style_of(tokenizer)
    if not all(token.special for token in tokenizer.get_added_tokens_decoder().values()):
        return _whole, []
    if style == "bytes":
        return _BEFORE_BLANK.split, []
    vocabulary = tokenizer.get_vocab()
    if style == "metaspace" and BLANK in vocabulary and not any(BLANK in token[1:] for token in vocabulary):
        return _at_blanks, [vocabulary[BLANK]]
    return _whole, []


def _at_blanks(text: str) -> list[str]:
    return text.split(" ") if text else []


def _whole(text: str) -> list[str]:
    return [text]


def _running_sum(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, then the sum after each: [n + 1]."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def batches(texts: Sequence[str], *, together: int = 1, characters: int = BATCH_CHARACTERS) -> Iterator[slice]:
    """Cut a list of texts into slices of about `characters` characters, so that the encodings of one fit in memory.

    Every slice but the last has a multiple of `together` texts.
    """
    start = size = 0
    for i, text in enumerate(texts, start=1):
        size += len(text)
        if size >= characters and (i - start) % together == 0:
            yield slice(start, i)
            start, size = i, 0
    if start < len(texts):
        yield slice(start, len(texts))
