"""What the way to the Hub does to a store: races, lost answers, cuts, error answers, a server that hangs."""

from __future__ import annotations

import random
import traceback
import types
from pathlib import Path

import pytest
from huggingface_hub.utils import _http

from lugha.checkpoints.stores.hub import HubStore
from lugha.checkpoints.stores.protocol import MARKER, StoreError
from tests.checkpoints.stores.conformance import FILES, content, find, upload
from tests.servers.hub import TOKEN, MiniHub
from tests.servers.hub_storage import SIGNATURE

REPO = "mwalimu/mfano"
COMMIT = "POST .*/commit/"
NAME = "checkpoint-500"
STEPS = ("checkpoint-500", "checkpoint-500 verified")
BIG = {"model.safetensors": random.Random(7).randbytes(400_000), "manifest.json": b"{}"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client retries most requests five times; here it does not sleep in between."""
    monkeypatch.setattr(_http, "time", types.SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def store(hub: MiniHub) -> HubStore:
    store = HubStore(f"hf://{REPO}")
    store.prepare(private=True)
    return store


def fails(call: object, *says: str, permanent: bool) -> str:
    """The one line of a failure, in which nothing stands that nobody should see."""
    assert callable(call)
    with pytest.raises(StoreError) as told:
        call()
    line = str(told.value)
    assert told.value.permanent is permanent, line
    assert line.startswith(f"hf://{REPO}")
    for hidden in ("\n", "http", TOKEN, "signature"):
        assert hidden not in line
    for text in says:
        assert text in line, line
    shown = "".join(traceback.format_exception(told.value))
    assert not any(hidden in shown for hidden in ("http://", TOKEN, SIGNATURE)), "nor in a traceback that somebody logs"
    return line


# Others who commit


def test_a_commit_of_somebody_else_in_between(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    for number in range(3):
        hub.before_commit.append(
            lambda n=number: hub.commit(REPO, {f"notes-{n}.txt": b"theirs"}, keep=True, message="theirs")
        )
    upload(store, NAME, tmp_path / "local", FILES)
    assert hub.messages(REPO)[1:] == ["theirs", "theirs", "theirs", NAME]
    assert {f"notes-{n}.txt" for n in range(3)} <= set(hub.files(REPO))
    assert sum(r.startswith("PUT ") for r in hub.requests) == 1, "large files are not sent again"


def test_somebody_who_never_stops_committing(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    for number in range(50):
        hub.before_commit.append(lambda n=number: hub.commit(REPO, {"counter": b"%d" % n}, keep=True))
    fails(lambda: upload(store, NAME, tmp_path / "local", FILES), "others commit", permanent=False)
    assert store.entries() == []


def test_the_mark_is_only_for_what_was_read(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    for file in FILES:
        content(store, NAME, file)
    hub.commit(REPO, {f"{NAME}/trainer.json": b"theirs"}, keep=True)
    fails(lambda: store.mark(NAME, b"{}"), "trainer.json", "changed by somebody else", permanent=False)
    entry = find(store, NAME)
    assert entry is not None
    assert not entry.marked
    upload(store, NAME, tmp_path / "other", {**FILES, "trainer.json": b"a new beginning"})
    store.mark(NAME, b"{}")


def test_a_change_while_the_mark_is_set(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    """Somebody commits after the files were compared, and before the mark arrives."""
    upload(store, NAME, tmp_path / "local", FILES)
    content(store, NAME, "trainer.json")
    hub.before_commit.append(lambda: hub.commit(REPO, {f"{NAME}/trainer.json": b"theirs"}, keep=True))
    fails(lambda: store.mark(NAME, b"{}"), "trainer.json", permanent=False)
    assert f"{NAME}/{MARKER}" not in hub.files(REPO)


def test_a_folder_that_somebody_removed_is_not_marked(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    hub.commit(REPO, {"README.md": b"emptied"})
    fails(lambda: store.mark(NAME, b"{}"), "removed by somebody else", permanent=False)
    assert set(hub.files(REPO)) == {"README.md"}


def test_a_change_elsewhere_does_not_hinder_the_mark(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    content(store, NAME, "trainer.json")
    hub.commit(REPO, {"README.md": b"# Mfano"}, keep=True)
    store.mark(NAME, b"{}")
    assert {"README.md", f"{NAME}/{MARKER}"} <= set(hub.files(REPO))


# What arrived and what did not


def test_nothing_is_seen_of_an_upload_before_its_commit(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    hub.faults.answer(COMMIT, 503, times=2)
    for _ in range(2):
        fails(lambda: upload(store, NAME, tmp_path / "local", BIG), "error 503", permanent=False)
        assert store.entries() == []
    upload(store, NAME, tmp_path / "local", BIG)
    assert hub.messages(REPO)[1:] == [NAME]
    assert sum(r.startswith("PUT ") for r in hub.requests) == 1, "what the hub has is not sent again"


@pytest.mark.parametrize("message", STEPS)
def test_an_answer_that_was_lost(hub: MiniHub, store: HubStore, tmp_path: Path, message: str) -> None:
    if message != NAME:
        upload(store, NAME, tmp_path / "local", FILES)
    hub.faults.lose_answer(COMMIT)
    calls = {NAME: lambda: upload(store, NAME, tmp_path / "local", FILES), STEPS[1]: lambda: store.mark(NAME, b"{}")}
    fails(calls[message], "cut", permanent=False)
    assert hub.messages(REPO)[-1] == message, "it was done all the same"
    before = hub.messages(REPO)
    calls[message]()
    assert hub.messages(REPO) == before, "nothing is done twice"
    assert content(store, NAME, "model.safetensors") == FILES["model.safetensors"]


def test_an_upload_that_is_cut_is_taken_up(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    hub.faults.cut("PUT /stored/", after=100_000, times=2)
    upload(store, NAME, tmp_path / "local", BIG)
    assert content(store, NAME, "model.safetensors") == BIG["model.safetensors"]
    hub.faults.cut("PUT /stored/", after=100_000, times=None)
    other = {**BIG, "optimiser.safetensors": random.Random(8).randbytes(300_000)}
    fails(lambda: upload(store, "checkpoint-1000", tmp_path / "other", other), "cut", permanent=False)
    hub.faults.clear()
    hub.requests.clear()
    upload(store, "checkpoint-1000", tmp_path / "other", other)
    assert sum(r.startswith("PUT ") for r in hub.requests) == 1, "the model was there already"


def test_a_download_that_is_cut_goes_on_where_it_was(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", BIG)
    hub.requests.clear()
    hub.faults.cut("GET /stored/", after=150_000, times=2)
    assert content(store, NAME, "model.safetensors") == BIG["model.safetensors"]
    assert sum(r.startswith("GET /stored/") for r in hub.requests) == 3
    hub.faults.cut("GET /stored/", after=0, times=None)
    fails(lambda: content(store, NAME, "model.safetensors"), "model.safetensors", "cut", permanent=False)


def test_the_network_goes_and_comes_back(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    hub.stop()
    for call in (
        lambda: upload(store, NAME, tmp_path / "local", FILES),
        lambda: store.mark(NAME, b"{}"),
        lambda: store.entries(),
        lambda: content(store, NAME, "trainer.json"),
        lambda: store.prepare(private=True),
    ):
        fails(call, "not reached", permanent=False)
    hub.start()
    upload(store, NAME, tmp_path / "local", FILES)
    assert find(store, NAME) is not None


@pytest.mark.parametrize(
    ("status", "says", "permanent", "told"),
    [
        *((status, "", False, f"error {status}") for status in (400, 408, 500, 502, 503, 504)),
        (429, "", False, "too many requests"),
        (401, "Invalid credentials in Authorization header", True, "does not accept HF_TOKEN"),
        (403, "Forbidden", True, "may not write"),
        (403, "Private repository storage limit reached", True, "storage of this account is full"),
        (402, "Payment required", True, "storage of this account is full"),
        (413, "", True, "file is too large"),
        (404, "", True, "404"),
    ],
)
def test_answers_of_the_hub(
    hub: MiniHub, store: HubStore, tmp_path: Path, status: int, says: str, permanent: bool, told: str
) -> None:
    hub.faults.answer(COMMIT, status, says=says)
    fails(lambda: upload(store, NAME, tmp_path / "local", FILES), told, permanent=permanent)
    hub.faults.clear()
    upload(store, NAME, tmp_path / "local", FILES)


@pytest.mark.parametrize("status", [403, 500])
def test_answers_of_the_storage(hub: MiniHub, store: HubStore, tmp_path: Path, status: int) -> None:
    """It knows no tokens: 403 says that the address it was reached by has grown old, and another attempt gets a new one."""
    hub.faults.answer("PUT /stored/", status)
    fails(
        lambda: upload(store, NAME, tmp_path / "local", BIG),
        f"storage of the hub answers with error {status}",
        permanent=False,
    )
    hub.faults.clear()
    upload(store, NAME, tmp_path / "local", BIG)
    hub.faults.answer("GET /stored/", status)
    fails(lambda: content(store, NAME, "model.safetensors"), "storage of the hub", NAME, permanent=False)


def test_what_answers_is_not_the_hub(hub: MiniHub, store: HubStore) -> None:
    """The page of a hotel's network, for one."""
    hub.faults.answer("GET /api", 200)
    fails(store.entries, "may not be the hub", permanent=False)
