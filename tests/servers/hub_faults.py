"""What goes wrong between a client and the small hub, on demand.

    hub.faults.answer("POST .*/commit/", 503, times=2)
    hub.faults.cut("PUT /stored/", after=1000)
    held = hub.faults.hold("POST .*/commit/"); held.arrived.wait(); held.release.set()
    hub.faults.clear()

A pattern is searched in "METHOD /path". `times` counts requests; None is for ever, until `clear`.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Hold:
    """A request that waits in the hub: `arrived` is set when it is there, it goes on when `release` is set."""

    arrived: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)


@dataclass
class Fault:
    """What happens to the requests that match; only what is set."""

    pattern: str
    times: int | None = None
    status: int | None = None
    says: str = ""  # goes with `status`
    cut_after: int | None = None  # bytes of the body, in the direction that carries it
    lose_answer: bool = False
    seconds: float = 0.0
    bytes_per_second: float | None = None
    hold: Hold | None = None


class Faults:
    """The faults that are on; asked by the server for each request."""

    def __init__(self) -> None:
        self._on: list[Fault] = []
        self._lock = threading.Lock()

    def answer(self, pattern: str, status: int, *, times: int | None = None, says: str = "injected") -> None:
        """An error instead of what was asked for, which is not done."""
        self._add(Fault(pattern, times, status=status, says=says))

    def cut(self, pattern: str, *, after: int, times: int | None = 1) -> None:
        """The connection is cut in the middle of a body: of an upload, or else of the answer."""
        self._add(Fault(pattern, times, cut_after=after))

    def lose_answer(self, pattern: str, *, times: int | None = 1) -> None:
        """What was asked for is done, and the connection is cut before the answer."""
        self._add(Fault(pattern, times, lose_answer=True))

    def delay(self, pattern: str, seconds: float, *, times: int | None = None) -> None:
        """Nothing happens for so long, then what was asked for."""
        self._add(Fault(pattern, times, seconds=seconds))

    def throttle(self, pattern: str, bytes_per_second: float) -> None:
        """Bodies in both directions are slow."""
        self._add(Fault(pattern, bytes_per_second=bytes_per_second))

    def hold(self, pattern: str, *, times: int | None = 1) -> Hold:
        """Requests wait until they are released, or until `clear`."""
        fault = Fault(pattern, times, hold=Hold())
        self._add(fault)
        assert fault.hold is not None
        return fault.hold

    def release(self) -> None:
        """Let all requests go on that are held."""
        with self._lock:
            for fault in self._on:
                if fault.hold:
                    fault.hold.release.set()

    def clear(self) -> None:
        """All is well again."""
        self.release()
        with self._lock:
            self._on.clear()

    def of(self, request: str) -> list[Fault]:
        """The faults that hit this request, each counted."""
        with self._lock:
            hit = [f for f in self._on if f.times != 0 and re.search(f.pattern, request)]
            for fault in hit:
                fault.times = None if fault.times is None else fault.times - 1
        return hit

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._on.append(fault)
