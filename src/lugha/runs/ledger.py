"""The ledger of a run: what became of every checkpoint, in which store, when. Append-only.

    RUN/ledger.jsonl
    {"time": 1795188000.1, "event": "queued",   "step": 500, "store": "s3://b/p", "name": "demo-.../step-...", "bytes": 81264}
    {"time": 1795188003.9, "event": "sent",     ..., "seconds": 3.2}
    {"time": 1795188005.0, "event": "verified", ..., "seconds": 4.3}

Events: saved (on the local disk; store `local`), queued, sent (every byte accepted), verified (every byte read back and
equal), failed (with `why`; it is tried again), promoted, deleted. Times are those of the clock on the wall and prove nothing:
order is that of the lines.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from lugha.runs.folder import append_jsonl, read_jsonl

Event = Literal["saved", "queued", "sent", "verified", "failed", "promoted", "deleted"]
LOCAL = "local"


class Ledger:
    """Appends to one run's ledger, from any thread; a line is on the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def write(self, event: Event, *, store: str, step: int, name: str, bytes: int, **more: Any) -> None:
        """Append a line.

        Args:
            name: the checkpoint's folder in the store.
            bytes: of its files together.
            more: `seconds` that it took, `why` it failed.
        """
        line = {"time": round(time.time(), 3), "event": event, "step": step, "store": store, "name": name, "bytes": bytes}
        with self._lock:
            append_jsonl(self.path, line | more, durable=True)

    def lines(self) -> list[dict[str, Any]]:
        """All lines, the oldest first."""
        with self._lock:
            return read_jsonl(self.path)

    def verified_steps(self) -> dict[str, set[int]]:
        """Store -> steps that were verified in it and not deleted since."""
        found: defaultdict[str, set[int]] = defaultdict(set)
        for line in self.lines():
            if line["event"] == "verified":
                found[line["store"]].add(line["step"])
            elif line["event"] == "deleted":
                found[line["store"]].discard(line["step"])
        return dict(found)
