"""Fertility: what a tokenizer makes of real words. Measured on text that it was not trained on.

    measure_fertility(tokenizer, [("swh", "Habari ya asubuhi."), ...])  ->  {"swh": Fertility(words=3, tokens=4, ...)}

Tokens per word decide how much text fits a model's window and what a word costs; below 1.5 is good. Words of which a
character was split into bytes (a rare letter, an emoji) are the sign of an alphabet that the vocabulary does not cover.
A word is what stands between blanks; for the last count each distinct word is encoded alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lugha.tokens.encode import Encoder, batches
from lugha.tokens.special import UNK
from lugha.tokens.style import token_bytes


@dataclass(frozen=True)
class Fertility:
    """Counts over the measured texts of one language, and the rates that follow."""

    texts: int
    words: int
    bytes: int  # UTF-8
    tokens: int
    byte_split_words: int  # words with a token that is not whole characters
    unknown_tokens: int

    @property
    def tokens_per_word(self) -> float:
        """Mean number of tokens for a word, punctuation and blanks included."""
        return self.tokens / self.words if self.words else 0.0

    @property
    def bytes_per_token(self) -> float:
        """Mean UTF-8 bytes of text for a token."""
        return self.bytes / self.tokens if self.tokens else 0.0

    @property
    def byte_split_share(self) -> float:
        """Share of words with a character that was split into bytes."""
        return self.byte_split_words / self.words if self.words else 0.0

    def as_dict(self) -> dict[str, float]:
        """Counts and rounded rates, for a manifest."""
        derived = {name: getattr(self, name) for name in ("tokens_per_word", "bytes_per_token", "byte_split_share")}
        return asdict(self) | {name: round(value, 4) for name, value in derived.items()}


def measure_fertility(tokenizer: Tokenizer, texts: Iterable[tuple[str, str]]) -> dict[str, Fertility]:
    """Fertility by language, of (language, text) in any order; text in the form that the tokenizer was trained on (NFC)."""
    of_language: dict[str, list[str]] = defaultdict(list)
    for language, text in texts:
        of_language[language].append(text)
    encoder, unknown, partial = Encoder(tokenizer), tokenizer.token_to_id(UNK), partial_characters(tokenizer)
    return {language: _measure(encoder, of_language[language], unknown, partial) for language in sorted(of_language)}


def _measure(encoder: Encoder, texts: list[str], unknown: int | None, partial: NDArray[np.bool_]) -> Fertility:
    words = Counter(word for text in texts for word in text.split())
    tokens = unknown_tokens = 0
    for part in batches(texts):
        ids = encoder.encode(texts[part]).ids
        tokens += ids.size
        unknown_tokens += int(np.count_nonzero(ids == unknown)) if unknown is not None else 0
    distinct = list(words)
    split = 0
    for part in batches(distinct):
        encoded = encoder.encode(distinct[part])
        flags = np.concatenate([[0], np.cumsum(partial[encoded.ids])])[encoded.offsets]
        split += sum(words[word] for word, has in zip(distinct[part], np.diff(flags), strict=True) if has)
    return Fertility(
        texts=len(texts),
        words=words.total(),
        bytes=sum(len(text.encode()) for text in texts),
        tokens=tokens,
        byte_split_words=split,
        unknown_tokens=unknown_tokens,
    )


def partial_characters(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Which tokens hold bytes that are not whole characters: [vocabulary]."""
    return np.array([not _is_utf8(token) for token in token_bytes(tokenizer)])


def _is_utf8(token: bytes) -> bool:
    try:
        token.decode()
    except UnicodeDecodeError:
        return False
    return True
