"""The background publisher: everything arrives, nothing is lost in between, and a store that fails is seen and ends the run."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.publisher import Publisher
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.protocol import MARKER, Store, StoreError
from lugha.errors import InputError, InterruptedRunError
from lugha.recipe import PublishSection
from lugha.runs.folder import new_run, read_jsonl
from lugha.runs.ledger import Ledger
from lugha.runs.status import RunStatus
from tests.checkpoints.memory_store import (
    PATIENCE,
    MemoryStore,
    Operation,
    ReplacingStore,
    fail_at,
    fail_on,
    fail_while,
    hold,
)
from tests.checkpoints.small import RUN, content_of, small_checkpoint

FORBIDDEN = StoreError("403 Forbidden: the token was revoked", permanent=True)
BUSY = StoreError("503 Slow Down", permanent=False)
QUICK = Backoff(0.001, 0.004)


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class House:
    """A run folder, its ledger and status, and publishers for it."""

    def __init__(self, folder: Path) -> None:
        self.run = new_run(folder, "small")
        self.ledger = Ledger(self.run.ledger)
        self.clock: Callable[[], float] = Clock()

    def publisher(self, *stores: Store, pauses: Backoff = QUICK, after: Any = None, **section: Any) -> Publisher:
        self.status = RunStatus(self.run)
        return Publisher(
            self.run,
            PublishSection(**section),
            stores,
            ledger=self.ledger,
            status=self.status,
            after_verified=after or (lambda store, name: None),
            pauses=pauses,
            clock=self.clock,
        )

    def checkpoint(self, step: int, **more: Any) -> Path:
        return small_checkpoint(self.run.checkpoints, step, **more)

    def events(self, *wanted: str) -> list[tuple[str, int]]:
        return [(line["event"], line["step"]) for line in self.ledger.lines() if not wanted or line["event"] in wanted]

    def alarms(self) -> dict[str, str]:
        return dict(json.loads(self.status.path.read_text())["alarms"]) if self.status.path.exists() else {}

    def spooled(self) -> list[str]:
        return sorted(p.name for p in self.run.spool.iterdir()) if self.run.spool.is_dir() else []


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def until(condition: Callable[[], Any]) -> None:
    """Wait for something that a thread does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.002)


@contextmanager
def meanwhile(work: Callable[[], Any]) -> Iterator[threading.Thread]:
    """`work` in a thread, which must have ended at the end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield thread
    thread.join(PATIENCE)
    assert not thread.is_alive()


def check_bytes(store: MemoryStore, *steps: int) -> None:
    """A store holds exactly these steps, marked, with the right bytes."""
    assert list(store.marked().values()) == list(steps)
    for name, step in store.marked().items():
        files = {file: content for file, content in store.objects[name].items() if file not in (MARKER, "manifest.json")}
        assert files == content_of(step)


# All is well.


def test_without_stores_nothing_happens(house: House) -> None:
    with house.publisher() as publisher:
        publisher.submit(house.checkpoint(1))
        publisher.promote(house.run.checkpoints / "step-00000001")
        assert publisher.drain(None) == [] and publisher.stop_reason() is None and publisher.seconds == 0.0
    assert house.spooled() == [] and not house.run.ledger.exists()


def test_every_checkpoint_arrives_and_the_ledger_and_the_status_say_so(house: House) -> None:
    store = MemoryStore()
    with house.publisher(store) as publisher:
        for step in (1, 2, 3):
            publisher.submit(house.checkpoint(step))
            assert publisher.drain(None) == []
    check_bytes(store, 1, 2, 3)
    assert house.events() == [(event, step) for step in (1, 2, 3) for event in ("queued", "sent", "verified")]
    line = house.ledger.lines()[-1]
    assert line["store"] == store.address and line["name"] in store.objects and line["seconds"] >= 0
    assert line["bytes"] == sum(len(content) for content in content_of(3).values())
    status = json.loads(house.status.path.read_text())
    assert status["verified"] == {store.address: 3} and status["health"] == "green"
    assert house.spooled() == []


def test_several_stores_of_several_kinds_at_once(house: House, tmp_path: Path) -> None:
    folder = FolderStore(tmp_path / "mount")
    folder.prepare(private=True)
    memory, hub = MemoryStore(), ReplacingStore()
    with house.publisher(memory, folder, hub) as publisher:
        for step in (1, 2, 3):
            publisher.submit(house.checkpoint(step))
        assert publisher.drain(None) == []
    check_bytes(memory, 1, 2, 3)
    check_bytes(hub, 1, 2, 3)
    assert [entry.marked for entry in folder.entries()] == [True] * 3
    assert house.ledger.verified_steps() == {store.address: {1, 2, 3} for store in (memory, folder, hub)}


def test_the_newest_goes_first(house: House) -> None:
    store, gate, reached = MemoryStore(), threading.Event(), threading.Event()
    store.before = hold("upload", gate, reached)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
        for step in (2, 3, 4):
            publisher.submit(house.checkpoint(step))
        gate.set()
        assert publisher.drain(None) == []
    assert [step for _, step in house.events("verified")] == [1, 4, 3, 2]
    assert json.loads(house.status.path.read_text())["verified"] == {store.address: 4}


def test_rotation_in_the_middle_of_an_upload_takes_nothing_away(house: House) -> None:
    store, gate, reached = MemoryStore(), threading.Event(), threading.Event()
    store.before = hold("upload", gate, reached)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
        publisher.submit(house.checkpoint(2))
        shutil.rmtree(house.run.checkpoints)
        gate.set()
        assert publisher.drain(None) == []
    check_bytes(store, 1, 2)


def test_the_seconds_are_from_submit_to_verified(house: House) -> None:
    store, gate, reached = MemoryStore(), threading.Event(), threading.Event()
    store.before = hold("upload", gate, reached)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
        house.clock.now += 42.0  # type: ignore[attr-defined]
        gate.set()
        assert publisher.drain(None) == []
        assert publisher.seconds == 42.0


def test_a_clock_on_the_wall_that_is_set_back_changes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    wall = iter(range(2_000_000_000, 0, -86_400))
    monkeypatch.setattr(time, "time", lambda: float(next(wall)))
    house.clock = time.monotonic
    store = MemoryStore()
    store.before = fail_on("upload", BUSY, times=3)
    with house.publisher(store) as publisher:
        for step in (1, 2, 3):
            publisher.submit(house.checkpoint(step))
            assert publisher.drain(None) == [] and publisher.stop_reason() is None
    check_bytes(store, 1, 2, 3)
    assert house.ledger.verified_steps() == {store.address: {1, 2, 3}}


# The queue.


def test_training_waits_only_when_the_queue_is_full_and_the_alarm_says_for_whom(house: House) -> None:
    store, gate = MemoryStore(), threading.Event()
    store.before = hold("upload", gate)
    with house.publisher(store, queue=3) as publisher:
        for step in (1, 2, 3):
            publisher.submit(house.checkpoint(step))
        assert house.alarms() == {}
        with meanwhile(lambda: publisher.submit(house.checkpoint(4))) as training:
            until(lambda: "publish queue" in house.alarms())
            assert house.alarms()["publish queue"] == "yellow: training waits for s3://memory/runs"
            assert training.is_alive()
            gate.set()
        assert publisher.drain(None) == []
    check_bytes(store, 1, 2, 3, 4)
    assert house.alarms() == {}


def test_who_gives_up_waiting_keeps_the_snapshot(house: House) -> None:
    store, gate = MemoryStore(), threading.Event()
    store.before = hold("upload", gate)
    with house.publisher(store, queue=1) as publisher:
        asked: list[bool] = []
        publisher.submit(house.checkpoint(1))
        publisher.submit(house.checkpoint(2), give_up=lambda: len(asked) > 1 or asked.append(True) or False)
        assert len(asked) == 2 and len(house.spooled()) == 2
        assert house.alarms() == {}
        gate.set()
        assert publisher.drain(None) == []
    check_bytes(store, 1, 2)


def test_the_budget_of_the_spool_holds_too(house: House) -> None:
    store, gate = MemoryStore(), threading.Event()
    store.before = hold("upload", gate)
    size = sum(len(content) for content in content_of(1).values())
    with house.publisher(store, spool_gb=2.5 * size / 1e9) as publisher:
        publisher.submit(house.checkpoint(1))
        publisher.submit(house.checkpoint(2))
        with meanwhile(lambda: publisher.submit(house.checkpoint(3))):
            until(lambda: "publish queue" in house.alarms())
            gate.set()
        assert publisher.drain(None) == []
    check_bytes(store, 1, 2, 3)


def test_a_slow_store_gets_every_checkpoint(house: House) -> None:
    """Ten saves, each faster than one upload, in a queue of two."""
    store = MemoryStore()
    store.before = lambda operation: time.sleep(0.002) if operation.kind == "upload" else None
    with house.publisher(store, queue=2) as publisher:
        for step in range(1, 11):
            publisher.submit(house.checkpoint(step))
            shutil.rmtree(house.run.checkpoints / f"step-{step:08d}")
        assert publisher.drain(None) == []
    check_bytes(store, *range(1, 11))


def test_a_full_disk_is_one_line_and_the_checkpoint_can_be_submitted_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real = MemoryStore(), Path.mkdir
    with house.publisher(store) as publisher:
        checkpoint = house.checkpoint(1)
        monkeypatch.setattr(Path, "mkdir", _no_space)
        with pytest.raises(InterruptedRunError, match="No space left"):
            publisher.submit(checkpoint)
        monkeypatch.setattr(Path, "mkdir", real)
        publisher.submit(checkpoint)
        assert publisher.drain(None) == []
    check_bytes(store, 1)


def _no_space(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def test_what_is_not_a_checkpoint_is_refused(house: House) -> None:
    with house.publisher(MemoryStore()) as publisher, pytest.raises(InputError, match=r"no manifest.json"):
        publisher.submit(house.run.path)


# Failures of a store.


def test_a_passing_failure_is_yellow_and_over_with_the_next_success(house: House) -> None:
    store, broken = MemoryStore(), threading.Event()
    store.before = fail_while(broken.is_set, BUSY)
    broken.set()
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        until(lambda: len(store.operations) > 5)
        assert house.alarms() == {"publish s3://memory/runs": "yellow: 503 Slow Down"}
        broken.clear()
        assert publisher.drain(None) == []
        until(lambda: house.alarms() == {})
    assert house.events() == [("queued", 1), ("failed", 1), ("sent", 1), ("verified", 1)]
    assert house.ledger.lines()[1]["why"] == "503 Slow Down"


def test_the_ledger_gets_each_new_reason_and_the_same_one_every_ten_minutes(house: House) -> None:
    store = MemoryStore()
    store.before = fail_while(lambda: True, BUSY)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        until(lambda: len(store.operations) > 5)
        store.before = fail_while(lambda: True, FORBIDDEN)
        until(lambda: len(house.events("failed")) == 2)
        done = len(store.operations)
        until(lambda: len(store.operations) > done + 5)
        assert len(house.events("failed")) == 2
        house.clock.now += 601.0  # type: ignore[attr-defined]
        until(lambda: len(house.events("failed")) == 3)
    lines = [line for line in house.ledger.lines() if line["event"] == "failed"]
    assert [line["why"][:3] for line in lines] == ["503", "403", "403"]
    assert lines[2]["attempts"] > lines[1]["attempts"] > lines[0]["attempts"] == 1


def test_a_token_revoked_from_the_start_is_red_at_once_and_stops_the_run_in_the_time_of_the_policy(house: House) -> None:
    store = MemoryStore()
    store.before = fail_while(lambda: True, FORBIDDEN)
    clock: Any = house.clock
    with house.publisher(store, max_unverified_age="2h", stop_unverified_age="3h") as publisher:
        clock.now += 50_000.0
        assert publisher.stop_reason() is None  # nothing was ever submitted
        publisher.submit(house.checkpoint(1))
        until(lambda: house.alarms())
        assert house.alarms() == {"publish s3://memory/runs": "red: 403 Forbidden: the token was revoked"}
        clock.now += 2 * 3600
        publisher.submit(house.checkpoint(2))
        assert publisher.stop_reason() is None
        assert "nothing new was verified for more than 2 h 00 min: 403" in house.alarms()["publish s3://memory/runs"]
        clock.now += 3599
        assert publisher.stop_reason() is None
        clock.now += 301
        reason = publisher.stop_reason()
        assert (
            reason == "no checkpoint was verified in s3://memory/runs for 3 h 05 min: 403 Forbidden: the token was revoked"
        )
        lines = publisher.drain(None)
    assert [line[:34] for line in lines] == ["step 2 is not verified in s3://mem", "step 1 is not verified in s3://mem"]
    assert not store.objects and len(house.spooled()) == 2


def test_a_token_revoked_in_mid_run_and_given_back_loses_nothing(house: House) -> None:
    store, revoked = MemoryStore(), threading.Event()
    store.before = fail_while(revoked.is_set, FORBIDDEN)
    clock: Any = house.clock
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert publisher.drain(None) == []
        revoked.set()
        for step in (2, 3):
            publisher.submit(house.checkpoint(step))
        until(lambda: "red" in str(house.alarms()))
        clock.now += 3 * 3600
        assert publisher.stop_reason() is None
        revoked.clear()
        assert publisher.drain(None) == []
        until(lambda: house.alarms() == {})
        clock.now += 1e6
        assert publisher.stop_reason() is None
    check_bytes(store, 1, 2, 3)


def test_a_store_that_never_answers_is_red_and_stops_the_run_though_nothing_failed(house: House) -> None:
    store, gate = MemoryStore(), threading.Event()
    store.before = hold("upload", gate)
    clock: Any = house.clock
    with house.publisher(store, max_unverified_age="1h") as publisher:
        publisher.submit(house.checkpoint(1))
        until(lambda: store.count("upload"))
        clock.now += 3601
        assert publisher.stop_reason() is None
        assert house.alarms()["publish s3://memory/runs"].startswith(
            "red: nothing new was verified for more than 1 h 00 min"
        )
        clock.now += 3601
        assert "for 2 h 00 min: step 1 is being sent" in str(publisher.stop_reason())
        gate.set()
        assert publisher.drain(60) == []
        assert publisher.stop_reason() is None and house.alarms() == {}


def test_verifying_an_older_state_does_not_make_the_newest_one_safe(house: House) -> None:
    store, gate, reached = MemoryStore(), threading.Event(), threading.Event()
    store.before = hold("upload", gate, reached)
    clock: Any = house.clock
    with house.publisher(store, max_unverified_age="1h") as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
        clock.now += 1800
        publisher.submit(house.checkpoint(2))
        store.before = fail_while(lambda: bool(store.marked()), BUSY, "upload")
        gate.set()
        until(lambda: house.events("failed") == [("failed", 2)])
        assert list(store.marked().values()) == [1]
        clock.now += 5400
        assert publisher.stop_reason() is None
        clock.now += 1800
        assert "for 2 h 00 min: 503" in str(publisher.stop_reason())


def test_a_dead_store_does_not_hold_up_another_one(house: House) -> None:
    dead, alive = MemoryStore("s3://dead/runs"), MemoryStore("s3://alive/runs")
    dead.before = fail_while(lambda: True, BUSY)
    clock: Any = house.clock
    with house.publisher(dead, alive) as publisher:
        for step in (1, 2, 3):
            publisher.submit(house.checkpoint(step))
        until(lambda: len(alive.marked()) == 3)
        clock.now += 1e5
        assert "s3://dead/runs" in str(publisher.stop_reason())
        lines = publisher.drain(None)
    assert [line.split(":")[0] for line in lines] == [f"step {step} is not verified in s3" for step in (3, 2, 1)]
    check_bytes(alive, 1, 2, 3)
    assert len(house.spooled()) == 3


def test_at_the_end_a_dead_store_does_not_cut_off_one_that_is_still_sending(house: House) -> None:
    dead, slow, gate = MemoryStore("s3://dead/runs"), MemoryStore("s3://slow/runs"), threading.Event()
    dead.before = fail_while(lambda: True, BUSY)
    slow.before = hold("upload", gate)
    house.clock = lambda: time.monotonic() * 1000  # a second in each millisecond
    with house.publisher(dead, slow, max_unverified_age="30s", stop_unverified_age="300s") as publisher:
        publisher.submit(house.checkpoint(1))
        until(publisher.stop_reason)
        gate.set()
        until(lambda: slow.marked())
        lines = publisher.drain(None)
    assert lines == ["step 1 is not verified in s3://dead/runs: 503 Slow Down"]


@pytest.mark.parametrize(
    "spoil",
    [lambda c: c[:-1], lambda c: c + b"x", lambda c: None, lambda c: bytes(len(c))],
    ids=["cut", "more", "lost", "0"],
)
def test_what_arrives_otherwise_is_sent_again(house: House, spoil: Callable[[bytes], bytes | None]) -> None:
    store, left = MemoryStore(), [True]

    def keeps(name: str, file: str, content: bytes) -> bytes | None:
        return spoil(content) if file == "model.safetensors" and left and left.pop() else content

    store.keeps = keeps
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert publisher.drain(None) == []
    check_bytes(store, 1)
    assert house.events() == [(event, 1) for event in ("queued", "sent", "failed", "sent", "verified")]


# Failures on this machine.


def test_a_file_altered_on_this_disk_is_red_and_dropped_and_covered_by_the_next_checkpoint(house: House) -> None:
    store, gate, reached = MemoryStore(), threading.Event(), threading.Event()
    store.before = hold("upload", gate, reached)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
        model = house.run.checkpoints / "step-00000001" / "model.safetensors"
        with model.open("r+b") as stream:  # in place: the snapshot is the same file
            stream.write(b"altered")
        gate.set()
        lines = publisher.drain(None)
        assert len(lines) == 1 and lines[0].startswith("step 1 is not verified in s3://memory/runs: ")
        assert "model.safetensors: altered on this disk" in lines[0]
        until(lambda: house.alarms())
        assert house.alarms()["altered s3://memory/runs"].startswith("red: ")
        assert house.events() == [("queued", 1), ("sent", 1), ("failed", 1)]
        assert not store.marked() and house.spooled() == []
        house.clock.now += 1e6  # type: ignore[attr-defined]
        assert "altered on this disk" in str(publisher.stop_reason())
        publisher.submit(house.checkpoint(2))
        assert publisher.drain(None) == [] and publisher.stop_reason() is None
        until(lambda: house.alarms() == {})
    check_bytes(store, 2)


def test_a_fault_of_ours_is_red_and_told_without_secrets_and_tried_again(house: House) -> None:
    store, broken = MemoryStore(), threading.Event()
    broken.set()
    store.before = fail_while(broken.is_set, RuntimeError("no\n  answer from https://x/y?X-Amz-Signature=abc123&t=1 at all"))
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        until(lambda: house.events("failed"))
        until(lambda: "fault" in {event["event"] for event in read_jsonl(house.run.path / "events.jsonl")})
        text = "RuntimeError: no answer from https://x/y?... at all"
        assert house.alarms() == {"publish s3://memory/runs": f"red: {text}"}
        house.clock.now += 1e6  # type: ignore[attr-defined]
        assert text in str(publisher.stop_reason())
        broken.clear()
        assert publisher.drain(60) == []
    check_bytes(store, 1)
    assert "abc123" not in "".join(p.read_text() for p in house.run.path.glob("*.json*"))


class FullLedger(Ledger):
    """No room for some lines."""

    def __init__(self, path: Path, event: str, times: int) -> None:
        super().__init__(path)
        self.event, self.times = event, times

    def write(self, event: Any, **more: Any) -> None:
        if event == self.event and self.times > 0:
            self.times -= 1
            raise InterruptedRunError("No space left on the disk while writing the ledger")
        super().write(event, **more)


def test_a_full_disk_in_the_middle_of_a_submit_loses_nothing_when_it_is_repeated(house: House) -> None:
    store, hub = MemoryStore(), ReplacingStore()
    house.ledger = FullLedger(house.run.ledger, "queued", times=1)
    with house.publisher(store, hub) as publisher:
        with pytest.raises(InterruptedRunError, match="No space left"):
            publisher.submit(house.checkpoint(1))
        house.ledger.times = 0
        publisher.submit(house.checkpoint(1))
        assert publisher.drain(None) == []
    check_bytes(store, 1)
    check_bytes(hub, 1)
    assert house.events("queued") == [("queued", 1)] * 2


@pytest.mark.parametrize("event", ["sent", "verified", "failed"])
def test_a_full_disk_in_the_worker_is_told_and_tried_again(house: House, event: str) -> None:
    store = MemoryStore()
    store.before = fail_at(2, BUSY)
    house.ledger = FullLedger(house.run.ledger, event, times=3)
    seen: list[str] = []
    with house.publisher(store) as publisher:
        real = house.status.alarm
        house.status.alarm = lambda name, level, text: (seen.append(f"{level}: {text}"), real(name, level, text))  # type: ignore[method-assign,func-returns-value]
        publisher.submit(house.checkpoint(1))
        assert publisher.drain(None) == []
    check_bytes(store, 1)
    assert any(line.startswith("red: No space left") for line in seen)
    assert house.events("verified") == [("verified", 1)]


def test_a_status_that_cannot_be_written_does_not_end_the_thread(house: House) -> None:
    store = MemoryStore()
    store.before = fail_at(2, BUSY)
    with house.publisher(store) as publisher:
        house.status.alarm = _no_space  # type: ignore[method-assign]
        publisher.submit(house.checkpoint(1))
        until(store.marked)
        publisher.submit(house.checkpoint(2))
        until(lambda: len(store.marked()) == 2)


class PanicException(BaseException):
    """As libraries written in Rust raise it: not an Exception."""


@pytest.mark.parametrize("error", [MemoryError(), PanicException("index out of bounds"), SystemExit(1)])
def test_nothing_ends_the_thread(house: House, error: BaseException) -> None:
    store = MemoryStore()
    store.before = fail_on("read", error, times=2)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert publisher.drain(None) == []
    check_bytes(store, 1)


# After each verification.


def test_what_follows_a_verification_may_fail(house: House) -> None:
    store, errors, calls = MemoryStore(), [BUSY, RuntimeError("a fault"), None], []

    def after(where: Store, name: str) -> None:
        calls.append((where.address, name))
        if (error := errors.pop(0)) is not None:
            raise error

    with house.publisher(store, after=after) as publisher:
        for step, alarm in ((1, "yellow: 503 Slow Down"), (2, "red: RuntimeError: a fault"), (3, None)):
            publisher.submit(house.checkpoint(step))
            assert publisher.drain(None) == []
            until(lambda alarm=alarm: house.alarms().get(f"retention {store.address}") == alarm)
    check_bytes(store, 1, 2, 3)
    assert calls == [(store.address, name) for name in store.marked()]
    assert house.events("failed") == []


# The end.


def test_draining_within_a_time_tells_what_is_missing_newest_first(house: House) -> None:
    store, gate = MemoryStore(), threading.Event()
    store.before = hold("upload", gate)
    with house.publisher(store) as publisher:
        for step in (1000, 1500):
            publisher.submit(house.checkpoint(step))
        until(lambda: store.count("upload"))
        lines = publisher.drain(0.01)
        assert lines[0].startswith("step 1,500 is not verified in s3://memory/runs: step 1")
        assert lines[1].startswith("step 1,000 is not verified")
        assert publisher.drain(None, give_up=lambda: True) == lines
        gate.set()
        assert publisher.drain(60) == []


def test_draining_does_not_wait_for_the_end_of_a_pause(house: House) -> None:
    store = MemoryStore()
    store.before = fail_at(2, BUSY)
    with house.publisher(store, pauses=Backoff(100_000.0, 100_000.0)) as publisher:
        publisher.submit(house.checkpoint(1))
        until(lambda: house.events("failed"))
        assert publisher.drain(None) == []
    check_bytes(store, 1)


def test_the_pauses_are_short_again_when_somebody_waits(house: House) -> None:
    """Without that, the last of these pauses would be seconds long."""
    store = MemoryStore()
    store.before = fail_on("upload", BUSY, times=12)
    with house.publisher(store, pauses=Backoff(0.001, 1000.0)) as publisher:
        publisher.submit(house.checkpoint(1))
        until(lambda: store.count("upload") >= 9)
        assert publisher.drain(None) == []
    check_bytes(store, 1)


def test_draining_waits_for_what_follows_a_verification(house: House) -> None:
    store, gate, reached, done = MemoryStore(), threading.Event(), threading.Event(), []

    def after(where: Store, name: str) -> None:
        reached.set()
        gate.wait(PATIENCE)
        done.append(name)

    with house.publisher(store, after=after) as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
        assert publisher.drain(0.01) == []
        gate.set()
        assert publisher.drain(None) == [] and done
        assert json.loads(house.status.path.read_text())["verified"] == {store.address: 1}


def test_draining_ends_by_the_policy_also_when_only_older_ones_are_missing(house: House) -> None:
    store, gate, reached = MemoryStore(), threading.Event(), threading.Event()
    store.before = hold("upload", gate, reached)
    house.clock = lambda: time.monotonic() * 1000  # a second in each millisecond
    with house.publisher(store, max_unverified_age="50s", stop_unverified_age="200s") as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
        for step in (2, 3):
            publisher.submit(house.checkpoint(step))
        store.before = fail_while(lambda: len(store.marked()) == 2, BUSY, "upload")
        gate.set()
        until(lambda: len(store.marked()) == 2)
        lines = publisher.drain(None)
    check_bytes(store, 1, 3)
    assert lines == ["step 2 is not verified in s3://memory/runs: 503 Slow Down"]


def test_a_store_whose_time_is_over_is_tried_once_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    store, gate, reached = MemoryStore(), threading.Event(), threading.Event()
    store.before = fail_while(lambda: not gate.is_set(), BUSY)
    with house.publisher(store, pauses=Backoff(100_000.0, 100_000.0)) as publisher:
        publisher.submit(house.checkpoint(1))
        until(lambda: house.events("failed"))
        house.clock.now += 1e6  # type: ignore[attr-defined]
        assert publisher.stop_reason()
        gate.set()
        assert publisher.drain(None) == []
        gate.clear()
        store.before = hold("upload", gate, reached)
        publisher.submit(house.checkpoint(2))
        assert reached.wait(PATIENCE)
        house.clock.now += 1e6  # type: ignore[attr-defined]
        monkeypatch.setattr("lugha.checkpoints.publisher._LAST_TRY_SECONDS", 0.01)
        assert publisher.drain(None) == ["step 2 is not verified in s3://memory/runs: step 2 is being sent (0.00 GB)"]
        gate.set()


def test_who_waits_for_the_end_is_told_what_goes_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lugha.checkpoints.publisher._LINE_SECONDS", 0.0)
    store, gate, told = MemoryStore(), threading.Event(), []
    store.before = hold("read", gate)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        until(lambda: store.count("read"))

        def waiting(line: str) -> None:
            told.append(line)
            gate.set()

        assert publisher.drain(None, waiting=waiting) == []
    assert told[0].startswith("publishing to s3://memory/runs: 1 left, step 1 is being sent")


def test_closing_does_not_wait_for_an_upload_and_nothing_is_marked_afterwards(house: House) -> None:
    store, gate, reached = MemoryStore("s3://closing/runs"), threading.Event(), threading.Event()
    store.before = hold("upload", gate, reached)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
    gate.set()
    until(lambda: not any(t.name == "publish s3://closing/runs" for t in threading.enumerate()))
    assert not store.marked() and store.count("read", "model.safetensors") == 0
    with house.publisher(store) as publisher:
        assert publisher.drain(None) == []
    check_bytes(store, 1)
    assert len(store.objects) == 1


# Promotion.


def test_the_result_is_promoted_where_it_is_verified(house: House) -> None:
    store, hub = MemoryStore(), ReplacingStore()
    store.before = fail_on("promote", BUSY, times=2)
    with house.publisher(store, hub) as publisher:
        publisher.submit(house.checkpoint(1))
        final = house.checkpoint(2)
        publisher.submit(final)
        publisher.promote(final)
        assert publisher.drain(None) == []
    names = {step: name for name, step in store.marked().items()}
    assert json.loads(store.results[RUN])["name"] == names[2] and json.loads(store.results[RUN])["step"] == 2
    assert json.loads(hub.results[RUN])["name"] == "checkpoint-2"
    assert house.events("promoted") == [("promoted", 2)] * 2


def test_a_result_is_not_promoted_before_it_is_verified(house: House) -> None:
    store, broken = MemoryStore(), threading.Event()
    broken.set()
    store.before = fail_while(broken.is_set, BUSY)
    with house.publisher(store) as publisher:
        final = house.checkpoint(1)
        publisher.submit(final)
        publisher.promote(final)
        until(lambda: len(store.operations) > 5)
        assert publisher.drain(0.01) == [
            "step 1 is not verified in s3://memory/runs: 503 Slow Down",
            "step 1 is not promoted in s3://memory/runs: 503 Slow Down",
        ]
        assert store.count("promote") == 0
        broken.clear()
        assert publisher.drain(None) == []
    assert store.results


def test_a_result_that_an_earlier_process_verified_is_promoted_under_its_name(house: House) -> None:
    store = MemoryStore()
    final = house.checkpoint(1)
    with house.publisher(store) as publisher:
        publisher.submit(final)
        assert publisher.drain(None) == []
    with house.publisher(store) as publisher:
        publisher.submit(final)
        publisher.promote(final)
        assert publisher.drain(None) == []
    assert len(store.objects) == 1 and json.loads(store.results[RUN])["name"] in store.objects


def test_a_result_that_was_never_submitted_is_told(house: House) -> None:
    with house.publisher(MemoryStore()) as publisher:
        publisher.promote(house.checkpoint(7))
        assert publisher.drain(None) == ["step 7 is not promoted in s3://memory/runs: nothing is being sent"]


# Names that are used again.


def test_of_two_checkpoints_of_a_step_the_newer_one_stays(house: House) -> None:
    hub, broken = ReplacingStore(), threading.Event()
    broken.set()
    hub.before = fail_while(broken.is_set, BUSY)
    with house.publisher(hub, pauses=Backoff(100_000.0, 100_000.0)) as publisher:
        publisher.submit(house.checkpoint(1, created="earlier"))
        until(lambda: house.events("failed"))
        shutil.rmtree(house.run.checkpoints)
        publisher.submit(house.checkpoint(1, created="later"))
        broken.clear()
        assert publisher.drain(None) == []
    assert b"later" in hub.objects["checkpoint-1"]["manifest.json"] and hub.marked()
    assert house.events("verified") == [("verified", 1)]
    assert house.ledger.lines()[-1]["event"] == "verified" and house.spooled() == []


def test_a_checkpoint_is_not_sent_twice_however_often_it_is_submitted(house: House) -> None:
    store, gate, reached = MemoryStore(), threading.Event(), threading.Event()
    store.before = hold("upload", gate, reached)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
        publisher.submit(house.checkpoint(1))
        gate.set()
        assert publisher.drain(None) == []
        publisher.submit(house.checkpoint(1))
        assert publisher.drain(None) == []
    assert len(store.objects) == 1 and house.events("queued") == [("queued", 1)]


# The next process.


def test_the_next_process_goes_on_under_the_same_name(house: House) -> None:
    store, hub = MemoryStore(), ReplacingStore()
    store.before = hub.before = fail_on("read", BUSY)
    with house.publisher(store, hub) as publisher:
        for step in (1, 2):
            publisher.submit(house.checkpoint(step))
        until(lambda: house.events("failed"))
    queued = {line["name"] for line in house.ledger.lines() if line["event"] == "queued"}
    shutil.rmtree(house.run.checkpoints)
    store.before = hub.before = lambda operation: None
    with house.publisher(store, hub) as publisher:
        assert publisher.drain(None) == []
    check_bytes(store, 1, 2)
    check_bytes(hub, 1, 2)
    assert set(store.marked()) | set(hub.marked()) == queued
    assert [step for event, step in house.events("verified")][-4:].count(2) == 2


def test_what_the_ledger_calls_verified_is_not_sent_again(house: House, tmp_path: Path) -> None:
    """Killed between the line of the ledger and the removal from the spool."""
    store, gate, reached = MemoryStore(), threading.Event(), threading.Event()
    store.before = hold("upload", gate, reached)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
        assert reached.wait(PATIENCE)
        shutil.copytree(house.run.spool, tmp_path / "spool")
        gate.set()
        assert publisher.drain(None) == []
    done = len(store.operations)
    shutil.copytree(tmp_path / "spool", house.run.spool, dirs_exist_ok=True)
    assert len(house.spooled()) == 1
    with house.publisher(store) as publisher:
        assert publisher.drain(None) == []
    assert len(store.operations) == done and house.spooled() == []
    check_bytes(store, 1)


def test_a_store_that_is_not_in_the_recipe_any_more_is_told_in_the_ledger(house: House) -> None:
    old, new = MemoryStore("s3://old/runs"), MemoryStore("s3://new/runs")
    old.before = new.before = fail_while(lambda: True, BUSY)
    with house.publisher(old, new) as publisher:
        publisher.submit(house.checkpoint(1))
    new.before = lambda operation: None
    with house.publisher(new) as publisher:
        assert publisher.drain(None) == []
    check_bytes(new, 1)
    [line] = [line for line in house.ledger.lines() if line.get("why", "").startswith("the recipe")]
    assert line["store"] == "s3://old/runs" and house.spooled() == []


def test_a_run_without_stores_leaves_the_spool_alone(house: House) -> None:
    store = MemoryStore()
    store.before = fail_while(lambda: True, BUSY)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
    before = house.spooled()
    with house.publisher() as publisher:
        assert publisher.drain(None) == []
    assert house.spooled() == before != []


def test_a_damaged_snapshot_of_an_earlier_process_is_told(house: House) -> None:
    store = MemoryStore()
    store.before = fail_while(lambda: True, BUSY)
    with house.publisher(store) as publisher:
        publisher.submit(house.checkpoint(1))
    [manifest] = house.run.spool.glob("*/checkpoint/manifest.json")
    manifest.write_bytes(manifest.read_bytes().replace(b'"step": 1', b'"step": 2'))
    store.before = lambda operation: None
    with house.publisher(store) as publisher:
        [line] = publisher.drain(None)
        assert "step 1 is not verified" in line and "altered" in line
    assert not store.marked() and house.spooled() == []


# Anything at all.


ANSWERS = st.sampled_from(["fine", "503", "403", "fault", "cut", "lost", "altered"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answers=st.lists(ANSWERS, max_size=60),
    kinds=st.sampled_from([[MemoryStore], [ReplacingStore], [MemoryStore, ReplacingStore]]),
)
def test_whatever_stores_answer_everything_arrives_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, answers: Sequence[str], kinds: Sequence[type[MemoryStore]]
) -> None:
    house, coming = House(tmp_path_factory.mktemp("house")), list(answers)
    stores = [kind() for kind in kinds]

    def before(operation: Operation) -> None:
        answer = coming[0] if coming else "fine"
        if answer in ("503", "403", "fault"):
            coming.pop(0)
            raise RuntimeError("a fault") if answer == "fault" else StoreError(answer, permanent=answer == "403")

    def keeps(name: str, file: str, content: bytes) -> bytes | None:
        answer = coming.pop(0) if coming else "fine"
        return {"cut": content[:-1], "lost": None, "altered": b"x" * len(content)}.get(answer, content)

    for store in stores:
        store.before, store.keeps = before, keeps
    with house.publisher(*stores, pauses=Backoff(0.0, 0.0)) as publisher:
        for step in (1, 2, 3):
            publisher.submit(house.checkpoint(step))
        assert publisher.drain(None) == []
    for store in stores:
        check_bytes(store, 1, 2, 3)
