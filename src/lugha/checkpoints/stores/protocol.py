"""What a store is: named folders of files, each marked or not.

    store = open_store("s3://bucket/prefix", recipe.publish)
    name = store.name_for(run="demo-20261120T104210Z-3fa9", step=500)
    store.upload(name, folder, files)          # may be torn at any byte
    for block in store.read(name, "model.safetensors"): ...
    store.mark(name, b"...")                   # from now on it counts

Nothing is asked of a store but that an object that was written can be read, listed and removed: no checksums, no conditional
writes, no versions, no order of uploads. What a kind of store offers beyond that is used as an extra guard only. Whether a
checkpoint arrived is decided by reading every byte back (publish.py), never by what the store says.

Every method may be called from any one thread at a time. A failure of the place itself is a `StoreError`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lugha.errors import LughaError

MARKER = "VERIFIED.json"
PROMOTED = "PROMOTED.json"


class StoreError(LughaError):
    """A store did not do what it was asked: one line, without secrets.

    Attributes:
        permanent: trying again will not help until somebody changes something (a token, a bucket, a policy).
    """

    exit_code = 75

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


class MissingError(StoreError):
    """There is no such file in the store."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=True)


@dataclass(frozen=True)
class Entry:
    """One folder of a store."""

    name: str  # below the store's address
    files: Mapping[str, int]  # path in the folder -> bytes, without the marker
    marked: bool
    changed: datetime.datetime | None  # last change, by the store's clock; for the age of what was never marked, only


class Store(Protocol):
    """A place for checkpoints; see the module's story."""

    @property
    def address(self) -> str:
        """As the recipe names it; without secrets."""
        ...

    def prepare(self, *, private: bool) -> None:
        """Make the place where it may be made (a folder, a repository, never a bucket), and check that it can be reached.

        Raises:
            StoreError: it is not there, or access is denied; the message says what to do.
        """
        ...

    def name_for(self, run: str, step: int) -> str:
        """The name under which a checkpoint is published: a new one at every call where the kind of store allows it."""
        ...

    def entries(self) -> list[Entry]:
        """All folders, in no particular order."""
        ...

    def upload(self, name: str, folder: Path, files: Sequence[str]) -> None:
        """Send files of a local folder, in their order; called again after a failure it goes on where it can.

        Where the kind of store can, all files appear at once, and a marker that was there disappears with them.
        """
        ...

    def read(self, name: str, file: str) -> Iterator[bytes]:
        """The bytes of a file as the store holds them now, in blocks; never from a cache of this machine.

        Raises:
            MissingError: no such file (where the store can tell at the first block).
        """
        ...

    def mark(self, name: str, content: bytes) -> None:
        """Write the marker of a folder."""
        ...

    def unmark(self, name: str) -> None:
        """Remove the marker; nothing where there is none."""
        ...

    def remove(self, name: str) -> None:
        """Remove all files of a folder; nothing where there is none."""
        ...

    def promote(self, run: str, name: str, content: bytes) -> None:
        """Record that `name` is the result of its run (`PROMOTED.json`, beside the run's checkpoints).

        A Hub repository gets the model's own files at its root as well, so that `from_pretrained("user/repo")` loads it.
        """
        ...

    def promoted(self) -> dict[str, bytes]:
        """Run -> content of its `PROMOTED.json`."""
        ...
