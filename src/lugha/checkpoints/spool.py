"""The spool: a run's own copies of the checkpoints that are on their way to a store.

    RUN/spool/
        00007-step-00000500-3fa9c1d2/     the 7th snapshot, of step 500, 3fa9c1d2 begins its manifest's SHA-256
            checkpoint/                   hard links to the checkpoint's files: they cost no room, and stay when the
                                          checkpoint's own folder is rotated away
            waits-1d0c5b7f90ab.json       {"store": "s3://b/p", "name": "..."}: one file for each store that still waits
        .00008-step-00000600-....partial  half-made when the process was killed; removed at the next start

A snapshot appears by one rename, with all its waits. A store that has it takes its own wait away, and the last one the
snapshot. So whatever moment a process is killed at, what is left says what is still to be sent, where, and under which name.
Links become copies where the disk cannot link (another file system, FAT, SMB).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lugha.checkpoints.format import unsealed
from lugha.checkpoints.publish import manifest_bytes_of
from lugha.errors import InputError
from lugha.runs.files import disk_full_is_one_line, fsync_folder, write_json
from lugha.runs.manifest import MANIFEST

_FOLDER = re.compile(r"(?P<number>\d{5,})-step-(?P<step>\d{8,})-[0-9a-f]{8}")
_NO_LINKS = {
    errno.EXDEV,
    errno.EPERM,
    errno.EACCES,
    errno.EMLINK,
    errno.EINVAL,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
}


@dataclass(frozen=True)
class Snapshot:
    """One checkpoint in the spool."""

    folder: Path
    number: int  # order of the submits, over all attempts of a run
    run: str  # id of the run; "" when the manifest was damaged since
    step: int
    bytes: int  # of the checkpoint's files; 0 when the manifest was damaged since
    manifest: str  # SHA-256 of the manifest

    @property
    def checkpoint(self) -> Path:
        """Folder of the files."""
        return self.folder / "checkpoint"


@dataclass(frozen=True)
class Wait:
    """A snapshot that a store does not have yet."""

    snapshot: Snapshot
    store: str  # its address
    name: str | None  # under which it is sent; None when the record of it is damaged


class Spool:
    """The spool of one run; any thread may call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._last_number = 0

    def keep(self, checkpoint: Path, names: Mapping[str, str]) -> list[Wait]:
        """Make a snapshot of a whole checkpoint that waits for some stores; it is on the disk when the call returns.

        Args:
            names: address of each store -> name under which it is sent.

        Returns the waits for these stores: a checkpoint that is in the spool already keeps its place and its names.

        Raises:
            InputError: the checkpoint is not whole.
            InterruptedRunError: the disk is full; nothing was kept.
        """
        content = manifest_bytes_of(checkpoint)
        manifest = unsealed(content, checkpoint / MANIFEST)
        digest = hashlib.sha256(content).hexdigest()
        with self._lock, disk_full_is_one_line(self._folder / checkpoint.name):
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"step-{manifest.step:08d}-{digest[:8]}"
            there = (_read(path) for path in self._folder.glob(f"[0-9]*-{name}"))
            snapshot = next((one for one in there if one.manifest == digest), None)
            if snapshot is None:
                files = [*(record.path for record in manifest.files), MANIFEST]
                return self._make(checkpoint, files, name, names)
            new = {store: name for store, name in names.items() if not (snapshot.folder / _wait_file(store)).exists()}
            _write_waits(snapshot.folder, new)
            return [Wait(snapshot, store, _read_wait(snapshot.folder / _wait_file(store))[1]) for store in names]

    def _make(self, checkpoint: Path, files: list[str], name: str, names: Mapping[str, str]) -> list[Wait]:
        numbers = [int(m["number"]) for path in self._folder.iterdir() if (m := _FOLDER.fullmatch(path.name))]
        self._last_number = 1 + max([self._last_number, *numbers])
        folder = self._folder / f"{self._last_number:05d}-{name}"
        partial = self._folder / f".{folder.name}.partial"
        try:
            for file in files:
                _link_or_copy(checkpoint / file, partial / "checkpoint" / file)
            _write_waits(partial, names)
            for place in [*(path for path in partial.rglob("*") if path.is_dir()), partial]:
                fsync_folder(place)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        fsync_folder(self._folder)
        snapshot = _read(folder)
        return [Wait(snapshot, store, named) for store, named in names.items()]

    def left(self, stores: list[str]) -> tuple[list[Wait], list[Wait]]:
        """What an earlier process left: waits for these stores and waits for stores that are none of them, oldest first.

        What was half-made or is not waited for any more is removed. Call it before any other thread knows the spool.
        """
        if not self._folder.is_dir():
            return [], []
        known = {_wait_file(store): store for store in stores}
        ours: list[Wait] = []
        others: list[Wait] = []
        for folder in sorted(self._folder.iterdir()):
            whole = _FOLDER.fullmatch(folder.name) is not None
            waits = sorted(folder.glob("waits-*.json")) if whole else []
            if not waits:
                if whole or folder.name.endswith(".partial"):
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            snapshot = _read(folder)
            for path in waits:
                store, name = _read_wait(path)
                if path.name in known:
                    ours.append(Wait(snapshot, known[path.name], name if store == known[path.name] else None))
                else:
                    others.append(Wait(snapshot, store or path.name, name))
        ours.sort(key=lambda wait: wait.snapshot.number)
        return ours, others

    def done(self, wait: Wait) -> None:
        """A store waits no more; the snapshot goes when it was the last one."""
        folder = wait.snapshot.folder
        gone = folder.with_name(f".{folder.name}.partial")
        with self._lock:
            (folder / _wait_file(wait.store)).unlink(missing_ok=True)
            if not folder.is_dir() or any(folder.glob("waits-*.json")):
                return
            folder.rename(gone)
        shutil.rmtree(gone)


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file, or its copy on the disk.

    Raises:
        InputError: there is no such file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError as error:
        raise InputError(f"{source}: missing, so this checkpoint is not whole.") from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)
        with target.open("rb") as stream:
            os.fsync(stream.fileno())


def _read(folder: Path) -> Snapshot:
    """The snapshot in a folder, also when its manifest was damaged since: publishing it will say so."""
    match = _FOLDER.fullmatch(folder.name)
    assert match is not None  # the callers looked
    content, run, size = b"", "", 0
    with contextlib.suppress(InputError):
        content = manifest_bytes_of(folder / "checkpoint")
        manifest = unsealed(content, folder)
        run, size = manifest.run, manifest.bytes
    digest = hashlib.sha256(content).hexdigest()
    return Snapshot(folder, int(match["number"]), run, int(match["step"]), size, digest)


def _wait_file(store: str) -> str:
    return f"waits-{hashlib.sha256(store.encode()).hexdigest()[:12]}.json"


def _write_waits(folder: Path, names: Mapping[str, str]) -> None:
    for store, name in names.items():
        write_json(folder / _wait_file(store), {"store": store, "name": name})


def _read_wait(path: Path) -> tuple[str | None, str | None]:
    """(store, name) of a wait, or twice None when it was damaged."""
    try:
        record = json.loads(path.read_bytes())
        return str(record["store"]), str(record["name"])
    except (ValueError, KeyError, TypeError):
        return None, None
