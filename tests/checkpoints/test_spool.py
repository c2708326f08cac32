"""The spool: snapshots that rotation cannot touch, whole or not there, and a record of who still waits."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lugha.checkpoints.format import read_manifest_of, verify_files
from lugha.checkpoints.spool import Spool, Wait
from lugha.errors import InputError, InterruptedRunError
from tests.checkpoints.small import RUN, content_of, digest, small_checkpoint

S3, HUB = "s3://bucket/runs", "hf://user/repo"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return small_checkpoint(tmp_path / "checkpoints", 500)


def left(place: Path, *stores: str) -> list[tuple[int, str, str | None]]:
    """What another process finds."""
    ours, _ = Spool(place).left(list(stores or (S3, HUB)))
    return [(wait.snapshot.step, wait.store, wait.name) for wait in ours]


def check_whole(wait: Wait) -> None:
    verify_files(wait.snapshot.checkpoint, read_manifest_of(wait.snapshot.checkpoint))


def test_a_snapshot_stays_when_the_checkpoint_is_rotated_away_and_costs_no_room(place: Path, checkpoint: Path) -> None:
    [wait] = Spool(place).keep(checkpoint, {S3: "a/step-1"})
    inode = (checkpoint / "model.safetensors").stat().st_ino
    assert (wait.snapshot.checkpoint / "model.safetensors").stat().st_ino == inode
    shutil.rmtree(checkpoint)
    check_whole(wait)
    assert wait.snapshot.step == 500 and wait.snapshot.run == RUN
    assert wait.snapshot.bytes == sum(len(content) for content in content_of(500).values())
    assert wait.snapshot.manifest == digest(wait.snapshot.checkpoint / "manifest.json")


def test_only_the_files_of_the_manifest_are_kept(place: Path, checkpoint: Path) -> None:
    (checkpoint / "notes.txt").write_text("mine")
    [wait] = Spool(place).keep(checkpoint, {S3: "a"})
    assert not (wait.snapshot.checkpoint / "notes.txt").exists()


def test_stores_wait_each_for_itself_and_the_last_one_takes_the_snapshot_away(place: Path, checkpoint: Path) -> None:
    spool = Spool(place)
    to_s3, to_hub = spool.keep(checkpoint, {S3: "a", HUB: "checkpoint-500"})
    assert sorted(left(place)) == [(500, HUB, "checkpoint-500"), (500, S3, "a")]
    spool.done(to_s3)
    assert left(place) == [(500, HUB, "checkpoint-500")]
    check_whole(to_hub)
    spool.done(to_s3)
    spool.done(to_hub)
    spool.done(to_hub)
    assert list(place.iterdir()) == []


def test_the_order_is_that_of_the_submits_not_of_steps_and_goes_on_in_the_next_process(place: Path, tmp_path: Path) -> None:
    spool = Spool(place)
    for step in (200, 300, 100):
        spool.keep(small_checkpoint(tmp_path / "c", step), {S3: f"n{step}"})
    assert [step for step, _, _ in left(place)] == [200, 300, 100]
    [wait] = Spool(place).keep(small_checkpoint(tmp_path / "c", 50), {S3: "n50"})
    assert wait.snapshot.number == 4


def test_numbers_are_not_given_twice_by_one_process(place: Path, tmp_path: Path) -> None:
    spool, numbers = Spool(place), []
    for step in (1, 2, 3):
        [wait] = spool.keep(small_checkpoint(tmp_path / "c", step), {S3: "n"})
        numbers.append(wait.snapshot.number)
        spool.done(wait)
    assert numbers == [1, 2, 3]


def test_the_same_checkpoint_again_keeps_its_place_and_its_names(place: Path, checkpoint: Path) -> None:
    spool = Spool(place)
    [first] = spool.keep(checkpoint, {S3: "first"})
    assert spool.keep(checkpoint, {S3: "second"}) == [first]
    both = [(wait.store, wait.name) for wait in spool.keep(checkpoint, {S3: "third", HUB: "h"})]
    assert both == [(S3, "first"), (HUB, "h")]
    assert sorted(left(place)) == [(500, HUB, "h"), (500, S3, "first")]
    assert len(list(place.iterdir())) == 1


def test_another_checkpoint_of_the_same_step_is_another_snapshot(place: Path, tmp_path: Path) -> None:
    spool = Spool(place)
    for created in ("earlier", "later"):
        spool.keep(small_checkpoint(tmp_path / created, 500, created=created), {S3: created})
    assert [name for _, _, name in left(place)] == ["earlier", "later"]


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_where_links_are_impossible_files_are_copied(
    place: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def no_link(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", no_link)
    [wait] = Spool(place).keep(checkpoint, {S3: "a"})
    assert (wait.snapshot.checkpoint / "model.safetensors").stat().st_nlink == 1
    shutil.rmtree(checkpoint)
    check_whole(wait)


def test_another_file_system_is_one_of_those_places(checkpoint: Path) -> None:
    """For real, where this machine has a second file system."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == checkpoint.stat().st_dev:
        pytest.skip("one file system only")
    place = shm / f"lugha-spool-{os.getpid()}"
    try:
        [wait] = Spool(place).keep(checkpoint, {S3: "a"})
        check_whole(wait)
        assert (checkpoint / "model.safetensors").stat().st_nlink == 1
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_a_full_disk_is_one_line_and_nothing_is_kept(place: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.link, 0

    def full(source: Path, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(InterruptedRunError, match="No space left"):
        Spool(place).keep(checkpoint, {S3: "a"})
    assert list(place.iterdir()) == []
    monkeypatch.setattr(os, "link", real)
    assert Spool(place).keep(checkpoint, {S3: "a"})


def test_what_is_not_whole_is_refused(place: Path, checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model.safetensors: missing"):
        Spool(place).keep(checkpoint, {S3: "a"})
    (checkpoint / "manifest.json").unlink()
    with pytest.raises(InputError, match=r"no manifest.json"):
        Spool(place).keep(checkpoint, {S3: "a"})
    assert list(place.iterdir()) == []


def test_what_a_kill_left_half_made_is_removed_and_what_is_not_ours_is_not(place: Path, checkpoint: Path) -> None:
    Spool(place).keep(checkpoint, {S3: "a"})
    half = place / ".00002-step-00000600-12345678.partial" / "checkpoint"
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half")
    unwaited = place / "00003-step-00000700-12345678" / "checkpoint"
    unwaited.mkdir(parents=True)
    (place / "notes").mkdir()
    assert left(place) == [(500, S3, "a")]
    assert sorted(path.name[:5] for path in place.iterdir()) == ["00001", "notes"]


def test_a_store_that_the_recipe_does_not_name_any_more_is_told(place: Path, checkpoint: Path) -> None:
    spool = Spool(place)
    spool.keep(checkpoint, {S3: "a", HUB: "h"})
    ours, others = Spool(place).left([S3])
    assert [(wait.store, wait.name) for wait in ours] == [(S3, "a")]
    assert [(wait.store, wait.name) for wait in others] == [(HUB, "h")]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"store": "s3://other", "name": "x"}'])
def test_a_damaged_record_is_still_a_wait_and_the_name_is_chosen_anew(place: Path, checkpoint: Path, content: bytes) -> None:
    [wait] = Spool(place).keep(checkpoint, {S3: "a"})
    [record] = wait.snapshot.folder.glob("waits-*.json")
    record.write_bytes(content)
    assert left(place) == [(500, S3, None)]


def test_a_snapshot_with_a_damaged_manifest_is_not_passed_over(place: Path, checkpoint: Path) -> None:
    [wait] = Spool(place).keep(checkpoint, {S3: "a"})
    manifest = wait.snapshot.checkpoint / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-9])
    [found] = Spool(place).left([S3])[0]
    assert (found.snapshot.step, found.snapshot.run, found.snapshot.bytes) == (500, "", 0)


def dying_at(count: int, real: Callable[..., Any], seen: list[int]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        seen[0] += 1
        if seen[0] == count:
            os._exit(9)
        return real(*arguments, **named)

    return call


FILE_OPERATIONS = [
    (os, "link"),
    (os, "fsync"),
    (os, "mkdir"),
    (os, "unlink"),
    (os, "rename"),
    (os, "replace"),
    (os, "rmdir"),
]


def test_a_kill_at_any_file_operation_leaves_a_whole_snapshot_or_none(tmp_path: Path) -> None:
    """A forked child dies at the n-th operation on files of keep and done; the parent looks at what is left."""
    checkpoint, count, outcomes = small_checkpoint(tmp_path / "c", 500), 0, set()
    while True:
        count += 1
        place = tmp_path / f"spool-{count}"
        child = os.fork()
        if child == 0:
            try:
                seen = [0]
                for module, name in FILE_OPERATIONS:
                    setattr(module, name, dying_at(count, getattr(module, name), seen))
                spool = Spool(place)
                for wait in spool.keep(checkpoint, {S3: "a", HUB: "h"}):
                    spool.done(wait)
                os._exit(0)
            finally:
                os._exit(3)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9)
        ours, _ = Spool(place).left([S3, HUB])
        outcomes.add(len(ours))
        for wait in ours:
            check_whole(wait)
            Spool(place).done(wait)
        assert not place.is_dir() or list(place.iterdir()) == []
        if code == 0:
            break
    assert count > 20 and outcomes == {0, 1, 2}
