"""Publish one checkpoint: send it, read every byte back, and only then mark it.

    name = store.name_for(run.id, 500)
    publish(store, name, folder)        # returns: the store holds these bytes; raises: nothing new is marked

Order: files, manifest last; then every file and the manifest are read back and their sizes and SHA-256 compared with the
manifest that was read before the first byte left; then the marker, which is read back too. What a store says of its own
(accepted, checksum, size) counts for nothing.

Called again after a failure, it goes on: a store continues an upload under the same name, and a folder that is marked
already (the process was killed before it could write that down) is only read back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from lugha.checkpoints.format import CheckpointManifest, unsealed
from lugha.checkpoints.marker import is_marker_of, marker_for
from lugha.checkpoints.stores.protocol import MARKER, MissingError, Store, StoreError
from lugha.errors import InputError
from lugha.runs.files import sha256_file
from lugha.runs.manifest import MANIFEST, FileRecord

_MARKER_LIMIT = 1 << 20  # bytes; a marker is some hundred


class AlteredError(InputError):
    """The local copy of a checkpoint is not what its manifest says: it cannot be published, now or later."""


def manifest_bytes_of(folder: Path) -> bytes:
    """The bytes of a checkpoint's manifest, whatever they are.

    Raises:
        AlteredError: there is none.
    """
    try:
        return (folder / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise AlteredError(f"{folder}: no {MANIFEST}, so this is not a whole checkpoint.") from error


def publish(
    store: Store,
    name: str,
    folder: Path,
    *,
    sent: Callable[[], None] = lambda: None,
    read: Callable[[int], None] = lambda count: None,
) -> None:
    """Upload a checkpoint under `name`, read every byte back and compare with the manifest; then mark it.

    Args:
        name: of the folder in the store, from `store.name_for`; nobody else writes there.
        sent: called when the store has taken everything and nothing is read back yet.
        read: called with the number of bytes of each block that was read back. What these two raise ends the publication.

    Raises:
        StoreError: the store failed, or gave back other bytes; nothing is marked and it may be tried again.
        AlteredError: the local copy is not what its manifest says; it names the file.
    """
    content = manifest_bytes_of(folder)
    try:
        manifest = unsealed(content, folder / MANIFEST)
    except InputError as error:
        raise AlteredError(f"{error} It cannot be published.") from error
    records = [*manifest.files, FileRecord(path=MANIFEST, bytes=len(content), sha256=_digest(content))]
    _check_sizes(folder, manifest)

    before = _read_small(store, name, MARKER)
    if before is not None and is_marker_of(content, before):
        if all(_difference(store, name, record, read) is None for record in records):
            return
        store.unmark(name)
    store.upload(name, folder, [record.path for record in records])
    sent()
    if before is not None and not is_marker_of(content, before):
        # Where a name is used again (one folder for each step) the marker of the earlier checkpoint stays true until the
        # new files are there; most stores of this kind take it away with them.
        store.unmark(name)
    for record in records:
        _check_arrived(store, name, folder, record, read)
    _mark(store, name, content)


def _mark(store: Store, name: str, manifest_bytes: bytes) -> None:
    marker = marker_for(manifest_bytes)
    store.mark(name, marker)
    if _read_small(store, name, MARKER) != marker:
        store.unmark(name)
        raise StoreError(f"{store.address}/{name}/{MARKER}: other bytes came back than were sent.", permanent=False)


def _check_sizes(folder: Path, manifest: CheckpointManifest) -> None:
    """Refuse at once what can be seen without reading: the bytes are compared when they come back from the store."""
    for record in manifest.files:
        path = folder / record.path
        if record.path in (MARKER, MANIFEST):
            raise AlteredError(f"{folder / MANIFEST}: names {record.path} as one of the checkpoint's files.")
        if path.is_symlink() or not path.is_file():
            raise AlteredError(
                f"{path}: {'a link' if path.is_symlink() else 'missing'}; this checkpoint cannot be published."
            )
        if (size := path.stat().st_size) != record.bytes:
            raise AlteredError(
                f"{path}: {size:,} bytes instead of {record.bytes:,}, cut off or altered on this disk; "
                "this checkpoint cannot be published."
            )


def _check_arrived(store: Store, name: str, folder: Path, record: FileRecord, read: Callable[[int], None]) -> None:
    """Compare one file of the store with the manifest; where they differ, find out which side was altered."""
    difference = _difference(store, name, record, read)
    if difference is None:
        return
    path = folder / record.path
    if not path.is_file() or sha256_file(path) != record.sha256:
        raise AlteredError(
            f"{path}: altered on this disk since the checkpoint was saved (its SHA-256 is not that of the manifest); "
            "this checkpoint cannot be published."
        )
    raise StoreError(f"{store.address}/{name}/{record.path}: sent, but {difference}.", permanent=False)


def _difference(store: Store, name: str, record: FileRecord, read: Callable[[int], None]) -> str | None:
    """What is wrong with a file in the store, in words; None when all its bytes are right."""
    digest, size = hashlib.sha256(), 0
    try:
        for block in store.read(name, record.path):
            size += len(block)
            if size > record.bytes:
                return f"more than its {record.bytes:,} bytes came back"
            digest.update(block)
            read(len(block))
    except MissingError:
        return "it is not there"
    if size < record.bytes:
        return f"only {size:,} of {record.bytes:,} bytes came back"
    return None if digest.hexdigest() == record.sha256 else "other bytes came back"


def _read_small(store: Store, name: str, file: str) -> bytes | None:
    """A small file of a store; None where there is none."""
    content = b""
    try:
        for block in store.read(name, file):
            content += block
            if len(content) > _MARKER_LIMIT:
                break
    except MissingError:
        return None
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
