"""A folder as a store: another disk, or the mount of a network drive.

    FolderStore(Path("/mnt/drive/lugha"))

A file appears under its name only when all of it is there (temporary name, fsync, rename). A network mount is an ordinary
folder that may vanish, hang, fill or turn read-only at any moment: each becomes a `StoreError` of one line. Links are never
followed, neither out of the store nor inside it.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lugha.checkpoints.stores.names import Listed, entries_of, key_of, new_name, promoted_runs
from lugha.checkpoints.stores.protocol import MARKER, PROMOTED, Entry, MissingError, StoreError
from lugha.checkpoints.stores.source import blocks_of, bytes_in, same_bytes

_BLOCK = 1 << 20

# What the system says -> (what to tell, whether somebody has to change something).
_TROUBLES = {
    errno.ENOSPC: ("no space left there. Make room, or prune its checkpoints", False),
    errno.EDQUOT: ("the quota there is used up. Make room, or prune its checkpoints", False),
    errno.EFBIG: ("a file is larger than that place takes. Choose another folder", True),
    errno.EROFS: ("read-only. Mount it for writing, or choose another folder", True),
    errno.EACCES: ("permission denied. Give this user the right to write there", True),
    errno.EPERM: ("not permitted. Give this user the right to write there", True),
    errno.EEXIST: ("a file stands where a folder belongs. Move it away, or choose another folder", True),
    errno.ENOTDIR: ("a file stands where a folder belongs. Move it away, or choose another folder", True),
    errno.EISDIR: ("a folder stands where a file belongs. Move it away, or choose another folder", True),
    errno.ENAMETOOLONG: (
        "a name is longer than that place takes. Choose another folder, or a shorter name for the run",
        True,
    ),
    errno.ENOTCONN: ("the mount has lost its server", False),
    errno.ESTALE: ("the mount has lost its server", False),
    errno.EIO: ("the disk or the mount gives read or write errors", False),
}


class FolderStore:
    """A folder as a store; see the module's story and `protocol.Store`."""

    def __init__(self, path: Path) -> None:
        self._address = str(path)
        self._root = path.expanduser().absolute()
        self._mount: Path | None = None  # where the file system that held the store at first is mounted

    @property
    def address(self) -> str:
        """The folder as the recipe names it."""
        return self._address

    def prepare(self, *, private: bool) -> None:
        """Make the folder, in a folder that is there: below a mount that is not there, nothing is made.

        Raises:
            StoreError: the folder above it is not there, or it cannot be written.
        """
        with self._told("cannot be used"):
            if not self._root.parent.is_dir():
                raise StoreError(
                    f"{self._address}: there is no folder {self._root.parent}. Mount the drive, or make that folder.",
                    permanent=True,
                )
            if not self._root.is_dir():
                self._root.mkdir()
                _sync_folder(self._root.parent)
        self._check()

    def name_for(self, run: str, step: int) -> str:
        """`<run>/step-00000500-<4 hex>`."""
        return new_name(run, step)

    def entries(self) -> list[Entry]:
        """All folders of checkpoints, in no particular order."""
        return entries_of(self._listing())

    def upload(self, name: str, folder: Path, files: Sequence[str]) -> None:
        """Copy files; what already stands there with the same bytes is left as it is."""
        self.unmark(name)
        for file in files:
            source, target = folder / key_of(file), self._path(key_of(name, file))
            with self._told("cannot be written"):
                self._check()
                if not _holds(target, source):
                    _write(target, blocks_of(source))

    def read(self, name: str, file: str) -> Iterator[bytes]:
        """The bytes of a file, from its path."""
        path = self._path(key_of(name, file))
        with self._told("cannot be read"):
            self._check()
            try:
                yield from _blocks(path)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                self._check()  # a store that has vanished is not a file that is missing
                raise MissingError(f"{self._address}: there is no file {name}/{file}.") from error

    def mark(self, name: str, content: bytes) -> None:
        """Write the marker of a folder."""
        self._put(key_of(name, MARKER), content)

    def unmark(self, name: str) -> None:
        """Remove the marker; nothing where there is none."""
        path = self._path(key_of(name, MARKER))
        with self._told("cannot be written"):
            self._check()
            if path.parent.is_dir():
                path.unlink(missing_ok=True)
                _sync_folder(path.parent)

    def remove(self, name: str) -> None:
        """Remove the marker first, then all files: never a marked folder with holes."""
        self.unmark(name)
        folder = self._path(key_of(name))
        with self._told("cannot be written"):
            if not folder.is_dir():
                return
            for path, folders, files in os.walk(folder, topdown=False, onerror=_raise):
                for file in files:
                    (Path(path) / file).unlink()
                for inner in folders:
                    _remove_folder_or_link(Path(path) / inner)
            folder.rmdir()
            _sync_folder(folder.parent)

    def promote(self, run: str, name: str, content: bytes) -> None:
        """Write `<run>/PROMOTED.json`."""
        self._put(key_of(run, PROMOTED), content)

    def promoted(self) -> dict[str, bytes]:
        """Run -> content of its `PROMOTED.json`."""
        with self._told("cannot be read"):
            runs = promoted_runs(self._listing(), self._root.name)
            return {run: b"".join(_blocks(self._path(key))) for run, key in runs.items()}

    def _put(self, key: str, content: bytes) -> None:
        path = self._path(key)
        with self._told("cannot be written"):
            self._check()
            _write(path, iter([content]))

    def _path(self, key: str) -> Path:
        """The path of a key.

        Raises:
            StoreError: a link leads away from it.
        """
        path = self._root / key
        with self._told("cannot be reached"):
            inside = [folder for folder in (path, *path.parents) if folder != self._root and self._root in folder.parents]
            for part in inside:
                if part.is_symlink():
                    raise StoreError(
                        f"{part}: a link, and links in a store are not followed. Put the files themselves there.",
                        permanent=True,
                    )
        return path

    def _listing(self) -> list[Listed]:
        found: list[Listed] = []
        with self._told("cannot be listed"):
            self._check()
            for folder, _, files in os.walk(self._root, onerror=_raise, followlinks=False):
                for file in files:
                    path = Path(folder) / file
                    if path.is_symlink():
                        continue
                    with contextlib.suppress(FileNotFoundError):  # removed while this looks
                        seen = path.stat()
                        changed = datetime.datetime.fromtimestamp(seen.st_mtime, datetime.UTC)
                        found.append(Listed(path.relative_to(self._root).as_posix(), seen.st_size, changed))
        return found

    def _check(self) -> None:
        """Whether the store is still the one that it was.

        When a drive is unmounted its empty mount point stays, on the disk of this machine: what is written there is not where
        it seems to be.
        """
        if not self._root.is_dir():
            raise StoreError(
                f"{self._address}: not there. Is the drive mounted, and was the store prepared?", permanent=False
            )
        mount = _mount_of(self._root.resolve())
        if self._mount is None:
            self._mount = mount
        if mount != self._mount:
            raise StoreError(f"{self._address}: {self._mount} is not mounted any more. Mount it again.", permanent=False)

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn what the system says of this place into one line."""
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOENT and self._mount is not None:
                self._check()
            number = error.errno or 0
            told, permanent = _TROUBLES.get(number, (os.strerror(number) if number else str(error), False))
            raise StoreError(f"{self._address}: {what}: {told}.", permanent=permanent) from error


def _mount_of(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.is_mount() or folder == folder.parent)


def _raise(error: OSError) -> None:
    raise error


def _remove_folder_or_link(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        path.rmdir()


def _blocks(path: Path) -> Iterator[bytes]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as stream:
        # What was just written stands in this machine's page cache, and a read would only prove that. No portable call reads
        # past the cache; this asks the kernel to drop the pages, which it does for pages that are on the disk (they are:
        # fsync came before) and that nobody else holds. On a network mount it is up to the file system.
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        while block := stream.read(_BLOCK):
            yield block


def _holds(target: Path, source: Path) -> bool:
    """Whether the stored file has the bytes of the local one."""
    try:
        return target.stat().st_size == bytes_in(source) and same_bytes(source, _blocks(target))
    except OSError:
        return False  # not there, or not to be read any more: the copy mends it, or says what is wrong


def _write(path: Path, blocks: Iterator[bytes]) -> None:
    """Write a file whole: temporary name, fsync, rename, and its folders durable."""
    _make_folders(path.parent)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            for block in blocks:
                stream.write(block)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _make_folders(folder: Path) -> None:
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir(exist_ok=True)
        _sync_folder(part.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the file system has such a thing (many network mounts have not)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS):
            raise
    finally:
        os.close(handle)
