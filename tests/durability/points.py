"""Ends this process at its n-th operation: every change to a file below some folders, and every request to a server.

    points = Points([root], die_at=17)      # None: only count
    ...
    points.count

Changes to files are seen by an audit hook (PEP 578), so by whatever code they are made; fsync and the weights' writer, which
raise no audit event, and requests are wrapped. A process that dies before operation n + 1 has died after operation n.
"""

from __future__ import annotations

import http.client
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2

import lugha.checkpoints.save as save

DIED = 137
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate", "os.utime", "shutil.rmtree"}


class Points:
    """Counts operations from its making on; see the module's story."""

    def __init__(self, folders: Sequence[Path], die_at: int | None) -> None:
        self.count = 0
        self.kinds: list[str] = []
        self._die_at = die_at
        self._folders = tuple(f"{folder.resolve()}/" for folder in folders)
        self._lock = threading.Lock()
        sys.addaudithook(self._audit)
        os.fsync = self._counted(os.fsync, "fsync")
        save.save_file = self._counted(save.save_file, "weights")
        http.client.HTTPConnection.putrequest = self._counted(http.client.HTTPConnection.putrequest, "request")  # type: ignore[method-assign]
        httpx2.Client.send = self._counted(httpx2.Client.send, "request")  # type: ignore[method-assign]

    def _audit(self, event: str, given: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = given
            if not (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in _CHANGES:
            path = given[0]
        else:
            return
        if isinstance(path, str | bytes | os.PathLike):
            absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - `resolve` would itself ask the disk
            if absolute.startswith(self._folders):
                self._one(event)

    def _counted(self, inner: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            self._one(kind)
            return inner(*given, **named)

        return call

    def _one(self, kind: str) -> None:
        with self._lock:
            self.count += 1
            self.kinds.append(kind)
            if self.count == self._die_at:
                os._exit(DIED)
