"""A process that publishes is killed, for real; the next one finishes what the spool holds, under the same names."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.publisher import Publisher
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.protocol import MARKER
from lugha.recipe import PublishSection
from lugha.runs.folder import RunFolder, new_run
from lugha.runs.ledger import Ledger
from lugha.runs.status import RunStatus
from tests.checkpoints.memory_store import PATIENCE
from tests.checkpoints.small import content_of, small_checkpoint

CHILD = """
import sys, time
from pathlib import Path
from lugha.checkpoints.publisher import Publisher
from lugha.checkpoints.stores.folder import FolderStore
from lugha.recipe import PublishSection
from lugha.runs.folder import RunFolder
from lugha.runs.ledger import Ledger
from lugha.runs.status import RunStatus

class Slow(FolderStore):
    def upload(self, name, folder, files):
        super().upload(name, folder, files[:2])
        print("in mid-upload", flush=True)
        time.sleep(600)

run = RunFolder(Path(sys.argv[1]))
with Publisher(run, PublishSection(), [Slow(Path(sys.argv[2]))], ledger=Ledger(run.ledger), status=RunStatus(run)) as publisher:
    for checkpoint in sorted(run.checkpoints.iterdir()):
        publisher.submit(checkpoint)
    print("submitted", flush=True)
    publisher.drain(float(sys.argv[3]))
sys.exit(75)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return new_run(tmp_path / "runs", "small")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "store")
    store.prepare(private=True)
    return store


def publisher(run: RunFolder, store: FolderStore) -> Publisher:
    return Publisher(
        run,
        PublishSection(),
        [store],
        ledger=Ledger(run.ledger),
        status=RunStatus(run),
        pauses=Backoff(0.001, 0.004),
    )


def check_store(store: FolderStore, run: RunFolder, *steps: int) -> None:
    """These steps are marked and right, and nothing else lies in the store."""
    entries = {int(entry.name.split("-")[-2]): entry for entry in store.entries()}
    assert sorted(entries) == sorted(steps) and all(entry.marked for entry in entries.values())
    for step, entry in entries.items():
        files = {file: b"".join(store.read(entry.name, file)) for file in entry.files if file != "manifest.json"}
        assert files == content_of(step)
    assert Ledger(run.ledger).verified_steps() == {store.address: set(steps)}
    assert list(run.spool.iterdir()) == []


def test_killed_from_outside_in_mid_upload(run: RunFolder, store: FolderStore) -> None:
    for step in (1, 2):
        small_checkpoint(run.checkpoints, step)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(run.path), store.address], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert {child.stdout.readline(), child.stdout.readline()} == {"in mid-upload\n", "submitted\n"}
    finally:
        child.kill()
        child.wait(PATIENCE)
    assert not any(entry.marked for entry in store.entries())
    shutil.rmtree(run.checkpoints)
    with publisher(run, store) as restarted:
        assert restarted.drain(PATIENCE) == []
    check_store(store, run, 1, 2)


def test_a_process_ends_while_an_upload_hangs(run: RunFolder, store: FolderStore) -> None:
    small_checkpoint(run.checkpoints, 1)
    command = [sys.executable, "-c", CHILD, str(run.path), store.address, "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (75, "")
    with publisher(run, store) as restarted:
        assert restarted.drain(PATIENCE) == []
    check_store(store, run, 1)


class Deadly(FolderStore):
    """Kills its own process at the n-th operation."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(path)
        self.left = count

    def _tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def upload(self, name: str, folder: Path, files: list[str]) -> None:  # type: ignore[override]
        for file in files:
            self._tick()
            super().upload(name, folder, [file])

    def read(self, name: str, file: str) -> Iterator[bytes]:
        self._tick()
        yield from super().read(name, file)

    def mark(self, name: str, content: bytes) -> None:
        self._tick()
        super().mark(name, content)
        self._tick()


def test_killed_at_every_operation_of_the_store(run: RunFolder, store: FolderStore, tmp_path: Path) -> None:
    """Three checkpoints; the process dies at the n-th operation, the next one at its n-th, until one reaches the end."""
    checkpoints = [small_checkpoint(run.checkpoints, step) for step in (1, 2, 3)]
    for count in (3, 6, 11, 12, 13, 14):
        root = tmp_path / f"{count}"
        run, store = new_run(root, "small"), FolderStore(root / "store")
        store.prepare(private=True)
        deaths, verified = 0, 0
        while True:
            child = os.fork()
            if child == 0:
                try:
                    with publisher(run, Deadly(root / "store", count)) as publishing:
                        for checkpoint in checkpoints:
                            publishing.submit(checkpoint)
                        missing = publishing.drain(PATIENCE)
                    os._exit(1 if missing else 0)
                finally:
                    os._exit(3)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            marked = [entry for entry in store.entries() if entry.marked]
            for entry in marked:
                assert (root / "store" / entry.name / MARKER).stat().st_size > 0
                files = {file: b"".join(store.read(entry.name, file)) for file in entry.files if file != "manifest.json"}
                assert files in (content_of(1), content_of(2), content_of(3))
            assert len(marked) >= verified
            verified = len(marked)
            if code == 0 or deaths == 2:
                break
            assert code == -signal.SIGKILL
            deaths += 1
        with publisher(run, store) as last:
            for checkpoint in checkpoints:
                last.submit(checkpoint)
            assert last.drain(PATIENCE) == []
        assert sorted(len(entry.files) for entry in store.entries()) == [len(content_of(1)) + 1] * 3
        assert all(entry.marked for entry in store.entries())
        assert Ledger(run.ledger).verified_steps() == {store.address: {1, 2, 3}}
        assert list(run.spool.iterdir()) == []


def test_publishing_needs_no_heavy_library() -> None:
    code = (
        "import sys, lugha.checkpoints.publisher, lugha.checkpoints.canary, lugha.checkpoints.stores.open\n"
        "print({'torch', 'boto3', 'huggingface_hub', 'transformers', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
