"""A full disk, a real small one: room is made by the policy, else the run waits, red, and goes on when there is some."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lugha.checkpoints.format import list_checkpoints, verify_checkpoint
from lugha.checkpoints.place import partial_folder, put_in_place
from lugha.checkpoints.room import saved_with_room
from lugha.errors import InterruptedRunError
from lugha.recipe import CheckpointsSection
from lugha.runs.files import disk_full_is_one_line
from lugha.runs.folder import RunFolder, read_jsonl
from lugha.runs.status import RunStatus
from tests.checkpoints.small import RUN, small_checkpoint

WEIGHTS = 100_000  # bytes of one checkpoint here
PATIENT = CheckpointsSection(disk_wait="1h")  # type: ignore[arg-type]
HASTY = CheckpointsSection(disk_wait="0.3s")  # type: ignore[arg-type]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 800 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a small file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def run(disk: Path) -> RunFolder:
    run = RunFolder(disk / RUN)
    run.checkpoints.mkdir(parents=True)
    return run


def saver(run: RunFolder, step: int, tries: list[int] | None = None) -> Callable[[], Path]:
    """Saves a checkpoint as training does: whole, or a clear end."""

    def save() -> Path:
        if tries is not None:
            tries.append(step)
        folder = run.checkpoints / f"step-{step:08d}"
        with disk_full_is_one_line(folder), partial_folder(folder) as partial:
            made = small_checkpoint(partial / "in", step, files={"model.safetensors": bytes(WEIGHTS)})
            put_in_place(made, folder)
        return folder

    return save


def steps(run: RunFolder) -> list[int]:
    return [step for step, folder in list_checkpoints(run.checkpoints) if verify_checkpoint(folder)]


def fill(run: RunFolder, *, free: int) -> Path:
    """Take all of the disk but some bytes, as another program would."""
    beside = run.path.parent / "beside.bin"
    beside.write_bytes(bytes(max(0, shutil.disk_usage(run.path).free - free)))
    return beside


def attempt(
    run: RunFolder,
    step: int,
    section: CheckpointsSection = PATIENT,
    *,
    expected: int = WEIGHTS,
    give_up: Callable[[], bool] = lambda: False,
    tries: list[int] | None = None,
    status: RunStatus | None = None,
) -> Path:
    return saved_with_room(
        saver(run, step, tries),
        run=run,
        section=section,
        stores=[],
        status=status or RunStatus(run),
        expected_bytes=expected,
        give_up=give_up,
    )


def status_of(run: RunFolder) -> dict[str, object]:
    return dict(json.loads((run.path / "status.json").read_text()))


def test_with_room_a_save_is_a_save(run: RunFolder) -> None:
    assert attempt(run, 10).name == "step-00000010"
    assert not (run.path / "status.json").exists()


@pytest.mark.parametrize("expected", [WEIGHTS, 0])
def test_the_oldest_go_until_there_is_room(expected: int, run: RunFolder) -> None:
    """With a known size before a byte is written, with an unknown one after the kernel refused."""
    for step in (10, 20, 30, 40):
        saver(run, step)()
    fill(run, free=WEIGHTS // 2)
    tries: list[int] = []
    attempt(run, 50, expected=expected, tries=tries)
    assert steps(run) == [50, 40, 30, 20]
    assert len(tries) == (1 if expected else 2)
    assert [e["checkpoint"] for e in read_jsonl(run.path / "events.jsonl")] == ["step-00000010"]


def test_the_last_two_are_kept_and_the_run_waits_red_until_there_is_room(run: RunFolder) -> None:
    for step in (10, 20):
        saver(run, step)()
    beside = fill(run, free=WEIGHTS // 2)
    paused = threading.Event()

    class Watched(RunStatus):
        def alarm(self, name: str, level: object, text: str) -> None:  # type: ignore[override]
            super().alarm(name, level, text)  # type: ignore[arg-type]
            assert steps(run) == [20, 10]
            paused.set()

    def somebody_makes_room() -> None:
        assert paused.wait(60)
        beside.unlink()

    helper = threading.Thread(target=somebody_makes_room)
    helper.start()
    said: list[str] = []
    saved_with_room(
        saver(run, 30),
        run=run,
        section=PATIENT,
        stores=[],
        status=Watched(run),
        expected_bytes=WEIGHTS,
        give_up=lambda: False,
        say=said.append,
    )
    helper.join()
    assert steps(run) == [30, 20, 10]
    assert len(said) == 1
    assert "no room for a checkpoint below" in said[0]
    assert (status_of(run)["state"], status_of(run)["health"]) == ("running", "green")
    assert [e["event"] for e in read_jsonl(run.path / "events.jsonl")] == ["alarm", "alarm_over"]


def test_after_the_wait_it_ends_red_and_can_be_resumed(run: RunFolder) -> None:
    for step in (10, 20):
        saver(run, step)()
    fill(run, free=WEIGHTS // 2)
    tries: list[int] = []
    with pytest.raises(InterruptedRunError, match="No space left on the disk while writing .*step-00000030"):
        attempt(run, 30, HASTY, tries=tries)
    assert tries == [30]  # what looked too large is tried once all the same
    assert steps(run) == [20, 10]
    assert (status_of(run)["state"], status_of(run)["health"]) == ("paused", "red")
    assert {p.name for p in run.checkpoints.iterdir()} == {"step-00000010", "step-00000020"}


def test_a_run_that_must_go_tries_once_and_goes(run: RunFolder) -> None:
    for step in (10, 20):
        saver(run, step)()
    fill(run, free=WEIGHTS // 2)
    with pytest.raises(InterruptedRunError, match="No space left"):
        attempt(run, 30, give_up=lambda: True)
    asked: list[bool] = []

    def later() -> bool:
        asked.append(True)
        return len(asked) > 5

    with pytest.raises(InterruptedRunError, match="No space left"):
        attempt(run, 30, give_up=later)
    assert steps(run) == [20, 10]


def test_what_goes_and_frees_nothing_does_not_end_the_run(run: RunFolder) -> None:
    """The spool holds links to the files that went; not even a line of the ledger finds room."""
    for step in (10, 20, 30):
        saver(run, step)()
    spooled = run.spool / "model.safetensors"
    spooled.parent.mkdir()
    spooled.hardlink_to(run.checkpoints / "step-00000010" / "model.safetensors")
    (run.spool / "optimiser.safetensors").write_bytes(bytes(WEIGHTS))
    fill(run, free=0)
    asked: list[bool] = []

    def somebody_makes_room() -> bool:
        if len(asked) == 3:
            shutil.rmtree(run.spool)
        asked.append(True)
        return False

    attempt(run, 40, give_up=somebody_makes_room)
    assert steps(run) == [40, 30, 20]


def test_what_fits_is_saved_although_more_was_expected(run: RunFolder) -> None:
    fill(run, free=2 * WEIGHTS)
    assert attempt(run, 30, HASTY, expected=10 * WEIGHTS).name == "step-00000030"


def test_a_limit_on_the_size_of_files_deletes_nothing(run: RunFolder) -> None:
    for step in (10, 20, 30, 40):
        saver(run, step)()

    def save() -> None:
        with disk_full_is_one_line(run.checkpoints / "x"):
            raise OSError(errno.EFBIG, "File too large")

    with pytest.raises(InterruptedRunError, match="No space left"):
        saved_with_room(
            save,
            run=run,
            section=HASTY,
            stores=[],
            status=RunStatus(run),
            expected_bytes=0,
            give_up=lambda: False,
        )
    assert steps(run) == [40, 30, 20, 10]
