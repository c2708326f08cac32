"""The run folder: everything that one run leaves behind, under one name.

    runs/demo-20261120T104210Z-3fa9/
        recipe.yaml        the resolved recipe
        metrics.jsonl      one line for each logged step and validation
        events.jsonl       started, saved, resumed, stopped, finished, with times
        ledger.jsonl       what became of every checkpoint in every store
        status.json        how the run stands: running or not, green or red
        checkpoints/       step-00001000/ ...
        spool/             checkpoints on their way to a store
        SAVE, STOP         files that anybody may touch: save now; save and stop
        train.json         written when training is finished: the final checkpoint
        evaluation.json, export/, report.html

A run id is `<name>-<UTC time>-<4 hex>`. One process at a time works in a run folder (an advisory lock, freed by the kernel
when its process dies).
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import io
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lugha.errors import InputError, RefusedError
from lugha.runs.files import disk_full_is_one_line, fsync_folder, write_text

_APPENDING = threading.Lock()  # the loop and the workers that publish write to the same logs
_RUN_ID = re.compile(r"^(?P<name>[^/\\\0]+)-(?P<time>\d{8}T\d{6}Z)-[0-9a-f]{4}\Z")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class RunFolder:
    """Paths and logs of one run."""

    path: Path

    @property
    def id(self) -> str:
        """The run id."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        """`metrics.jsonl`."""
        return self.path / "metrics.jsonl"

    @property
    def ledger(self) -> Path:
        """`ledger.jsonl`."""
        return self.path / "ledger.jsonl"

    @property
    def spool(self) -> Path:
        """Folder of checkpoints on their way to a store."""
        return self.path / "spool"

    @property
    def finished(self) -> Path:
        """`train.json`, there when training is finished."""
        return self.path / "train.json"

    def log_metrics(self, **values: Any) -> None:
        """Append a line to metrics.jsonl."""
        append_jsonl(self.metrics, {"time": round(time.time(), 3)} | values, durable=False)

    def log_event(self, event: str, **values: Any) -> None:
        """Append a line to events.jsonl and flush it to the disk."""
        append_jsonl(self.path / "events.jsonl", {"time": round(time.time(), 3), "event": event} | values, durable=True)

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps that a resumed run will do again, and any line that a kill cut off."""
        kept = [line for line in read_jsonl(self.metrics) if line.get("step", 0) <= step]
        _rewrite(self.metrics, kept)
        _rewrite(self.path / "events.jsonl", read_jsonl(self.path / "events.jsonl"))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run folder for this process.

        Raises:
            RefusedError: another process is working in it.
        """
        with (self.path / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RefusedError(f"{self.path}: another process works in this run folder. Wait, or stop it.") from error
            yield


class Onlooker(RunFolder):
    """A run folder to a process that does not write it: one of several that train together, but not the first."""

    def log_metrics(self, **values: Any) -> None:
        """The first process does it."""

    def log_event(self, event: str, **values: Any) -> None:
        """The first process does it."""

    def forget_after(self, step: int) -> None:
        """The first process does it."""

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """The first process holds it."""
        yield


def new_run(root: Path, name: str, *, known: Iterable[str] = ()) -> RunFolder:
    """Make the folder of a new run below `root`.

    Its id sorts behind those of the runs of this name that are there, and behind those of `known`, whatever the clock says:
    a clock that was set back must not make an older run the newest.

    Args:
        known: ids of runs elsewhere, in stores.
    """
    now = datetime.datetime.now(datetime.UTC)
    for id_ in (*known, *(run.id for run in find_runs(root, name))):
        if (parts := split_run_id(id_)) and parts[0] == name:
            now = max(now, _second_after(parts[1]))
    run = RunFolder(root / f"{name}-{now.strftime(_TIME)}-{secrets.token_hex(2)}")
    run.checkpoints.mkdir(parents=True)
    fsync_folder(root)
    return run


def open_run(path: Path) -> RunFolder:
    """The run folder at `path`, or the one that holds the checkpoint at `path`.

    Raises:
        InputError: neither.
    """
    for folder in (path, *path.parents):
        if _RUN_ID.match(folder.name) and folder.is_dir():
            return RunFolder(folder)
    raise InputError(f"{path}: not a run folder (<name>-<time>-<4 hex>) and not inside one.")


def split_run_id(text: str) -> tuple[str, str] | None:
    """(name, time) of a run id, such as (demo, 20261120T104210Z); None for any other text."""
    match = _RUN_ID.match(text)
    return (match["name"], match["time"]) if match else None


def run_order(run: str) -> tuple[str, str]:
    """Sort key of run ids, the oldest first; what is no run id stands before all."""
    parts = split_run_id(run)
    return (parts[1] if parts else "", run)


def _second_after(stamp: str) -> datetime.datetime:
    try:
        return datetime.datetime.strptime(stamp, _TIME).replace(tzinfo=datetime.UTC) + datetime.timedelta(seconds=1)
    except (ValueError, OverflowError):  # 20269999T999999Z has the form of a time
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


def find_runs(root: Path, name: str) -> list[RunFolder]:
    """Run folders of the recipe `name` below `root`, the newest first (by the time in their ids)."""
    named = [path for path in root.glob("*/") if (parts := split_run_id(path.name)) and parts[0] == name]
    return [RunFolder(path) for path in sorted(named, key=lambda path: run_order(path.name), reverse=True)]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSONL log; a last line that a kill cut off is left out. Empty where there is no file.

    Raises:
        InputError: a line before the last is not JSON.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise InputError(f"{path}, line {number}: not JSON. The log was damaged; move it away and go on.") from error
    return rows


def _rewrite(path: Path, lines: list[dict[str, Any]]) -> None:
    with _APPENDING:
        write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def append_jsonl(path: Path, values: dict[str, Any], *, durable: bool) -> None:
    """Append one line, whole or not at all; a line that a kill cut off before is dropped first.

    Args:
        durable: the line is on the disk when the call returns.

    Raises:
        InterruptedRunError: the disk is full; the file is as it was.
    """
    line = json.dumps(values, ensure_ascii=False, default=str).encode() + b"\n"
    # Unbuffered: a buffer would be written once more when the file is closed, after we said that it could not be.
    with _APPENDING, disk_full_is_one_line(path), path.open("ab+", buffering=0) as stream:
        end = _end_of_whole_lines(stream)
        stream.truncate(end)
        try:
            if stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, end)
            raise
        if durable:
            os.fsync(stream.fileno())


def _end_of_whole_lines(stream: io.FileIO) -> int:
    """Size of the file up to its last newline."""
    size = stream.seek(0, os.SEEK_END)
    if size == 0:
        return 0
    stream.seek(size - 1)
    if stream.read(1) == b"\n":
        return size
    stream.seek(0)
    return stream.read().rfind(b"\n") + 1
