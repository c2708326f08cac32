"""What the ways to the stores (lane.py) have to do, and what they share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.spool import Spool, Wait
from lugha.checkpoints.stores.protocol import Store
from lugha.recipe import PublishSection
from lugha.runs.folder import RunFolder
from lugha.runs.ledger import Ledger
from lugha.runs.status import RunStatus


@dataclass(frozen=True)
class Job:
    """A snapshot on its way to one store."""

    wait: Wait
    name: str  # in the store
    since: float  # when it was submitted, by the clock of the desk

    @property
    def number(self) -> int:
        """Its place in the order of submits."""
        return self.wait.snapshot.number

    @property
    def step(self) -> int:
        """Of the checkpoint."""
        return self.wait.snapshot.step

    @property
    def size(self) -> int:
        """Bytes of the checkpoint's files."""
        return self.wait.snapshot.bytes

    @property
    def manifest(self) -> str:
        """SHA-256 of the checkpoint's manifest."""
        return self.wait.snapshot.manifest


@dataclass(frozen=True)
class Promotion:
    """A checkpoint that is to become the result of its run, in one store."""

    run: str
    step: int
    size: int  # bytes of the checkpoint's files
    manifest: str  # SHA-256 of `manifest_bytes`
    manifest_bytes: bytes
    name: str | None = None  # in the store; None until it is verified there


@dataclass
class Desk:
    """What the lanes of a run share."""

    run: RunFolder
    section: PublishSection
    ledger: Ledger
    status: RunStatus
    spool: Spool
    after_verified: Callable[[Store, str], None]
    pauses: Backoff
    clock: Callable[[], float]  # seconds; it never goes back
    changed: threading.Condition = field(default_factory=threading.Condition)  # guards the queues
    newest: dict[str, int] = field(default_factory=dict)  # store -> step of its newest verified checkpoint
