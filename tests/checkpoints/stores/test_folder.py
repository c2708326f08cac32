"""The folder store: the promises of all stores, and what a disk, a mount or a kill may do to it."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.protocol import MARKER, StoreError
from tests.checkpoints.stores.conformance import FILES, RUN, StoreConformance, content, find, upload, write_files

NAME = f"{RUN}/step-00000500-a1b2"
BIG = random.Random(3).randbytes(3 << 20)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """A prepared store."""
    store = FolderStore(tmp_path / "drive" / "lugha")
    (tmp_path / "drive").mkdir()
    store.prepare(private=True)
    return store


class TestFolderStore(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        store = FolderStore(tmp_path / "drive")
        store.prepare(private=True)
        return store

    def alter(self, store: FolderStore, name: str, file: str, content: bytes) -> None:
        (Path(store.address) / name / file).write_bytes(content)

    def outside(self, store: FolderStore, key: str, content: bytes) -> None:
        path = Path(store.address) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def read_outside(self, store: FolderStore, key: str) -> bytes | None:
        path = Path(store.address) / key
        return path.read_bytes() if path.is_file() else None


def told(ask: Callable[[], Any]) -> StoreError:
    """The error of an operation."""
    with pytest.raises(StoreError) as caught:
        ask()
    assert "\n" not in str(caught.value)
    return caught.value


# Whether it is there


def test_below_a_mount_that_is_not_there_nothing_is_made(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "mnt" / "drive" / "lugha")
    error = told(lambda: store.prepare(private=True))
    assert f"there is no folder {tmp_path}/mnt/drive. Mount the drive, or make that folder" in str(error)
    assert error.permanent
    assert list(tmp_path.iterdir()) == []


def test_a_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = FolderStore(Path("~/lugha"))
    store.prepare(private=True)
    assert (tmp_path / "lugha").is_dir()
    assert store.address == "~/lugha"


def test_a_store_stays_where_it_is_when_the_process_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FolderStore(Path("drive"))
    store.prepare(private=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.mark(NAME, b"{}")
    assert (tmp_path / "drive" / NAME / MARKER).is_file()


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "drive").write_bytes(b"")
    error = told(lambda: FolderStore(tmp_path / "drive").prepare(private=True))
    assert "a file stands where a folder belongs" in str(error)
    assert error.permanent


def test_a_store_that_vanished_is_told_everywhere(store: FolderStore, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    (tmp_path / "drive").rename(tmp_path / "away")
    for ask in (
        store.entries,
        store.promoted,
        lambda: upload(store, NAME, tmp_path / "local", FILES),
        lambda: content(store, NAME, "trainer.json"),
        lambda: content(store, NAME, "gone"),
        lambda: store.mark(NAME, b"{}"),
        lambda: store.unmark(NAME),
        lambda: store.remove(NAME),
        lambda: store.promote(RUN, NAME, b"{}"),
    ):
        error = told(ask)
        assert type(error) is StoreError, "not: a file is missing"
        assert "not there. Is the drive mounted" in str(error)
        assert not error.permanent
    assert not (tmp_path / "drive").exists(), "nothing was made in its place"
    (tmp_path / "away").rename(tmp_path / "drive")
    assert content(store, NAME, "trainer.json") == FILES["trainer.json"]


def test_a_store_that_vanishes_in_mid_read(store: FolderStore, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", {"big": BIG, "trainer.json": b"{}"})
    blocks = iter(store.read(NAME, "big"))
    first = next(blocks)
    (tmp_path / "drive").rename(tmp_path / "away")
    assert first + b"".join(blocks) == BIG, "an open file stays open"


def test_a_store_that_vanishes_between_two_looks(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    open_ = os.open

    def vanishes(path: Any, *flags: int) -> int:
        (tmp_path / "drive").rename(tmp_path / "away")
        return open_(path, *flags)

    monkeypatch.setattr("os.open", vanishes)
    error = told(lambda: content(store, NAME, "trainer.json"))
    assert type(error) is StoreError, "not: a file is missing"


# Real file systems


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own: 2 MiB in memory."""
    place = tmp_path / "mount"
    place.mkdir()
    _mount(place, "size=2m")
    yield place
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


def _mount(place: Path, options: str) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this user may not mount a file system")


def test_a_full_disk_keeps_what_was_there(mounted: Path, tmp_path: Path) -> None:
    store = FolderStore(mounted / "lugha")
    store.prepare(private=True)
    upload(store, NAME, tmp_path / "local", FILES)
    store.mark(NAME, b"{}")
    second = f"{RUN}/step-00001000-a1b2"
    error = told(lambda: upload(store, second, tmp_path / "second", {"trainer.json": b"{}", "big": BIG}))
    assert "no space left there. Make room, or prune its checkpoints" in str(error)
    assert not error.permanent
    entry = find(store, NAME)
    assert entry is not None
    assert entry.marked
    assert {file: content(store, NAME, file) for file in FILES} == FILES
    torn = find(store, second)
    assert torn is not None
    assert set(torn.files) == {"trainer.json"}, "of the file that did not fit nothing is left"
    store.remove(second)
    upload(store, second, tmp_path / "second", {"trainer.json": b"{}", "big": BIG[: 1 << 20]})


def test_a_read_only_mount(mounted: Path, tmp_path: Path) -> None:
    store = FolderStore(mounted / "lugha")
    store.prepare(private=True)
    upload(store, NAME, tmp_path / "local", FILES)
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    for ask in (lambda: store.mark(NAME, b"{}"), lambda: store.remove(NAME), lambda: store.promote(RUN, NAME, b"{}")):
        error = told(ask)
        assert "read-only. Mount it for writing, or choose another folder" in str(error)
        assert error.permanent
    error = told(lambda: FolderStore(mounted / "another").prepare(private=True))
    assert "read-only" in str(error)
    assert {file: content(store, NAME, file) for file in FILES} == FILES


def test_the_empty_mount_point_of_a_drive_that_is_gone(mounted: Path, tmp_path: Path) -> None:
    store = FolderStore(mounted)
    store.prepare(private=True)
    upload(store, NAME, tmp_path / "local", FILES)
    subprocess.run(["umount", str(mounted)], check=True)
    for ask in (store.entries, lambda: upload(store, NAME, tmp_path / "local", FILES)):
        error = told(ask)
        assert f"{mounted} is not mounted any more. Mount it again" in str(error)
        assert not error.permanent
    assert list(mounted.iterdir()) == [], "nothing was written to the disk of this machine"
    _mount(mounted, "size=2m")
    assert store.entries() == []


def test_a_file_size_limit(store: FolderStore, tmp_path: Path) -> None:
    write_files(tmp_path / "local", {"big": BIG})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        error = told(lambda: store.upload(NAME, tmp_path / "local", ["big"]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "larger than that place takes" in str(error)
    assert store.entries() == []


def test_a_folder_without_rights(store: FolderStore, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    upload(store, NAME, tmp_path / "local", FILES)
    folder = Path(store.address) / NAME
    folder.chmod(0o500)
    try:
        error = told(lambda: store.mark(NAME, b"{}"))
    finally:
        folder.chmod(0o700)
    assert "permission denied. Give this user the right to write there" in str(error)
    assert error.permanent


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT])
def test_a_mount_that_loses_its_server(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """What the kernel says of such a mount; there is none here to pull the plug of."""

    def fails(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", fails)
    error = told(lambda: store.mark(NAME, b"{}"))
    assert not error.permanent
    assert not (Path(store.address) / NAME / MARKER).exists()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_mount_whose_folders_cannot_be_flushed(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fsync = os.fsync

    def files_only(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr("os.fsync", files_only)
    upload(store, NAME, tmp_path / "local", FILES)
    assert {file: content(store, NAME, file) for file in FILES} == FILES


# Links


def test_links_are_not_followed(store: FolderStore, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    root, secret = Path(store.address), tmp_path / "secret"
    write_files(secret, {"step-00000001/trainer.json": b"secret", "PROMOTED.json": b"secret", "file": b"secret"})
    (root / NAME / "linked.json").symlink_to(secret / "file")
    (root / "other-run").symlink_to(secret)
    (root / RUN / "step-00000002").symlink_to(secret / "step-00000001")
    (root / "dangling").symlink_to(secret / "nothing")
    entry = find(store, NAME)
    assert entry is not None
    assert set(entry.files) == set(FILES)
    assert [entry.name for entry in store.entries()] == [NAME]
    assert store.promoted() == {}
    for ask in (
        lambda: content(store, NAME, "linked.json"),
        lambda: content(store, f"{RUN}/step-00000002", "trainer.json"),
        lambda: content(store, "other-run/step-00000001", "trainer.json"),
        lambda: upload(store, "other-run/step-00000001", tmp_path / "local", FILES),
        lambda: store.mark(f"{RUN}/step-00000002", b"{}"),
        lambda: store.remove(f"{RUN}/step-00000002"),
        lambda: store.promote("other-run", NAME, b"{}"),
    ):
        error = told(ask)
        assert "a link, and links in a store are not followed" in str(error)
        assert "secret" not in str(error).replace(str(secret), "")
    store.remove(NAME)
    assert {path.name: path.read_bytes() for path in secret.rglob("*") if path.is_file()} == {
        "trainer.json": b"secret",
        "PROMOTED.json": b"secret",
        "file": b"secret",
    }


def test_a_store_may_itself_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    store = FolderStore(tmp_path / "link" / "lugha")
    store.prepare(private=True)
    upload(store, NAME, tmp_path / "local", FILES)
    assert (tmp_path / "disk" / "lugha" / NAME / "trainer.json").is_file()


# Kills


def test_an_upload_killed_at_any_point(store: FolderStore, tmp_path: Path) -> None:
    """Killed before each file operation: no file is there that is not whole, and the same upload makes all of it whole."""
    files = {"big": BIG, "trainer.json": b"{}"}
    names = write_files(tmp_path / "local", files)
    points = 0
    while _upload_killed_at(points, store, tmp_path / "local", names):
        entry = find(store, NAME)
        there = set(entry.files) & set(files) if entry is not None else set()
        assert {file: content(store, NAME, file) for file in there} == {file: files[file] for file in there}
        store.upload(NAME, tmp_path / "local", names)
        entry = find(store, NAME)
        assert entry is not None
        assert dict(entry.files) == {"big": len(BIG), "trainer.json": 2}, "the leftovers of the killed are gone"
        assert {file: content(store, NAME, file) for file in files} == files
        store.remove(NAME)
        points += 1
    assert points >= 10


def _upload_killed_at(point: int, store: FolderStore, local: Path, names: list[str]) -> bool:
    """Upload in a child that dies before its `point`-th operation that changes the store; False where it got to the end."""
    child = os.fork()
    if child == 0:
        left = point
        fsync = os.fsync

        def step(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            writes = (
                event == "open" and str(arguments[0]).startswith(store.address) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if writes or event in ("os.rename", "os.mkdir", "os.remove", "fsync"):
                left -= 1
                if left < 0:
                    os._exit(9)

        def counted(handle: int) -> None:
            step("fsync", ())
            fsync(handle)

        os.fsync = counted  # it tells no audit hook
        sys.addaudithook(step)
        try:
            store.upload(NAME, local, names)
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9
