"""The Hugging Face client in the background: it waits for nothing for ever, and says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils import _http

from lugha.checkpoints.stores import hub_client
from lugha.checkpoints.stores.hub import HubStore
from lugha.checkpoints.stores.protocol import StoreError
from tests.checkpoints.stores.conformance import FILES, upload
from tests.servers.hub import MiniHub

REPO = "mwalimu/mfano"


@pytest.fixture
def store(hub: MiniHub) -> HubStore:
    store = HubStore(f"hf://{REPO}")
    store.prepare(private=True)
    return store


@pytest.mark.parametrize("where", ["GET .*/revision/", "POST .*/preupload/", "PUT /stored/", "POST .*/commit/"])
def test_a_server_that_hangs_is_left(
    hub: MiniHub, store: HubStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(_http, "time", types.SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setitem(hub_client.LIMITS, "read", 0.05)
    held = hub.faults.hold(where, times=None)
    with pytest.raises(StoreError, match="does not answer in time") as told:
        upload(store, "checkpoint-500", tmp_path / "local", FILES)
    assert not told.value.permanent
    assert held.arrived.is_set()
    hub.faults.clear()


def test_a_proxy_of_the_users_own_stays(hub: MiniHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session of the client may be the user's: it gets limits, and keeps the rest."""
    made = []

    def factory() -> object:
        made.append(_http.default_client_factory())
        return made[-1]

    before = _http._GLOBAL_CLIENT_FACTORY
    huggingface_hub.set_client_factory(factory)  # type: ignore[arg-type]
    try:
        HubStore(f"hf://{REPO}").prepare(private=True)
        assert huggingface_hub.get_session() is made[-1]
        with hub_client.hub_client(), hub_client.hub_client():
            assert huggingface_hub.get_session() is made[-1]
        assert len(made) == 1
    finally:
        huggingface_hub.set_client_factory(before)


def run_apart(hub: MiniHub, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A process of its own, whose client talks to the hub."""
    variables = {"PATH": os.environ["PATH"], **hub.environment}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=variables, **pipes)


def test_the_process_ends_in_the_middle_of_an_upload(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    """No thread of the client is left that the interpreter would wait for."""
    code = """if True:
        import sys, threading
        from pathlib import Path
        from lugha.checkpoints.stores.hub import HubStore
        files = ["model.safetensors", "optimiser.safetensors", "trainer.json"]
        store = HubStore(sys.argv[1])
        threading.Thread(target=store.upload, args=("checkpoint-500", Path(sys.argv[2]), files), daemon=True).start()
        sys.stdin.read(1)
    """
    for file in ("model.safetensors", "optimiser.safetensors", "trainer.json"):
        (tmp_path / file).write_bytes(file.encode() * 1000)
    held = hub.faults.hold("PUT /stored/", times=None)
    with run_apart(hub, code, f"hf://{REPO}", str(tmp_path)) as process:
        try:
            assert held.arrived.wait(60)
            _, stderr = process.communicate(b"x", timeout=60)
        finally:
            process.kill()
    assert not held.release.is_set()
    assert (process.returncode, stderr) == (0, b"")
    hub.faults.clear()
    assert store.entries() == []


def test_the_client_says_nothing(hub: MiniHub, store: HubStore, tmp_path: Path) -> None:
    """No bars, and no warnings with signed addresses, on stderr; what was set for other downloads is as it was."""
    code = """if True:
        import sys, types
        from pathlib import Path
        from huggingface_hub import logging
        from huggingface_hub.utils import _http
        from huggingface_hub.utils.tqdm import are_progress_bars_disabled
        from lugha.checkpoints.stores.hub import HubStore
        _http.time = types.SimpleNamespace(sleep=lambda seconds: None)
        before = are_progress_bars_disabled(), logging.get_verbosity()
        assert before[0] is False, "the test would prove nothing"
        files = ["model.safetensors", "optimiser.safetensors", "trainer.json"]
        store = HubStore(sys.argv[1])
        store.prepare(private=True)
        store.upload("checkpoint-500", Path(sys.argv[2]), files)
        store.promote("r", "checkpoint-500", b'{"run": "r"}')
        assert (are_progress_bars_disabled(), logging.get_verbosity()) == before
        print(sum(len(block) for block in store.read("checkpoint-500", files[0])))
    """
    for file in ("model.safetensors", "optimiser.safetensors", "trainer.json"):
        (tmp_path / file).write_bytes(file.encode() * 10_000)
    hub.faults.answer("PUT /stored/", 500, times=1)
    hub.faults.answer("POST .*/preupload/", 503, times=1)
    with run_apart(hub, code, f"hf://{REPO}", str(tmp_path)) as process:
        assert process.communicate(timeout=60) == (b"170000\n", b"")
    assert sum(r.startswith("PUT ") for r in hub.requests) == 3, "the fault was met, and retried"
