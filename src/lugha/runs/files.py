"""Durable files: what is written whole, hashed, and on disk when the call returns.

A file appears under its name only when all of it is there (temporary name, fsync, rename), so that a process killed at any
moment leaves either the old file or the new one. A full disk leaves the old one and one clear line.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lugha.errors import InterruptedRunError

_BLOCK = 1 << 20


def sha256_file(path: Path) -> str:
    """SHA-256 of the bytes of `path`, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of `value` as canonical JSON (sorted keys, no blanks, UTF-8): equal values give equal digests."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename is not, until its folder is synced)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Flush every file below `folder`, then the folders themselves."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            fsync_folder(path)
        else:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    fsync_folder(folder)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step: temporary file, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with disk_full_is_one_line(path), temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8, as it is) in one step."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as indented JSON, in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def _is_disk_full(error: Exception) -> bool:
    """Libraries written in Rust and C++ raise their own classes and put the number of errno(3) into the message."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := re.search(r"\b(?:os error|errno) (\d+)", str(error))):
        number = int(found[1])
    return number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def disk_full_is_one_line(target: Path) -> Iterator[None]:
    """Turn "no space left" and "file too large" into one line that names the file and what to do.

    Raises:
        InterruptedRunError: the disk (or the quota) is full; nothing under the final name has changed.
    """
    try:
        yield
    except Exception as error:
        if not _is_disk_full(error):
            raise
        place = target if target.exists() else target.parent
        free = shutil.disk_usage(place).free / 1e6 if place.exists() else 0.0
        raise InterruptedRunError(
            f"No space left on the disk while writing {target} ({free:.0f} MB free); "
            "nothing half-written was kept. Make room and run the same command again."
        ) from error
