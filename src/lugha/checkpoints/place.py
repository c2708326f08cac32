"""Putting a checkpoint's folder in place, or away: under its name it is whole or not there, whatever ends the process.

    with partial_folder(checkpoints / "step-00000500") as partial:
        ...write and flush files below partial...
        put_in_place(partial, checkpoints / "step-00000500")
    remove_folder(checkpoints / "step-00000100")

What a killed process leaves beside the checkpoints, and what `tidy` makes of it when the next one is written:

    .step-00000500.3fa9.partial    half-written: removed, unless a living process holds its lock
    .step-00000100.deleted         half-removed: removed
    step-00000500-replaced         an older checkpoint of the same step: removed where the newer one stands, else put back
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from lugha.checkpoints.format import read_manifest_of
from lugha.errors import InputError
from lugha.runs.files import fsync_folder

_PARTIAL, _DELETED, _REPLACED = ".partial", ".deleted", "-replaced"


@contextlib.contextmanager
def partial_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, under a name that no listing shows; what is left of it at the end is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    tidy(folder.parent)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(2)}{_PARTIAL}")
    partial.mkdir()
    handle = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel frees it when the process dies
        yield partial
    finally:
        os.close(handle)
        shutil.rmtree(partial, ignore_errors=True)


def put_in_place(partial: Path, folder: Path) -> None:
    """Rename; a checkpoint of the same step that is there is whole, under another name, until the new one stands."""
    before = folder.with_name(f"{folder.name}{_REPLACED}")
    if folder.exists():
        remove_folder(before)
        folder.rename(before)
    partial.rename(folder)
    fsync_folder(folder.parent)
    remove_folder(before)


def remove_folder(folder: Path) -> None:
    """Remove a checkpoint: with one rename it is none any more, then its files go. Nothing where there is none."""
    if not folder.exists():
        return
    leaving = folder.with_name(f".{folder.name}{_DELETED}")
    shutil.rmtree(leaving, ignore_errors=True)
    folder.rename(leaving)
    fsync_folder(folder.parent)
    shutil.rmtree(leaving)


def tidy(checkpoints: Path) -> None:
    """Finish what a process that died had begun; see the module's story."""
    for partial in checkpoints.glob(f".*{_PARTIAL}"):
        if not _is_written(partial):
            shutil.rmtree(partial, ignore_errors=True)
    for leaving in checkpoints.glob(f".*{_DELETED}"):
        shutil.rmtree(leaving, ignore_errors=True)
    for before in checkpoints.glob(f"*{_REPLACED}"):
        folder = before.with_name(before.name.removesuffix(_REPLACED))
        if not folder.exists():
            before.rename(folder)
        elif _has_manifest(folder):
            remove_folder(before)


def _is_written(partial: Path) -> bool:
    """Whether a living process holds the lock of a folder."""
    try:
        handle = os.open(partial, os.O_RDONLY)
    except OSError:  # it went meanwhile
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _has_manifest(folder: Path) -> bool:
    try:
        read_manifest_of(folder)
    except InputError:
        return False
    return True
