"""What lies where in a store of keys (S3, a folder): pure functions between keys and checkpoints.

    demo-20261120T104210Z-3fa9/step-00000500-a1b2/model.safetensors     a file of the folder <run>/step-00000500-a1b2
    demo-20261120T104210Z-3fa9/step-00000500-a1b2/VERIFIED.json         its marker
    demo-20261120T104210Z-3fa9/PROMOTED.json                            which folder is the result of the run
    README.md, demo-.../notes.txt                                       not ours: never listed, never removed

A folder of checkpoints is known by the first component of its key that reads `step-<digits>` or `checkpoint-<digits>`, with
perhaps one more word behind it. The name of a run never does: its id holds a time with a T.
"""

from __future__ import annotations

import datetime
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from lugha.checkpoints.format import checkpoint_name
from lugha.checkpoints.stores.protocol import MARKER, PROMOTED, Entry
from lugha.errors import InputError

_FOLDER = re.compile(r"(?:step|checkpoint)-\d+(?:-[0-9a-z]+)?")


@dataclass(frozen=True)
class Listed:
    """One stored file."""

    key: str  # below the store's address
    bytes: int
    changed: datetime.datetime


def new_name(run: str, step: int) -> str:
    """A name that nothing was ever published under: a torn upload is left behind, never mixed with the next one."""
    return f"{run}/{checkpoint_name(step)}-{secrets.token_hex(2)}"


def key_of(*parts: str) -> str:
    """Join the parts of a key.

    Raises:
        InputError: the key would not stay below the store's address, or would not be the same key on every server.
    """
    key = "/".join(parts)
    if any(part in ("", ".", "..") for part in key.split("/")) or "\\" in key or "\0" in key:
        raise InputError(f"{key}: not a name in a store. Write names joined by single slashes, none of them . or ..")
    return key


def split_key(key: str) -> tuple[str, str] | None:
    """(folder, file in it) of a key; None where it is no file of a checkpoint."""
    parts = key.split("/")
    for place, part in enumerate(parts[:-1]):
        if _FOLDER.fullmatch(part):
            file = "/".join(parts[place + 1 :])
            return ("/".join(parts[: place + 1]), file) if parts[-1] else None
    return None


def entries_of(listing: Iterable[Listed]) -> list[Entry]:
    """The checkpoints of a listing."""
    found: dict[str, list[tuple[str, Listed]]] = {}
    for listed in listing:
        if place := split_key(listed.key):
            found.setdefault(place[0], []).append((place[1], listed))
    return [
        Entry(
            name=name,
            files={file: listed.bytes for file, listed in files if file != MARKER},
            marked=any(file == MARKER for file, _ in files),
            changed=max(listed.changed for _, listed in files),
        )
        for name, files in found.items()
    ]


def promoted_runs(listing: Iterable[Listed], root: str) -> dict[str, str]:
    """Run -> key of its `PROMOTED.json`.

    Args:
        root: the last component of the store's address: the run, where the address is that of one run.
    """
    keys = [PurePosixPath(listed.key) for listed in listing if split_key(listed.key) is None]
    return {key.parent.name or root: str(key) for key in keys if key.name == PROMOTED}
