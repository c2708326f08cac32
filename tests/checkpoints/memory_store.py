"""A store in memory whose faults a test controls.

    store = MemoryStore()
    store.before = fail_at(3, StoreError("503 Slow Down", permanent=False))   # the third operation fails, once
    store.before = fail_while(lambda: revoked, StoreError("403", permanent=True))
    store.before = hold("upload", gate)                                        # uploads wait for gate.set()
    store.keeps = lambda name, file, content: content[:-1]                     # objects arrive cut off; None: they are lost

Every operation is noted in `operations` before it is tried, and it is an error to use the store from two threads at once.
"""

from __future__ import annotations

import datetime
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lugha.checkpoints.stores.protocol import MARKER, Entry, MissingError, StoreError

BLOCK = 1000
PATIENCE = 30.0  # seconds that a held operation waits before it fails, so that a broken test ends


@dataclass(frozen=True)
class Operation:
    """One thing that a store was asked to do. An upload of five files is five operations."""

    kind: str  # prepare, entries, upload, read, mark, unmark, remove, promote, promoted
    name: str = ""
    file: str = ""


Before = Callable[[Operation], None]
Keeps = Callable[[str, str, bytes], bytes | None]


class MemoryStore:
    """Objects in a dictionary; a new name at every call, as in S3."""

    def __init__(self, address: str = "s3://memory/runs") -> None:
        self._address = address
        self._busy = threading.Lock()
        self.objects: dict[str, dict[str, bytes]] = {}
        self.results: dict[str, bytes] = {}
        self.operations: list[Operation] = []
        self.before: Before = lambda operation: None
        self.keeps: Keeps = lambda name, file, content: content

    @property
    def address(self) -> str:
        return self._address

    @contextmanager
    def _operation(self, kind: str, name: str = "", file: str = "") -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise AssertionError("two threads use one store at the same time")
        try:
            self.operations.append(Operation(kind, name, file))
            self.before(self.operations[-1])
            yield
        finally:
            self._busy.release()

    def _put(self, name: str, file: str, content: bytes) -> None:
        kept = self.keeps(name, file, content)
        if kept is not None:
            self.objects.setdefault(name, {})[file] = kept

    def prepare(self, *, private: bool) -> None:
        with self._operation("prepare"):
            pass

    def name_for(self, run: str, step: int) -> str:
        return f"{run}/step-{step:08d}-{secrets.token_hex(2)}"

    def entries(self) -> list[Entry]:
        with self._operation("entries"):
            now = datetime.datetime.now(datetime.UTC)
            return [
                Entry(name, {file: len(content) for file, content in files.items() if file != MARKER}, MARKER in files, now)
                for name, files in self.objects.items()
                if files
            ]

    def upload(self, name: str, folder: Path, files: Sequence[str]) -> None:
        for file in files:
            with self._operation("upload", name, file):
                self._put(name, file, (folder / file).read_bytes())

    def read(self, name: str, file: str) -> Iterator[bytes]:
        with self._operation("read", name, file):
            content = self.objects.get(name, {}).get(file)
            if content is None:
                raise MissingError(f"{self._address}/{name}/{file}: no such object")
        for start in range(0, len(content), BLOCK):
            yield content[start : start + BLOCK]

    def mark(self, name: str, content: bytes) -> None:
        with self._operation("mark", name, MARKER):
            self._put(name, MARKER, content)

    def unmark(self, name: str) -> None:
        with self._operation("unmark", name, MARKER):
            self.objects.get(name, {}).pop(MARKER, None)

    def remove(self, name: str) -> None:
        with self._operation("remove", name):
            self.objects.pop(name, None)

    def promote(self, run: str, name: str, content: bytes) -> None:
        with self._operation("promote", name):
            self.results[run] = content

    def promoted(self) -> dict[str, bytes]:
        with self._operation("promoted"):
            return dict(self.results)

    # What tests ask.

    def marked(self) -> dict[str, int]:
        """Name -> step of the folders with a marker."""
        steps = {name: json.loads(files[MARKER])["step"] for name, files in self.objects.items() if MARKER in files}
        return dict(sorted(steps.items(), key=lambda item: item[1]))

    def count(self, kind: str, file: str = "") -> int:
        """Operations of a kind (on a file) so far."""
        return sum(o.kind == kind and file in ("", o.file) for o in self.operations)


class ReplacingStore(MemoryStore):
    """One name for each step, and all files of a folder appear at once and take its marker away, as on the Hub."""

    def __init__(self, address: str = "hf://user/memory") -> None:
        super().__init__(address)

    def name_for(self, run: str, step: int) -> str:
        return f"checkpoint-{step}"

    def upload(self, name: str, folder: Path, files: Sequence[str]) -> None:
        with self._operation("upload", name):
            self.objects[name] = {}
            for file in files:
                self._put(name, file, (folder / file).read_bytes())


def fail_at(count: int, error: BaseException) -> Before:
    """The `count`-th operation from now on fails (1: the next one), the others do not."""
    seen = 0

    def before(operation: Operation) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            raise error

    return before


def fail_on(kind: str, error: BaseException, *, times: int = 1_000_000) -> Before:
    """The first `times` operations of a kind fail."""
    left = times

    def before(operation: Operation) -> None:
        nonlocal left
        if operation.kind == kind and left > 0:
            left -= 1
            raise error

    return before


def fail_while(broken: Callable[[], bool], error: BaseException, kind: str = "") -> Before:
    """Every operation (of a kind) fails while `broken()`."""

    def before(operation: Operation) -> None:
        if kind in ("", operation.kind) and broken():
            raise error

    return before


def hold(kind: str, gate: threading.Event, reached: threading.Event | None = None) -> Before:
    """Operations of a kind wait until `gate` is set; `reached` is set when the first one waits."""

    def before(operation: Operation) -> None:
        if operation.kind != kind:
            return
        if reached is not None:
            reached.set()
        if not gate.wait(PATIENCE):
            raise StoreError(f"the test never opened the gate of {kind}", permanent=True)

    return before
