"""What lies in a store, and how it comes back: listed by manifests, fetched whole or not at all.

    for one in list_published(store):            # the newest run first, in it the newest step
        print(one.name, one.step, one.verified, one.trouble)
    found = pull(one, run.checkpoints)           # every byte hashed on its way; then one rename

A checkpoint of a store is verified when it is marked, the marker is of this very manifest, the manifest's seal is right, and
the files stand there with their sizes. That says that all its bytes came back right when it was published. Whether they still
do is seen by reading them: `pull` and `check_published` do.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lugha.checkpoints.format import CheckpointManifest, checkpoint_name, sealed, unsealed
from lugha.checkpoints.marker import is_marker_of
from lugha.checkpoints.place import partial_folder, put_in_place
from lugha.checkpoints.restore import Verified
from lugha.checkpoints.stores.protocol import MARKER, Entry, MissingError, Store, StoreError
from lugha.errors import InputError, InterruptedRunError
from lugha.runs.files import disk_full_is_one_line, fsync_tree, write_bytes
from lugha.runs.folder import run_order
from lugha.runs.manifest import MANIFEST, FileRecord

_MOST_MANIFEST = 16 << 20  # bytes; a manifest is some thousand, a marker some hundred


@dataclass(frozen=True)
class Published:
    """One checkpoint of a store."""

    store: Store
    name: str
    manifest: CheckpointManifest | None  # None: there is none, or it is damaged
    bytes: int  # of its files together
    marked: bool
    promoted: bool
    changed: datetime.datetime | None  # by the store's clock
    trouble: str | None  # why it cannot be trusted

    @property
    def verified(self) -> bool:
        """Whether it counts; see the module's story."""
        return self.trouble is None

    @property
    def place(self) -> str:
        """Its full address."""
        return f"{self.store.address}/{self.name}"

    @property
    def run(self) -> str | None:
        """Id of its run; None when that cannot be known."""
        return self.manifest.run if self.manifest else None

    @property
    def step(self) -> int:
        """Its step; -1 when that cannot be known."""
        return self.manifest.step if self.manifest else -1


def list_published(store: Store) -> list[Published]:
    """Every checkpoint of a store, by its manifest: the newest run first, in it the newest step; unreadable ones last.

    Raises:
        StoreError: the store cannot be read; nothing is taken for missing because of that.
    """
    # A folder of a repository is a store of its own, with a run of its own.
    entries = [entry for entry in store.entries() if not (holds_one_run(store) and "/" in entry.name)]
    promoted = _promoted_names(store) if entries else set()
    found = [_look_at(store, entry, promoted) for entry in entries]
    return sorted(found, key=lambda one: (run_order(one.run or ""), one.step, one.name), reverse=True)


def holds_one_run(store: Store) -> bool:
    """Whether the place has one folder for each step, so that the checkpoints of two runs would mix."""
    return store.address.startswith("hf://")


def is_of(one: Published, run: str, listed: Sequence[Published]) -> bool:
    """Whether a folder of a store is of this run, by its manifest and by where it lies.

    Args:
        listed: all of the store, and perhaps of others.
    """
    owner = one.name.rpartition("/")[0]
    if owner or one.run:
        return owner in (run, "") and one.run in (run, None)
    return {other.run for other in listed if other.run and other.store is one.store} == {
        run
    }  # damaged, where a place holds one run


def no_such_step(address: str, step: int | None, listed: Iterable[Published]) -> str:
    """What to say where a store has other steps than the one that was asked for."""
    steps = sorted({one.step for one in listed if one.step >= 0})
    near = min(steps, key=lambda other: abs(other - (step or 0)))
    shown = ", ".join(map(str, steps[-8:]))
    return (
        f"{address}: no step {step} there. Nearest: {address}@{near}. There are {'... ' if len(steps) > 8 else ''}{shown}."
    )


def blocks_of(one: Published, record: FileRecord) -> Iterator[bytes]:
    """The bytes of a file of a checkpoint; the last block comes only when all of them were right.

    Raises:
        InputError: the file is missing, longer, shorter or other than the manifest says.
        StoreError: the store cannot be read.
    """
    place = f"{one.place}/{record.path}"
    digest, size, held = hashlib.sha256(), 0, b""
    try:
        for block in one.store.read(one.name, record.path):
            size += len(block)
            if size > record.bytes:  # an endless file must not fill the disk
                raise InputError(f"{place}: more than the {record.bytes:,} bytes of the manifest (altered).")
            digest.update(block)
            if held:
                yield held
            held = block
    except MissingError as error:
        raise InputError(f"{place}: missing.") from error
    if size < record.bytes:
        raise InputError(f"{place}: {size:,} bytes instead of {record.bytes:,} (cut off or altered).")
    if digest.hexdigest() != record.sha256:
        raise InputError(f"{place}: its SHA-256 is not that of the manifest (altered).")
    if held:
        yield held


def check_published(one: Published) -> None:
    """Read every byte of a checkpoint in a store.

    Raises:
        InputError: it cannot be trusted, or a byte is wrong; the message names the file.
        StoreError: the store cannot be read.
    """
    if one.manifest is None or not one.verified:
        raise InputError(f"{one.place}: {one.trouble}.")
    for record in one.manifest.files:
        for _ in blocks_of(one, record):
            pass


def pull(one: Published, checkpoints: Path) -> Verified:
    """Fetch a checkpoint into `checkpoints/step-XXXXXXXX`; a process killed at any moment leaves nothing half there.

    It need not be marked: that all its bytes are those of a sealed manifest is found out here.

    Raises:
        InputError: its manifest cannot be read, or its bytes are wrong; nothing is kept.
        StoreError: the store cannot be read.
        InterruptedRunError: the disk is full; nothing is kept.
    """
    manifest = one.manifest
    if manifest is None:
        raise InputError(f"{one.place}: {one.trouble}.")
    folder = checkpoints / checkpoint_name(manifest.step)
    with disk_full_is_one_line(folder), partial_folder(folder) as partial:
        free = shutil.disk_usage(partial).free
        if free < manifest.bytes:
            raise InterruptedRunError(
                f"No space left on the disk for {folder}: {one.place} has {manifest.bytes / 1e6:,.1f} MB, and "
                f"{free / 1e6:,.1f} MB are free. Make room and run the same command again."
            )
        for record in manifest.files:
            target = partial / record.path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as stream:
                for block in blocks_of(one, record):
                    stream.write(block)
        fsync_tree(partial)
        write_bytes(partial / MANIFEST, sealed(manifest))
        put_in_place(partial, folder)
    return Verified(folder, manifest)


def _look_at(store: Store, entry: Entry, promoted: set[str]) -> Published:
    """What a folder of a store is worth, without reading its large files."""
    manifest: CheckpointManifest | None = None
    try:
        content = _read_small(store, entry.name, MANIFEST)
        manifest = unsealed(content, f"{store.address}/{entry.name}/{MANIFEST}")
        trouble = _trouble(store, entry, manifest, content)
    except InputError as error:
        trouble = str(error).removeprefix(f"{store.address}/{entry.name}/").rstrip(".")
    size = manifest.bytes if manifest else sum(entry.files.values())
    return Published(store, entry.name, manifest, size, entry.marked, entry.name in promoted, entry.changed, trouble)


def _trouble(store: Store, entry: Entry, manifest: CheckpointManifest, content: bytes) -> str | None:
    """Why a folder with a sound manifest does not count."""
    if not entry.marked:
        return "not marked: its upload, or its reading back, did not end"
    if not is_marker_of(content, _read_small(store, entry.name, MARKER)):
        return f"{MARKER}: damaged, or of another manifest"
    for record in manifest.files:
        size = entry.files.get(record.path)
        if size != record.bytes:
            return f"{record.path}: " + ("missing" if size is None else f"{size:,} bytes instead of {record.bytes:,}")
    return None


def _read_small(store: Store, name: str, file: str) -> bytes:
    """A manifest or a marker.

    Raises:
        InputError: missing, or far too long to be one.
    """
    content = bytearray()
    try:
        for block in store.read(name, file):
            content += block
            if len(content) > _MOST_MANIFEST:
                raise InputError(f"{store.address}/{name}/{file}: more than {_MOST_MANIFEST >> 20} MiB, not a {file}.")
    except MissingError as error:
        raise InputError(f"{store.address}/{name}/{file}: missing.") from error
    return bytes(content)


def _promoted_names(store: Store) -> set[str]:
    """Names of the results of runs; a damaged record promotes nothing, and must not stand in the way of the checkpoints."""
    names = set()
    try:
        records = list(store.promoted().values())
    except StoreError as error:
        if not error.permanent:
            raise
        records = []
    for content in records:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            names.add(str(json.loads(content)["name"]))
    return names
