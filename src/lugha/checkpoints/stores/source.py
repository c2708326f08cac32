"""The local side of an upload: the bytes of a file of this machine. Its troubles are not the store's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from lugha.errors import InputError

_BLOCK = 1 << 20


@contextlib.contextmanager
def opened(source: Path) -> Iterator[BinaryIO]:
    """The file, open for reading.

    Raises:
        InputError: it is not there, or cannot be read.
    """
    try:
        stream = source.open("rb")
    except OSError as error:
        raise _unreadable(source, error) from error
    with stream:
        yield stream


def bytes_in(source: Path) -> int:
    """Size of the file.

    Raises:
        InputError: it is not there.
    """
    try:
        return source.stat().st_size
    except OSError as error:
        raise _unreadable(source, error) from error


def blocks_of(source: Path) -> Iterator[bytes]:
    """Its bytes, in blocks.

    Raises:
        InputError: it is not there, or cannot be read.
    """
    with opened(source) as stream:
        while block := _read(stream, source, _BLOCK):
            yield block


def exactly(stream: BinaryIO, source: Path, size: int) -> bytes:
    """The next `size` bytes of the file.

    Raises:
        InputError: there are fewer: somebody changed the file.
    """
    block = _read(stream, source, size)
    if len(block) != size:
        raise InputError(f"{source}: became shorter while it was published. Something else writes there.")
    return block


def same_bytes(source: Path, stored: Iterable[bytes]) -> bool:
    """Whether blocks of any sizes are the bytes of the file. Every byte is compared: sizes and times prove nothing."""
    with opened(source) as stream:
        return all(_read(stream, source, len(block)) == block for block in stored) and not _read(stream, source, 1)


def _read(stream: BinaryIO, source: Path, size: int) -> bytes:
    try:
        return stream.read(size)
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Path, error: OSError) -> InputError:
    return InputError(f"{source}: cannot be published, it cannot be read ({os.strerror(error.errno or 0)}).")
