"""How well general compressors do on the held-out text: what a language model's bits per byte is read against.

A language model is a compressor (its loss in bits is the length of an arithmetic code), so the same held-out bytes give
figures on one scale. Four are reported, all in bits per byte of the held-out rows joined by one newline:

    xz               xz -9e: sees the held-out text alone
    zstd             zstd -19: the same
    zstd_dictionary  zstd -19 -D: with a dictionary trained on training text. Dictionaries are made for many small files;
                     on one of a megabyte zstd searches less with one than without and can end up *above* plain zstd
    zstd_prefix      zstd -19 --patch-from: the training text itself stands before the held-out text in a long window,
                     so that every phrase seen in training can be pointed at. The strongest of the four, the one to beat

Training text may be of any size: a sample spread evenly over it is used (`spread_sample`), within bounded memory.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable

import zstandard
from pydantic import BaseModel, ConfigDict

from lugha.errors import InputError
from lugha.runs.stopping import stop_if_asked

DICTIONARY_BYTES = 112_640  # the zstd command's default (110 KiB)
_LEVEL = 19
_LARGEST_WINDOW = 31


class CompressionBaselines(BaseModel):
    """Bits per byte of each compressor on the same `bytes` of held-out text; see the module's story.

    `zstd_dictionary` is None where zstd refuses to train one, because there is too little training text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int
    dictionary_sample_bytes: int
    prefix_bytes: int
    xz: float
    zstd: float
    zstd_dictionary: float | None
    zstd_prefix: float


def compression_baselines(
    training: Iterable[str],
    held_out: Iterable[str],
    *,
    dictionary_bytes: int = DICTIONARY_BYTES,
    prefix_bytes: int = 16_000_000,
) -> CompressionBaselines:
    """Compress the held-out rows with what training text has to give.

    Args:
        training: training rows, read once; a sample of at most `prefix_bytes` is kept.
        held_out: held-out rows; all of them are compressed, as one text with a newline between rows.
        dictionary_bytes: size of the trained dictionary.
        prefix_bytes: training text in the window, also the sample that the dictionary is trained on. About 0.5 CPU-seconds
            and 10 MB of memory for each MB.

    Raises:
        InputError: there is no held-out or no training text.
        InterruptedRunError: the process is asked to stop.
    """
    text = "\n".join(held_out).encode()
    if not text:
        raise InputError("No held-out text to compress: the rows are missing or empty.")
    rows = [row.encode() for row in spread_sample(training, prefix_bytes)]
    prefix = b"\n".join(rows)
    if not prefix:
        raise InputError("No training text for the compressors' dictionary: the rows are missing or empty.")

    def bits_per_byte(compressed: bytes) -> float:
        stop_if_asked()  # each took seconds, and has no loop of ours inside
        return 8 * len(compressed) / len(text)

    dictionary = _trained_dictionary(rows, dictionary_bytes)
    return CompressionBaselines(
        bytes=len(text),
        dictionary_sample_bytes=sum(map(len, rows)),
        prefix_bytes=len(prefix),
        xz=bits_per_byte(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)),
        zstd=bits_per_byte(zstandard.ZstdCompressor(level=_LEVEL).compress(text)),
        zstd_dictionary=None if dictionary is None else bits_per_byte(compress_with_dictionary(text, dictionary)),
        zstd_prefix=bits_per_byte(compress_after_prefix(text, prefix)),
    )


def compress_with_dictionary(text: bytes, dictionary: zstandard.ZstdCompressionDict) -> bytes:
    """What `zstd -19 -D dictionary` makes of `text`."""
    return zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary).compress(text)


def compress_after_prefix(text: bytes, prefix: bytes) -> bytes:
    """What `zstd -19 --patch-from=prefix` makes of `text`: a window over both, matches anywhere in `prefix`."""
    window = min(_LARGEST_WINDOW, max(10, (len(text) + len(prefix)).bit_length()))
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, window_log=window, source_size=len(text), dict_size=len(prefix)
    )
    raw = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=raw).compress(text)


def spread_sample(rows: Iterable[str], max_bytes: int) -> list[str]:
    """Every k-th row, k = 1, 2, 4, ... the smallest that keeps the sample within `max_bytes` of UTF-8.

    One pass, memory of the sample alone; where text is plenty the sample holds about half of `max_bytes` or more. A
    single row that is larger than `max_bytes` is kept whole.
    """
    kept: list[str] = []
    sizes: list[int] = []
    total, stride = 0, 1
    for number, row in enumerate(rows):
        if number % stride:
            continue
        kept.append(row)
        sizes.append(len(row.encode()))
        total += sizes[-1]
        while total > max_bytes and len(kept) > 1:
            kept, sizes = kept[::2], sizes[::2]
            total, stride = sum(sizes), stride * 2
    return kept


def _trained_dictionary(rows: list[bytes], size: int) -> zstandard.ZstdCompressionDict | None:
    try:
        return zstandard.train_dictionary(size, [*rows])
    except zstandard.ZstdError:  # "Src size is incorrect": fewer than seven rows, or next to nothing in them
        return None
