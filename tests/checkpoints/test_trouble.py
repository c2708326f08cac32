"""What is told of a failure: one line, no secrets, and how bad it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from lugha.checkpoints.stores.protocol import StoreError
from lugha.checkpoints.trouble import Trouble, one_line
from lugha.errors import InterruptedRunError
from lugha.runs.folder import new_run
from lugha.runs.status import RunStatus


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StoreError("s3://b: access denied.\n Allow it.", permanent=True), "s3://b: access denied. Allow it."),
        (RuntimeError("GET https://h/x?X-Amz-Signature=ab12&y=1 failed"), "RuntimeError: GET https://h/x?... failed"),
        (OSError("url='https://h/x?token=hf_secret'"), "OSError: url='https://h/x?...'"),
        (MemoryError(), "MemoryError"),
        (ValueError("really?"), "ValueError: really?"),
    ],
)
def test_an_error_is_one_line_without_secrets(error: Exception, line: str) -> None:
    assert one_line(error) == line


def test_a_long_text_is_cut() -> None:
    assert len(one_line(RuntimeError("x" * 10_000))) == 500 and one_line(RuntimeError("x" * 10_000)).endswith(" ...")


def test_how_bad_it_is(tmp_path: Path) -> None:
    status = RunStatus(new_run(tmp_path, "a"))
    trouble = Trouble("s3://b", status, 3600.0)
    seen = []
    for error, age in (
        (None, 10.0),
        (StoreError("503", permanent=False), 10.0),
        (StoreError("403", permanent=True), 10.0),
        (InterruptedRunError("No space left"), 10.0),
        (StoreError("503", permanent=False), 10.0),
        (StoreError("503", permanent=False), 3600.0),
    ):
        if error is not None:
            trouble.failed(error)
        trouble.show(age, "step 1 is being sent")
        seen.append(status.health)
    assert seen == ["green", "yellow", "red", "red", "yellow", "red"]
    trouble.over()
    trouble.show(3600.0, "step 1 is being sent")
    assert status.health == "red"
    trouble.show(0.0, "")
    assert status.health == "green"


def test_an_alarm_that_could_not_be_written_is_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = RunStatus(new_run(tmp_path, "a"))
    trouble = Trouble("s3://b", status, 3600.0)
    trouble.failed(StoreError("503", permanent=False))
    with monkeypatch.context() as broken:
        broken.setattr("lugha.runs.status.write_json", lambda *_: (_ for _ in ()).throw(PermissionError("read-only")))
        with pytest.raises(PermissionError):
            trouble.show(0.0, "")
    trouble.show(0.0, "")
    assert '"yellow: 503"' in status.path.read_text()
