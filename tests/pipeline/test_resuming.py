"""Which run goes on and from which checkpoint, of all there are: real folders, and a store with faults."""

from __future__ import annotations

import random
import shutil
from collections import Counter

import pytest

from lugha.checkpoints.format import verify_checkpoint
from lugha.checkpoints.publish import publish
from lugha.checkpoints.published import list_published
from lugha.checkpoints.retention import prune_store
from lugha.checkpoints.stores.protocol import MARKER, StoreError
from lugha.errors import InputError, InterruptedRunError, RefusedError
from lugha.recipe import CheckpointsSection
from lugha.runs.files import sha256_file, write_json
from lugha.runs.folder import split_run_id
from lugha.runs.ledger import Ledger
from lugha.runs.manifest import MANIFEST
from tests.checkpoints.memory_store import MemoryStore, ReplacingStore, fail_on
from tests.checkpoints.small import RUN, small_checkpoint
from tests.checkpoints.test_restore import damage
from tests.pipeline.resuming_world import OLDER, OTHERS, WorldOf, picked, world_of

__all__ = ["world_of"]  # a fixture


# A first start, and this disk alone.


@pytest.mark.parametrize("resume", [None, "auto"])
def test_a_first_start_is_a_new_run(resume: str | None, world_of: WorldOf) -> None:
    world = world_of(MemoryStore())
    run, step = picked(world.start(resume))
    assert (split_run_id(run) or ("", ""))[0] == "small"
    assert step == 0
    assert picked(world.start(resume)) == (run, 0)  # and it goes on with that one


def test_the_newest_run_with_the_same_values_goes_on(world_of: WorldOf) -> None:
    world = world_of()
    world.local(5, run=OLDER)
    world.local(1, 2)
    world.local(9, run="small-20261121T000000Z-0000", values=OTHERS)
    assert picked(world.start()) == (RUN, 2)
    assert picked(world.start(anew=True))[1] == 0


def test_auto_refuses_where_only_other_values_are_and_says_which(world_of: WorldOf) -> None:
    world = world_of(MemoryStore())
    run = world.local(9)
    with pytest.raises(
        RefusedError, match=rf"{run.path}: .*other values: the recipe's train.lr \(0.02 here, absent there\)"
    ):
        world.start(ours=OTHERS)
    assert picked(world.start(None, ours=OTHERS))[1] == 0  # unasked, a changed recipe is a new run
    shutil.rmtree(world.root)
    world.published(world.stores["s3://memory/runs"], 9)
    with pytest.raises(RefusedError, match=r"s3://memory/runs/small-.*train.lr \(0.02 here, absent there\).*--new"):
        world.start(ours=OTHERS)
    assert list(world.root.glob("*")) == []


def test_a_run_killed_at_its_birth_is_none(world_of: WorldOf) -> None:
    world = world_of()
    (world.root / RUN / "checkpoints").mkdir(parents=True)  # before its record was written
    assert picked(world.start())[0] != RUN


def test_a_clock_set_back_does_not_make_an_older_run_the_newest(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    world.local(7, run="small-20991231T235958Z-ffff")
    world.published(store, 8, run="small-20991231T235959Z-0000")
    new = world.start(anew=True)
    assert new.run.id.startswith("small-21000101T000000Z-")
    assert picked(world.start()) == (new.run.id, 0)


# Finished runs.


def test_a_finished_run_stays_finished_and_asks_no_store(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    run = world.local(1, 2)
    write_json(run.finished, {"checkpoint": "checkpoints/step-00000002"})
    store.before = fail_on("entries", StoreError("503", permanent=False))
    start = world.start()
    assert start.finished
    assert picked(start) == (RUN, 2)
    (run.checkpoints / "step-00000002" / "model.safetensors").unlink()
    store.before = lambda operation: None
    world.published(store, 2)
    again = world.start()
    assert not again.finished  # the loop sees that nothing is left to train
    assert picked(again) == (RUN, 2)


# Stores.


@pytest.mark.parametrize("resume", [None, "auto"])
def test_an_empty_machine_goes_on_with_the_same_run(resume: str | None, world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    world.published(store, 100, 20, 3)
    world.published(store, 900, run=OLDER)
    world.published(store, 5, run="another-20261201T000000Z-0000")
    start = world.start(resume)
    assert picked(start) == (RUN, 100)
    assert {p.name for p in start.run.path.iterdir()} == {"checkpoints", "run.json", "ledger.jsonl", ".lock"}
    assert [p.name for p in start.run.checkpoints.iterdir()] == ["step-00000100"]
    assert picked(world.start(resume)) == (RUN, 100)


def test_the_newest_of_this_disk_and_all_stores_and_of_equals_the_one_here(world_of: WorldOf) -> None:
    first, second = MemoryStore("s3://one/x"), MemoryStore("s3://two/x")
    world = world_of(first, second)
    world.local(1, 2)
    world.published(first, 2, 3)
    world.published(second, 2, 3, 4)
    assert picked(world.start()) == (RUN, 4)
    first.operations.clear()
    second.operations.clear()
    assert picked(world.start()) == (RUN, 4)
    files = {o.file for store in (first, second) for o in store.operations if o.kind == "read"}
    assert files == {MANIFEST, MARKER}  # nothing was fetched: step 4 is here now


def test_damaged_ones_are_passed_over_with_a_line_each(world_of: WorldOf) -> None:
    first, second = MemoryStore("s3://one/x"), MemoryStore("s3://two/x")
    world = world_of(first, second)
    run = world.local(1, 4)
    (run.checkpoints / "step-00000004" / "model.safetensors").write_bytes(b"short")
    (name,) = world.published(first, 5)
    first.objects[name]["model.safetensors"] = bytes(3500)
    (marked,) = world.published(second, 6)
    second.objects[marked][MARKER] = b"{}"
    world.published(second, 3)
    assert picked(world.start()) == (RUN, 3)
    text = "\n".join(world.said)
    assert "s3://two/x" in world.said[0]
    assert "VERIFIED.json: damaged, or of another manifest. Trying the checkpoint before it." in world.said[0]
    assert f"s3://one/x/{name}/model.safetensors: its SHA-256 is not that of the manifest" in text
    assert "step-00000004/model.safetensors: 5 bytes instead of 3500" in text
    assert sum("Trying the checkpoint before it" in line for line in world.said) == 3


def test_a_damaged_one_here_is_mended_from_a_store(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    run = world.local(1, 4)
    (run.checkpoints / "step-00000004" / "model.safetensors").write_bytes(b"short")
    world.published(store, 4)
    assert picked(world.start()) == (RUN, 4)
    assert verify_checkpoint(run.checkpoints / "step-00000004").step == 4


def test_an_older_run_is_used_when_all_newer_is_damaged(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    world.local(7, run=OLDER)
    (name,) = world.published(store, 1)
    store.objects[name]["model.safetensors"] = bytes(3500)
    assert picked(world.start()) == (OLDER, 7)


def test_all_damaged_is_an_error_never_a_beginning(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    names = world.published(store, 1, 2)
    for name in names:
        store.objects[name]["model.safetensors"] = bytes(3500)
    with pytest.raises(InputError, match="all 2 checkpoints are damaged"):
        world.start()
    for name in names:
        store.objects[name][MANIFEST] = b"{"
    world.wipe()
    for resume in (None, "auto"):
        with pytest.raises(InputError, match=r"all 2 checkpoints are damaged \(s3://memory/runs/small-.*manifest.json"):
            world.start(resume)
    assert picked(world.start(None, anew=True))[1] == 0


def test_a_torn_upload_is_no_loss(world_of: WorldOf) -> None:
    store = MemoryStore()
    store.objects[f"{RUN}/step-00000009-3fa9"] = {"model.safetensors": b"half"}
    store.objects["canary/step-00000000-3fa91234"] = {"canary.bin": b"x"}
    world = world_of(store)
    assert picked(world.start())[1] == 0
    world.wipe()
    run = world.local()
    assert picked(world.start()) == (run.id, 0)


def test_what_lacks_the_mark_alone_comes_last_but_before_a_new_beginning(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    world.published(store, 9, mark=False)
    world.published(store, 3)
    assert picked(world.start()) == (RUN, 3)
    assert any("not marked" in line for line in world.said)
    world.wipe()
    store.remove(store.marked().popitem()[0])
    assert picked(world.start()) == (RUN, 9)
    assert any("not verified there, but all its bytes are right: it is used" in line for line in world.said)
    world.wipe()
    name = next(iter(store.objects))
    store.objects[name]["model.safetensors"] = bytes(3500)
    with pytest.raises(InputError, match="damaged"):
        world.start()


def test_a_store_that_cannot_be_reached_is_never_an_empty_one(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    world.published(store, 5)
    world.local(1, run=OLDER)
    for kind in ("prepare", "entries", "read"):
        store.before = fail_on(kind, StoreError("s3://memory/runs: 503 Slow Down.", permanent=False))
        for resume in (None, "auto", "s3://memory/runs"):
            with pytest.raises(InterruptedRunError, match="503 Slow Down. Tried 5 times"):
                world.start(resume)
        store.before = fail_on(kind, StoreError("s3://memory/runs: 403 Forbidden.", permanent=True))
        with pytest.raises(RefusedError, match="403 Forbidden"):
            world.start()
    assert [p.name for p in world.root.iterdir()] == [OLDER]
    store.before = fail_on("entries", StoreError("503", permanent=False), times=3)
    assert picked(world.start()) == (RUN, 5)
    assert [line for line in world.said if "503" in line] == ["503 Trying again."] * 3


def test_a_store_that_fails_while_it_is_fetched_from(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    world.published(store, 5)

    def weights_are_cut(times: int) -> None:
        left = times

        def before(operation: object) -> None:
            nonlocal left
            if getattr(operation, "file", "") == "model.safetensors" and left:
                left -= 1
                raise StoreError("connection reset.", permanent=False)

        store.before = before

    weights_are_cut(1000)
    with pytest.raises(InterruptedRunError, match="connection reset. Tried 5 times"):
        world.start()
    assert list((world.root / RUN / "checkpoints").iterdir()) == []
    weights_are_cut(2)
    assert picked(world.start()) == (RUN, 5)


def test_the_ledger_says_what_the_stores_hold(world_of: WorldOf) -> None:
    """The lost machine's ledger is lost with it; and a store may have been emptied while nobody looked."""
    first, second = MemoryStore("s3://one/x"), MemoryStore("s3://two/x")
    world = world_of(first, second)
    names = world.published(first, 1, 2, 3)
    world.published(first, 9, run=OLDER)
    start = world.start()
    ledger = Ledger(start.run.ledger)
    assert ledger.verified_steps() == {"s3://one/x": {1, 2, 3}}
    assert start.found is not None
    assert ledger.name_of(sha256_file(start.found.folder / MANIFEST), "s3://one/x") == names[2]
    lines = len(ledger.lines())
    world.start()
    assert len(ledger.lines()) == lines  # nothing new, nothing written
    first.remove(names[0])
    first.objects[names[1]][MARKER] = b"{}"
    start = world.start("s3://one/x")
    assert ledger.verified_steps() == {"s3://one/x": {3}}
    section = CheckpointsSection(keep_newest=2)
    prune_store(first, section, run=RUN, budget_bytes=None, best=None, ledger=ledger)
    assert names[1] in first.objects  # it was not this run that took its marker away: it stays in quarantine


def test_another_process_in_the_run_is_refused(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    run = world.local(1)
    world.published(store, 5)
    with run.lock(), pytest.raises(RefusedError, match="another process works in this run folder"):
        world.start()
    assert [p.name for p in run.checkpoints.iterdir()] == ["step-00000001"]


def test_a_run_id_cannot_lead_out_of_the_runs_folder(world_of: WorldOf) -> None:
    store = MemoryStore()
    world = world_of(store)
    for run in (
        "../../small-20261121T000000Z-0000",
        "small-20261121T000000Z-0000/../../x",
        "/tmp/small-20261121T000000Z-0000",
    ):
        publish(store, f"x/step-{len(store.objects)}", small_checkpoint(world.root.parent / "e" / "x", 5, run=run))
    assert picked(world.start())[1] == 0
    with pytest.raises(InputError, match="damaged"):
        world.start("s3://memory/runs")
    assert sorted(p.name for p in world.root.parent.iterdir()) == ["e", "runs"]


# A repository of the Hub holds one run.


def test_a_repository_with_another_run_is_refused_to_a_new_one(world_of: WorldOf) -> None:
    hub = ReplacingStore()
    world = world_of(hub)
    world.published(hub, 5)
    with pytest.raises(
        RefusedError, match=rf"hf://user/memory holds checkpoints already \({RUN}\).*hf://user/memory/second"
    ):
        world.start(anew=True)
    with pytest.raises(RefusedError, match="hf://user/memory holds checkpoints already"):
        world.start(None, ours=OTHERS)
    assert list(world.root.glob("*")) == []
    assert picked(world.start()) == (RUN, 5)


def test_random_damages_here_and_in_a_store_at_once(world_of: WorldOf) -> None:
    """Step 3 here and step 4 in a store are damaged in every way at once: step 2 is used, wherever it lies."""
    chance = random.Random(3)
    store = MemoryStore()
    world = world_of(store)
    run = world.local(1, 3)
    world.published(store, 2, 4)
    newest = next(name for name, step in store.marked().items() if step == 4)
    here = {path: path.read_bytes() for path in (run.checkpoints / "step-00000003").rglob("*") if path.is_file()}
    there = {file: content for file, content in store.objects[newest].items() if file != MARKER}
    taken: Counter[int] = Counter()
    for _ in range(200):
        local, remote = damage(chance, here), damage(chance, there)
        for path, content in local.items():
            path.unlink() if content is None else path.write_bytes(content)
        for file, content in remote.items():
            store.objects[newest].pop(file)
            if content is not None:
                store.objects[newest][file] = content
        start = world.start()
        assert start.found is not None
        taken[start.found.manifest.step] += 1
        for path, content in here.items():
            path.write_bytes(content)
        store.objects[newest] |= there
    assert taken == {2: 200}
    assert [one.step for one in list_published(store)] == [4, 2]
