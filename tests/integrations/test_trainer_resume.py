"""Which checkpoint a script goes on from; stores are folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lugha.checkpoints import reaching
from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.publish import publish
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.protocol import StoreError
from lugha.errors import InputError, InterruptedRunError, RefusedError
from lugha.integrations.trainer_folder import folder_of, seal, verify_folder
from lugha.integrations.trainer_resume import Found, at, check_same, newest
from lugha.recipe import PublishSection
from tests.checkpoints.memory_store import MemoryStore, fail_on

RUN, NEXT_RUN = "igbo-20260101T000000Z-0001", "igbo-20260102T000000Z-0001"
OTHER = "swahili-20260103T000000Z-0001"


def checkpoint(output_dir: Path, step: int, run: str = RUN) -> Path:
    folder = folder_of(output_dir, step)
    folder.mkdir(parents=True)
    for file in ("model.safetensors", "optimizer.pt", "trainer_state.json"):
        (folder / file).write_text(f"{file} of {run} at {step}")
    seal(folder, run=run, step=step, parent=None, depends_on={"seed": "42", "learning_rate": "0.01"})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "store")
    store.prepare(private=True)
    return store


def put(store: FolderStore, elsewhere: Path, step: int, run: str = RUN) -> Path:
    """Publish a checkpoint of another machine; returns its folder in the store."""
    name = store.name_for(run, step)
    publish(store, name, checkpoint(elsewhere / run, step, run))
    return Path(store.address) / name


def spoil(folder: Path, file: str = "optimizer.pt") -> None:
    (folder / file).write_text((folder / file).read_text().replace("o", "0", 1))


class Search:
    """`newest` in one place, and what it said."""

    def __init__(self, output_dir: Path, *stores: FolderStore | MemoryStore) -> None:
        self.output_dir, self.stores, self.said = output_dir, list(stores), list[str]()

    def __call__(self) -> Found | None:
        found, self.runs = newest(self.output_dir, name="igbo", stores=self.stores, private=True, say=self.said.append)
        return found


def test_a_first_start_finds_nothing_and_makes_the_place(tmp_path: Path) -> None:
    assert Search(tmp_path / "out", FolderStore(tmp_path / "store"))() is None


def test_the_newest_of_all_places_is_fetched_and_the_same_is_not(tmp_path: Path, store: FolderStore) -> None:
    out = tmp_path / "out"
    put(store, tmp_path / "a", 500)
    shutil.copytree(tmp_path / "a" / RUN / "checkpoint-500", folder_of(out, 500))
    (folder_of(out, 500) / "mine").touch()
    search = Search(out, store)
    found = search()
    assert found and found.folder == folder_of(out, 500)
    assert (found.folder / "mine").is_file()
    assert [copy.step for copy in found.copies] == [500]
    put(store, tmp_path / "b", 1000)
    found = search()
    assert found and found.is_newest
    assert [copy.step for copy in found.copies] == [1000]
    assert verify_folder(folder_of(out, 1000)) == found.manifest
    assert {path.name for path in out.iterdir()} == {"checkpoint-500", "checkpoint-1000", "lugha"}
    assert search.runs == {RUN}


def test_a_newer_run_wins_over_a_higher_step(tmp_path: Path, store: FolderStore) -> None:
    checkpoint(tmp_path / "out", 900)
    put(store, tmp_path / "a", 10, NEXT_RUN)
    found = Search(tmp_path / "out", store)()
    assert found and (found.manifest.run, found.manifest.step) == (NEXT_RUN, 10)


def test_runs_of_another_name_are_none_of_ours(tmp_path: Path, store: FolderStore) -> None:
    spoil(put(store, tmp_path / "a", 10, OTHER), "manifest.json")
    put(store, tmp_path / "b", 20, OTHER)
    search = Search(tmp_path / "out", store)
    assert search() is None
    assert search.said == []


def test_it_walks_back_over_everything_that_is_damaged(tmp_path: Path, store: FolderStore) -> None:
    out = tmp_path / "out"
    for step in (1, 2):
        put(store, tmp_path / str(step), step)
    spoil(put(store, tmp_path / "3", 3))
    spoil(put(store, tmp_path / "4", 4), "manifest.json")
    spoil(checkpoint(out, 5))
    (folder_of(out, 6)).mkdir()  # Trainer was killed in it
    search = Search(out, store)
    found = search()
    assert found and found.manifest.step == 2 and found.is_newest
    assert [line for line in search.said if "Passed over" in line] == search.said
    for part in ("checkpoint-6: no manifest.json", "checkpoint-5/optimizer.pt", "step-00000004", "step-00000003"):
        assert sum(part in line for line in search.said) == 1, search.said


def test_where_everything_is_damaged_nothing_begins_anew(tmp_path: Path, store: FolderStore) -> None:
    spoil(put(store, tmp_path / "a", 3), "manifest.json")
    spoil(checkpoint(tmp_path / "out", 2))
    with pytest.raises(InputError, match="all 2 checkpoints of igbo are damaged"):
        Search(tmp_path / "out", store)()


def test_a_store_that_does_not_answer_is_not_taken_for_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "PAUSES", Backoff(first=0.0, cap=0.0))
    dead = MemoryStore()
    dead.before = fail_on("entries", StoreError("503 Slow Down", permanent=False))
    search = Search(tmp_path / "out", dead)
    with pytest.raises(InterruptedRunError, match="503 Slow Down Tried 5 times"):
        search()
    dead.before = fail_on("entries", StoreError("503 Slow Down", permanent=False), times=2)
    assert search() is None
    dead.before = fail_on("entries", StoreError("403 Forbidden", permanent=True))
    with pytest.raises(RefusedError, match="403 Forbidden"):
        search()


def test_what_is_named_is_taken_from_where_it_is(tmp_path: Path, store: FolderStore) -> None:
    out, section = tmp_path / "out", PublishSection()
    said: list[str] = []
    for step in (1, 2, 3):
        put(store, tmp_path / str(step), step)

    def named(where: object) -> Found:
        return at(str(where), out, section=section, say=said.append)

    assert (named(store.address).manifest.step, named(store.address).is_newest) == (3, True)
    assert (named(f"{store.address}@2").manifest.step, named(f"{store.address}@2").is_newest) == (2, False)
    assert named(f"{store.address}@3").is_newest
    assert (named(folder_of(out, 2)).folder, named(folder_of(out, 2)).is_newest) == (folder_of(out, 2), False)
    assert named(folder_of(out, 3)).is_newest
    assert named(out).manifest.step == 3
    assert said == []


@pytest.mark.parametrize("where", ["{store}@7", "{store}@x", "/nowhere", "{empty}", "gs://bucket/prefix"])
def test_what_is_not_there_is_one_line(tmp_path: Path, store: FolderStore, where: str) -> None:
    put(store, tmp_path / "a", 1)
    (tmp_path / "empty").mkdir()
    named = where.format(store=store.address, empty=tmp_path / "empty")
    with pytest.raises((InputError, RefusedError)) as caught:
        at(named, tmp_path / "out", section=PublishSection(), say=lambda line: None)
    assert "\n" not in str(caught.value)


def test_a_damaged_one_that_is_named_is_not_replaced_by_another(tmp_path: Path, store: FolderStore) -> None:
    put(store, tmp_path / "a", 1)
    spoil(put(store, tmp_path / "b", 2))
    spoil(checkpoint(tmp_path / "out", 5))
    for where in (f"{store.address}@2", str(folder_of(tmp_path / "out", 5))):
        said: list[str] = []
        with pytest.raises(InputError, match="no whole checkpoint of Trainer here"):
            at(where, tmp_path / "out", section=PublishSection(), say=said.append)
        assert len(said) == 1 and "optimizer.pt" in said[0]


def test_differences_are_named_unless_they_are_allowed(tmp_path: Path) -> None:
    checkpoint(tmp_path, 5)
    found = at(str(tmp_path), tmp_path, section=PublishSection(), say=lambda line: None)
    theirs = found.manifest.depends_on
    assert check_same(theirs, found, []) == []
    ours = {**theirs, "learning_rate": "0.02", "model": "a" * 64}
    with pytest.raises(
        RefusedError, match=r"learning_rate \(0.02 here, 0.01 there\), model \(aaaaaaaa here, absent there\)"
    ):
        check_same(ours, found, [])
    with pytest.raises(RefusedError, match=r"other values: model "):
        check_same(ours, found, ["learning_rate"])
    assert check_same(ours, found, ["learning_rate", "model"]) == ["learning_rate", "model"]
