"""Run folders: names, logs that survive a kill, one process at a time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lugha.errors import InputError, RefusedError
from lugha.runs.folder import RunFolder, find_runs, new_run, open_run, read_jsonl


def test_a_run_id_is_name_time_and_four_hex(tmp_path: Path) -> None:
    run = new_run(tmp_path, "my-run")
    assert re.fullmatch(r"my-run-\d{8}T\d{6}Z-[0-9a-f]{4}", run.id)
    assert run.checkpoints.is_dir()


def test_runs_are_found_newest_first_and_by_whole_name(tmp_path: Path) -> None:
    for name in ("a-20260101T000000Z-ffff", "a-20260301T000000Z-0000", "a-b-20260401T000000Z-0000", "a", "other"):
        (tmp_path / name).mkdir()
    assert [r.id for r in find_runs(tmp_path, "a")] == ["a-20260301T000000Z-0000", "a-20260101T000000Z-ffff"]


def test_a_run_is_found_from_inside(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a")
    inside = run.checkpoints / "step-00000001"
    inside.mkdir()
    assert open_run(inside) == run
    with pytest.raises(InputError, match="not a run folder"):
        open_run(tmp_path)


def test_a_line_cut_off_by_a_kill_is_left_out_and_mended(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a")
    for step in (1, 2, 3):
        run.log_metrics(step=step, loss=1.0)
    with run.metrics.open("a") as stream:
        stream.write('{"step": 4, "lo')
    assert [r["step"] for r in read_jsonl(run.metrics)] == [1, 2, 3]
    run.forget_after(2)
    assert [r["step"] for r in read_jsonl(run.metrics)] == [1, 2]
    run.log_metrics(step=3, loss=0.5)
    assert [r["step"] for r in read_jsonl(run.metrics)] == [1, 2, 3]


def test_damage_in_the_middle_of_a_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(InputError, match=r"m\.jsonl, line 2: not JSON"):
        read_jsonl(tmp_path / "m.jsonl")


def test_a_second_process_is_refused_and_a_dead_one_is_not_in_the_way(tmp_path: Path) -> None:
    run = new_run(tmp_path, "a")
    code = "import sys; from pathlib import Path; from lugha.runs.folder import RunFolder\n"
    code += "with RunFolder(Path(sys.argv[1])).lock(): pass"
    command = [sys.executable, "-c", code, str(run.path)]
    with run.lock():
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode != 0
        assert "another process works in this run folder" in second.stderr
    assert subprocess.run(command, check=False).returncode == 0
    with run.lock(), pytest.raises(RefusedError), RunFolder(run.path).lock():
        pass
