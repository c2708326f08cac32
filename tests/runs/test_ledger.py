"""The ledger: what was verified where, and not deleted since."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lugha.errors import InputError
from lugha.runs.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


def write(ledger: Ledger, event: str, step: int, store: str = "s3", name: str | None = None, **more: str) -> None:
    ledger.write(event, store=store, step=step, name=name or f"n{step}", bytes=10, **more)  # type: ignore[arg-type]


def test_nothing_is_verified_at_first(ledger: Ledger) -> None:
    assert ledger.lines() == [] and ledger.verified_steps() == {} and ledger.name_of("m", "s3") is None


def test_what_was_deleted_is_not_verified_any_more_but_its_namesakes_are(ledger: Ledger) -> None:
    for event, step, store in (
        ("queued", 1, "s3"),
        ("verified", 1, "s3"),
        ("verified", 1, "hf"),
        ("failed", 2, "s3"),
        ("verified", 3, "s3"),
        ("deleted", 1, "s3"),
    ):
        write(ledger, event, step, store)
    assert ledger.verified_steps() == {"s3": {3}, "hf": {1}}
    write(ledger, "verified", 3, name="again")
    write(ledger, "deleted", 3)
    assert ledger.verified_steps() == {"s3": {3}, "hf": {1}}
    write(ledger, "deleted", 3, name="again")
    assert ledger.verified_steps() == {"hf": {1}}


def test_a_checkpoint_is_found_by_its_manifest_not_by_a_name_that_is_used_again(ledger: Ledger) -> None:
    write(ledger, "verified", 5, "hf", "checkpoint-5", manifest="old")
    write(ledger, "queued", 5, "hf", "checkpoint-5", manifest="new")
    assert ledger.name_of("old", "hf") == "checkpoint-5" and ledger.name_of("new", "hf") is None
    write(ledger, "verified", 5, "hf", "checkpoint-5", manifest="new")
    assert ledger.name_of("old", "hf") is None and ledger.name_of("new", "hf") == "checkpoint-5"
    assert ledger.name_of("new", "s3") is None


def test_lines_of_many_threads_stay_whole(ledger: Ledger) -> None:
    def work(thread: int) -> None:
        for step in range(10):
            write(ledger, "verified", step, f"store-{thread}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.verified_steps() == {f"store-{n}": set(range(10)) for n in range(4)}


def test_a_line_that_a_kill_cut_off_is_dropped_and_damage_before_it_is_named(ledger: Ledger) -> None:
    write(ledger, "verified", 1)
    with ledger.path.open("ab") as stream:
        stream.write(b'{"event": "verif')
    assert ledger.verified_steps() == {"s3": {1}}
    write(ledger, "verified", 2)
    assert ledger.verified_steps() == {"s3": {1, 2}}
    ledger.path.write_bytes(b"damage\n" + ledger.path.read_bytes())
    with pytest.raises(InputError, match="line 1: not JSON"):
        ledger.lines()


def test_a_full_disk_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    """A file-size limit in a process of its own: the write fails for real."""
    code = """
import resource, signal, sys
from pathlib import Path
from lugha.errors import InterruptedRunError
from lugha.runs.ledger import Ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = Ledger(Path(sys.argv[1]))
ledger.write("verified", store="s3", step=1, name="n", bytes=1)
size = ledger.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
try:
    ledger.write("verified", store="s3", step=2, name="n2", bytes=1)
except InterruptedRunError as error:
    print(error)
assert ledger.verified_steps() == {"s3": {1}}
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.write("verified", store="s3", step=3, name="n3", bytes=1)
assert [line["step"] for line in ledger.lines()] == [1, 3]
"""
    command = [sys.executable, "-c", code, str(tmp_path / "ledger.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("No space left on the disk")
