"""status.json: the worst alarm decides, and a full disk cannot end a run through its own alarm."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from lugha.errors import InterruptedRunError
from lugha.runs.folder import Onlooker, RunFolder, new_run, read_jsonl
from lugha.runs.status import RunStatus


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return new_run(tmp_path, "a")


def written(run: RunFolder) -> dict[str, Any]:
    return dict(json.loads((run.path / "status.json").read_text()))


def events(run: RunFolder) -> list[tuple[str, str, str | None]]:
    return [(line["event"], line["name"], line.get("level")) for line in read_jsonl(run.path / "events.jsonl")]


def test_health_is_that_of_the_worst_alarm(run: RunFolder) -> None:
    status = RunStatus(run)
    status.note("running", step=3)
    assert written(run)["health"] == "green" and written(run)["step"] == 3
    status.alarm("disk", "yellow", "little room")
    assert written(run)["health"] == "yellow"
    status.alarm("publish s3://b/p", "red", "403")
    assert written(run)["health"] == status.health == "red"
    assert written(run)["alarms"] == {"disk": "yellow: little room", "publish s3://b/p": "red: 403"}
    status.clear("publish s3://b/p")
    assert written(run)["health"] == "yellow"
    status.clear("disk")
    status.note("finished")
    assert written(run) | {"updated": 0} == {
        "run": run.id,
        "state": "finished",
        "health": "green",
        "alarms": {},
        "step": 3,
        "updated": 0,
    }


def test_an_event_is_logged_when_a_level_is_new_and_when_it_is_over(run: RunFolder) -> None:
    status = RunStatus(run)
    status.clear("p")
    status.alarm("p", "yellow", "503, once")
    status.alarm("p", "yellow", "503, twice")
    status.alarm("p", "red", "403")
    status.clear("p")
    status.clear("p")
    assert events(run) == [("alarm", "p", "yellow"), ("alarm", "p", "red"), ("alarm_over", "p", None)]


class Full(RunFolder):
    """A run folder on a disk that is full while the test says so."""

    room = False

    def log_event(self, event: str, **values: Any) -> None:
        if not Full.room:
            raise InterruptedRunError("No space left on the disk")
        super().log_event(event, **values)


def test_the_alarm_of_a_full_disk_does_not_end_the_run_and_is_written_when_there_is_room(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: Any) -> None:
        raise InterruptedRunError("No space left on the disk")

    monkeypatch.setattr("lugha.runs.status.write_json", no_space)
    Full.room = False
    status = RunStatus(Full(run.path))
    status.alarm("disk", "red", "full")
    assert status.health == "red" and not status.path.exists() and not (run.path / "events.jsonl").exists()
    monkeypatch.undo()
    Full.room = True
    status.clear("disk")
    assert events(run) == [("alarm", "disk", "red"), ("alarm_over", "disk", None)]
    assert written(run)["health"] == "green"


def test_a_process_that_looks_on_writes_nothing(run: RunFolder) -> None:
    status = RunStatus(Onlooker(run.path))
    status.alarm("p", "red", "403")
    status.note(step=1)
    assert status.health == "red" and not status.path.exists()


def test_many_threads_at_once(run: RunFolder) -> None:
    status = RunStatus(run)

    def work(number: int) -> None:
        for level in ("yellow", "red"):
            status.alarm(f"alarm {number}", level, "x")  # type: ignore[arg-type]
            assert status.health in ("yellow", "red")
        status.clear(f"alarm {number}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written(run)["alarms"] == {} and status.health == "green"
