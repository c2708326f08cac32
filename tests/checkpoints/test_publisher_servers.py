"""The canary and the publisher against real servers: S3 over a line that breaks, and a small hub that revokes tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.canary import check_store
from lugha.checkpoints.publisher import Publisher
from lugha.checkpoints.stores.hub import HubStore
from lugha.checkpoints.stores.protocol import Store
from lugha.checkpoints.stores.s3 import S3Store
from lugha.errors import InterruptedRunError, RefusedError
from lugha.recipe import PublishSection
from lugha.runs.folder import RunFolder, new_run
from lugha.runs.ledger import Ledger
from lugha.runs.status import RunStatus
from tests.checkpoints.memory_store import PATIENCE
from tests.checkpoints.small import content_of, small_checkpoint
from tests.servers.faults import FaultyLine
from tests.servers.hub import MiniHub, point_client_at
from tests.servers.rclone import SECRET_KEY, RcloneS3

QUICK = Backoff(0.05, 0.1)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MiniHub]:
    with MiniHub() as hub:
        point_client_at(hub, tmp_path / "client" / "hub", monkeypatch, token=hub.token)
        yield hub


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyLine]:
    with RcloneS3(tmp_path / "rclone") as server, FaultyLine(server.endpoint) as line:
        server.bucket("checkpoints")
        for name, value in (server.environment | {"AWS_ENDPOINT_URL": line.url}).items():
            monkeypatch.setenv(name, value)
        yield line


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return new_run(tmp_path / "runs", "small")


def publisher(run: RunFolder, *stores: Store) -> Publisher:
    section = PublishSection(max_unverified_age="1h")  # type: ignore[arg-type]
    return Publisher(run, section, stores, ledger=Ledger(run.ledger), status=RunStatus(run), pauses=QUICK)


def check_arrived(run: RunFolder, store: Store, *steps: int) -> None:
    """These steps are in a store, marked, with the right bytes."""
    found = {}
    for entry in store.entries():
        assert entry.marked
        files = {file: b"".join(store.read(entry.name, file)) for file in entry.files if file != "manifest.json"}
        found[next(step for step in steps if files == content_of(step))] = entry.name
    assert sorted(found) == sorted(steps)
    assert Ledger(run.ledger).verified_steps()[store.address] == set(steps)


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def why(run: RunFolder) -> list[str]:
    return [line["why"] for line in Ledger(run.ledger).lines() if line["event"] == "failed"]


def test_the_network_is_cut_and_a_byte_arrives_wrong_and_every_checkpoint_is_there_in_the_end(
    run: RunFolder, line: FaultyLine
) -> None:
    store = S3Store("s3://checkpoints/of/mine")
    check_store(store, run=run.id, private=True)
    with publisher(run, store) as publishing:
        line.flip_download(at=5, match="GET .*model.safetensors")
        publishing.submit(small_checkpoint(run.checkpoints, 1, run=run.id))
        until(lambda: why(run))
        assert "model.safetensors: sent, but other bytes came back" in why(run)[0]
        assert publishing.drain(PATIENCE) == []
        line.stop()
        for step in (2, 3):
            publishing.submit(small_checkpoint(run.checkpoints, step, run=run.id))
        until(lambda: len(why(run)) > 1)
        line.start()
        assert publishing.drain(PATIENCE) == []
    check_arrived(run, store, 1, 2, 3)
    assert SECRET_KEY not in "".join(path.read_text() for path in run.path.glob("*.json*"))


def test_a_token_is_revoked_in_mid_run_and_given_back(run: RunFolder, hub: MiniHub) -> None:
    store = HubStore("hf://mwalimu/small")
    check_store(store, run=run.id, private=True)
    assert hub.is_private("mwalimu/small") and store.entries() == []
    with publisher(run, store) as publishing:
        publishing.submit(small_checkpoint(run.checkpoints, 1, run=run.id))
        assert publishing.drain(PATIENCE) == []
        hub.revoke(hub.token)
        for step in (2, 3):
            publishing.submit(small_checkpoint(run.checkpoints, step, run=run.id))
        until(lambda: why(run))
        status = RunStatus(run).path
        until(lambda: '"health": "red"' in status.read_text())
        hub.admit(hub.token, user=hub.user)
        assert publishing.drain(PATIENCE) == []
        until(lambda: '"health": "green"' in status.read_text())
    check_arrived(run, store, 1, 2, 3)
    assert {entry.name for entry in store.entries()} == {"checkpoint-1", "checkpoint-2", "checkpoint-3"}
    assert hub.token not in "".join(path.read_text() for path in run.path.glob("*.json*"))


def test_the_canary_names_what_is_denied(line: FaultyLine, hub: MiniHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError, match="The store cannot be reached: s3://no-such-bucket.*there is no bucket"):
        check_store(S3Store("s3://no-such-bucket/x"), run="r", private=True)
    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    for match, words in (
        ("PUT", "The store cannot be written: .*s3:PutObject"),
        ("GET .*canary.bin", "The store cannot be read: .*s3:GetObject"),
        ("(DELETE|POST)", "The store cannot be cleaned: .*s3:DeleteObject"),
    ):
        line.answer(403, match=match, body=denied, times=100)
        with pytest.raises(RefusedError, match=words):
            check_store(S3Store("s3://checkpoints/x"), run="r", private=True)
        line.heal()
    line.answer(503, times=1000)
    with pytest.raises(InterruptedRunError, match="The store cannot be reached: .*503"):
        check_store(S3Store("s3://checkpoints/x"), run="r", private=True, patience=0.1, pauses=QUICK)
    line.heal()
    check_store(S3Store("s3://checkpoints/x"), run="r", private=True)
    assert S3Store("s3://checkpoints/x").entries() == []
    hub.revoke(hub.token)
    with pytest.raises(RefusedError, match="The store cannot be reached: hf://mwalimu/small.*401"):
        check_store(HubStore("hf://mwalimu/small"), run="r", private=True)
