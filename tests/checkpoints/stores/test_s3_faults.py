"""The S3 store over a bad line, in front of a real server: what is lost is told, and what can go on goes on."""

# ruff: noqa: F811

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from lugha.checkpoints.stores.protocol import MissingError, StoreError
from lugha.checkpoints.stores.s3 import S3Store
from tests.checkpoints.stores.conformance import FILES, RUN, content, find, upload
from tests.servers.faults import ALWAYS, FaultyLine
from tests.servers.rclone import RcloneS3, point_client_at, rclone_s3  # noqa: F401

NAME = f"{RUN}/step-00000500-a1b2"
BIG = random.Random(7).randbytes(3 << 20)
_numbers = itertools.count()


@pytest.fixture
def line(rclone_s3: RcloneS3) -> Iterator[FaultyLine]:
    with FaultyLine(rclone_s3.endpoint) as line:
        yield line


@pytest.fixture
def store(rclone_s3: RcloneS3, line: FaultyLine, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    point_client_at(rclone_s3.environment, monkeypatch, endpoint=line.url)
    # botocore waits up to seconds between its own attempts; the waits are its business, their outcome is tested here.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)
    return S3Store(f"s3://{rclone_s3.bucket(f'faulty{next(_numbers)}')}/runs", patience=20.0)


def test_a_moment_of_trouble_is_not_told(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    line.lose_answer(match="PUT")
    line.answer(503, match="PUT", skip=2)
    line.answer(500, match="PUT", skip=4)
    line.cut_upload(at=1, match="PUT", skip=6)
    upload(store, NAME, tmp_path / "local", FILES)
    assert line.happened == 4
    assert {file: content(store, NAME, file) for file in FILES} == FILES


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_fails_for_long_is_told_and_may_be_tried_again(
    store: S3Store, line: FaultyLine, tmp_path: Path, status: int
) -> None:
    line.answer(status, match="PUT", skip=2, times=ALWAYS)
    with pytest.raises(StoreError, match=f"fails for now, it answers PutObject with {status}") as told:
        upload(store, NAME, tmp_path / "local", FILES)
    assert not told.value.permanent
    line.heal()
    upload(store, NAME, tmp_path / "local", FILES)
    assert {file: content(store, NAME, file) for file in FILES} == FILES


def test_what_arrived_is_not_sent_again(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    line.answer(503, match="PUT", skip=2, times=ALWAYS)
    with pytest.raises(StoreError):
        upload(store, NAME, tmp_path / "local", FILES)
    line.heal()
    line.requests.clear()
    upload(store, NAME, tmp_path / "local", FILES)
    sent = [request.rpartition("/")[2] for request in line.requests if request.startswith("PUT")]
    assert sent == ["adapter_config.json", "manifest.json"]


def test_a_hanging_server_becomes_an_error(rclone_s3: RcloneS3, store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    hasty = S3Store(store.address, patience=0.2)
    line.hang(match="PUT")
    with pytest.raises(StoreError, match="took a request and does not answer") as told:
        upload(hasty, NAME, tmp_path / "local", FILES)
    assert not told.value.permanent


def test_the_client_waits_and_asks_for_nothing_special(store: S3Store) -> None:
    """What cannot be tested without a clock, or without the servers that refuse what boto3 sends by itself."""
    config = S3Store(store.address)._client().meta.config
    assert (config.connect_timeout, config.read_timeout) == (10, 60), "seconds"
    assert config.retries["total_max_attempts"] == 3
    assert config.request_checksum_calculation == "when_required"
    assert config.response_checksum_validation == "when_required"


def test_a_missing_object_of_a_server_of_few_words(store: S3Store, line: FaultyLine) -> None:
    line.answer(404, match="GET", times=ALWAYS)
    with pytest.raises(MissingError, match="there is no file .*/trainer.json"):
        content(store, NAME, "trainer.json")
    with pytest.raises(StoreError, match="there is no bucket") as told:
        store.entries()
    assert not isinstance(told.value, MissingError)


def test_a_network_that_is_gone_and_comes_back(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    line.stop()
    for ask in (
        store.entries,
        lambda: store.mark(NAME, b"{}"),
        lambda: content(store, NAME, "trainer.json"),
        store.promoted,
    ):
        with pytest.raises(StoreError, match="cannot be reached. Check the network") as told:
            ask()
        assert not told.value.permanent
        assert not isinstance(told.value, MissingError)
    line.start()
    assert content(store, NAME, "trainer.json") == FILES["trainer.json"]


def test_a_server_that_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RcloneS3(tmp_path / "server") as server:
        point_client_at(server.environment, monkeypatch)
        store = S3Store(f"s3://{server.bucket('bucket')}")
        upload(store, NAME, tmp_path / "local", FILES)
        server.stop()
        with pytest.raises(StoreError, match="cannot be reached"):
            store.entries()
        server.start()
        assert [entry.name for entry in store.entries()] == [NAME]


def test_a_read_goes_on_where_the_line_broke(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", {"big": BIG, "trainer.json": b"{}"})
    line.requests.clear()
    line.cut_download(at=1_200_000, match="GET", times=2)
    assert content(store, NAME, "big") == BIG
    assert len([request for request in line.requests if request.startswith("GET")]) == 3


def test_a_read_that_gets_nothing_more_is_an_error(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", {"big": BIG, "trainer.json": b"{}"})
    line.cut_download(at=1_200_000, match="GET")
    line.cut_download(at=0, match="GET", times=ALWAYS)
    with pytest.raises(StoreError, match="the connection to http://.* broke") as told:
        content(store, NAME, "big")
    assert not told.value.permanent


def test_a_file_that_became_shorter_during_the_read(
    rclone_s3: RcloneS3, store: S3Store, line: FaultyLine, tmp_path: Path
) -> None:
    upload(store, NAME, tmp_path / "local", {"big": BIG, "trainer.json": b"{}"})
    line.cut_download(at=1_200_000, match="GET")
    blocks = iter(store.read(NAME, "big"))
    next(blocks)
    stored = rclone_s3.path(store.address.split("/")[2], f"runs/{NAME}/big")
    stored.write_bytes(BIG[:1000])
    with pytest.raises(StoreError, match="became shorter"):
        list(blocks)


def test_a_bit_that_arrives_wrong_is_handed_on_as_it_is(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    line.flip_download(at=3, match="GET .*model")
    seen = content(store, NAME, "model.safetensors")
    whole = FILES["model.safetensors"]
    assert seen == whole[:3] + bytes([whole[3] ^ 1]) + whole[4:]


def test_a_torn_put_leaves_no_object(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    line.cut_upload(at=1000, match="PUT .*model", times=ALWAYS)
    with pytest.raises(StoreError, match="broke"):
        upload(store, NAME, tmp_path / "local", {"trainer.json": b"{}", "model.safetensors": FILES["model.safetensors"]})
    entry = find(store, NAME)
    assert entry is not None
    assert set(entry.files) == {"trainer.json"}
    line.heal()
    upload(store, NAME, tmp_path / "local", FILES)
    assert {file: content(store, NAME, file) for file in FILES} == FILES


def test_a_slow_line_delivers(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    line.bytes_per_second = 10e6
    upload(store, NAME, tmp_path / "local", {"big": BIG, "trainer.json": b"{}"})
    assert content(store, NAME, "big") == BIG


def test_a_server_that_deletes_one_by_one_only(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    line.answer(400, _error("MissingContentMD5"), match="POST .*delete", times=ALWAYS)
    store.remove(NAME)
    assert line.happened == 1
    assert store.entries() == []


def test_a_delete_that_is_denied_in_a_batch_is_told(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", {"trainer.json": b"{}"})
    body = b"<DeleteResult><Error><Key>runs/%s/trainer.json</Key><Code>AccessDenied</Code></Error></DeleteResult>"
    line.answer(200, body % NAME.encode(), match="POST .*delete", times=ALWAYS)
    line.answer(403, _error("AccessDenied"), match="DELETE .*trainer.json", times=ALWAYS)
    with pytest.raises(StoreError, match="s3:DeleteObject") as told:
        store.remove(NAME)
    assert told.value.permanent


def test_the_page_of_a_login_is_not_an_empty_store(store: S3Store, line: FaultyLine, tmp_path: Path) -> None:
    upload(store, NAME, tmp_path / "local", FILES)
    for page in (b"<html><body>Log in to the Wi-Fi</body></html>", b"", b"not xml"):
        line.answer(200, page, match="GET .*list-type", times=ALWAYS)
        with pytest.raises(StoreError, match="no S3 server answers there|fails for now"):
            store.entries()
        with pytest.raises(StoreError, match="no S3 server answers there|fails for now"):
            store.promoted()
        with pytest.raises(StoreError, match="no S3 server answers there|fails for now"):
            store.prepare(private=True)
        line.heal()


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told by the test</Message></Error>".encode()
