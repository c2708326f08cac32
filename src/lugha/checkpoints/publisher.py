"""The background publisher: every checkpoint of a run, to every store, while training goes on.

    with Publisher(run, recipe.publish, stores, ledger=ledger, status=status) as publisher:
        publisher.submit(checkpoint)                  # returns at once, unless the queue is full
        if reason := publisher.stop_reason(): ...     # the newest state is not safe for too long: save and stop
        publisher.promote(checkpoint)                 # at the end
        missing = publisher.drain(None)               # [] when all is verified and promoted

A submitted checkpoint is in the spool (spool.py) before anything else happens to it, so the run's own rotation cannot remove
what is being sent, and a process that is killed leaves behind what the next one has to send. Each store has its own thread
and its own queue (lane.py): a dead store does not hold up another one.

The policy: after `max_unverified_age` without a newly verified state the run's status is red, after `stop_age` it has a
reason to stop. Both are measured by a clock that nobody can set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.format import unsealed
from lugha.checkpoints.jobs import Desk, Job, Promotion
from lugha.checkpoints.lane import Lane
from lugha.checkpoints.publish import manifest_bytes_of
from lugha.checkpoints.spool import Spool, Wait
from lugha.checkpoints.stores.protocol import Store
from lugha.recipe import PublishSection
from lugha.runs.folder import RunFolder
from lugha.runs.ledger import Event, Ledger
from lugha.runs.manifest import MANIFEST
from lugha.runs.status import RunStatus

_POLL_SECONDS = 0.2  # how often a caller that waits is asked whether it gives up
_LINE_SECONDS = 10.0  # how often it is told what goes on
_LAST_TRY_SECONDS = 60.0  # for a store whose time is over
_CLOSE_SECONDS = 0.2
_QUEUE = "publish queue"  # alarm


class Publisher:
    """Publishes the checkpoints of one run; with no stores, nothing it is asked has any effect."""

    def __init__(
        self,
        run: RunFolder,
        section: PublishSection,
        stores: Sequence[Store],
        *,
        ledger: Ledger,
        status: RunStatus,
        after_verified: Callable[[Store, str], None] = lambda store, name: None,
        pauses: Backoff = Backoff(),  # noqa: B008 (frozen)
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            after_verified: called with a store and a name after each verification, in that store's thread (retention).
            pauses: between failed attempts.
            clock: seconds for the ages; it never goes back.
        """
        self._desk = Desk(run, section, ledger, status, Spool(run.spool), after_verified, pauses, clock)
        self._lanes = [Lane(store, self._desk) for store in stores]

    def __enter__(self) -> Self:
        """Begin to send, first of all what an earlier process left in the spool."""
        if self._lanes:
            self._take_up()
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop the threads where they stand; what is not verified stays in the spool."""
        with self._desk.changed:
            for lane in self._lanes:
                lane.close()
        for lane in self._lanes:
            lane.join(_CLOSE_SECONDS)

    def submit(self, checkpoint: Path, *, give_up: Callable[[], bool] = lambda: False) -> None:
        """Take a snapshot of a whole checkpoint and publish it to every store that does not have it yet.

        While more than `queue` checkpoints wait for a store, or the spool is over its budget, the call waits too.

        Args:
            give_up: asked now and then during that wait; when it says so the call returns, and the snapshot is kept.

        Raises:
            InputError: the checkpoint is not whole.
            InterruptedRunError: the disk is full; nothing was kept, and it may be submitted again.
        """
        if not self._lanes:
            return
        desk, content = self._desk, manifest_bytes_of(checkpoint)
        manifest, digest = unsealed(content, checkpoint / MANIFEST), hashlib.sha256(content).hexdigest()
        names = {
            lane.address: lane.store.name_for(manifest.run, manifest.step)
            for lane in self._lanes
            if desk.ledger.name_of(digest, lane.address) is None
        }
        for wait in desk.spool.keep(checkpoint, names) if names else []:
            self._queue(wait, wait.name or names[wait.store])
        self._wait_for_room(give_up)

    def stop_reason(self) -> str | None:
        """One line when the newest state of the run has been unverified in a store for `stop_age`; cheap, ask at every step."""
        for lane in self._lanes:
            lane.show()
        with self._desk.changed:
            return next((reason for lane in self._lanes if (reason := lane.stop_reason())), None)

    def promote(self, checkpoint: Path) -> None:
        """Make a checkpoint the result of its run on every store, once it is verified there; `drain` waits for it.

        Submit it first (again, if need be: what a store has is not sent twice).

        Raises:
            InputError: the checkpoint has no manifest, or a damaged one.
        """
        if not self._lanes:
            return
        content = manifest_bytes_of(checkpoint)
        manifest = unsealed(content, checkpoint / MANIFEST)
        promotion = Promotion(manifest.run, manifest.step, manifest.bytes, hashlib.sha256(content).hexdigest(), content)
        with self._desk.changed:
            for lane in self._lanes:
                name = self._desk.ledger.name_of(promotion.manifest, lane.address)
                lane.promote(dataclasses.replace(promotion, name=name))

    def drain(
        self,
        within: float | None,
        *,
        give_up: Callable[[], bool] = lambda: False,
        waiting: Callable[[str], None] = lambda line: None,
    ) -> list[str]:
        """Wait until everything is verified and promoted; the newest goes first.

        Args:
            within: seconds to wait at most. None: as long as the policy allows, each store until nothing was verified there
                for `stop_age`. One whose time is over already is tried once more, for a minute at most.
            give_up: asked now and then.
            waiting: gets a line now and then.

        Returns:
            What is missing, a line for each checkpoint and store, the newest first.
        """
        began = told = time.monotonic()
        hopeless = self._given_up_since(began) if within is None else lambda lane: False
        with self._desk.changed:
            for lane in self._lanes:
                lane.hurry()
        while True:
            for lane in self._lanes:
                lane.show()
            now = time.monotonic()
            with self._desk.changed:
                left = [lane for lane in self._lanes if lane.busy and not hopeless(lane)]
                if not left or (within is not None and now - began >= within):
                    break
                lines = [lane.describe() for lane in left]
                self._desk.changed.wait(_POLL_SECONDS if within is None else min(_POLL_SECONDS, within))
            if give_up():
                break
            if now - told >= _LINE_SECONDS:
                told = now
                for line in lines:
                    waiting(line)
        return self._missing()

    @property
    def seconds(self) -> float:
        """The longest of the last times from submit to verified, of all stores; 0.0 before the first."""
        with self._desk.changed:
            return max((seconds for lane in self._lanes for seconds in lane.seconds), default=0.0)

    def _given_up_since(self, began: float) -> Callable[[Lane], bool]:
        """Whether the policy lets nobody wait for a store any longer: not for the newest state, nor for older ones."""
        desk, failures, start = self._desk, {lane.address: lane.failures for lane in self._lanes}, self._desk.clock()

        def given_up(lane: Lane) -> bool:
            if lane.stop_reason() is not None:
                return lane.failures > failures[lane.address] or time.monotonic() - began >= _LAST_TRY_SECONDS
            return desk.clock() - max(start, lane.verified_at) >= desk.section.stop_age

        return given_up

    def _missing(self) -> list[str]:
        with self._desk.changed:
            found = [entry for lane in self._lanes for entry in lane.missing()]
        return [f"step {step:,} is {what}" for step, what in sorted(found, key=lambda entry: -entry[0])]

    def _take_up(self) -> None:
        """Queue what the spool still holds, and know what is verified."""
        desk, stores = self._desk, {lane.address: lane.store for lane in self._lanes}
        steps = desk.ledger.verified_steps()
        desk.newest |= {store: max(steps[store]) for store in stores if store in steps}
        if desk.newest:
            desk.status.note(verified=dict(desk.newest))
        ours, others = desk.spool.left(list(stores))
        for wait in others:
            self._write("failed", wait, wait.name or "", why="the recipe does not name this store any more")
            desk.spool.done(wait)
        for wait in ours:
            snapshot = wait.snapshot
            if desk.ledger.name_of(snapshot.manifest, wait.store) is not None:
                desk.spool.done(wait)  # the process was killed between the line of the ledger and this one
                continue
            name = wait.name or stores[wait.store].name_for(snapshot.run or desk.run.id, snapshot.step)
            self._add(wait, name)

    def _queue(self, wait: Wait, name: str) -> None:
        """Queue a wait, unless it stands in the queue (submitted twice) or is over by now."""
        desk, snapshot = self._desk, wait.snapshot
        with desk.changed:
            if any(job.wait.snapshot == snapshot for job in self._lane_of(wait).pending):
                return
        if desk.ledger.name_of(snapshot.manifest, wait.store) is not None:
            desk.spool.done(wait)
            return
        self._write("queued", wait, name)
        self._add(wait, name)

    def _add(self, wait: Wait, name: str) -> None:
        with self._desk.changed:
            self._lane_of(wait).add(Job(wait, name, self._desk.clock()))

    def _lane_of(self, wait: Wait) -> Lane:
        return next(lane for lane in self._lanes if lane.address == wait.store)

    def _write(self, event: Event, wait: Wait, name: str, **more: str) -> None:
        one = wait.snapshot
        self._desk.ledger.write(
            event, store=wait.store, step=one.step, name=name, bytes=one.bytes, manifest=one.manifest, **more
        )

    def _wait_for_room(self, give_up: Callable[[], bool]) -> None:
        """Wait while too much waits; the alarm says for whom."""
        alarmed = False
        try:
            while full := self._full():
                if not alarmed:
                    self._desk.status.alarm(_QUEUE, "yellow", f"training waits for {', '.join(full)}")
                    alarmed = True
                if give_up():
                    return
                for lane in self._lanes:
                    lane.show()
                with self._desk.changed:
                    self._desk.changed.wait(_POLL_SECONDS)
        finally:
            if alarmed:
                self._desk.status.clear(_QUEUE)

    def _full(self) -> list[str]:
        """Addresses of the stores that the run must wait for."""
        section = self._desk.section
        with self._desk.changed:
            waiting = {job.wait.snapshot for lane in self._lanes for job in lane.pending}
            if section.spool_gb is not None and sum(snapshot.bytes for snapshot in waiting) > section.spool_gb * 1e9:
                return [lane.address for lane in self._lanes if lane.pending]
            return [lane.address for lane in self._lanes if len(lane.pending) > section.queue]
