"""A disk that fills while a run trains, a real one: the run waits, red, goes on when there is room, and nothing differs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lugha.checkpoints.format import list_checkpoints, verify_checkpoint
from lugha.errors import InterruptedRunError
from lugha.recipe import CheckpointsSection
from lugha.runs.folder import new_run, read_jsonl
from tests.training.test_stop import SETTINGS, Forward, changed, go_on, lines, signalled
from tests.worlds import World

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path) -> None:
    """Not a byte is left, nor in the last page of a log (empty lines there mean nothing)."""
    for log in disk.glob("*/metrics.jsonl"):
        with log.open("ab") as stream:
            stream.write(b"\n" * (-stream.tell() % PAGE))
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        for size in (1 << 16, 1 << 8, 1):
            with contextlib.suppress(OSError):
                while True:
                    if ballast.write(bytes(size)) < size:
                        raise OSError(errno.ENOSPC, "full")


@contextlib.contextmanager
def room_once_it_waits(said: list[str], disk: Path) -> Iterator[None]:
    """Somebody reads that the run waits for room, and makes some."""

    def watch() -> None:
        while not any("no room" in text for text in said):
            time.sleep(0.01)
        (disk / "ballast").unlink()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    thread.join()


# Forwards as in test_stop.py: 16 is in step 2, whose end is logged; 25 the last of step 3, which is saved and validated.
@pytest.mark.parametrize("at", [16, 25, 26, 51])
def test_the_run_waits_and_is_the_same(at: int, documents: World, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = changed(documents, **SETTINGS | {"save_every": 3})
    whole = go_on(documents, recipe, new_run(disk.parent, "tiny"))
    run, forward = new_run(disk, "tiny"), Forward(monkeypatch)
    forward.then(at, lambda: fill(disk))
    said: list[str] = []
    with room_once_it_waits(said, disk):
        done = go_on(documents, recipe, run, said)
    assert done.weights_sha256 == whole.weights_sha256
    assert lines(run) == lines(whole.run)
    assert [step for step, folder in list_checkpoints(run.checkpoints) if verify_checkpoint(folder)] == [6, 3]
    alarms = [line for line in read_jsonl(run.path / "events.jsonl") if line["event"].startswith("alarm")]
    assert [line["event"] for line in alarms] == ["alarm", "alarm_over"]
    assert json.loads((run.path / "status.json").read_bytes())["health"] == "green"


def test_where_nobody_makes_room_the_last_good_checkpoint_is_left(
    documents: World, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = changed(documents, **SETTINGS | {"save_every": 3})
    recipe = recipe.model_copy(update={"checkpoints": CheckpointsSection(disk_wait="0.3s")})
    run, forward = new_run(disk, "tiny"), Forward(monkeypatch)
    forward.then(30, lambda: fill(disk))  # in step 4
    with pytest.raises(InterruptedRunError, match="No space left on the disk while writing .*metrics.jsonl"):
        go_on(documents, recipe, run)
    assert [step for step, folder in list_checkpoints(run.checkpoints) if verify_checkpoint(folder)] == [3]
    (disk / "ballast").unlink()
    assert go_on(documents, recipe, run).step == 6


@pytest.mark.parametrize(
    ("at", "line"),
    [
        (30, "Stopped at step 3 of 6 by signal SIGTERM"),  # in step 4: what is unfinished is dropped, and step 3 is saved
        (38, "No space left on the disk while writing .*step-00000004"),
    ],
)
def test_a_signal_ends_the_waiting(
    at: int, line: str, documents: World, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = changed(documents, **SETTINGS | {"save_every": 3})
    run, forward = new_run(disk, "tiny"), Forward(monkeypatch)

    def fill_and_ask() -> None:
        fill(disk)
        signalled()

    forward.then(at, fill_and_ask)
    with pytest.raises(InterruptedRunError, match=line):
        go_on(documents, recipe, run)
    assert [step for step, folder in list_checkpoints(run.checkpoints) if verify_checkpoint(folder)] == [3]
    (disk / "ballast").unlink()
    assert go_on(documents, recipe, run).step == 6
