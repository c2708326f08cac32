"""What every kind of store promises (stores/protocol.py), as tests.

    class TestFolderStore(StoreConformance):
        @pytest.fixture
        def store(self, tmp_path): ...          an empty, prepared store
        def alter(self, store, name, file, content): ...

A kind of store gives an empty one and a way behind its back; the tests are the same for all.
"""

from __future__ import annotations

import abc
import datetime
import hashlib
import itertools
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lugha.checkpoints.stores.protocol import MARKER, Entry, MissingError, Store, StoreError
from lugha.errors import LughaError

RUN = "demo-20261120T104210Z-3fa9"
OTHER_RUN = "demo-20261121T091500Z-77c0"
FILES = {
    "model.safetensors": bytes(range(256)) * 40,
    "trainer.json": b'{"step": 500}\n',
    "adapter/adapter_config.json": b"{}",
    "manifest.json": b'{"format": "lugha-checkpoint/3"}\n',
}

# Legal on every kind of store, and each one has been wrongly quoted, encoded or sorted by some client or server.
ODD_FILES = (
    "two words.json",
    "a+b.json",
    "50%25.json",
    "x=1&y=2.json",
    "ụ́ ọ ị ṅ.json",
    "(1)'s ~!@$,;.json",
    "#part.json",
    ".hidden",
    "deep/er/and deeper/file",
    "UPPER.json",
)


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Put files into a local folder; returns their names in their order."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(files)


def upload(store: Store, name: str, local: Path, files: Mapping[str, bytes]) -> None:
    """Upload files with these bytes by way of the local folder."""
    store.upload(name, local, write_files(local, files))


def content(store: Store, name: str, file: str) -> bytes:
    """All bytes of a file, as the store holds them now."""
    return b"".join(store.read(name, file))


def find(store: Store, name: str) -> Entry | None:
    """The entry of a folder; None where there is none."""
    found = [entry for entry in store.entries() if entry.name == name]
    assert len(found) <= 1, "a folder is listed once"
    return found[0] if found else None


class StoreConformance(abc.ABC):
    """See the module's story."""

    several_runs = True  # whether it holds the checkpoints of more than one run
    fresh_names = True  # whether `name_for` gives a new name at every call
    megabytes = 11  # size of the big file: for S3 several parts

    @pytest.fixture
    @abc.abstractmethod
    def store(self) -> Any:
        """An empty, prepared store."""

    @abc.abstractmethod
    def alter(self, store: Any, name: str, file: str, content: bytes) -> None:
        """Replace the bytes of a stored file behind the store's back."""

    @abc.abstractmethod
    def outside(self, store: Any, key: str, content: bytes) -> None:
        """Put a file that is not ours below the store's address, as somebody else would."""

    @abc.abstractmethod
    def read_outside(self, store: Any, key: str) -> bytes | None:
        """The bytes below the store's address at `key`, past the store; None where there are none."""

    def tear(self, store: Any, name: str, local: Path, files: Mapping[str, bytes]) -> None:
        """Leave what an upload leaves that was torn in its second file."""
        first, second = itertools.islice(files, 2)
        upload(store, name, local, {first: files[first], second: files[second][: len(files[second]) // 2]})

    # Empty

    def test_an_empty_store_holds_nothing(self, store: Store) -> None:
        assert store.entries() == []
        assert store.promoted() == {}

    def test_preparing_again_changes_nothing(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        store.prepare(private=True)
        assert [entry.name for entry in store.entries()] == [name]

    # Files

    def test_what_is_uploaded_is_listed_and_read(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        before = datetime.datetime.now(datetime.UTC)
        upload(store, name, tmp_path / "local", FILES)
        entry = find(store, name)
        assert entry is not None
        assert dict(entry.files) == {file: len(bytes_) for file, bytes_ in FILES.items()}
        assert not entry.marked
        assert entry.changed is None or abs(entry.changed - before) < datetime.timedelta(hours=1), (
            "the store's clock, with zone"
        )
        assert {file: content(store, name, file) for file in FILES} == FILES

    def test_only_the_named_files_are_sent(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        write_files(tmp_path / "local", FILES)
        store.upload(name, tmp_path / "local", ["trainer.json"])
        entry = find(store, name)
        assert entry is not None
        assert set(entry.files) == {"trainer.json"}

    @pytest.mark.parametrize("file", ODD_FILES)
    def test_names_with_odd_characters(self, store: Store, tmp_path: Path, file: str) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", {file: b"odd", "plain": b"plain"})
        entry = find(store, name)
        assert entry is not None
        assert dict(entry.files) == {file: 3, "plain": 5}
        assert content(store, name, file) == b"odd"
        store.remove(name)
        assert store.entries() == []

    def test_an_empty_file(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", {"empty": b"", "trainer.json": b"{}"})
        entry = find(store, name)
        assert entry is not None
        assert entry.files["empty"] == 0
        assert content(store, name, "empty") == b""

    def test_a_file_of_some_megabytes(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        big = random.Random(5).randbytes(self.megabytes * 2**20 + 7)
        upload(store, name, tmp_path / "local", {"big": big, "trainer.json": b"{}"})
        entry = find(store, name)
        assert entry is not None
        assert entry.files["big"] == len(big)
        digest = hashlib.sha256()
        blocks = 0
        for block in store.read(name, "big"):
            digest.update(block)
            blocks += 1
        assert digest.hexdigest() == hashlib.sha256(big).hexdigest()
        assert blocks > 1, "a file is never held in memory as a whole"

    def test_a_missing_file_is_told_apart(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        with pytest.raises(MissingError):
            content(store, name, "model.safetensors")
        upload(store, name, tmp_path / "local", FILES)
        for file in ("optimiser.safetensors", "model", "adapter", "adapter/adapter", MARKER):
            with pytest.raises(MissingError) as told:
                content(store, name, file)
            assert "\n" not in str(told.value)
            assert file in str(told.value)

    def test_names_that_lead_out_are_refused(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        (tmp_path / "out").write_bytes(b"secret")
        write_files(tmp_path / "local", FILES)
        for file in ("../out", "/etc/hostname", "adapter/../../out"):
            with pytest.raises(LughaError):
                content(store, name, file)
            with pytest.raises(LughaError):
                store.upload(name, tmp_path / "local", [file])

    def test_a_local_file_that_is_gone_is_told(self, store: Store, tmp_path: Path) -> None:
        write_files(tmp_path / "local", FILES)
        with pytest.raises(LughaError, match="gone"):
            store.upload(store.name_for(RUN, 500), tmp_path / "local", ["trainer.json", "gone"])

    # Nothing is cached

    def test_a_byte_altered_behind_its_back_is_seen(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        whole = content(store, name, "model.safetensors")
        altered = bytes([whole[0] ^ 1]) + whole[1:]
        self.alter(store, name, "model.safetensors", altered)
        assert content(store, name, "model.safetensors") == altered

    def test_a_file_cut_behind_its_back_is_seen(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        cut = FILES["model.safetensors"][:-1]
        self.alter(store, name, "model.safetensors", cut)
        try:
            seen = content(store, name, "model.safetensors")
        except StoreError:
            return
        assert seen == cut

    def test_an_altered_file_is_sent_again(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        whole = FILES["model.safetensors"]
        self.alter(store, name, "model.safetensors", bytes([whole[0] ^ 1]) + whole[1:])
        upload(store, name, tmp_path / "local", FILES)
        assert content(store, name, "model.safetensors") == whole

    # Marks

    def test_a_mark_comes_and_goes(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        store.mark(name, b'{"n": 1}')
        store.mark(name, b'{"n": 2}')
        entry = find(store, name)
        assert entry is not None
        assert entry.marked
        assert set(entry.files) == set(FILES), "the marker is no file of the checkpoint"
        assert content(store, name, MARKER) == b'{"n": 2}'
        store.unmark(name)
        store.unmark(name)
        entry = find(store, name)
        assert entry is not None
        assert not entry.marked
        assert {file: content(store, name, file) for file in FILES} == FILES

    def test_unmarking_what_is_not_there(self, store: Store) -> None:
        store.unmark(store.name_for(RUN, 500))
        assert store.entries() == []

    def test_a_mark_belongs_to_one_folder(self, store: Store, tmp_path: Path) -> None:
        first, second = store.name_for(RUN, 500), store.name_for(RUN, 1000)
        upload(store, first, tmp_path / "local", FILES)
        upload(store, second, tmp_path / "local", FILES)
        store.mark(first, b"{}")
        assert {entry.name: entry.marked for entry in store.entries()} == {first: True, second: False}

    def test_an_upload_over_a_marked_folder_takes_the_mark(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        store.mark(name, b"{}")
        newer = {
            **FILES,
            "model.safetensors": FILES["model.safetensors"][::-1],
            "trainer.json": b'{"step": 500, "newer": 1}\n',
        }
        upload(store, name, tmp_path / "newer", newer)
        entry = find(store, name)
        assert entry is not None
        assert not entry.marked
        assert {file: content(store, name, file) for file in newer} == newer

    def test_the_same_upload_over_a_marked_folder(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        store.mark(name, b"{}")
        upload(store, name, tmp_path / "local", FILES)
        entry = find(store, name)
        assert entry is not None
        assert not entry.marked, "what is sent again has to be read back again"
        assert {file: content(store, name, file) for file in FILES} == FILES

    # Torn

    def test_a_torn_upload_is_made_whole_by_the_same_upload(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        self.tear(store, name, tmp_path / "torn", FILES)
        upload(store, name, tmp_path / "local", FILES)
        entry = find(store, name)
        assert entry is not None
        assert dict(entry.files) == {file: len(bytes_) for file, bytes_ in FILES.items()}
        assert {file: content(store, name, file) for file in FILES} == FILES

    def test_a_read_may_be_left_after_its_first_block(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        big = random.Random(6).randbytes(3 * 2**20)
        upload(store, name, tmp_path / "local", {"big": big, "trainer.json": b"{}"})
        blocks = iter(store.read(name, "big"))
        assert big.startswith(next(blocks))
        del blocks
        assert content(store, name, "trainer.json") == b"{}"
        assert content(store, name, "big") == big

    # Several folders

    def test_folders_do_not_touch_each_other(self, store: Store, tmp_path: Path) -> None:
        names = [store.name_for(RUN, step) for step in (5, 50, 500)]
        assert len(set(names)) == 3
        for number, name in enumerate(names):
            upload(store, name, tmp_path / str(number), {"trainer.json": str(number).encode(), "manifest.json": b"{}"})
            store.mark(name, b"{}")
        store.remove(names[0])
        store.unmark(names[1])
        assert {entry.name: entry.marked for entry in store.entries()} == {names[1]: False, names[2]: True}
        assert [content(store, name, "trainer.json") for name in names[1:]] == [b"1", b"2"]

    def test_a_name_that_begins_like_another(self, store: Store, tmp_path: Path) -> None:
        short = store.name_for(RUN, 1).rpartition("/")[0]
        short = f"{short}/" if short else ""
        kind = "step" if "step-" in store.name_for(RUN, 1) else "checkpoint"
        first, second = f"{short}{kind}-1", f"{short}{kind}-10"
        upload(store, first, tmp_path / "local", FILES)
        upload(store, second, tmp_path / "local", FILES)
        store.remove(first)
        assert [entry.name for entry in store.entries()] == [second]
        assert {file: content(store, second, file) for file in FILES} == FILES

    def test_names_are_new_at_every_call(self, store: Store) -> None:
        if not self.fresh_names:
            pytest.skip("this kind of store has one name for each step")
        names = {store.name_for(RUN, 500) for _ in range(20)}
        assert len(names) > 1

    def test_several_runs_live_side_by_side(self, store: Store, tmp_path: Path) -> None:
        if not self.several_runs:
            pytest.skip("this kind of store holds one run")
        names = [store.name_for(run, 500) for run in (RUN, OTHER_RUN)]
        for name in names:
            upload(store, name, tmp_path / "local", FILES)
        assert {entry.name for entry in store.entries()} == set(names)
        store.promote(RUN, names[0], _promotion(RUN, names[0]))
        store.promote(OTHER_RUN, names[1], _promotion(OTHER_RUN, names[1]))
        assert store.promoted() == {run: _promotion(run, name) for run, name in zip((RUN, OTHER_RUN), names, strict=True)}

    # Removing

    def test_a_removed_folder_is_gone(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        store.mark(name, b"{}")
        store.remove(name)
        store.remove(name)
        assert store.entries() == []
        with pytest.raises(MissingError):
            content(store, name, "trainer.json")
        with pytest.raises(MissingError):
            content(store, name, MARKER)

    def test_a_removed_folder_may_come_back(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        store.mark(name, b"{}")
        store.remove(name)
        upload(store, name, tmp_path / "local", {"trainer.json": b"back"})
        entry = find(store, name)
        assert entry is not None
        assert (dict(entry.files), entry.marked) == ({"trainer.json": 4}, False)

    # Promoting

    def test_a_promotion_is_read_back(self, store: Store, tmp_path: Path) -> None:
        first, second = store.name_for(RUN, 500), store.name_for(RUN, 1000)
        for name in (first, second):
            upload(store, name, tmp_path / "local", FILES)
        store.promote(RUN, first, _promotion(RUN, first))
        assert store.promoted() == {RUN: _promotion(RUN, first)}
        store.promote(RUN, second, _promotion(RUN, second))
        assert store.promoted() == {RUN: _promotion(RUN, second)}
        assert {entry.name for entry in store.entries()} == {first, second}, "a promotion is no checkpoint"
        store.remove(first)
        assert store.promoted() == {RUN: _promotion(RUN, second)}

    # What is not ours

    def test_files_that_are_not_ours_are_left_alone(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        folder = name.rpartition("/")[0]
        beside = f"{folder}/notes.txt" if folder else "notes.txt"
        ours_not = [
            "README.md",
            beside,
            "step-ladder/plan.txt",
            "steps-5/plan.txt",
            "checkpoints/plan.txt",
            "my-step-5/plan.txt",
        ]
        for key in ours_not:
            self.outside(store, key, key.encode())
        assert store.entries() == []
        assert store.promoted() == {}
        upload(store, name, tmp_path / "local", FILES)
        store.mark(name, b"{}")
        assert [entry.name for entry in store.entries()] == [name]
        store.remove(name)
        assert store.entries() == []
        assert {key: self.read_outside(store, key) for key in ours_not} == {key: key.encode() for key in ours_not}

    def test_the_layout_is_the_documented_one(self, store: Store, tmp_path: Path) -> None:
        name = store.name_for(RUN, 500)
        upload(store, name, tmp_path / "local", FILES)
        store.mark(name, b"marked")
        for file, bytes_ in {**FILES, MARKER: b"marked"}.items():
            assert self.read_outside(store, f"{name}/{file}") == bytes_

    # Words

    def test_the_address_names_the_place(self, store: Store) -> None:
        assert store.address
        assert "\n" not in store.address


def _promotion(run: str, name: str) -> bytes:
    return json.dumps({"run": run, "name": name}).encode()
