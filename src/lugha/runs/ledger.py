"""The ledger of a run: what became of every checkpoint, in which store, when. Append-only.

    RUN/ledger.jsonl
    {"time": 1795188000.1, "event": "queued",   "step": 500, "store": "s3://b/p", "name": "demo-.../step-...", "bytes": 81264}
    {"time": 1795188003.9, "event": "sent",     ..., "seconds": 3.2}
    {"time": 1795188005.0, "event": "verified", ..., "seconds": 4.3, "manifest": "9f2c..."}

Events: saved (on the local disk; store `local`), queued, sent (every byte accepted), verified (every byte read back and
equal), failed (with `why`; it is tried again), promoted, deleted. `seconds` run from the beginning of the attempt, and
`manifest` is the SHA-256 of the checkpoint's manifest: names of a store may be used again, manifests are never alike. Times
are those of the clock on the wall and prove nothing: order is that of the lines.
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
            more: `seconds` that it took, `why` it failed, `manifest`.

        Raises:
            InterruptedRunError: the disk is full; the ledger is as it was.
        """
        line = {"time": round(time.time(), 3), "event": event, "step": step, "store": store, "name": name, "bytes": bytes}
        with self._lock:
            append_jsonl(self.path, line | more, durable=True)

    def lines(self) -> list[dict[str, Any]]:
        """All lines, the oldest first."""
        with self._lock:
            return read_jsonl(self.path)

    def verified(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Store -> name in it -> the line that says so, for what was verified and not deleted since; the oldest first."""
        found: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        for line in self.lines():
            names = found[line["store"]]
            if line["event"] in ("verified", "deleted"):
                names.pop(line["name"], None)
            if line["event"] == "verified":
                names[line["name"]] = line
        return {store: names for store, names in found.items() if names}

    def verified_steps(self) -> dict[str, set[int]]:
        """Store -> steps that were verified in it and not deleted since."""
        return {store: {line["step"] for line in names.values()} for store, names in self.verified().items()}

    def name_of(self, manifest: str, store: str) -> str | None:
        """The name under which the checkpoint with this manifest (its SHA-256) is verified in a store; None if it is not."""
        names = self.verified().get(store, {})
        return next((name for name, line in names.items() if line.get("manifest") == manifest), None)
