"""From an address to a store."""

from __future__ import annotations

import pytest

from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.hub import HubStore
from lugha.checkpoints.stores.open import Address, is_store, open_store, parse_address
from lugha.checkpoints.stores.s3 import S3Store
from lugha.errors import InputError
from lugha.recipe import PublishSection


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://bucket/prefix", Address("s3://bucket/prefix")),
        ("s3://bucket/prefix@500", Address("s3://bucket/prefix", 500)),
        ("s3://bucket@500", Address("s3://bucket", 500)),
        ("hf://user/repo@1500", Address("hf://user/repo", 1500)),
        ("/mnt/drive/lugha@500", Address("/mnt/drive/lugha", 500)),
        ("/mnt/me@home/lugha", Address("/mnt/me@home/lugha")),
        ("/mnt/me@home/lugha@7", Address("/mnt/me@home/lugha", 7)),
        ("drive", Address("drive")),
    ],
)
def test_an_address_and_its_step(text: str, address: Address) -> None:
    assert parse_address(text) == address


def test_what_is_no_step_is_refused() -> None:
    for text in ("hf://user/repo@main", "s3://bucket/prefix@", "s3://bucket/prefix@-5"):
        with pytest.raises(InputError, match="behind @ stands a step, such as .*@500"):
            parse_address(text)


def test_credentials_are_not_repeated() -> None:
    for text in (
        "s3://KEY:hidden@bucket",
        "s3://KEY:hidden@bucket/prefix",
        "hf://user:hidden@repo/x",
        "https://me:hidden@host/x",
    ):
        with pytest.raises(InputError) as told:
            open_store(parse_address(text).store)
        assert "hidden" not in str(told.value)


def test_each_kind_of_store() -> None:
    for address, kind in [("s3://bucket/prefix", S3Store), ("hf://user/repo", HubStore), ("/mnt/drive/lugha", FolderStore)]:
        store = open_store(address)
        assert type(store) is kind
        assert store.address == address
        assert is_store(address) == (kind is not FolderStore)


def test_the_recipe_names_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    section = PublishSection(s3_endpoint="not-a-url")
    with pytest.raises(InputError, match="not-a-url: not the URL of an S3 server"):
        open_store("s3://bucket", section)
    open_store("s3://bucket")


@pytest.mark.parametrize("address", ["gs://bucket/prefix", "https://host/x", "file:///mnt/x"])
def test_another_scheme_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="no such kind of store. Write s3://bucket/prefix, hf://user/repo, or a folder"):
        open_store(address)
