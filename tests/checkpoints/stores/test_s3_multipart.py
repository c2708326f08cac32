"""Large files to S3 in parts: what a cut line, a killed process, and a server that forgets or lies leave to be done."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lugha.checkpoints.stores.protocol import StoreError
from lugha.checkpoints.stores.s3 import S3Store
from lugha.checkpoints.stores.s3_multipart import MOST_PARTS, part_bytes, part_sizes
from tests.checkpoints.stores.conformance import RUN, content, find, write_files
from tests.servers.faults import ALWAYS, FaultyLine
from tests.servers.moto import MotoS3, moto_s3  # noqa: F401
from tests.servers.rclone import RcloneS3, point_client_at, rclone_s3  # noqa: F401

PART = 5 << 20  # the smallest that S3 takes
NAME = f"{RUN}/step-00000500-a1b2"
BIG = random.Random(8).randbytes(3 * PART + 1000)  # four parts
OTHER = random.Random(9).randbytes(3 * PART + 1000)
_numbers = itertools.count()


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A folder with the large file."""
    write_files(tmp_path / "local", {"big": BIG})
    return tmp_path / "local"


@pytest.fixture(params=["rclone", "moto"])
def server(request: pytest.FixtureRequest) -> RcloneS3 | MotoS3:
    found: RcloneS3 | MotoS3 = request.getfixturevalue(f"{request.param}_s3")
    return found


@pytest.fixture
def line(server: RcloneS3 | MotoS3) -> Iterator[FaultyLine]:
    with FaultyLine(server.endpoint) as line:
        yield line


@pytest.fixture
def address(server: RcloneS3 | MotoS3, line: FaultyLine, monkeypatch: pytest.MonkeyPatch) -> str:
    point_client_at(server.environment, monkeypatch, endpoint=line.url)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.01)
    return f"s3://{server.bucket(f'parts{next(_numbers)}')}/runs"


def store_at(address: str) -> S3Store:
    """A store as another process would have it: it remembers nothing."""
    return S3Store(address, part_bytes=PART)


def parts_sent(line: FaultyLine) -> list[int]:
    """Numbers of the parts that were sent, or tried, in their order."""
    found = (request.partition("partNumber=")[2].partition("&")[0] for request in line.requests if request.startswith("PUT"))
    return [int(number) for number in found if number]


def unfinished(address: str) -> list[str]:
    """Keys of the uploads that are not complete."""
    bucket = address.split("/")[2]
    answer = store_at(address)._client().list_multipart_uploads(Bucket=bucket)
    return [one["Key"] for one in answer.get("Uploads", [])]


@given(total=st.integers(1, 6 << 40), smallest=st.integers(PART, 64 << 20))
def test_few_enough_parts_of_one_size_that_make_up_the_file(total: int, smallest: int) -> None:
    size = part_bytes(total, smallest)
    assert size >= smallest
    assert -(-total // size) <= MOST_PARTS
    if total <= (smallest >> 20 << 20) * MOST_PARTS:
        assert size == smallest
    if total < 1 << 33:
        sizes = part_sizes(total, size)
        assert sum(sizes.values()) == total
        assert list(sizes) == list(range(1, len(sizes) + 1))
        assert all(bytes_ == size for bytes_ in list(sizes.values())[:-1])
        assert 0 < list(sizes.values())[-1] <= size


def test_nothing_is_there_before_all_of_it_is(line: FaultyLine, address: str, local: Path) -> None:
    line.cut_upload(at=PART // 2, match="partNumber=3", times=ALWAYS)
    with pytest.raises(StoreError, match="the connection to .* broke") as told:
        store_at(address).upload(NAME, local, ["big"])
    assert not told.value.permanent
    assert store_at(address).entries() == []


def test_an_upload_that_was_cut_goes_on(line: FaultyLine, address: str, local: Path) -> None:
    line.cut_upload(at=PART // 2, match="partNumber=3", times=ALWAYS)
    with pytest.raises(StoreError):
        store_at(address).upload(NAME, local, ["big"])
    line.heal()
    line.requests.clear()
    store_at(address).upload(NAME, local, ["big"])
    assert parts_sent(line) == [3, 4]
    assert content(store_at(address), NAME, "big") == BIG
    assert unfinished(address) == []


def test_an_upload_of_a_killed_process_goes_on(
    server: RcloneS3 | MotoS3, line: FaultyLine, address: str, local: Path
) -> None:
    line.hang(match="partNumber=3")
    program = "import sys; from pathlib import Path; from lugha.checkpoints.stores.s3 import S3Store\n"
    program += "S3Store(sys.argv[1], part_bytes=int(sys.argv[2])).upload(sys.argv[3], Path(sys.argv[4]), ['big'])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, address, str(PART), NAME, str(local)],
        env={**os.environ, **server.environment, "AWS_ENDPOINT_URL": line.url},
    )
    end = time.monotonic() + 120
    while 3 not in parts_sent(line):
        assert process.poll() is None, "the process ended before it was killed"
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()
    line.heal()
    line.requests.clear()
    store_at(address).upload(NAME, local, ["big"])
    assert parts_sent(line) == [3, 4]
    assert content(store_at(address), NAME, "big") == BIG


def test_a_server_that_cannot_list_uploads_costs_the_memory_of_a_process(
    line: FaultyLine, address: str, local: Path
) -> None:
    def broken() -> None:
        line.heal()
        line.answer(501, _error("NotImplemented"), match="GET .*[?&]uploads", times=ALWAYS)
        line.answer(403, _error("AccessDenied"), match="GET .*uploadId", times=ALWAYS)

    broken()
    line.answer(500, match="partNumber=3", times=ALWAYS)
    store = store_at(address)
    with pytest.raises(StoreError):
        store.upload(NAME, local, ["big"])
    broken()
    line.requests.clear()
    store.upload(NAME, local, ["big"])
    assert parts_sent(line) == [3, 4], "the process that began it goes on"
    assert content(store, NAME, "big") == BIG

    store.remove(NAME)
    line.answer(500, match="partNumber=3", times=ALWAYS)
    with pytest.raises(StoreError):
        store.upload(NAME, local, ["big"])
    broken()
    line.requests.clear()
    store_at(address).upload(NAME, local, ["big"])
    assert parts_sent(line) == [1, 2, 3, 4], "another one starts over"
    assert content(store, NAME, "big") == BIG


def test_a_server_that_cannot_list_parts(line: FaultyLine, address: str, local: Path) -> None:
    line.answer(500, match="partNumber=3", times=ALWAYS)
    store = store_at(address)
    with pytest.raises(StoreError):
        store.upload(NAME, local, ["big"])
    line.heal()
    line.requests.clear()
    line.answer(501, _error("NotImplemented"), match="GET .*uploadId", times=ALWAYS)
    store.upload(NAME, local, ["big"])
    assert parts_sent(line) == [3, 4]
    assert content(store, NAME, "big") == BIG


def test_a_server_that_lists_parts_which_it_does_not_have(line: FaultyLine, address: str, local: Path) -> None:
    line.answer(500, match="partNumber=2", times=ALWAYS)
    with pytest.raises(StoreError):
        store_at(address).upload(NAME, local, ["big"])
    line.heal()
    line.requests.clear()
    part = "<Part><PartNumber>{}</PartNumber><ETag>&quot;00000000000000000000000000000000&quot;</ETag><Size>{}</Size></Part>"
    listed = "".join(part.format(number, PART) for number in (1, 2, 3))
    body = f"<ListPartsResult><IsTruncated>false</IsTruncated>{listed}</ListPartsResult>".encode()
    line.answer(200, body, headers={"Content-Type": "application/xml"}, match="GET .*uploadId", times=ALWAYS)
    store_at(address).upload(NAME, local, ["big"])
    assert parts_sent(line) == [4, 1, 2, 3, 4], "what was listed, then all of it"
    assert content(store_at(address), NAME, "big") == BIG
    assert unfinished(address) == []


def test_an_upload_that_the_server_has_forgotten(line: FaultyLine, address: str, local: Path) -> None:
    line.answer(500, match="partNumber=3", times=ALWAYS)
    store = store_at(address)
    with pytest.raises(StoreError):
        store.upload(NAME, local, ["big"])
    line.heal()
    store_at(address).remove(NAME)
    assert unfinished(address) == []
    line.requests.clear()
    # Only the process that began it still believes in it.
    line.answer(501, _error("NotImplemented"), match="GET .*[?&]uploads", times=ALWAYS)
    line.answer(404, _error("NoSuchUpload"), match="PUT .*uploadId")  # (moto would answer 500)
    store.upload(NAME, local, ["big"])
    assert parts_sent(line) == [3, 1, 2, 3, 4]
    assert content(store, NAME, "big") == BIG


def test_a_completion_whose_answer_is_lost(line: FaultyLine, address: str, local: Path) -> None:
    line.lose_answer(match="POST .*uploadId")
    line.answer(404, _error("NoSuchUpload"), match="POST .*uploadId", skip=1)  # as servers say when it is done
    store_at(address).upload(NAME, local, ["big"])
    assert parts_sent(line) == [1, 2, 3, 4]
    assert content(store_at(address), NAME, "big") == BIG


def test_parts_of_another_content_are_healed_by_the_next_upload(line: FaultyLine, address: str, tmp_path: Path) -> None:
    """Nobody uploads two contents under one name; should it happen, a read-back finds it, and trying again mends it."""
    write_files(tmp_path / "other", {"big": OTHER})
    write_files(tmp_path / "local", {"big": BIG})
    line.answer(500, match="partNumber=3", times=ALWAYS)
    with pytest.raises(StoreError):
        store_at(address).upload(NAME, tmp_path / "other", ["big"])
    line.heal()
    store_at(address).upload(NAME, tmp_path / "local", ["big"])
    assert content(store_at(address), NAME, "big") != BIG, "or this test shows nothing"
    store_at(address).upload(NAME, tmp_path / "local", ["big"])
    assert content(store_at(address), NAME, "big") == BIG


def test_parts_of_another_size_are_sent_again(line: FaultyLine, address: str, local: Path) -> None:
    line.answer(500, match="partNumber=3", times=ALWAYS)
    with pytest.raises(StoreError):
        store_at(address).upload(NAME, local, ["big"])
    line.heal()
    line.requests.clear()
    S3Store(address, part_bytes=PART + (1 << 20)).upload(NAME, local, ["big"])
    assert parts_sent(line)[-3:] == [1, 2, 3]
    assert content(store_at(address), NAME, "big") == BIG


def test_of_several_unfinished_uploads_the_longest_goes_on(line: FaultyLine, address: str, local: Path) -> None:
    client, bucket, key = store_at(address)._client(), address.split("/")[2], f"runs/{NAME}/big"
    for numbers in ((1,), (1, 2, 3), (2,)):
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        for number in numbers:
            body = BIG[(number - 1) * PART :][:PART]
            client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
    beside = client.create_multipart_upload(Bucket=bucket, Key=key + "ger")["Key"]
    line.requests.clear()
    store_at(address).upload(NAME, local, ["big"])
    assert parts_sent(line) == [4]
    assert content(store_at(address), NAME, "big") == BIG
    assert unfinished(address) == [beside], "of another file: not touched"


def test_removing_a_folder_gives_up_its_unfinished_uploads(line: FaultyLine, address: str, local: Path) -> None:
    line.answer(500, match="partNumber=3", times=ALWAYS)
    for name in (NAME, NAME + "c"):
        with pytest.raises(StoreError):
            store_at(address).upload(name, local, ["big"])
    store_at(address).remove(NAME)
    assert unfinished(address) == [f"runs/{NAME}c/big"]


def test_a_part_whose_answer_is_lost_is_sent_again(line: FaultyLine, address: str, local: Path) -> None:
    line.lose_answer(match="partNumber=2")
    store_at(address).upload(NAME, local, ["big"])
    assert parts_sent(line) == [1, 2, 2, 3, 4]
    assert content(store_at(address), NAME, "big") == BIG


def test_a_server_that_loses_everything_in_mid_upload(tmp_path: Path, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rclone serve s3` keeps parts in memory: its restart is a network that is gone for a while, and parts that are gone."""
    with RcloneS3(tmp_path / "server") as server, FaultyLine(server.endpoint) as line:
        point_client_at(server.environment, monkeypatch, endpoint=line.url)
        store = store_at(f"s3://{server.bucket('bucket')}/runs")
        line.answer(500, match="partNumber=3", times=ALWAYS)
        with pytest.raises(StoreError):
            store.upload(NAME, local, ["big"])
        line.heal()
        server.stop()
        with pytest.raises(StoreError):
            store.upload(NAME, local, ["big"])
        server.start()
        store.upload(NAME, local, ["big"])
        assert content(store, NAME, "big") == BIG
        entry = find(store, NAME)
        assert entry is not None
        assert dict(entry.files) == {"big": len(BIG)}


def _error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told by the test</Message></Error>".encode()
