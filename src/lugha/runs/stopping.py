"""Asking a process to stop, from anywhere; hearing it where nothing is cut in two.

    with stopping(run=run.path, deadline=deadline) as stop:
        for batch in batches:
            stop_if_asked()                   # InterruptedRunError, exit code 75
    ...
    if why := stop.reason(reserve=90.0):      # or the caller ends its own work: save, publish, leave

Who may ask: SIGTERM and SIGINT, the file RUN/STOP, the deadline, a notice of the cloud that the machine goes (notices.py), the
policy of publishing; any thread, by `Stop.ask`. The first reason stands. Blocks inside one another share one `Stop`, and only
code that asks `reason` often stands inside one: elsewhere Ctrl-C does what it always does.

Signals are heard by a thread of their own, through the pipe that the interpreter's C handler writes to. Their time is therefore
that of their arrival, and a second one ends the process at once, even while the main thread is deep in a library.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from lugha.errors import InterruptedRunError

if TYPE_CHECKING:
    from lugha.runs.deadline import Deadline

STOP, SAVE = "STOP", "SAVE"  # files below a run's folder that anybody may touch
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_POLL_SECONDS = 1.0  # between two looks at the files
# A terminal's Ctrl-C reaches a whole group of processes, and torchrun and other parents pass on what they got themselves:
# signals so close together are one wish.
_ECHO_SECONDS = 1.0
_GRACE_SECONDS = 30.0
_LEAVING = 0.1  # share of the time before a kill that is kept for the way out

_current: Stop | None = None


class Stop:
    """Whether this process is asked to stop, why, and how long it has; may be asked and answered from any thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.run: Path | None = None  # where STOP and SAVE may appear
        self.deadline: Deadline | None = None
        self.grace = _GRACE_SECONDS  # seconds between a signal and the kill
        self.hears = False  # whether signals come here
        self._now = now
        self._reason: str | None = None
        self._killed_at = math.inf
        self._signalled_at: float | None = None
        self._looked_at = -math.inf
        self._save_file = False

    def ask(self, reason: str, *, within: float | None = None) -> None:
        """Ask to stop.

        Args:
            within: seconds until the process will be killed; default: it will not be.
        """
        self._reason = self._reason or reason
        if within is not None:
            self._killed_at = min(self._killed_at, self._now() + within * (1 - _LEAVING))

    def reason(self, reserve: float = 0.0) -> str | None:
        """Why to stop; None: go on.

        Args:
            reserve: seconds that the caller needs between this answer and the deadline, beside its margin.
        """
        self._look()
        if self._reason is None and self.deadline and self.deadline.left() < self.deadline.margin + reserve:
            self.ask(f"run.deadline {self.deadline.text}")
        return self._reason

    def seconds_left(self) -> float:
        """Seconds that the process may still use: until its kill or its deadline, less a margin; infinite without either."""
        left = self._killed_at - self._now()
        if self.deadline:
            left = min(left, self.deadline.left() - self.deadline.margin)
        return max(0.0, left)

    def save_asked(self) -> bool:
        """Whether somebody touched RUN/SAVE."""
        self._look()
        return self._save_file

    def saved(self) -> None:
        """The save that RUN/SAVE asked for is done."""
        self._save_file = False
        if self.run:
            (self.run / SAVE).unlink(missing_ok=True)

    def obeyed(self) -> None:
        """The run is stopped: RUN/STOP has done its work, and the next command goes on."""
        if self.run:
            (self.run / STOP).unlink(missing_ok=True)

    @property
    def signalled(self) -> bool:
        """Whether a signal came."""
        return self._signalled_at is not None

    def hear(self, number: signal.Signals) -> None:
        """A signal came: the first asks, one after it ends the process."""
        now = self._now()
        if self._signalled_at is None:
            self._signalled_at = now
            self.ask(f"signal {number.name}", within=self.grace)
            _tell(f"{number.name}: stopping as soon as nothing is lost by it; a second signal ends the process at once.")
        elif now - self._signalled_at > _ECHO_SECONDS:
            _tell(
                f"{number.name} again: ended at once. What was saved before is whole; the same command goes on from there."
            )
            os._exit(InterruptedRunError.exit_code)

    def _look(self) -> None:
        if self.run is None or self._now() - self._looked_at < _POLL_SECONDS:
            return
        self._looked_at = self._now()
        self._save_file = (self.run / SAVE).exists()
        if (self.run / STOP).exists():
            self.ask(f"the file {self.run / STOP}")


@contextlib.contextmanager
def limited(*, run: Path | None = None, deadline: Deadline | None = None, grace: float | None = None) -> Iterator[Stop]:
    """Let code inside the block know of a run and its limits; signals do what they always do, until `stopping`.

    Args:
        run, deadline, grace: until this block ends; default: what the block around it knows.
    """
    global _current
    outermost = _current is None
    stop = _current = _current or Stop()
    before = (stop.run, stop.deadline, stop.grace)
    stop.run, stop.deadline = run or stop.run, deadline or stop.deadline
    stop.grace = stop.grace if grace is None else grace
    try:
        yield stop
    finally:
        stop.run, stop.deadline, stop.grace = before
        if outermost:
            _current = None


@contextlib.contextmanager
def stopping(*, run: Path | None = None, deadline: Deadline | None = None, grace: float | None = None) -> Iterator[Stop]:
    """Signals ask to stop until the block ends; inside another such block: the same `Stop`.

    Args:
        run, deadline, grace: as for `limited`.

    Raises:
        InterruptedRunError: at the end of the outermost block, where a signal came and the block ended all the same.
    """
    with limited(run=run, deadline=deadline, grace=grace) as stop:
        if stop.hears:
            yield stop
            return
        with _heard_by(stop):
            yield stop
        if stop.signalled:
            raise InterruptedRunError(f"Stopped by {stop.reason()}. The same command goes on with what is left to do.")


def stop_if_asked() -> None:
    """To be called inside every loop that lasts, and between pieces of work.

    Raises:
        InterruptedRunError: somebody asked to stop.
    """
    if _current is not None and (why := _current.reason()):
        _current.obeyed()
        raise InterruptedRunError(f"Stopped by {why}; nothing half-written was kept. The same command goes on.")


class Interrupted(BaseException):
    """A signal came where nobody asks `reason`: the process ends in order, as by Ctrl-C. No Exception: libraries catch those."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGINT raise `Interrupted` inside the block, but not in `stopping`; for the main thread of a program."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name)

    with _handled_by(interrupt):
        yield


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)


@contextlib.contextmanager
def _heard_by(stop: Stop) -> Iterator[None]:
    """Signals go to `stop.hear`; nothing where this is not the main thread, which alone may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    pipe_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(reading, stop), name="lugha-signals", daemon=True)
    listener.start()
    stop.hears = True
    try:
        with _handled_by(_nothing):
            yield
    finally:
        stop.hears = False
        signal.set_wakeup_fd(pipe_before)
        os.close(writing)
        listener.join()  # it reads to the end of the pipe: a signal of the last moment is not lost


def _listen(reading: int, stop: Stop) -> None:
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while numbers := pipe.read(64):
            for number in numbers:
                if number in _SIGNALS:
                    stop.hear(signal.Signals(number))


def _nothing(number: int, frame: FrameType | None) -> None:
    """The thread hears it."""


def _tell(text: str) -> None:
    """One line on stderr, past the buffers of whoever is writing there now."""
    with contextlib.suppress(OSError):
        os.write(2, f"lugha: {text}\n".encode())


# A child has the pipe too, and its signals must not stop its parent: they wait until it has let go of it.


def _before_fork() -> None:
    if _current is not None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _parent_after_fork() -> None:
    if _current is not None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _child_after_fork() -> None:
    global _current
    if _current is None:
        return
    _current = None
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


os.register_at_fork(before=_before_fork, after_in_parent=_parent_after_fork, after_in_child=_child_after_fork)
