"""Going on from what a person named: a run, a checkpoint, a store, a step of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lugha.checkpoints.format import verify_checkpoint
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.protocol import MARKER
from lugha.errors import InputError, RefusedError
from lugha.runs.manifest import MANIFEST
from tests.checkpoints.memory_store import MemoryStore
from tests.checkpoints.small import RUN, small_checkpoint
from tests.pipeline.resuming_world import OLDER, OTHERS, World, WorldOf, picked, world_of

__all__ = ["world_of"]  # a fixture


def test_a_run_folder_or_a_checkpoint_by_its_path(world_of: WorldOf, monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of()
    run = world.local(1, 2, 3)
    for path in (run.path, run.checkpoints):
        assert picked(world.start(str(path))) == (RUN, 3)
    assert picked(world.start(str(run.checkpoints / "step-00000002"))) == (RUN, 2)
    monkeypatch.chdir(run.checkpoints)
    assert picked(world.start("step-00000001")) == (RUN, 1)
    assert picked(world.start(".")) == (RUN, 3)
    monkeypatch.chdir(run.path)
    assert picked(world.start(".")) == (RUN, 3)
    assert picked(world.start("checkpoints/step-00000002")) == (RUN, 2)
    (run.checkpoints / "step-00000002" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="step-00000002/model.safetensors: missing"):
        world.start(str(run.checkpoints / "step-00000002"))
    for place in (run.path, run.checkpoints / "step-00000003"):
        with pytest.raises(RefusedError, match="train.lr"):
            world.start(str(place), ours=OTHERS)
    assert picked(world.start(str(world.local(run=OLDER).path))) == (OLDER, 0)


def test_a_store_by_its_address_with_and_without_a_step(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    world.published(store, 500, 1000, 1500)
    world.published(store, 9000, run=OLDER)
    assert picked(world.start("s3://memory/runs@1000")) == (RUN, 1000)
    assert picked(world.start("s3://memory/runs")) == (RUN, 1500)
    assert picked(world.start("s3://memory/runs@9000")) == (OLDER, 9000)
    with pytest.raises(
        InputError, match="no step 1400 there. Nearest: s3://memory/runs@1500. There are 500, 1000, 1500, 9000"
    ):
        world.start("s3://memory/runs@1400")
    with pytest.raises(InputError, match="behind @ stands a step"):
        world.start("s3://memory/runs@last")
    with pytest.raises(RefusedError, match=r"s3://memory/runs/.*step-00001500.*the recipe's train.lr"):
        world.start("s3://memory/runs", ours=OTHERS)
    store.operations.clear()
    assert picked(world.start("s3://memory/runs@500")) == (RUN, 500)
    store.operations.clear()
    world.start("s3://memory/runs@500")
    assert {o.file for o in store.operations if o.kind == "read"} == {MANIFEST, MARKER}  # it is here: nothing is fetched


def test_a_step_that_is_not_marked_but_right_may_be_named(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    (name,) = world.published(store, 9, mark=False)
    world.published(store, 3)
    assert picked(world.start("s3://memory/runs")) == (RUN, 3)
    assert picked(world.start("s3://memory/runs@9")) == (RUN, 9)
    assert any("not verified there, but all its bytes are right" in line for line in world.said)
    world.wipe()
    store.objects[name]["model.safetensors"] = bytes(3500)
    with pytest.raises(InputError, match="step 9 is damaged"):
        world.start("s3://memory/runs@9")


def test_of_a_named_step_the_marked_copy_is_preferred(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    (bad,) = world.published(store, 9, mark=False)
    store.objects[bad]["model.safetensors"] = bytes(3500)
    world.published(store, 9)
    assert picked(world.start("s3://memory/runs@9")) == (RUN, 9)


def test_an_empty_store_of_the_recipe_is_a_first_start_and_any_other_an_error(world_of: WorldOf, tmp_path: Path) -> None:
    world = world_of(MemoryStore())
    assert picked(world.start("s3://memory/runs"))[1] == 0
    assert world.said == ["s3://memory/runs: nothing there yet, a new run begins"]
    with pytest.raises(InputError, match="no checkpoint here"):
        world.start("s3://memory/runs@500")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no checkpoint here"):
        world.start(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="no such run folder, checkpoint or store"):
        world.start(str(tmp_path / "none"))


def test_a_folder_that_is_a_store(world_of: WorldOf, tmp_path: Path) -> None:
    world = world_of()
    (tmp_path / "drive").mkdir()
    drive = FolderStore(tmp_path / "drive")
    names = world.published(drive, 1, 2)
    assert picked(world.start(str(tmp_path / "drive"))) == (RUN, 2)
    world.wipe()
    assert picked(world.start(f"{tmp_path / 'drive'}@1")) == (RUN, 1)
    world.wipe()
    assert picked(world.start(str(tmp_path / "drive" / RUN))) == (RUN, 2)  # the part of one run
    world.wipe()
    assert picked(world.start(str(tmp_path / "drive" / names[0]))) == (RUN, 1)  # one checkpoint of it
    assert {p.name for p in (tmp_path / "drive" / RUN).iterdir()} == {name.rpartition("/")[2] for name in names}
    mine = World(tmp_path, drive)  # as the recipe's own store
    world.stores = mine.stores
    world.recipe = mine.recipe
    world.wipe()
    assert picked(world.start()) == (RUN, 2)


def test_a_checkpoint_that_was_pulled_by_hand(world_of: WorldOf, tmp_path: Path) -> None:
    world = world_of()
    pulled = small_checkpoint(tmp_path / "pulled", 7)
    assert picked(world.start(str(pulled))) == (RUN, 7)
    assert verify_checkpoint(pulled).step == 7
    with pytest.raises(RefusedError, match="train.lr"):
        world.start(str(pulled), ours=OTHERS)
    world.wipe()
    (pulled / "model.safetensors").unlink()
    with pytest.raises(InputError, match="damaged"):
        world.start(str(pulled))
    with pytest.raises(InputError, match="which is no run of `lugha train`"):
        world.start(str(small_checkpoint(tmp_path / "pulled", 8, run="../x")))


def test_to_begin_anew_and_to_go_on_contradict(world_of: WorldOf) -> None:
    with pytest.raises(InputError, match="Give one of the two"):
        world_of().start("runs/x", anew=True)
