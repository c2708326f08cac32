"""The S3 store: the promises of all stores on two real servers, addresses, and what a bucket of a real size asks for."""

# ruff: noqa: F811

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from lugha.checkpoints.stores.protocol import MissingError, StoreError
from lugha.checkpoints.stores.s3 import S3Store
from lugha.errors import InputError
from tests.checkpoints.stores.conformance import FILES, RUN, StoreConformance, content, upload
from tests.servers.moto import MotoS3, moto_s3  # noqa: F401
from tests.servers.rclone import RcloneS3, point_client_at, rclone_s3  # noqa: F401

PART = 5 << 20  # the smallest that S3 takes
_numbers = itertools.count()


@pytest.fixture
def bucket(rclone_s3: RcloneS3, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket of rclone, and this process pointed at it."""
    point_client_at(rclone_s3.environment, monkeypatch)
    return rclone_s3.bucket(f"bucket{next(_numbers)}")


class TestOnRclone(StoreConformance):
    """A prefix, with a blank in it."""

    @pytest.fixture
    def store(self, rclone_s3: RcloneS3, bucket: str) -> S3Store:
        self.root = rclone_s3.path(bucket, "runs/of mine")
        store = S3Store(f"s3://{bucket}/runs/of mine", part_bytes=PART)
        store.prepare(private=True)
        return store

    def alter(self, store: S3Store, name: str, file: str, content: bytes) -> None:
        (self.root / name / file).write_bytes(content)

    def outside(self, store: S3Store, key: str, content: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def read_outside(self, store: S3Store, key: str) -> bytes | None:
        path = self.root / key
        return path.read_bytes() if path.is_file() else None


class TestOnMoto(StoreConformance):
    """A whole bucket."""

    @pytest.fixture
    def store(self, moto_s3: MotoS3, monkeypatch: pytest.MonkeyPatch) -> S3Store:
        point_client_at(moto_s3.environment, monkeypatch)
        self.client = moto_s3.client()
        self.bucket = moto_s3.bucket(f"bucket{next(_numbers)}")
        store = S3Store(f"s3://{self.bucket}", part_bytes=PART)
        store.prepare(private=True)
        return store

    def alter(self, store: S3Store, name: str, file: str, content: bytes) -> None:
        self.outside(store, f"{name}/{file}", content)

    def outside(self, store: S3Store, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def read_outside(self, store: S3Store, key: str) -> bytes | None:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=key)
        except self.client.exceptions.NoSuchKey:
            return None
        found: bytes = answer["Body"].read()
        return found


def test_a_prefix_does_not_see_one_that_begins_like_it(bucket: str, tmp_path: Path) -> None:
    one, other = S3Store(f"s3://{bucket}/pre"), S3Store(f"s3://{bucket}/prefix2")
    name = f"{RUN}/step-00000500-a1b2"
    upload(other, name, tmp_path / "local", FILES)
    other.promote(RUN, name, b"{}")
    assert one.entries() == []
    assert one.promoted() == {}
    one.remove(name)
    with pytest.raises(MissingError):
        content(one, name, "trainer.json")
    assert len(other.entries()) == 1


def test_slashes_at_the_end_of_an_address_mean_nothing(bucket: str, tmp_path: Path) -> None:
    plain = S3Store(f"s3://{bucket}/a/b")
    name = plain.name_for(RUN, 500)
    upload(plain, name, tmp_path / "local", FILES)
    for address in (f"s3://{bucket}/a/b/", f"s3://{bucket}/a/b//", f"s3://{bucket}//a//b"):
        store = S3Store(address)
        assert store.address == address, "as the recipe names it"
        assert [entry.name for entry in store.entries()] == [name]
    assert [entry.name for entry in S3Store(f"s3://{bucket}/").entries()] == [f"a/b/{name}"]
    assert [entry.name for entry in S3Store(f"s3://{bucket}").entries()] == [f"a/b/{name}"]


def test_the_address_of_one_run_is_a_store_too(bucket: str, tmp_path: Path) -> None:
    whole = S3Store(f"s3://{bucket}")
    name = f"{RUN}/step-00000500-a1b2"
    upload(whole, name, tmp_path / "local", FILES)
    whole.promote(RUN, name, b"promoted")
    one_run = S3Store(f"s3://{bucket}/{RUN}")
    assert [entry.name for entry in one_run.entries()] == ["step-00000500-a1b2"]
    assert one_run.promoted() == {RUN: b"promoted"}


def test_more_objects_than_a_page_or_a_request_may_name(rclone_s3: RcloneS3, bucket: str) -> None:
    store = S3Store(f"s3://{bucket}/runs")
    for number in range(1100):
        path = rclone_s3.path(bucket, f"runs/{RUN}/step-00000500-a1b2/{number % 50}/{number}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (entry,) = store.entries()
    assert len(entry.files) == 1100
    store.remove(entry.name)
    assert store.entries() == []


def test_a_bucket_is_never_made(rclone_s3: RcloneS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    point_client_at(rclone_s3.environment, monkeypatch)
    store = S3Store("s3://not-there/runs")
    with pytest.raises(StoreError, match="there is no bucket not-there at http://.*Make it there"):
        store.prepare(private=True)
    with pytest.raises(StoreError, match="there is no bucket not-there") as told:
        upload(store, f"{RUN}/step-1", tmp_path / "local", FILES)
    assert told.value.permanent
    with pytest.raises(StoreError) as told:
        content(store, f"{RUN}/step-1", "trainer.json")
    assert not isinstance(told.value, MissingError), "a bucket that is gone is not a file that is missing"
    assert not (rclone_s3.folder / "not-there").exists()


def test_the_recipe_names_server_and_region(rclone_s3: RcloneS3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    store = S3Store(f"s3://{bucket}", endpoint=rclone_s3.endpoint, region="eu-west-1")
    store.prepare(private=True)


def test_a_profile_names_the_server(
    rclone_s3: RcloneS3, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    (tmp_path / "config").write_text(f"[default]\nendpoint_url = {rclone_s3.endpoint}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    S3Store(f"s3://{bucket}").prepare(private=True)
    with pytest.raises(StoreError, match=f"there is no bucket not-there at {rclone_s3.endpoint}"):
        S3Store("s3://not-there").prepare(private=True)


@pytest.mark.parametrize("region", ["AWS_DEFAULT_REGION", "AWS_REGION", None])
def test_a_region_of_the_environment_or_none(bucket: str, monkeypatch: pytest.MonkeyPatch, region: str | None) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    if region is not None:
        monkeypatch.setenv(region, "eu-west-1")
    S3Store(f"s3://{bucket}").prepare(private=True)


@pytest.mark.parametrize(
    "address",
    [
        "s3://",
        "s3:///prefix",
        "s3://b",
        "s3://-bucket",
        "s3://two words/x",
        "s3://bucket/../x",
        "s3://bucket/a/./b",
        "s4://bucket",
    ],
)
def test_an_address_that_is_not_whole_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="s3://bucket/prefix|not a name in a store"):
        S3Store(address)


@pytest.mark.parametrize(
    "endpoint", ["s3.example.org", "ftp://x.org", "https://", "http:/x.org", "http://my host", "http://x:y", "http://[::1"]
)
def test_an_endpoint_that_is_no_url_is_refused(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    with pytest.raises(InputError, match="not the URL of an S3 server. Write https://host"):
        S3Store("s3://bucket", endpoint=endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(InputError, match="not the URL of an S3 server"):
        S3Store("s3://bucket")


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    for address in ("s3://KEY:hidden@bucket/x", "s3://hidden@bucket"):
        with pytest.raises(InputError, match="holds no credentials") as told:
            S3Store(address)
        assert "hidden" not in str(told.value)
    with pytest.raises(InputError, match="holds credentials") as told:
        S3Store("s3://bucket", endpoint="https://me:hidden@example.org")
    assert "hidden" not in str(told.value)
