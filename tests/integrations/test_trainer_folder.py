from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lugha.checkpoints.spool import Spool
from lugha.errors import InputError
from lugha.integrations.trainer_folder import (
    FORMAT,
    folder_of,
    folders_in,
    rotate,
    seal,
    set_aside,
    settle,
    verify_folder,
)

RUN = "demo-20260101T000000Z-0001"
LATER_RUN = "demo-20260102T000000Z-0001"
DEPENDS_ON = {"seed": "42"}


def written(output_dir: Path, step: int, text: str = "") -> Path:
    """A folder as Trainer leaves it."""
    folder = folder_of(output_dir, step)
    (folder / "global_step").mkdir(parents=True)
    (folder / "model.safetensors").write_text(f"model {step} {text}")
    (folder / "trainer_state.json").write_text("{}")
    (folder / "training_args.bin").write_text("token")
    (folder / "global_step" / "zero.pt").write_text(f"optimiser {step}")
    return folder


def whole(output_dir: Path, step: int, run: str = RUN) -> Path:
    folder = written(output_dir, step)
    seal(folder, run=run, step=step, parent=None, depends_on=DEPENDS_ON)
    return folder


def test_a_sealed_folder_verifies_with_all_its_folders_and_without_the_pickled_arguments(tmp_path: Path) -> None:
    manifest = verify_folder(whole(tmp_path, 5))
    assert (manifest.format, manifest.run, manifest.step, manifest.depends_on) == (FORMAT, RUN, 5, DEPENDS_ON)
    assert [file.path for file in manifest.files] == ["global_step/zero.pt", "model.safetensors", "trainer_state.json"]
    assert {"transformers", "torch", "accelerate"} <= manifest.versions.keys()


def test_a_folder_that_is_sealed_again_is_what_it_holds_now(tmp_path: Path) -> None:
    folder = whole(tmp_path, 5)
    (folder / "model.safetensors").write_text("another")
    with pytest.raises(InputError, match="model.safetensors"):
        verify_folder(folder)
    seal(folder, run=RUN, step=5, parent=None, depends_on=DEPENDS_ON)
    verify_folder(folder)


@pytest.mark.parametrize("spoilt", ["model.safetensors", "global_step/zero.pt", "manifest.json"])
def test_a_flipped_bit_or_a_missing_file_is_found(tmp_path: Path, spoilt: str) -> None:
    file = whole(tmp_path, 5) / spoilt
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError):
        verify_folder(folder_of(tmp_path, 5))
    file.unlink()
    with pytest.raises(InputError):
        verify_folder(folder_of(tmp_path, 5))


def test_folders_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        written(tmp_path, step)
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "checkpoint-7-replaced").mkdir()
    (tmp_path / "checkpoint-8").touch()
    assert [path.name for path in folders_in(tmp_path)] == ["checkpoint-100", "checkpoint-10", "checkpoint-9"]


def test_what_is_written_again_does_not_change_what_is_on_its_way(tmp_path: Path) -> None:
    folder = whole(tmp_path, 5)
    (wait,) = Spool(tmp_path / "spool").keep(folder, {"s3://b/p": "name"})
    set_aside(folder)
    written(tmp_path, 5, text="again")  # Trainer opens its files by name, and empties those that are there
    seal(folder, run=RUN, step=5, parent=None, depends_on=DEPENDS_ON)
    settle(tmp_path)
    verify_folder(wait.snapshot.checkpoint)
    verify_folder(folder)
    assert (folder / "model.safetensors").read_text() == "model 5 again"
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-5", "spool"}


@pytest.mark.parametrize("torn", [False, True])
def test_what_was_set_aside_comes_back_when_its_successor_never_stood(tmp_path: Path, torn: bool) -> None:
    folder = whole(tmp_path, 5)
    set_aside(folder)
    if torn:
        written(tmp_path, 5, text="again")
    settle(tmp_path)
    verify_folder(folder)
    assert (folder / "model.safetensors").read_text() == "model 5 "
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_a_torn_folder_goes_when_its_step_is_saved_again(tmp_path: Path) -> None:
    folder = written(tmp_path, 5)
    set_aside(folder)
    whole(tmp_path, 5)
    settle(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_rotation_goes_by_run_and_step_whatever_the_dates(tmp_path: Path) -> None:
    for number, (step, run) in enumerate([(100, RUN), (9, LATER_RUN), (10, LATER_RUN), (11, LATER_RUN)]):
        os.utime(whole(tmp_path, step, run), (9e9 - number, 9e9 - number))
    gone = rotate(tmp_path, 2, spared=[folder_of(tmp_path, 9)])
    assert [path.name for path in gone] == ["checkpoint-100"]
    assert {path.name for path in folders_in(tmp_path)} == {"checkpoint-9", "checkpoint-10", "checkpoint-11"}


def test_rotation_neither_counts_nor_touches_what_is_not_whole(tmp_path: Path) -> None:
    whole(tmp_path, 1)
    whole(tmp_path, 2)
    written(tmp_path, 3)
    damaged = whole(tmp_path, 4)
    (damaged / "manifest.json").write_text("{}")
    assert rotate(tmp_path, 2, spared=[]) == []
    assert len(folders_in(tmp_path)) == 4


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    folder = written(tmp_path, 5)
    shutil.copyfile(folder / "trainer_state.json", tmp_path / "outside")
    (folder / "link").symlink_to(tmp_path / "outside")
    manifest = seal(folder, run=RUN, step=5, parent=None, depends_on=DEPENDS_ON)
    assert "link" not in [file.path for file in manifest.files]
