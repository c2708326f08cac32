"""A repository of the Hub as a store: the real client against a small hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lugha.checkpoints.format import read_manifest_of
from lugha.checkpoints.publish import publish
from lugha.checkpoints.stores.hub import HubStore, model_files
from lugha.checkpoints.stores.open import open_store
from lugha.checkpoints.stores.protocol import MARKER, PROMOTED, MissingError, StoreError
from lugha.errors import InputError
from tests.checkpoints.conftest import Trainee
from tests.checkpoints.stores.conformance import FILES, RUN, StoreConformance, content, upload
from tests.servers import hub_api
from tests.servers.hub import MiniHub

REPO = "mwalimu/mfano"


def prepared(address: str = f"hf://{REPO}") -> HubStore:
    store = HubStore(address)
    store.prepare(private=True)
    return store


@pytest.fixture
def store(hub: MiniHub) -> HubStore:
    return prepared()


class TestRepository(StoreConformance):
    several_runs = False
    fresh_names = False
    folder = ""

    @pytest.fixture
    def store(self, hub: MiniHub) -> HubStore:
        self.hub = hub
        return prepared(f"hf://{REPO}/{self.folder}".rstrip("/"))

    def path(self, key: str) -> str:
        return f"{self.folder}/{key}" if self.folder else key

    def alter(self, store: HubStore, name: str, file: str, content: bytes) -> None:
        self.hub.commit(REPO, {self.path(f"{name}/{file}"): content}, keep=True)

    def outside(self, store: HubStore, key: str, content: bytes) -> None:
        self.hub.commit(REPO, {self.path(key): content}, keep=True)

    def read_outside(self, store: HubStore, key: str) -> bytes | None:
        return self.hub.files(REPO).get(self.path(key))


class TestFolderOfARepository(TestRepository):
    folder = "runs/yoruba"


def test_the_address(hub: MiniHub) -> None:
    assert HubStore("hf://kijiji/mfano/").address == "hf://kijiji/mfano"
    assert open_store("hf://kijiji/mfano/runs/yoruba").address == "hf://kijiji/mfano/runs/yoruba"
    for address, says in {
        "hf://mfano": "hf://user/repo",
        "hf://": "hf://user/repo",
        "hf://kijiji/m fano": "hf://user/repo",
        "hf://datasets/kijiji/mfano": "without datasets/",
        "hf://kijiji/mfano/../siri": "..",
        "hf://kijiji/mfano/checkpoint-500": "hf://kijiji/mfano@500",
        "hf://kijiji/mfano/yoruba/step-00000500-a1b2": "hf://kijiji/mfano/yoruba@500",
    }.items():
        with pytest.raises(InputError) as told:
            HubStore(address)
        assert says in str(told.value)
    assert hub.requests == []


def test_the_history_reads_well_and_each_state_is_one_commit(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    upload(store, "checkpoint-500", tmp_path / "local", FILES)
    store.mark("checkpoint-500", b"{}")
    upload(store, "checkpoint-1500", tmp_path / "local", FILES)
    store.mark("checkpoint-1500", b"{}")
    store.promote(RUN, "checkpoint-1500", b'{"run": "r"}')
    store.unmark("checkpoint-500")
    store.remove("checkpoint-500")
    assert hub.messages(REPO)[1:] == [
        *("checkpoint-500", "checkpoint-500 verified", "checkpoint-1500", "checkpoint-1500 verified"),
        *("final: checkpoint-1500", "checkpoint-500 unmarked", "remove checkpoint-500"),
    ]
    before = hub.messages(REPO)
    store.unmark("checkpoint-500")
    store.remove("checkpoint-500")
    store.promote(RUN, "checkpoint-1500", b'{"run": "r"}')
    assert hub.messages(REPO) == before, "what is so already is no commit"


def test_an_upload_replaces_the_whole_folder(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    upload(store, "checkpoint-500", tmp_path / "local", FILES)
    store.mark("checkpoint-500", b"{}")
    upload(store, "checkpoint-500", tmp_path / "other", {"adapter_model.safetensors": b"a", "manifest.json": b"{}"})
    ours = {path for path in hub.files(REPO) if path.startswith("checkpoint-500/")}
    assert ours == {"checkpoint-500/adapter_model.safetensors", "checkpoint-500/manifest.json"}
    assert hub.messages(REPO)[1:] == ["checkpoint-500", "checkpoint-500 verified", "checkpoint-500"]


def test_the_age_is_that_of_what_was_never_marked(store: HubStore, tmp_path: Path) -> None:
    for name in ("checkpoint-500", "checkpoint-1000"):
        upload(store, name, tmp_path / "local", FILES)
    store.mark("checkpoint-500", b"{}")
    changed = {entry.name: entry.changed for entry in store.entries()}
    assert changed["checkpoint-500"] is None
    assert changed["checkpoint-1000"] is not None
    assert changed["checkpoint-1000"].tzinfo is not None


def test_a_long_listing(store: HubStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_api, "PAGE", 3)
    for step in range(1, 5):
        upload(store, f"checkpoint-{step}", tmp_path / "local", FILES)
    assert {entry.name: set(entry.files) for entry in store.entries()} == {
        f"checkpoint-{s}": set(FILES) for s in range(1, 5)
    }


def test_a_gitignore_hides_nothing(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    """Earlier versions of transformers' Trainer left one in their repositories."""
    hub.commit(REPO, {".gitignore": b"checkpoint-*/\n"}, keep=True)
    upload(store, "checkpoint-500", tmp_path / "local", FILES)
    store.mark("checkpoint-500", b"{}")
    assert {f"checkpoint-500/{file}" for file in (*FILES, MARKER)} <= set(hub.files(REPO))


def test_which_files_are_the_model() -> None:
    model = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "template.yaml"]
    model += ["adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer_config.json"]
    model += ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    rest = ["optimiser.safetensors", "trainer.json", "manifest.json", "recipe.yaml", "metrics.jsonl", MARKER, "base.json"]
    assert model_files([*rest, *model, "sub/config.json", "README.md", "config.json.bak"]) == model


def test_a_promotion_takes_the_place_of_the_one_before(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    hub.commit(REPO, {"README.md": b"# Mfano", "notes.json": b"{}"}, keep=True)
    adapter = {"adapter_model.safetensors": b"a" * 99, "adapter_config.json": b"{}", "optimiser.safetensors": b"o"}
    whole = {"model.safetensors": b"m" * 99, "config.json": b"{}", "trainer.json": b"{}"}
    for number, files in enumerate((adapter, whole)):
        upload(store, f"checkpoint-{number}", tmp_path / str(number), files)
        store.promote(RUN, f"checkpoint-{number}", b'{"run": "%d"}' % number)
        root = {path: bytes_ for path, bytes_ in hub.files(REPO).items() if "/" not in path and path != ".gitattributes"}
        kept = {"README.md": b"# Mfano", "notes.json": b"{}", PROMOTED: b'{"run": "%d"}' % number}
        assert root == kept | {file: files[file] for file in model_files(list(files))}
    large = [path for path in hub.bytes_received if path.startswith("/stored/")]
    assert len(large) == 3, "two models and an optimiser were sent once, and copied by the hub"


def test_a_promotion_of_what_is_no_model(store: HubStore, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="checkpoint-500"):
        store.promote(RUN, "checkpoint-500", b"{}")
    upload(store, "checkpoint-500", tmp_path / "local", {"trainer.json": b"{}"})
    with pytest.raises(MissingError, match="no model"):
        store.promote(RUN, "checkpoint-500", b"{}")
    assert store.promoted() == {}


def test_a_damaged_promotion_is_told(hub: MiniHub, store: HubStore) -> None:
    hub.commit(REPO, {PROMOTED: b"[]"}, keep=True)
    with pytest.raises(StoreError, match="damaged"):
        store.promoted()


def test_bytes_altered_at_rest_are_seen(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    """Nothing that the hub says of the file has changed: neither its size nor its digest."""
    upload(store, "checkpoint-500", tmp_path / "local", FILES)
    altered = bytes(reversed(FILES["model.safetensors"]))
    hub.alter(REPO, "checkpoint-500/model.safetensors", altered)
    assert content(store, "checkpoint-500", "model.safetensors") == altered


def test_a_file_that_the_hub_would_not_give_back(store: HubStore, tmp_path: Path) -> None:
    with (tmp_path / "optimiser.safetensors").open("wb") as stream:
        stream.truncate(50 * 10**9 + 1)
    with pytest.raises(StoreError, match="larger than 50 GB") as told:
        store.upload("checkpoint-500", tmp_path, ["optimiser.safetensors"])
    assert told.value.permanent


def test_transformers_loads_the_promoted_model_and_each_checkpoint(
    hub: MiniHub, store: HubStore, trainee: Trainee, tmp_path: Path
) -> None:
    weights = {}
    for step in (1, 2):
        trainee.step()
        folder = trainee.save(tmp_path / "checkpoints")
        publish(store, f"checkpoint-{step}", folder)
        weights[step] = read_manifest_of(folder).weights_sha256()
    store.promote("run", "checkpoint-2", b'{"run": "run"}')
    assert {entry.name: entry.marked for entry in store.entries()} == {"checkpoint-1": True, "checkpoint-2": True}
    assert not (tmp_path / "client").exists(), "nothing was written to the client's cache"
    code = """if True:
        import sys, hashlib
        from safetensors.torch import save
        from transformers import AutoModelForCausalLM
        for more in ({}, {"subfolder": "checkpoint-1"}, {"subfolder": "checkpoint-2"}):
            model = AutoModelForCausalLM.from_pretrained(sys.argv[1], **more)
            tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
            tensors = {k: v for k, v in model.state_dict().items() if k not in tied}
            print(hashlib.sha256(save(tensors, metadata={"format": "pt"})).hexdigest())
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | hub.environment
    command = [sys.executable, "-c", code, REPO]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [weights[2], weights[1], weights[2]], done.stderr
