"""Raw files as numbered lines: decompressed, split on the newline character alone, decoded as UTF-8, or one clear error.

    for number, line in read_lines(Path("train.ig.gz")): ...

Line n of one file and line n of its translation are one row, so that a line is what `wc -l` counts: `str.splitlines` and
universal newlines would also split at a carriage return, a form feed, U+0085, U+2028 and five more, and shift every pair
after it. One carriage return at the end of a line belongs to the line's end and is taken off; so is a byte order mark at
the beginning of the file. Memory is that of the longest line.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from lugha.errors import InputError

COMPRESSIONS = (".gz", ".zst")
_BLOCK = 1 << 17
_BROKEN = (gzip.BadGzipFile, EOFError, zlib.error, zstandard.ZstdError)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end) of a plain, .gz or .zst file.

    Raises:
        InputError: no such file, a broken or cut-off compressed file, or bytes that are not UTF-8; the message names the
            file and the line, and for the latter the byte within the line, from 1.
    """
    number = 0
    try:
        with _open(path) as stream:
            for number, raw in enumerate(stream, start=1):
                yield number, _decoded(raw, number, path)
    except _BROKEN as error:
        raise InputError(
            f"{path}: the compressed file is broken or cut off after line {number} "
            f"({' '.join(str(error).split()) or 'unexpected end'}). Fetch it again."
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error


def _decoded(raw: bytes, number: int, path: Path) -> str:
    if raw.endswith(b"\n"):
        raw = raw[:-2] if raw.endswith(b"\r\n") else raw[:-1]
    elif raw.endswith(b"\r"):
        raw = raw[:-1]
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise InputError(f"{path}: this is UTF-16. Convert it: iconv -f UTF-16 -t UTF-8.") from error
        raise InputError(
            f"{path}: line {number}: byte {error.start + 1} (0x{raw[error.start]:02x}) is not UTF-8. "
            "Convert the file, for example with iconv -f WINDOWS-1252 -t UTF-8, or mend that line."
        ) from error
    return text.removeprefix("\ufeff") if number == 1 else text


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".zst":
        return io.BufferedReader(_ZstdStream(path), _BLOCK)
    return path.open("rb")


class _ZstdStream(io.RawIOBase):
    """All frames of a .zst file, one after another; unlike zstandard's reader it does not take a cut-off file for whole."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._compressed = b""
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._plain:
            self._compressed = self._compressed or self._file.read(_BLOCK)
            if not self._compressed:
                if self._frame is not None:
                    raise EOFError("a zstd frame has no end")
                return 0
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._plain = memoryview(self._frame.decompress(self._compressed))
            self._compressed = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        size = min(len(buffer), len(self._plain))
        buffer[:size] = self._plain[:size]
        self._plain = self._plain[size:]
        return size
