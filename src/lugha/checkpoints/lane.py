"""The way to one store: what waits for it, and the thread that sends it, the newest first.

The thread never ends by an error. What a store answers, a full disk, a fault of ours: each is an alarm, a line of the ledger,
and another attempt after a pause (backoff.py), for ever. Whether a run goes on without its store is decided by its policy
(publisher.py), by the age of the newest state that is not safe (freshness.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import traceback
from collections import deque
from typing import Any

from lugha.checkpoints.freshness import Freshness
from lugha.checkpoints.jobs import Desk, Job, Promotion
from lugha.checkpoints.marker import promotion_for
from lugha.checkpoints.publish import AlteredError, publish
from lugha.checkpoints.stores.protocol import Store, StoreError
from lugha.checkpoints.trouble import Trouble, one_line
from lugha.runs.ledger import Event
from lugha.runs.rates import format_duration

_IDLE = "nothing is being sent"


class _Closed(Exception):  # noqa: N818 (no error)
    """The publisher was closed: the thread stops where it is."""


class Lane:
    """Queue and worker of one store. Other threads hold `desk.changed` when they look at the queue or add to it."""

    def __init__(self, store: Store, desk: Desk) -> None:
        self.store, self.address = store, store.address
        self.pending: list[Job] = []  # the one that is being sent stands there too
        self.seconds: deque[float] = deque(maxlen=4)  # from submit to verified, of the last ones
        self.failures = 0  # attempts that failed, of all
        self.verified_at = desk.clock()  # when the last one was; at first the start
        self._desk = desk
        self._promotion: Promotion | None = None
        self._freshness = Freshness()
        self._trouble = Trouble(self.address, desk.status, desk.section.max_unverified_age)
        self._lost: dict[int, tuple[int, str]] = {}  # number -> step and why, of what can never be sent
        self._doing, self._read_back = _IDLE, 0
        self._newest = 0  # number of the newest verified
        self._not_before = 0.0  # by time.monotonic: the end of the pause after a failure
        self._in_a_row = 0  # failures since a success, or since somebody was in a hurry: the pauses grow with it
        self._working = False
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"publish {self.address}", daemon=True)

    # For the publisher.

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """Stop at the next operation of the store."""
        self._closed = True
        self._desk.changed.notify_all()

    def join(self, seconds: float) -> None:
        """Wait for the thread to stop, so many seconds at most."""
        self._thread.join(seconds)

    def add(self, job: Job) -> None:
        """Queue a snapshot."""
        self.pending.append(job)
        self._freshness.submitted(job.number, job.since)
        self._desk.changed.notify_all()

    def promote(self, promotion: Promotion) -> None:
        """Queue a promotion; it takes place once its checkpoint is verified."""
        self._promotion = promotion
        self._desk.changed.notify_all()

    def hurry(self) -> None:
        """Try again now, whatever pause is on, and let the pauses be short again."""
        self._not_before, self._in_a_row = 0.0, 0
        self._desk.changed.notify_all()

    @property
    def busy(self) -> bool:
        """Whether something is being done, or is to be done and can be."""
        return self._working or self._has_task()

    def age(self) -> float:
        """Seconds since the first state that is not verified here."""
        with self._desk.changed:
            return self._freshness.age(self._desk.clock())

    def stop_reason(self) -> str | None:
        """The line for a run that has to stop, by the policy."""
        if (age := self.age()) < self._desk.section.stop_age:
            return None
        return f"no checkpoint was verified in {self.address} for {format_duration(age)}: {self._why()}"

    def missing(self) -> list[tuple[int, str]]:
        """(step, what is missing) for each checkpoint that is not in the store, or not promoted."""
        lines = [(job.step, f"not verified in {self.address}: {self._why()}") for job in self.pending]
        lines += [(step, f"not verified in {self.address}: {why}") for step, why in self._lost.values()]
        if self._promotion is not None:
            lines.append((self._promotion.step, f"not promoted in {self.address}: {self._why()}"))
        return lines

    def describe(self) -> str:
        """What goes on, for a person who waits."""
        back = f", {self._read_back / 1e9:.2f} GB so far" if self._read_back else ""
        return f"publishing to {self.address}: {len(self.pending)} left, {self._why()}{back}"

    def show(self) -> None:
        """Bring the alarm in line with the age; cheap when nothing is new. Not while `desk.changed` is held: it writes."""
        self._trouble.show(self.age(), self._doing)

    def _why(self) -> str:
        """What keeps the newest state from being verified."""
        if self._trouble.text is not None:
            return self._trouble.text
        return self._lost[max(self._lost)][1] if self._lost and not self.pending else self._doing

    def _has_task(self) -> bool:
        return bool(self.pending) or self._ready_promotion() is not None

    def _ready_promotion(self) -> Promotion | None:
        return self._promotion if self._promotion is not None and self._promotion.name is not None else None

    # The thread.

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                if isinstance(task, Job):
                    self._send(task)
                else:
                    self._promote(task)
            except _Closed:
                return
            except BaseException as error:  # a panic of a library written in Rust is no Exception, nor is sys.exit of one
                self._failed(task, error)

    def _next(self) -> Job | Promotion | None:
        """The next thing to do, when there is one and no pause is on; None when the publisher was closed."""
        with self._desk.changed:
            self._working = False
            self._desk.changed.notify_all()
            while not self._closed:
                left = self._not_before - time.monotonic()
                if self._has_task() and left <= 0:
                    self._working = True
                    return self._ready_promotion() or max(self.pending, key=lambda job: job.number)
                self._desk.changed.wait(left if self._has_task() else None)
        return None

    def _send(self, job: Job) -> None:
        desk = self._desk
        self._drop_replaced(job)
        started = desk.clock()
        self._doing, self._read_back = f"step {job.step:,} is being sent ({job.size / 1e9:.2f} GB)", 0

        def sent() -> None:
            self._check_open()
            self._write("sent", job, seconds=round(desk.clock() - started, 3))
            self._doing = f"step {job.step:,} is being read back ({job.size / 1e9:.2f} GB)"

        def read(count: int) -> None:
            self._check_open()
            self._read_back += count

        publish(self.store, job.name, job.wait.snapshot.checkpoint, sent=sent, read=read)
        # First the ledger: a process that is killed between these two lines does not send the snapshot again.
        self._write("verified", job, seconds=round(desk.clock() - started, 3))
        desk.spool.done(job.wait)
        self._verified(job)

    def _verified(self, job: Job) -> None:
        desk = self._desk
        with desk.changed:
            self.pending.remove(job)
            self._freshness.verified(job.number)
            self.verified_at = desk.clock()
            self.seconds.append(self.verified_at - job.since)
            self._lost = {number: lost for number, lost in self._lost.items() if number > job.number}
            if job.number > self._newest:
                self._newest = job.number
                desk.newest[self.address] = job.step
            if self._promotion is not None and self._promotion.manifest == job.manifest:
                self._promotion = dataclasses.replace(self._promotion, name=job.name)
            newest = dict(desk.newest)
            self._succeeded()
        self.show()
        if not self._lost:
            desk.status.clear(f"altered {self.address}")
        desk.status.note(verified=newest)
        self._after_verified(job.name)

    def _after_verified(self, name: str) -> None:
        """What the run does after each verification (retention) may fail: the publication stands."""
        alarm = f"retention {self.address}"
        self._doing = "older checkpoints there are looked through"
        try:
            self._desk.after_verified(self.store, name)
        except StoreError as error:
            self._desk.status.alarm(alarm, "yellow", one_line(error))
        except Exception as error:
            self._desk.status.alarm(alarm, "red", one_line(error))
            self._log_fault(error)
        else:
            self._desk.status.clear(alarm)
        finally:
            self._doing = _IDLE

    def _promote(self, promotion: Promotion) -> None:
        assert promotion.name is not None  # it is ready
        started = self._desk.clock()
        self._doing = f"step {promotion.step:,} is being promoted"
        content = promotion_for(promotion.name, promotion.manifest_bytes)
        self.store.promote(promotion.run, promotion.name, content)
        self._write("promoted", promotion, seconds=round(self._desk.clock() - started, 3))
        with self._desk.changed:
            self._promotion = None if self._promotion is promotion else self._promotion
            self._succeeded()
        self.show()

    def _succeeded(self) -> None:
        self._trouble.over()
        self._in_a_row = 0
        self._doing, self._read_back = _IDLE, 0
        self._desk.changed.notify_all()

    def _drop_replaced(self, job: Job) -> None:
        """A store with one name for each step must not get the older of two checkpoints of a step after the newer one."""
        with self._desk.changed:
            replaced = [other for other in self.pending if other.name == job.name and other.number < job.number]
        for other in replaced:
            self._write("failed", other, why="a newer checkpoint of the same step takes its name")
            self._desk.spool.done(other.wait)
            with self._desk.changed:
                self.pending.remove(other)

    # What goes wrong.

    def _failed(self, task: Job | Promotion, error: BaseException) -> None:
        """Tell it and see to it that there is another attempt, also when telling it fails (a full disk)."""
        try:
            if isinstance(task, Job) and isinstance(error, AlteredError):
                self._is_lost(task, one_line(error))
                return
            self._try_again(error)
            self.show()
            if self._trouble.is_news(self._desk.clock()):
                self._write("failed", task, why=one_line(error), attempts=self._trouble.failures)
                if not isinstance(error, StoreError):
                    self._log_fault(error)
        except Exception as second:
            self._try_again(second)
            with contextlib.suppress(Exception):  # the policy still has its words
                self.show()

    def _try_again(self, error: BaseException) -> None:
        with self._desk.changed:
            self.failures, self._in_a_row = self.failures + 1, self._in_a_row + 1
            self._trouble.failed(error)
            self._not_before = time.monotonic() + self._desk.pauses.pause(self._in_a_row)

    def _is_lost(self, job: Job, why: str) -> None:
        """Its bytes were altered on this disk: no attempt will ever succeed."""
        self._write("failed", job, why=why)
        self._desk.spool.done(job.wait)
        with self._desk.changed:
            self.pending.remove(job)
            if job.number > self._newest:
                self._lost[job.number] = (job.step, why)
            self._doing = _IDLE
            self._desk.changed.notify_all()
        self._desk.status.alarm(f"altered {self.address}", "red", why)

    def _check_open(self) -> None:
        if self._closed:
            raise _Closed

    def _write(self, event: Event, task: Job | Promotion, **more: Any) -> None:
        self._desk.ledger.write(
            event,
            store=self.address,
            step=task.step,
            name=task.name or "",
            bytes=task.size,
            manifest=task.manifest,
            **more,
        )

    def _log_fault(self, error: BaseException) -> None:
        """A fault of ours, or of a library: where it was, for those who mend it. Texts of its causes may hold secrets."""
        frames = "".join(traceback.format_tb(error.__traceback__))
        self._desk.run.log_event("fault", where=self.address, why=one_line(error), frames=frames)
