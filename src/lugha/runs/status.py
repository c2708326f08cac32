"""`status.json` of a run: how it stands, for people and programs that look at it from outside.

    {"state": "running", "health": "red", "alarms": {"publish s3://b/p": "red: 403 Forbidden, for 12 min"}, ...}

Health is that of the worst alarm: green, yellow (look at it), red (work is being lost or soon will be).

What stands here is a report and proves nothing. On a full disk it is written with the next change that finds room: the alarm
that says that the disk is full must not be what ends the run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any, Literal

from lugha.errors import InterruptedRunError
from lugha.runs.files import write_json
from lugha.runs.folder import Onlooker, RunFolder

Level = Literal["yellow", "red"]
State = Literal["running", "paused", "stopped", "finished", "failed"]


class RunStatus:
    """The status of one run, changed from any thread; every change of an alarm is also a line of events.jsonl."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._state: State = "running"
        self._alarms: dict[str, tuple[Level, str]] = {}
        self._facts: dict[str, Any] = {}
        self._unlogged: list[tuple[str, dict[str, Any]]] = []  # events that found no room on the disk

    @property
    def path(self) -> Path:
        """Where it is written."""
        return self._run.path / "status.json"

    @property
    def health(self) -> str:
        """green, yellow or red."""
        levels = {level for level, _ in list(self._alarms.values())}  # a copy: other threads add to it
        return "red" if "red" in levels else "yellow" if levels else "green"

    def alarm(self, name: str, level: Level, text: str) -> None:
        """Raise an alarm, or change the one of this name. An event is logged when its level is new."""
        with self._lock:
            before = self._alarms.get(name)
            self._alarms[name] = (level, text)
            if before is None or before[0] != level:
                self._log("alarm", name=name, level=level, text=text)
            self._write()

    def clear(self, name: str) -> None:
        """The alarm of this name is over; nothing where there is none."""
        with self._lock:
            if self._alarms.pop(name, None) is not None:
                self._log("alarm_over", name=name)
                self._write()

    def note(self, state: State | None = None, **facts: Any) -> None:
        """Set the state, or facts such as step and newest verified checkpoint."""
        with self._lock:
            self._state = state or self._state
            self._facts |= facts
            self._write()

    def _write(self) -> None:
        alarms = {name: f"{level}: {text}" for name, (level, text) in self._alarms.items()}
        if isinstance(self._run, Onlooker):
            return
        record = {"run": self._run.id, "state": self._state, "health": self.health, "alarms": alarms}
        with contextlib.suppress(InterruptedRunError):
            write_json(self.path, record | self._facts | {"updated": round(time.time(), 3)})

    def _log(self, event: str, **values: Any) -> None:
        self._unlogged.append((event, values))
        with contextlib.suppress(InterruptedRunError):
            while self._unlogged:
                self._run.log_event(self._unlogged[0][0], **self._unlogged[0][1])
                self._unlogged.pop(0)
