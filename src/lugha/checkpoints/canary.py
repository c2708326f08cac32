"""The canary: before step 1, a store shows that it can be written, read back, listed and cleaned.

    rate = check_store(store, run=run.id, private=True, say=print)

A token without the right to write, a bucket in another region, a prefix that a policy denies: each is one clear line before
the first minute is paid for, and not a red light after two hours. The object lies in a folder that the store lists
(`canary/step-00000000-<8 hex>`) and that is never marked, so nobody takes it for a checkpoint; what a start that was killed
left of it goes with the next one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.format import unsealed
from lugha.checkpoints.stores.protocol import MissingError, Store, StoreError
from lugha.errors import InputError, InterruptedRunError, RefusedError
from lugha.runs.manifest import MANIFEST
from lugha.runs.rates import format_duration

_FOLDER = "canary/step-00000000-"
_FILE = "canary.bin"
_BYTES = 1 << 16


class _UnsoundError(StoreError):
    """The store answered, but what was written is not there; it may be late, so it is tried again first."""

    def __init__(self, message: str) -> None:
        super().__init__(message, permanent=False)


def check_store(
    store: Store,
    *,
    run: str | None = None,
    private: bool,
    say: Callable[[str], None] = lambda line: None,
    patience: float = 120.0,
    pauses: Backoff = Backoff(),  # noqa: B008 (frozen)
) -> float:
    """Make the place where it may be made, and write, read back, list and delete a small object in it.

    Args:
        run: id of the run that will publish there; None where none will.
        private: a repository that does not exist yet is made so.
        say: gets what the store has to say, one line each.
        patience: seconds for which a store that cannot be reached is tried again.
        pauses: between attempts.

    Returns:
        Bytes/s of that object there and back: of a small object, so an indication only.

    Raises:
        RefusedError: the store denied something; the line says what, and what to do. Or another run's checkpoints lie where
            this run's would.
        InterruptedRunError: the store could not be reached in time.
    """
    began, failures = time.monotonic(), 0
    while True:
        try:
            with _step(store, "be reached"):
                store.prepare(private=private)
            rate = _there_and_back(store)
            if run is not None:
                _check_alone(store, run)
            break
        except StoreError as error:
            if error.permanent:
                raise RefusedError(str(error)) from error
            failures += 1
            pause = pauses.pause(failures)
            if time.monotonic() - began + pause > patience:
                if isinstance(error, _UnsoundError):
                    raise RefusedError(str(error)) from error
                raise InterruptedRunError(
                    f"{error} Tried {failures} times in {format_duration(time.monotonic() - began)}; "
                    "run the same command again when the store answers."
                ) from error
            if failures == 1:
                say(f"{error} Trying again for {format_duration(patience)}.")
            time.sleep(pause)
    for note in getattr(store, "notes", []):
        say(note)
    return rate


def _there_and_back(store: Store) -> float:
    content = os.urandom(_BYTES)
    name = _FOLDER + secrets.token_hex(4)
    with tempfile.TemporaryDirectory(prefix="lugha-canary-") as local:
        (Path(local) / _FILE).write_bytes(content)
        began = time.monotonic()
        with _step(store, "be written"):
            store.upload(name, Path(local), [_FILE])
    with _step(store, "be read"):
        try:
            returned = _digest(store.read(name, _FILE))
        except MissingError as error:
            raise _UnsoundError("an object that was written is not there. Use another store.") from error
        if returned != hashlib.sha256(content).hexdigest():
            raise _UnsoundError("an object came back with other bytes than were written. Use another store.")
    seconds = time.monotonic() - began
    with _step(store, "be listed"):
        entries = {entry.name: entry for entry in store.entries()}
        if name not in entries or dict(entries[name].files) != {_FILE: _BYTES}:
            raise _UnsoundError("an object that was written does not stand in the list. Use another store.")
    with _step(store, "be cleaned"):
        for found in entries:
            if found.startswith(_FOLDER):
                store.remove(found)
        if name in {entry.name for entry in store.entries()}:
            raise _UnsoundError("an object that was deleted still stands in the list. Use another store.")
    return 2 * _BYTES / max(seconds, 1e-9)


def _check_alone(store: Store, run: str) -> None:
    """Where the names of checkpoints do not hold the run, a second run would take the place of the first one's."""
    if run in store.name_for(run, 0):
        return
    for entry in store.entries():
        if MANIFEST not in entry.files or "/" in entry.name:  # a folder of such a place is a store of its own
            continue
        with _step(store, "be read"):
            try:
                manifest = unsealed(b"".join(store.read(entry.name, MANIFEST)), entry.name)
            except (MissingError, InputError):
                continue  # damaged, or gone by now: nothing that a run could lose
        if manifest.run != run:
            raise RefusedError(
                f"{store.address} holds the checkpoints of another run ({manifest.run}), and these would take their place. "
                f"Give this run an address of its own, such as {store.address}/{run}, or go on with that run."
            )


@contextmanager
def _step(store: Store, what: str) -> Iterator[None]:
    """Say which operation failed; what to do says the store itself."""
    try:
        yield
    except StoreError as error:
        text = " ".join(str(error).split())
        text = text if store.address in text else f"{store.address}: {text}"
        line = f"The store cannot {what}: {text}"
        if isinstance(error, _UnsoundError):
            raise _UnsoundError(line) from error
        raise StoreError(line, permanent=error.permanent) from error


def _digest(blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()
