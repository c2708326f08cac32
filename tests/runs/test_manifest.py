"""Stages: a manifest is written last, says the truth, and a failed stage leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from lugha.errors import InputError, LughaError
from lugha.runs.manifest import (
    input_digest,
    is_current,
    only_current_stages,
    read_manifest,
    stage_output,
    verify_stage,
)


def make(output: Path, text: str = "hello", **parameters: object) -> None:
    with stage_output(output, stage="test", version=1, parameters=parameters, inputs={"raw": "x"}) as out:
        (out.folder / "a.txt").write_text(text)
        out.tally.rows_in, out.tally.rows_out = 3, 2
        out.tally.dropped["empty"] = 1
        out.rows_of_file["a.txt"] = 2


def test_a_finished_stage_has_its_files_rows_and_sums(tmp_path: Path) -> None:
    make(tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert [(f.path, f.bytes, f.rows) for f in manifest.files] == [("a.txt", 5, 2)]
    assert (manifest.rows_in, manifest.rows_out, manifest.dropped) == (3, 2, {"empty": 1})
    assert manifest.peak_memory_bytes > 1_000_000


def test_sums_that_do_not_agree_are_a_fault_of_ours(tmp_path: Path) -> None:
    with (
        pytest.raises(LughaError, match="1 rows are neither kept nor dropped"),
        stage_output(tmp_path / "out", stage="test", version=1, parameters={}, inputs={}) as out,
    ):
        out.tally.rows_in = 1
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_fails_leaves_the_old_output_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with (
        pytest.raises(ZeroDivisionError),
        stage_output(tmp_path / "out", stage="test", version=1, parameters={}, inputs={}) as out,
    ):
        (out.folder / "b.txt").write_text("half")
        _ = 1 / 0
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert verify_stage(tmp_path / "out").files[0].path == "a.txt"


def test_a_folder_of_the_users_own_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="was not made by lugha"):
        make(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_currency_follows_parameters_inputs_and_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, threshold=0.8)
    same = {"stage": "test", "version": 1, "parameters": {"threshold": 0.8}, "inputs": {"raw": "x"}}
    assert is_current(out, **same)  # type: ignore[arg-type]
    assert not is_current(out, **(same | {"parameters": {"threshold": 0.7}}))  # type: ignore[arg-type]
    assert not is_current(out, **(same | {"inputs": {"raw": "y"}}))  # type: ignore[arg-type]
    assert not is_current(out, **(same | {"version": 2}))  # type: ignore[arg-type]
    (out / "a.txt").write_text("hell")
    assert not is_current(out, **same)  # type: ignore[arg-type]


def test_the_digest_of_an_output_is_that_of_its_content(tmp_path: Path) -> None:
    make(tmp_path / "one")
    make(tmp_path / "two")
    make(tmp_path / "three", text="other")
    assert input_digest(tmp_path / "one") == input_digest(tmp_path / "two") != input_digest(tmp_path / "three")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p: (p / "manifest.json").unlink(), "not the finished output of a stage"),
        (lambda p: (p / "manifest.json").write_text("{"), "not a stage manifest"),
        (lambda p: (p / "a.txt").unlink(), "is missing"),
        (lambda p: (p / "a.txt").write_text("hel"), "has 3 bytes instead of 5"),
    ],
)
def test_a_spoiled_output_is_named_in_one_line(spoil, says: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "out")
    spoil(tmp_path / "out")
    with pytest.raises(InputError) as caught:
        verify_stage(tmp_path / "out")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_output_of_another_stage_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(InputError, match="made by stage test, but clean or dedup is needed"):
        verify_stage(tmp_path / "out", ("clean", "dedup"))


def test_frozen_stages_do_not_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing. Run it"), only_current_stages("Run it."):
        make(tmp_path / "out")
    make(tmp_path / "out")
    with pytest.raises(InputError, match="is stale"), only_current_stages("Run it."):
        make(tmp_path / "out", threshold=1)
