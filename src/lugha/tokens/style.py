"""The two makes of BPE that lugha trains, each chosen because llama.cpp gives the same ids for it.

    bytes      byte-level BPE. The text is split into words first, by the pattern of Qwen3.5, then every byte is a symbol.
               The pattern keeps combining marks with their letters (GPT-2's and Llama 3's cut `ọ́kụ́` apart at each tone mark)
               and llama.cpp has a splitter of its own for it, under the label `qwen35`.
    metaspace  BPE as SentencePiece makes it: a blank is the letter `▁`, a text begins with one, words are not cut at
               punctuation or digits, and what is outside the alphabet becomes `<0x00>`...`<0xFF>`. Fewest tokens a word.

Neither has a normaliser that changes letters: llama.cpp drops such normalisers. Text comes in NFC, from the normaliser of
its language. What the metaspace style has for a normaliser is Llama's: prepend `▁`, write blanks as `▁`. It is trained with
a splitter at blanks and written without: then repeated and leading blanks have the same ids in llama.cpp too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

Style = Literal["bytes", "metaspace"]

QWEN35_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTE_TOKENS = tuple(f"<0x{byte:02X}>" for byte in range(256))
BLANK = "▁"

# llama.cpp makes any token out of two neighbours that spell it, in whatever order they were merged in training. Were `s>` a
# token, it would read the text `<s>` as a control token. Tokens of one character cannot spell a special token or a byte.
_NEVER_MERGED = Regex("[<>_]")


def train_bytes(texts: Iterable[Sequence[str]], vocab_size: int, min_frequency: int, special: list[str]) -> Tokenizer:
    """Train byte-level BPE on batches of NFC texts; `vocab_size` counts special tokens and the 256 bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN35_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(iter(texts), trainer)
    return tokenizer


def train_metaspace(
    texts: Iterable[Sequence[str]], vocab_size: int, min_frequency: int, special: list[str], alphabet: list[str]
) -> Tokenizer:
    """Train SentencePiece-style BPE on batches of NFC texts; characters outside `alphabet` are left to the bytes.

    `vocab_size` counts special tokens, the 256 byte tokens and the alphabet.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=special[3], fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(BLANK, prepend_scheme="always"),
            pre_tokenizers.Split(_NEVER_MERGED, behavior="isolated"),
        ]
    )
    letters = sorted({BLANK, *alphabet})
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=[*special, *BYTE_TOKENS],
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    tokenizer.train_from_iterator(iter(texts), trainer)
    return _as_llama_reads_it(tokenizer)


def _as_llama_reads_it(trained: Tokenizer) -> Tokenizer:
    """The trained merges under Llama's normaliser and decoder; byte tokens are ordinary ones that no text can spell."""
    record = json.loads(trained.to_str())
    record["added_tokens"] = [t for t in record["added_tokens"] if t["content"] not in BYTE_TOKENS]
    tokenizer = Tokenizer.from_str(json.dumps(record))
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def choose_alphabet(texts: Iterable[Sequence[str]], min_count: int, limit: int) -> list[str]:
    """Characters that occur at least `min_count` times, the commonest `limit` of them (ties: lower code point), sorted.

    A rare letter of the language costs one token; a rare letter left out costs two or three bytes each time.
    """
    counts = np.zeros(0x110000, dtype=np.int64)
    for batch in texts:
        points = np.frombuffer("".join(batch).encode("utf-32-le"), dtype="<u4")
        found, times = np.unique(points, return_counts=True)
        counts[found] += times
    counts[[ord(" "), ord(BLANK)]] = 0
    often = np.flatnonzero(counts >= max(1, min_count))
    commonest = often[np.lexsort((often, -counts[often]))][:limit]
    return [chr(point) for point in np.sort(commonest)]


def style_of(tokenizer: Tokenizer | str) -> Style | None:
    """The style that a tokenizer (or the text of its tokenizer.json) has to the letter, or None for any other make."""
    record = json.loads(tokenizer if isinstance(tokenizer, str) else tokenizer.to_str())
    if record["model"].get("type") != "BPE":
        return None
    if record["normalizer"] is None and list(_steps(record["pre_tokenizer"])) == _BYTES_STEPS:
        return "bytes"
    unsplit = record["pre_tokenizer"] is None and record["model"].get("byte_fallback")
    if unsplit and list(_steps(record["normalizer"])) == _METASPACE_STEPS:
        return "metaspace"
    return None


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of text that each token stands for, by id; none for special tokens.

    Joined over the ids of a text they are its UTF-8, plus the one blank that the metaspace style puts before a text. This
    holds for single tokens too, which `decode` does not: there a part of a character becomes U+FFFD.
    """
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    byte_level = (json.loads(tokenizer.to_str())["decoder"] or {}).get("type") == "ByteLevel"
    spelled = _bytes_of_byte_level if byte_level else _bytes_of_metaspace
    vocab = tokenizer.get_vocab()
    found = [b""] * (max(vocab.values()) + 1)
    for token, i in vocab.items():
        found[i] = b"" if token in special else spelled(token)
    return found


def _bytes_of_metaspace(token: str) -> bytes:
    if token in _BYTE_OF_TOKEN:
        return bytes([_BYTE_OF_TOKEN[token]])
    return token.replace(BLANK, " ").encode()


def _bytes_of_byte_level(token: str) -> bytes:
    return bytes(_BYTE_OF_LETTER[letter] for letter in token)


def _byte_letters() -> dict[str, int]:
    """GPT-2's letters for the 256 bytes: printable Latin-1 stands for itself, the others for U+0100 and up, in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


_BYTE_OF_TOKEN = {token: byte for byte, token in enumerate(BYTE_TOKENS)}
_BYTE_OF_LETTER = _byte_letters()
_BYTES_STEPS = [
    {"type": "Split", "pattern": {"Regex": QWEN35_PATTERN}, "behavior": "Isolated", "invert": False},
    {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
]
_METASPACE_STEPS = [
    {"type": "Prepend", "prepend": BLANK},
    {"type": "Replace", "pattern": {"String": " "}, "content": BLANK},
]


def _steps(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The members of a Sequence in a tokenizer.json, without `trim_offsets`, which changes no id."""
    if part is not None:
        for step in part.get("pretokenizers", part.get("normalizers", [part])):
            yield {key: value for key, value in step.items() if key != "trim_offsets"}
