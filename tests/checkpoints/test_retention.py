"""Pruning a run folder and a store: by the recipe, behind two verified, and finished by the next one where it was killed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from lugha.checkpoints.format import list_checkpoints, verify_checkpoint
from lugha.checkpoints.marker import promotion_for
from lugha.checkpoints.publish import publish
from lugha.checkpoints.published import list_published
from lugha.checkpoints.retention import (
    best_step,
    free_local,
    local_candidates,
    prune_local,
    prune_published,
    prune_store,
)
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.protocol import StoreError
from lugha.recipe import CheckpointsSection, PublishSection
from lugha.runs.files import sha256_file
from lugha.runs.folder import RunFolder, read_jsonl
from lugha.runs.ledger import LOCAL, Ledger
from lugha.runs.manifest import MANIFEST
from tests.checkpoints.memory_store import MemoryStore, ReplacingStore, fail_on
from tests.checkpoints.small import RUN, small_checkpoint

NEWEST = CheckpointsSection(keep_newest=2)
ALL = CheckpointsSection()
OTHER = "small-20261121T000000Z-0000"
SIZE = 4512  # bytes of a small checkpoint's files, about


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with steps 10, 20, 30, 40 and 50."""
    run = RunFolder(tmp_path / RUN)
    for step in (10, 20, 30, 40, 50):
        small_checkpoint(run.checkpoints, step)
    return run


def steps(run: RunFolder) -> list[int]:
    return [step for step, _ in list_checkpoints(run.checkpoints)]


def verified_in(run: RunFolder, store: str, *done: int) -> None:
    """As if the publisher had verified these steps."""
    for step in done:
        manifest = sha256_file(run.checkpoints / f"step-{step:08d}" / MANIFEST)
        Ledger(run.ledger).write("verified", store=store, step=step, name=f"n/{step}", bytes=1, manifest=manifest)


def gone_in(run: RunFolder, store: str) -> list[int]:
    return [line["step"] for line in Ledger(run.ledger).lines() if (line["event"], line["store"]) == ("deleted", store)]


def test_by_default_everything_stays(run: RunFolder) -> None:
    assert all(one.keep for one in prune_local(run, ALL, stores=[]))
    assert steps(run) == [50, 40, 30, 20, 10]
    assert not run.ledger.exists()


def test_the_newest_stay_and_it_is_written_down_what_went(run: RunFolder) -> None:
    decisions = prune_local(run, NEWEST, stores=[])
    assert [one.step for one in decisions if not one.keep] == [30, 20, 10]
    assert steps(run) == [50, 40]
    assert gone_in(run, LOCAL) == [30, 20, 10]
    events = read_jsonl(run.path / "events.jsonl")
    assert [(e["event"], e["checkpoint"]) for e in events] == [("deleted", f"step-000000{s}") for s in (30, 20, 10)]
    assert all(one.keep for one in prune_local(run, NEWEST, stores=[]))


def test_best_milestones_and_the_result_stay(run: RunFolder) -> None:
    for step, loss in ((10, 3.0), (20, 1.0), (25, 0.5), (50, 2.0)):  # 25 is no checkpoint
        run.log_metrics(kind="validation", step=step, loss=loss)
    run.finished.write_text(json.dumps({"checkpoint": "checkpoints/step-00000030"}))
    small_checkpoint(run.checkpoints, 45)
    section = CheckpointsSection(keep_newest=2, keep_every=40)
    found = {one.step: one.why for one in prune_local(run, section, stores=[]) if one.keep}
    assert found == {
        50: "among the newest 2 verified",
        45: "among the newest 2 verified",
        40: "milestone: the first in 40 steps",
        30: "promoted",
        20: "lowest validation loss",
        10: "milestone: the first in 40 steps",
    }
    section = CheckpointsSection(keep_newest=2, keep_best=False)
    prune_local(run, section, stores=[])
    assert steps(run) == [50, 45, 30]


def test_without_stores_the_two_that_a_deletion_stands_behind_are_read_first(run: RunFolder) -> None:
    (run.checkpoints / "step-00000050" / "model.safetensors").write_bytes(b"rotten")
    decisions = {one.step: one for one in prune_local(run, NEWEST, stores=[])}
    assert steps(run) == [50, 40, 30]  # 50 does not count, so 30 is one of the two
    assert decisions[50].why.startswith("in quarantine")
    for step in (40, 30):
        (run.checkpoints / f"step-000000{step}" / "optimiser.safetensors").unlink()
    small_checkpoint(run.checkpoints, 20)
    small_checkpoint(run.checkpoints, 10)
    assert all(one.keep for one in prune_local(run, NEWEST, stores=[]))
    assert steps(run) == [50, 40, 30, 20, 10]


def test_with_stores_only_what_is_verified_there_counts(run: RunFolder) -> None:
    store = "s3://b/p"
    assert all(one.keep for one in prune_local(run, NEWEST, stores=[store]))
    verified_in(run, store, 20)
    verified_in(run, "s3://another/store", 30, 40, 50)
    assert all(one.keep for one in prune_local(run, NEWEST, stores=[store]))
    verified_in(run, store, 40)
    prune_local(run, NEWEST, stores=[store])
    assert steps(run) == [50, 40, 30, 20]  # 10 stood behind two; 50 is not verified yet
    Ledger(run.ledger).write("deleted", store=store, step=20, name="n/20", bytes=1)
    verified_in(run, store, 50)
    prune_local(run, NEWEST, stores=[store])
    assert steps(run) == [50, 40]


def test_another_checkpoint_of_the_same_step_is_not_the_verified_one(run: RunFolder) -> None:
    store = "s3://b/p"
    verified_in(run, store, 30, 40, 50)
    shutil.rmtree(run.checkpoints / "step-00000040")
    small_checkpoint(run.checkpoints, 40, created="later")
    verified = {one.step for one in local_candidates(run, stores=[store]) if one.verified}
    assert verified == {30, 50}


def test_over_the_disks_budget_the_oldest_go(run: RunFolder) -> None:
    prune_local(run, CheckpointsSection(disk_gb=3.5 * SIZE / 1e9), stores=[])
    assert steps(run) == [50, 40, 30]
    prune_local(run, CheckpointsSection(disk_gb=1e-9), stores=[])
    assert steps(run) == [50, 40]


def test_the_default_budget_leaves_room_for_two_more(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(run.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=SIZE))
    prune_local(run, ALL, stores=[])
    assert steps(run) == [50, 40, 30, 20]  # one more than is free now


def test_making_room_takes_the_oldest_until_enough_is_free(run: RunFolder) -> None:
    section = CheckpointsSection(keep_newest=5)  # a wish; a full disk is none
    assert [one.step for one in free_local(run, section, stores=[], needed=1) if not one.keep] == [10]
    assert [one.step for one in free_local(run, section, stores=[], needed=SIZE + 100) if not one.keep] == [30, 20]
    assert all(one.keep for one in free_local(run, section, stores=[], needed=10 * SIZE))
    assert steps(run) == [50, 40]


def test_quarantine_here(run: RunFolder) -> None:
    (run.checkpoints / "step-00000020" / MANIFEST).unlink()
    (run.checkpoints / "step-00000030" / MANIFEST).write_text("{")
    long_ago = time.time() - 8 * 86_400
    for name in ("step-00000020", "step-00000030"):
        os.utime(run.checkpoints / name, (long_ago, long_ago))
    decisions = {one.step: one for one in prune_local(run, NEWEST, stores=[])}
    assert decisions[20].why == "in quarantine: no manifest.json, so this is not a whole checkpoint"
    assert decisions[30].keep
    assert not decisions[10].keep
    prune_local(run, ALL, stores=[], quarantine_age=7 * 86_400.0, dry_run=True)
    assert (run.checkpoints / "step-00000020").exists()
    prune_local(run, ALL, stores=[], quarantine_age=9 * 86_400.0)
    assert (run.checkpoints / "step-00000020").exists()
    prune_local(run, ALL, stores=[], quarantine_age=7 * 86_400.0)
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["step-00000040", "step-00000050"]


def test_an_unfinished_removal_is_finished(run: RunFolder) -> None:
    (run.checkpoints / "step-00000010").rename(run.checkpoints / ".step-00000010.deleted")
    prune_local(run, ALL, stores=[])
    assert not (run.checkpoints / ".step-00000010.deleted").exists()


# A store.


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """Steps 10 to 50 of one run, and two of another."""
    store = MemoryStore()
    for step in (10, 20, 30, 40, 50):
        publish(store, store.name_for(RUN, step), small_checkpoint(tmp_path / "local", step))
    for step in (1, 2):
        publish(store, store.name_for(OTHER, step), small_checkpoint(tmp_path / "other", step, run=OTHER))
    return store


def in_store(store: MemoryStore | FolderStore, run: str = RUN) -> list[int]:
    return [one.step for one in list_published(store) if one.verified and one.run == run]


def prune(store: MemoryStore, section: CheckpointsSection = NEWEST, **more: object) -> list[tuple[int, bool]]:
    values = {"run": RUN, "budget_bytes": None, "best": None} | more
    return [(one.step, one.keep) for one in prune_store(store, section, **values)]  # type: ignore[arg-type]


def test_a_store_is_pruned_marker_first_and_other_runs_stay(store: MemoryStore) -> None:
    store.operations.clear()
    assert prune(store, best=20) == [(50, True), (40, True), (30, False), (20, True), (10, False)]
    assert in_store(store) == [50, 40, 20]
    assert in_store(store, OTHER) == [2, 1]
    changes = [(o.kind, o.name.rpartition("/")[2][:13]) for o in store.operations if o.kind in ("unmark", "remove")]
    assert changes == [(kind, f"step-000000{s}") for s in (30, 10) for kind in ("unmark", "remove")]


def test_all_stays_without_a_look_where_nothing_is_asked_for(store: MemoryStore) -> None:
    store.operations.clear()
    assert prune(store, ALL) == []
    assert store.operations == []
    assert prune(store, ALL, budget_bytes=100 * SIZE) == []
    assert [o.kind for o in store.operations] == ["entries"]


def test_a_stores_budget(store: MemoryStore) -> None:
    prune(store, ALL, budget_bytes=int(3.5 * SIZE))
    assert in_store(store) == [50, 40, 30]
    prune(store, ALL, budget_bytes=0)
    assert in_store(store) == [50, 40]
    assert in_store(store, OTHER) == [2, 1]


def test_a_dry_run_only_says(store: MemoryStore) -> None:
    store.operations.clear()
    assert prune(store, dry_run=True) == [(50, True), (40, True), (30, False), (20, False), (10, False)]
    assert {o.kind for o in store.operations} == {"entries", "read", "promoted"}


def test_the_promoted_one_stays(store: MemoryStore) -> None:
    name = next(name for name, step in store.marked().items() if step == 10)
    store.promote(RUN, name, promotion_for(name, store.objects[name][MANIFEST]))
    prune(store)
    assert in_store(store) == [50, 40, 10]


def test_what_is_not_marked_does_not_count_and_is_not_touched(store: MemoryStore) -> None:
    names = {step: name for name, step in store.marked().items()}
    store.unmark(names[50])
    store.objects[names[40]][MANIFEST] = b"{"
    assert prune(store) == [(50, True), (40, True), (30, True), (20, True), (10, False)]
    assert in_store(store) == [30, 20]
    assert names[50] in store.objects
    assert names[40] in store.objects


def test_quarantine_in_a_store_goes_by_age_behind_two(store: MemoryStore) -> None:
    names = {step: name for name, step in store.marked().items() if name.startswith(RUN)}
    store.unmark(names[20])
    store.objects[names[10]][MANIFEST] = b"{"
    store.unmark(names[50])
    prune(store, ALL, quarantine_age=3600.0)
    assert {names[10], names[20], names[50]} <= set(store.objects)  # all of them are new
    prune(store, ALL, quarantine_age=-1.0)
    assert {names[10], names[20]} & set(store.objects) == set()
    assert names[50] in store.objects  # newer than the verified ones: it may still be on its way


def test_a_killed_prune_is_finished_by_the_next_through_the_ledger(store: MemoryStore, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for kind in ("unmark", "remove"):  # dies before the one, then before the other
        store.before = fail_on(kind, StoreError("gone", permanent=False))
        with pytest.raises(StoreError):
            prune(store, ledger=ledger)
        assert in_store(store)[:2] == [50, 40]
    store.before = lambda operation: None
    assert [one.step for one in list_published(store) if not one.marked] == [30]
    assert prune(store, ALL) == []  # without the ledger nobody knows that it was to go
    assert (30, False) in prune(store, ALL, ledger=ledger)
    assert {one.step for one in list_published(store) if one.run == RUN} == {50, 40, 20, 10}
    prune(store, ledger=ledger)
    assert in_store(store) == [50, 40]


def test_an_upload_under_a_name_that_was_removed_before_is_no_unfinished_removal(tmp_path: Path) -> None:
    hub, ledger = ReplacingStore(), Ledger(tmp_path / "ledger.jsonl")
    for step in (10, 20, 30):
        publish(hub, hub.name_for(RUN, step), small_checkpoint(tmp_path / "local", step))
    ledger.write("deleted", store=hub.address, step=10, name="checkpoint-10", bytes=1)
    ledger.write("queued", store=hub.address, step=10, name="checkpoint-10", bytes=1)
    hub.unmark("checkpoint-10")
    prune(hub, ledger=ledger)
    assert "checkpoint-10" in hub.objects
    ledger.write("deleted", store=hub.address, step=10, name="checkpoint-10", bytes=1)
    prune(hub, ledger=ledger)
    assert "checkpoint-10" not in hub.objects


def test_after_a_verification_the_recipe_decides(store: MemoryStore, run: RunFolder) -> None:
    ledger = Ledger(run.ledger)
    for name, step in store.marked().items():
        ledger.write("verified", store=store.address, step=step, name=name, bytes=SIZE)
    run.log_metrics(kind="validation", step=20, loss=1.0)
    run.log_metrics(kind="validation", step=25, loss=0.5)
    assert prune_published(store, run, ALL, PublishSection(), ledger=ledger) == []
    prune_published(store, run, ALL, PublishSection(store_gb=3.5 * SIZE / 1e9), ledger=ledger)
    assert in_store(store) == [50, 40, 20]
    assert gone_in(run, store.address) == [30, 10]
    assert ledger.verified_steps()[store.address] == {1, 2, 20, 40, 50}
    assert best_step(run.metrics) == 25


_CHILD = """
    import os, sys
    from pathlib import Path
    from lugha.checkpoints.retention import prune_local, prune_store
    from lugha.checkpoints.stores.folder import FolderStore
    from lugha.recipe import CheckpointsSection
    from lugha.runs.folder import RunFolder
    from lugha.runs.ledger import Ledger

    whole, root = Path(sys.argv[1]), Path(sys.argv[2])
    section = CheckpointsSection(keep_newest=2)

    def prune(place, point):
        count = 0
        def audit(event, given):
            nonlocal count
            changing = event == "open" and (given[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if changing or event in ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.truncate"):
                count += 1
                if count == point:
                    os._exit(137)
        run = RunFolder(next((place / "runs").iterdir()))
        sys.addaudithook(audit)
        prune_local(run, section, stores=[])
        prune_store(
            FolderStore(place / "store"), section, run=run.id, budget_bytes=None, best=None, ledger=Ledger(run.ledger)
        )
        return count

    import shutil
    shutil.copytree(whole, root / "counted")
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, str(prune(root / "counted", 0)).encode())
        os._exit(0)
    os.wait()
    operations = int(os.read(reading, 100))
    for point in range(1, operations + 1):
        shutil.copytree(whole, root / str(point))
        if os.fork() == 0:
            prune(root / str(point), point)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 137, point
    print(operations)
"""


def test_a_process_that_dies_at_any_operation_of_a_prune_loses_nothing_newer(tmp_path: Path) -> None:
    """Here and in a store; the next prune leaves exactly what was to be left."""
    whole = tmp_path / "whole"
    folder = FolderStore(whole / "store")
    (whole / "store").mkdir(parents=True)
    for step in (10, 20, 30, 40):
        made = small_checkpoint(whole / "runs" / RUN / "checkpoints", step, files={"a": b"%d" % step, "b": b"x"})
        publish(folder, folder.name_for(RUN, step), made)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", textwrap.dedent(_CHILD), str(whole), str(tmp_path / "killed")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
    for point in range(1, int(done.stdout) + 1):
        place = tmp_path / "killed" / str(point)
        run, killed = RunFolder(place / "runs" / RUN), FolderStore(place / "store")
        assert steps(run)[:2] == [40, 30], point
        assert all(verify_checkpoint(path) for _, path in list_checkpoints(run.checkpoints))
        assert in_store(killed)[:2] == [40, 30], point
        prune_local(run, NEWEST, stores=[])
        prune_store(killed, NEWEST, run=RUN, budget_bytes=None, best=None, ledger=Ledger(run.ledger))
        assert sorted(p.name for p in run.checkpoints.iterdir()) == ["step-00000030", "step-00000040"], point
        left = {one.step for one in list_published(killed)}
        assert left == {40, 30}, f"operation {point}: {left}"
