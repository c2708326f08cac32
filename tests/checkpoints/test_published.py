"""What lies in a store: believed only where marker, manifest and bytes agree, and fetched whole or not at all."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from lugha.checkpoints.format import sealed, unsealed, verify_checkpoint
from lugha.checkpoints.marker import marker_for, promotion_for
from lugha.checkpoints.publish import publish
from lugha.checkpoints.published import (
    Published,
    check_published,
    holds_one_run,
    is_of,
    list_published,
    no_such_step,
    pull,
)
from lugha.checkpoints.restore import Verified
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.protocol import MARKER, Entry, StoreError
from lugha.errors import InputError, InterruptedRunError
from lugha.runs.manifest import MANIFEST
from tests.checkpoints.memory_store import MemoryStore, ReplacingStore, fail_on
from tests.checkpoints.small import RUN, content_of, small_checkpoint
from tests.checkpoints.test_restore import damage

OLDER = "small-20261119T104210Z-ffff"
OTHER = "aaaa-20261121T000000Z-0000"


def put(store: MemoryStore, folder: Path, *steps: int, run: str = RUN) -> list[str]:
    """Publish small checkpoints; returns their names."""
    names = []
    for step in steps:
        names.append(store.name_for(run, step))
        publish(store, names[-1], small_checkpoint(folder / run, step, run=run))
    return names


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """Steps 1, 2 and 3 of one run."""
    store = MemoryStore()
    put(store, tmp_path / "local", 1, 2, 3)
    return store


def found_by_walking(store: MemoryStore, checkpoints: Path) -> Verified | None:
    """What restoring does: the newest verified one whose bytes are right."""
    for one in list_published(store):
        if one.verified:
            try:
                return pull(one, checkpoints)
            except InputError:
                continue
    return None


def test_what_was_published_is_verified_and_comes_back(store: MemoryStore, tmp_path: Path) -> None:
    listed = list_published(store)
    assert [(one.step, one.verified, one.marked, one.trouble) for one in listed] == [
        (step, True, True, None) for step in (3, 2, 1)
    ]
    check_published(listed[0])
    found = pull(listed[0], tmp_path / "again" / "checkpoints")
    assert found.folder == tmp_path / "again" / "checkpoints" / "step-00000003"
    assert verify_checkpoint(found.folder) == found.manifest
    assert {p.relative_to(found.folder).as_posix(): p.read_bytes() for p in found.folder.rglob("*") if p.is_file()} == {
        **content_of(3),
        MANIFEST: (tmp_path / "local" / RUN / "step-00000003" / MANIFEST).read_bytes(),
    }
    assert [p.name for p in found.folder.parent.iterdir()] == ["step-00000003"]


def test_order_is_that_of_run_and_step_whatever_the_names_and_the_clock(tmp_path: Path) -> None:
    store = MemoryStore()
    put(store, tmp_path, 20, 3, 100)
    put(store, tmp_path, 900, run=OLDER)
    put(store, tmp_path, 1, run=OTHER)
    assert [(one.run, one.step) for one in list_published(store)] == [
        (OTHER, 1),
        (RUN, 100),
        (RUN, 20),
        (RUN, 3),
        (OLDER, 900),
    ]


def test_what_cannot_be_trusted_stands_there_with_its_reason(store: MemoryStore, tmp_path: Path) -> None:
    third, second, first = (one.name for one in list_published(store))
    store.unmark(third)
    store.objects[second][MARKER] = store.objects[first][MARKER]
    del store.objects[first][MANIFEST]
    (torn,) = put(store, tmp_path / "more", 4)
    store.objects[torn]["model.safetensors"] += b"0"
    (holed,) = put(store, tmp_path / "more", 5)
    del store.objects[holed]["deep/er/trainer.json"]
    listed = {one.name: one for one in list_published(store)}
    assert not any(one.verified for one in listed.values())
    assert listed[third].trouble == "not marked: its upload, or its reading back, did not end"
    assert listed[second].trouble == "VERIFIED.json: damaged, or of another manifest"
    assert (listed[first].trouble, listed[first].step, listed[first].run) == ("manifest.json: missing", -1, None)
    assert listed[torn].trouble == "model.safetensors: 3,501 bytes instead of 3,500"
    assert listed[holed].trouble == "deep/er/trainer.json: missing"
    with pytest.raises(InputError, match=f"{store.address}/{torn}: model.safetensors: 3,501"):
        check_published(listed[torn])
    with pytest.raises(InputError, match="manifest.json: missing"):
        pull(listed[first], tmp_path / "c")


def test_a_marker_is_believed_only_whole(store: MemoryStore) -> None:
    name = list_published(store)[0].name
    right = store.objects[name][MARKER]
    facts = json.loads(right)
    wrong = [facts | {"step": 4}, facts | {"run": OTHER}, facts | {"bytes": 1}, facts | {"manifest_sha256": "0" * 64}]
    wrong += [facts | {"more": 1}, {k: v for k, v in facts.items() if k != "verified"}, facts | {"verified": "yesterday"}]
    for content in [*(json.dumps(w, indent=2).encode() + b"\n" for w in wrong), b"", b"{", b"[]", b"null", right[:-1]]:
        store.objects[name][MARKER] = content
        assert [one.step for one in list_published(store) if one.verified] == [2, 1], content
    store.objects[name][MARKER] = right
    assert list_published(store)[0].verified


def test_a_thousand_random_damages_in_a_store_are_never_loaded(tmp_path: Path) -> None:
    """Flips, cuts, missing and longer files, in data, manifests and markers of the newest: the one before it every time."""
    chance = random.Random(11)
    store = MemoryStore()
    small = {"a": b"weights and biases", "b/c": b"{}", "empty": b""}
    for step in (1, 2, 3):
        publish(store, f"{RUN}/step-{step}", small_checkpoint(tmp_path / "local", step, files=small | {"s": b"%d" % step}))
    right = {name: dict(files) for name, files in store.objects.items()}
    seen: Counter[str] = Counter()
    for number in range(1000):
        newest = 3 - number % 2  # every other time step 3 is damaged as well
        for step in range(newest, 4):
            name = f"{RUN}/step-{step}"
            changes = damage(chance, right[name])
            for file, content in changes.items():
                seen[file] += 1
                store.objects[name].pop(file)
                if content is not None:
                    store.objects[name][file] = content
        found = found_by_walking(store, tmp_path / "c")
        assert found is not None
        assert found.manifest.step == newest - 1
        if number % 50 == 0:  # what `pull` hashed on its way is what lies there
            verify_checkpoint(found.folder)
        store.objects = {name: dict(files) for name, files in right.items()}
    assert set(seen) == {*small, "s", MANIFEST, MARKER}
    assert [p.name for p in sorted((tmp_path / "c").iterdir())] == ["step-00000001", "step-00000002"]


def test_an_endless_file_is_cut_off(store: MemoryStore, tmp_path: Path) -> None:
    one = list_published(store)[0]

    class Endless(MemoryStore):
        given = 0

        def read(self, name: str, file: str):  # type: ignore[no-untyped-def]
            while True:
                Endless.given += 1
                yield bytes(1000)

    endless = Published(Endless(), one.name, one.manifest, one.bytes, True, False, None, None)
    with pytest.raises(InputError, match="more than the .* bytes of the manifest"):
        pull(endless, tmp_path / "c")
    assert Endless.given < 10
    assert list((tmp_path / "c").iterdir()) == []
    with pytest.raises(InputError, match="more than the"):
        check_published(endless)

    class Manifests(Endless):
        def entries(self) -> list[Entry]:
            return [Entry("x/step-1", {MANIFEST: 10}, True, None)]

    assert "more than 16 MiB" in str(list_published(Manifests())[0].trouble)


def test_a_store_that_fails_is_not_an_empty_one(store: MemoryStore, tmp_path: Path) -> None:
    for kind in ("entries", "read", "promoted"):
        store.before = fail_on(kind, StoreError("503 Slow Down", permanent=False))
        with pytest.raises(StoreError, match="503"):
            list_published(store)
    store.before = lambda operation: None
    one = list_published(store)[0]
    store.before = fail_on("read", StoreError("cut", permanent=False))
    with pytest.raises(StoreError, match="cut"):
        pull(one, tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_promotions_are_shown_and_a_damaged_one_is_none(store: MemoryStore) -> None:
    name = list_published(store)[1].name
    store.promote(RUN, name, promotion_for(name, store.objects[name][MANIFEST]))
    assert [one.promoted for one in list_published(store)] == [False, True, False]
    store.results[RUN] = b'{"name"'
    assert not any(one.promoted for one in list_published(store))
    store.before = fail_on("promoted", StoreError("PROMOTED.json: damaged", permanent=True))
    assert [one.verified for one in list_published(store)] == [True, True, True]


def test_a_folder_of_a_repository_is_another_store(tmp_path: Path) -> None:
    hub = ReplacingStore()
    put(hub, tmp_path, 500)
    hub.objects["second/checkpoint-900"] = dict(hub.objects["checkpoint-500"])
    assert holds_one_run(hub)
    assert not holds_one_run(MemoryStore())
    assert [one.name for one in list_published(hub)] == ["checkpoint-500"]


def test_whose_a_folder_is(tmp_path: Path) -> None:
    store = MemoryStore()
    (mine,) = put(store, tmp_path, 1)
    (theirs,) = put(store, tmp_path, 2, run=OTHER)
    store.objects[f"{OTHER}/step-1"] = dict(store.objects[mine])  # a copy in another run's folder
    store.objects[f"{RUN}/step-9"] = {"a": b""}
    listed = list_published(store)
    assert {one.name for one in listed if is_of(one, RUN, listed)} == {mine, f"{RUN}/step-9"}
    assert {one.name for one in listed if is_of(one, OTHER, listed)} == {theirs}
    hub = ReplacingStore()
    put(hub, tmp_path / "hub", 1)
    hub.objects["checkpoint-7"] = {"a": b""}
    listed = list_published(hub)
    assert [is_of(one, RUN, listed) for one in listed] == [True, True]
    assert [is_of(one, OTHER, listed) for one in listed] == [False, False]


def test_the_nearest_step_is_named(store: MemoryStore) -> None:
    text = no_such_step("hf://me/x", 12, list_published(store))
    assert text == "hf://me/x: no step 12 there. Nearest: hf://me/x@3. There are 1, 2, 3."


def test_pulling_over_a_damaged_one_of_the_same_step_mends_it(store: MemoryStore, tmp_path: Path) -> None:
    local = tmp_path / "local" / RUN
    (local / "step-00000003" / "model.safetensors").write_bytes(b"rotten")
    pull(list_published(store)[0], local)
    assert verify_checkpoint(local / "step-00000003").step == 3
    assert {p.name for p in local.iterdir()} == {f"step-0000000{n}" for n in (1, 2, 3)}


_CHILD = """
    import os, sys
    from pathlib import Path
    from lugha.checkpoints.published import list_published, pull
    from lugha.checkpoints.stores.folder import FolderStore

    die_at = int(sys.argv[3])
    count = 0
    checkpoints = Path(sys.argv[2]); checkpoints.mkdir(exist_ok=True)
    (one, *_) = list_published(FolderStore(Path(sys.argv[1])))

    def audit(event, given):
        global count
        changing = event == "open" and (given[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if changing or event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
            if str(checkpoints) in os.fsdecode(str(given[0])):
                count += 1
                if count == die_at:
                    os._exit(137)

    if die_at == 0:  # once the whole way, to count; then to the death at each operation
        sys.addaudithook(audit)
        pull(one, checkpoints / "whole")
        print(count)
        sys.exit()
    for point in range(1, die_at + 1):
        if os.fork() == 0:
            count, die_at = 0, point
            sys.addaudithook(audit)
            pull(one, checkpoints / str(point))
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 137, point
"""


def test_a_process_that_dies_at_any_operation_of_a_pull_leaves_nothing_half(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    folder = FolderStore(tmp_path / "store")
    folder.prepare(private=True)
    publish(folder, folder.name_for(RUN, 3), small_checkpoint(tmp_path / "local", 3))
    root = Path(__file__).parents[2]

    def child(die_at: int) -> str:
        command = [sys.executable, "-c", textwrap.dedent(_CHILD), str(tmp_path / "store"), str(tmp_path / "c"), str(die_at)]
        environment = os.environ | {"PYTHONPATH": str(root)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    operations = int(child(0))
    assert operations > 10
    child(operations)
    (one,) = list_published(folder)
    for point in range(1, operations + 1):
        place = tmp_path / "c" / str(point)
        for whole in place.glob("step-*"):
            verify_checkpoint(whole)
        pull(one, place)
        assert [p.name for p in place.iterdir()] == ["step-00000003"]


def test_no_room_is_one_line_before_the_first_byte(store: MemoryStore, tmp_path: Path) -> None:
    one = list_published(store)[0]
    assert one.manifest is not None
    big = one.manifest.model_copy(
        update={"files": [f.model_copy(update={"bytes": 1 << 60}) for f in one.manifest.files], "seal": ""}
    )
    huge = Published(store, one.name, unsealed(sealed(big), "x"), 1 << 60, True, False, None, None)
    reads = store.count("read")
    with pytest.raises(InterruptedRunError, match="No space left on the disk for .*step-00000003"):
        pull(huge, tmp_path / "c")
    assert store.count("read") == reads
    assert list((tmp_path / "c").iterdir()) == []


def test_a_disk_that_fills_on_the_way_keeps_nothing(tmp_path: Path) -> None:
    code = f"""
        import resource, signal, sys
        from pathlib import Path
        from lugha.checkpoints.published import list_published, pull
        from lugha.checkpoints.stores.folder import FolderStore
        from lugha.errors import InterruptedRunError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        (one,) = list_published(FolderStore(Path(sys.argv[1])))
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, {2**63 - 1}))
        try: pull(one, Path(sys.argv[2]))
        except InterruptedRunError as error: print(error); sys.exit(error.exit_code)
    """
    assert signal.SIGXFSZ
    (tmp_path / "store").mkdir()
    folder = FolderStore(tmp_path / "store")
    publish(folder, folder.name_for(RUN, 3), small_checkpoint(tmp_path / "local", 3))
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "store"), str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 75, done.stderr
    assert "No space left on the disk" in done.stdout
    assert list((tmp_path / "c").iterdir()) == []


def test_the_marker_that_publishing_writes_is_the_one_that_listing_believes(tmp_path: Path) -> None:
    store = MemoryStore()
    folder = small_checkpoint(tmp_path, 1)
    content = (folder / MANIFEST).read_bytes()
    store.objects["r/step-1"] = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    store.mark("r/step-1", marker_for(content))
    assert list_published(store)[0].verified
