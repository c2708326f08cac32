"""What the first process keeps of a Trainer's run: its folder, its logs, its way to the stores.

with watched_run(run, output_dir, section, stores, depends_on=..., found=None, say=print) as watched:
    watched.saved(500, keep=3, spared=[], give_up=...)      # Trainer has finished the folder checkpoint-500
    if why := watched.publisher.stop_reason(): ...
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lugha.checkpoints.canary import check_store
from lugha.checkpoints.format import CheckpointManifest, sealed
from lugha.checkpoints.publisher import Publisher
from lugha.checkpoints.stores.protocol import Store
from lugha.integrations.trainer_folder import folder_of, rotate, seal, settle
from lugha.integrations.trainer_resume import Found
from lugha.recipe import PublishSection
from lugha.runs.folder import RunFolder
from lugha.runs.ledger import LOCAL, Ledger
from lugha.runs.status import RunStatus, State
from lugha.runs.stopping import Stop


@dataclass
class WatchedRun:
    """One run while Trainer trains."""

    run: RunFolder
    output_dir: Path
    ledger: Ledger
    status: RunStatus
    publisher: Publisher
    depends_on: Mapping[str, str]
    parent: str | None  # SHA-256 of the manifest of the newest checkpoint

    def saved(self, step: int, *, keep: int | None, spared: Iterable[Path], give_up: Callable[[], bool]) -> None:
        """Seal what Trainer has just written, hand it to the publisher, and delete what may go.

        Args:
            keep: whole checkpoints that stay on this disk; None: all.
            spared: stay whatever their age.
            give_up: ends the wait for a publisher whose queue is full.

        Raises:
            InterruptedRunError: the disk is full; the checkpoints before it are untouched.
        """
        folder = folder_of(self.output_dir, step)
        manifest = seal(folder, run=self.run.id, step=step, parent=self.parent, depends_on=self.depends_on)
        self.parent = sha256_of(manifest)
        settle(self.output_dir)
        self.ledger.write("saved", store=LOCAL, step=step, name=folder.name, bytes=manifest.bytes, manifest=self.parent)
        self.run.log_event("saved", step=step, checkpoint=folder.name)
        self.status.note(step=step)
        self.publisher.submit(folder, give_up=give_up)
        if keep is not None:
            for gone in rotate(self.output_dir, keep, spared):
                self.run.log_event("deleted", checkpoint=gone.name)

    def wait_for_stores(
        self, stop: Stop, *, result: Path | None, stopped: str | None, say: Callable[[str], None]
    ) -> list[str]:
        """Wait until all is verified, as long as there is time; returns what is not, in words.

        Args:
            result: what the training made, to be promoted; None where it was stopped.
            stopped: why.
        """
        publisher = self.publisher
        if result is not None:
            publisher.submit(result, give_up=lambda: stop.reason() is not None)
            publisher.promote(result)
        missing: list[str] = []
        if not stop.reason():
            missing = publisher.drain(None, give_up=lambda: stop.reason() is not None, waiting=say)
        if stop.reason():
            left = stop.seconds_left()
            missing = publisher.drain(left if math.isfinite(left) else None, waiting=say)
        for line in missing:
            say(line)
        self._note("finished" if stopped is None and not missing else "stopped", why=stopped, missing=missing)
        stop.obeyed()
        return missing

    def abandoned(self, seconds: float, *, say: Callable[[str], None]) -> None:
        """Training left by an error: publish what is saved, for so long at most."""
        for line in self.publisher.drain(seconds, waiting=say):
            say(line)
        self._note("failed")

    def _note(self, state: State, **more: object) -> None:
        self.status.note(state)
        self.run.log_event(state, **more)


def sha256_of(manifest: CheckpointManifest) -> str:
    """SHA-256 of a manifest's bytes."""
    return hashlib.sha256(sealed(manifest)).hexdigest()


@contextlib.contextmanager
def watched_run(
    run: RunFolder,
    output_dir: Path,
    section: PublishSection,
    stores: Sequence[Store],
    *,
    depends_on: Mapping[str, str],
    found: Found | None,
    say: Callable[[str], None],
) -> Iterator[WatchedRun]:
    """Send a canary to each store, then hold the run's folder and publish, until the block ends.

    Raises:
        RefusedError: a store denied something, or another process trains into this `output_dir`.
        InterruptedRunError: a store does not answer.
    """
    run.path.mkdir(parents=True, exist_ok=True)
    with RunFolder(run.path.parent).lock():
        for store in stores:
            check_store(store, run=run.id, private=section.private, say=say)
        ledger, status = Ledger(run.ledger), RunStatus(run)
        status.note("running")
        if found is not None:
            _note_copies(ledger, found)
        with Publisher(run, section, stores, ledger=ledger, status=status) as publisher:
            parent = sha256_of(found.manifest) if found else None
            if found is not None and found.is_newest:
                # The process before was perhaps killed when it had sealed it and not yet begun to send it.
                publisher.submit(found.folder, give_up=lambda: True)
            yield WatchedRun(run, output_dir, ledger, status, publisher, depends_on, parent)


def _note_copies(ledger: Ledger, found: Found) -> None:
    """On an empty machine nobody knows what the stores have; of this checkpoint it is known, they were just asked."""
    manifest, digest = found.manifest, sha256_of(found.manifest)
    for copy in found.copies:
        address = copy.store.address
        if ledger.name_of(digest, address) is None:
            ledger.write(
                "verified", store=address, step=manifest.step, name=copy.name, bytes=manifest.bytes, manifest=digest
            )
