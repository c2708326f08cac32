"""From the address in a recipe or on a command line to a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lugha.checkpoints.stores.protocol import Store
from lugha.errors import InputError
from lugha.recipe import PublishSection


@dataclass(frozen=True)
class Address:
    """`s3://bucket/prefix@500`, `hf://user/repo@500`, `/mnt/drive/lugha@500`: a store, and perhaps a step in it."""

    store: str
    step: int | None = None


def is_store(text: str) -> bool:
    """Whether `text` names a store by a scheme (a folder does not: it may be a run or a checkpoint)."""
    return text.startswith(("s3://", "hf://"))


def parse_address(text: str) -> Address:
    """Split the step off.

    Raises:
        InputError: what stands behind the last @ is no step.
    """
    store, sign, step = text.rpartition("@")
    if not sign or "/" in step:
        return Address(text)
    if not step.isdigit():
        raise InputError(f"{_shown(text)}: behind @ stands a step, such as {_shown(store + '@500')}.")
    return Address(store, int(step))


def open_store(address: str, section: PublishSection | None = None) -> Store:
    """The store at `address`; nothing is asked of it yet.

    Raises:
        InputError: no such kind of store, an address that is not whole, or a package that is not installed.
    """
    section = section or PublishSection()
    if _shown(address) != address:
        raise InputError(f"{_shown(address)}: an address holds no credentials. They come from the environment.")
    if address.startswith("s3://"):
        from lugha.checkpoints.stores.s3 import S3Store

        return S3Store(address, endpoint=section.s3_endpoint, region=section.s3_region)
    if address.startswith("hf://"):
        from lugha.checkpoints.stores.hub import HubStore

        return HubStore(address)
    if "://" in address:
        raise InputError(f"{address}: no such kind of store. Write s3://bucket/prefix, hf://user/repo, or a folder.")
    from lugha.checkpoints.stores.folder import FolderStore

    return FolderStore(Path(address))


def _shown(address: str) -> str:
    """An address for a message: what stands before an @ of its first part may be a secret."""
    scheme, sign, rest = address.partition("://")
    first, slash, path = rest.partition("/")
    return f"{scheme}://***@{first.rpartition('@')[2]}{slash}{path}" if sign and "@" in first else address
