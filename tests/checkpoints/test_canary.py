"""The canary: what a store denies is said before step 1, by name."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from lugha.checkpoints.canary import check_store
from lugha.checkpoints.publish import publish
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.names import split_key
from lugha.checkpoints.stores.protocol import StoreError
from lugha.errors import InterruptedRunError, RefusedError
from tests.checkpoints.memory_store import MemoryStore, Operation, ReplacingStore, fail_on
from tests.checkpoints.small import RUN, small_checkpoint

DENIED = StoreError("s3://memory/runs: 403. Ask whoever owns the bucket.", permanent=True)
BUSY = StoreError("s3://memory/runs: 503.", permanent=False)


class Time:
    """Seconds that pass only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr("lugha.checkpoints.canary.time", clock)
    return clock


def test_a_good_store_is_left_as_it_was(tmp_path: Path) -> None:
    folder = FolderStore(tmp_path / "mount")
    for store in (MemoryStore(), ReplacingStore(), folder):
        assert check_store(store, run=RUN, private=True) > 0
        assert store.entries() == []
    assert [path for path in (tmp_path / "mount").rglob("*") if path.is_file()] == []


def test_checkpoints_and_leftovers_of_killed_starts(tmp_path: Path) -> None:
    store = MemoryStore()
    publish(store, "run/step-00000001-aaaa", small_checkpoint(tmp_path, 1))
    store.objects["canary/step-00000000-12345678"] = {"canary.bin": b"left by a killed start"}
    before = dict(store.objects["run/step-00000001-aaaa"])
    check_store(store, run=RUN, private=True)
    assert store.objects == {"run/step-00000001-aaaa": before}


def test_the_canary_is_never_marked_and_is_listed_as_a_folder() -> None:
    store, seen = MemoryStore(), []

    def before(operation: Operation) -> None:
        if operation.kind == "remove":
            seen.append(operation.name)

    store.before = before
    check_store(store, run=RUN, private=True)
    assert len(seen) == 1 and seen[0].startswith("canary/step-00000000-")
    assert split_key(f"{seen[0]}/canary.bin") == (seen[0], "canary.bin")
    assert store.count("mark") == 0


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("prepare", "The store cannot be reached"),
        ("upload", "The store cannot be written"),
        ("read", "The store cannot be read"),
        ("entries", "The store cannot be listed"),
        ("remove", "The store cannot be cleaned"),
    ],
)
def test_what_is_denied_is_named_and_what_may_pass_is_tried_again(kind: str, words: str, clock: Time) -> None:
    store, said = MemoryStore(), []
    store.before = fail_on(kind, DENIED)
    with pytest.raises(RefusedError, match=words) as caught:
        check_store(store, run=RUN, private=True, say=said.append)
    assert str(caught.value) == f"{words}: s3://memory/runs: 403. Ask whoever owns the bucket."
    assert store.count(kind) == 1 and said == [] and clock.now == 0

    store.before = fail_on(kind, BUSY)
    with pytest.raises(InterruptedRunError, match=f"{words}.*503.*Tried .* times.*same command again") as late:
        check_store(store, run=RUN, private=True, say=said.append)
    assert late.value.exit_code == 75 and said == [f"{words}: s3://memory/runs: 503. Trying again for 2 min 00 s."]
    assert 60 < clock.now < 120

    store.before = fail_on(kind, BUSY, times=3)
    assert check_store(store, run=RUN, private=True) > 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(lambda c: None, "an object that was written is not there"), (lambda c: c[:-1], "other bytes than were written")],
)
def test_a_store_that_loses_or_alters_what_it_takes_is_refused(spoil: object, words: str) -> None:
    store = MemoryStore()
    store.keeps = lambda name, file, content: spoil(content)  # type: ignore[operator]
    with pytest.raises(RefusedError, match=f"The store cannot be read: s3://memory/runs: an object.*{words[-20:]}"):
        check_store(store, run=RUN, private=True)


def test_a_list_that_is_late_is_waited_for_and_one_that_lies_is_refused() -> None:
    store, late, real = MemoryStore(), [True, True], MemoryStore.entries
    store.entries = lambda: [] if late and late.pop() else real(store)  # type: ignore[method-assign]
    assert check_store(store, run=RUN, private=True) > 0
    assert store.objects == {}
    store.entries = lambda: []  # type: ignore[method-assign]
    with pytest.raises(RefusedError, match="cannot be listed: .* does not stand in the list"):
        check_store(store, run=RUN, private=True)


def test_what_cannot_be_deleted_is_said() -> None:
    store = MemoryStore()
    store.remove = lambda name: None  # type: ignore[method-assign]
    with pytest.raises(RefusedError, match="cannot be cleaned: .* still stands in the list"):
        check_store(store, run=RUN, private=True)


def test_notes_of_the_store_are_said() -> None:
    store, said = MemoryStore(), []
    store.notes = ["hf://user/repo is public"]  # type: ignore[attr-defined]
    check_store(store, run=RUN, private=True, say=said.append)
    assert said == ["hf://user/repo is public"]


def test_another_run_is_not_overwritten_where_names_do_not_hold_the_run(tmp_path: Path) -> None:
    hub = ReplacingStore()
    publish(hub, "checkpoint-500", small_checkpoint(tmp_path, 500))
    hub.objects["checkpoint-600"] = {"manifest.json": b"torn"}
    publish(hub, "folder/checkpoint-500", small_checkpoint(tmp_path / "b", 500, run="third-20261122T000000Z-0000"))
    check_store(hub, run=RUN, private=True)
    check_store(hub, private=True)
    other = f"other-20261121T000000Z-{secrets.token_hex(2)}"
    with pytest.raises(RefusedError, match=f"holds the checkpoints of another run .{RUN}.*hf://user/memory/{other}"):
        check_store(hub, run=other, private=True)
    store = MemoryStore()
    publish(store, f"{RUN}/step-00000500-aaaa", small_checkpoint(tmp_path, 500))
    check_store(store, run=other, private=True)


def test_a_folder_below_a_mount_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="The store cannot be reached: .*no folder"):
        check_store(FolderStore(tmp_path / "not-mounted" / "store"), run=RUN, private=True)
