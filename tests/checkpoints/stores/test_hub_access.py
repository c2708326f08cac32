"""Who may publish where: tokens, rights, repositories that are made or not, and what a token is told to whom."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from huggingface_hub import constants

from lugha.checkpoints.stores.hub import HubStore
from lugha.checkpoints.stores.protocol import StoreError
from tests.checkpoints.stores.conformance import FILES, content, upload
from tests.servers.hub import TOKEN, MiniHub

REPO = "mwalimu/mfano"
OTHER = "hf_otherotherotherotherotherotherother"


def refused(call: object, *says: str) -> None:
    """Permanent, one line, no token in it."""
    assert callable(call)
    with pytest.raises(StoreError) as told:
        call()
    assert told.value.permanent
    line = str(told.value)
    for hidden in ("\n", "http", TOKEN, OTHER):
        assert hidden not in line
    for text in says:
        assert text in line, line


def prepare(repo: str = REPO, *, private: bool = True) -> HubStore:
    store = HubStore(f"hf://{repo}")
    store.prepare(private=private)
    return store


def test_a_repository_is_made_private_unless_the_recipe_says_otherwise(hub: MiniHub) -> None:
    assert prepare().notes == []
    assert hub.is_private(REPO)
    assert prepare("mwalimu/wazi", private=False).notes == []
    assert not hub.is_private("mwalimu/wazi")


def test_a_public_repository_is_not_made_private_but_told(hub: MiniHub) -> None:
    hub.commit(REPO, {"README.md": b""})
    store = prepare()
    assert not hub.is_private(REPO)
    (note,) = store.notes
    assert "public" in note
    assert "publish.private" in note
    assert prepare(private=False).notes == []
    store.prepare(private=False)
    assert store.notes == []


def test_a_repository_that_somebody_makes_in_the_same_moment(hub: MiniHub) -> None:
    held = hub.faults.hold("POST /api/repos/create")

    def make() -> None:
        held.arrived.wait(60)
        hub.commit(REPO, {"README.md": b""}, private=True)
        held.release.set()

    other = threading.Thread(target=make)
    other.start()
    assert prepare().notes == []
    other.join()


def test_an_organisations_repository(hub: MiniHub) -> None:
    hub.admit(TOKEN, user="mwalimu", organisations=["kijiji"])
    prepare("kijiji/mfano")
    assert hub.is_private("kijiji/mfano")


def test_no_token(hub: MiniHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = prepare()
    monkeypatch.delenv("HF_TOKEN")
    hub.requests.clear()
    refused(prepare, f"hf://{REPO}", "no token here", "HF_TOKEN", "hf auth login")
    assert hub.requests == []
    refused(store.entries, "private", "no token here")
    refused(lambda: upload(store, "checkpoint-1", tmp_path, FILES), "no token here")


def test_a_token_that_is_not_accepted(hub: MiniHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", OTHER)
    refused(prepare, "does not accept HF_TOKEN (401)", "start the same command again")
    monkeypatch.delenv("HF_TOKEN")
    path = Path(constants.HF_TOKEN_PATH)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OTHER)
    refused(prepare, "does not accept the token that `hf auth login` stored", "hf auth login` again")


def test_a_token_that_may_only_read(hub: MiniHub, tmp_path: Path) -> None:
    hub.admit(TOKEN, user="mwalimu", role="read")
    refused(prepare, "no such repository", "role read", "role write")
    hub.commit(REPO, {"README.md": b""}, private=True)
    refused(prepare, "may not write there (403)", "role write")
    store = HubStore(f"hf://{REPO}")
    assert store.entries() == [], "to read it is enough"
    refused(lambda: upload(store, "checkpoint-500", tmp_path, FILES), "may not write there (403)")


def test_a_repository_of_somebody_else(hub: MiniHub) -> None:
    hub.admit(TOKEN, user="mwanafunzi", organisations=["kijiji"])
    refused(prepare, "under mwalimu", "hf://mwanafunzi/mfano", "hf://kijiji/mfano")
    hub.commit(REPO, {"README.md": b""}, private=True)
    refused(prepare, "under mwalimu", "hf://mwanafunzi/mfano")
    hub.commit("mwalimu/wazi", {"README.md": b""})
    refused(lambda: prepare("mwalimu/wazi"), "may not write there (403)", "of an account that it belongs to")


def test_a_repository_that_is_not_there_is_not_made_by_reading(hub: MiniHub) -> None:
    store = HubStore(f"hf://{REPO}")
    refused(store.entries, "no such repository", "spelling")
    refused(store.promoted, "no such repository")
    assert not any("create" in request for request in hub.requests)


def test_a_gated_repository(hub: MiniHub) -> None:
    hub.admit(TOKEN, user="mwanafunzi")
    hub.commit(REPO, {"checkpoint-1/trainer.json": b"{}"}, gated=True)
    refused(lambda: content(HubStore(f"hf://{REPO}"), "checkpoint-1", "trainer.json"), "gated", "ask for it")


def test_offline(hub: MiniHub, monkeypatch: pytest.MonkeyPatch) -> None:
    store = prepare()
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(prepare, "HF_HUB_OFFLINE")
    refused(store.entries, "HF_HUB_OFFLINE")
    monkeypatch.delenv("HF_TOKEN")
    refused(prepare, "HF_HUB_OFFLINE")
    assert hub.requests == []


def test_a_token_that_is_revoked_in_mid_run(hub: MiniHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = prepare()
    upload(store, "checkpoint-500", tmp_path, FILES)
    store.mark("checkpoint-500", b"{}")
    hub.revoke(TOKEN)
    refused(lambda: upload(store, "checkpoint-1000", tmp_path, FILES), "does not accept HF_TOKEN (401)", "revoked")
    refused(lambda: content(store, "checkpoint-500", "trainer.json"), "does not accept HF_TOKEN (401)")
    refused(store.entries, "does not accept HF_TOKEN (401)")
    hub.admit(OTHER, user="mwalimu")
    monkeypatch.setenv("HF_TOKEN", OTHER)
    upload(store, "checkpoint-1000", tmp_path, FILES)
    assert {entry.name: entry.marked for entry in store.entries()} == {"checkpoint-500": True, "checkpoint-1000": False}


def test_the_token_reaches_the_hub_and_nothing_else(hub: MiniHub, tmp_path: Path) -> None:
    store = prepare()
    upload(store, "checkpoint-500", tmp_path, FILES)
    assert content(store, "checkpoint-500", "model.safetensors") == FILES["model.safetensors"]
    store.promote("r", "checkpoint-500", b'{"run": "r"}')
    assert {request.split("/")[0] for request in hub.requests if "/stored/" in request} == {"PUT ", "GET "}
    assert hub.tokens_seen_by_storage == []
    assert TOKEN.encode() not in b"".join(hub.files(REPO).values())
