"""S3, and every server that speaks its API, as a store.

    S3Store("s3://bucket/prefix", endpoint="https://s3.example.org", region="eu-west-1")

Credentials come from boto3's own chain (environment, profile, role). Nothing is asked of the server but put, get, list and
delete, and uploads in parts for large files: no checksums (some servers refuse those that boto3 adds by itself), no conditional
writes, no versions. A bucket is never made.

What already stands under a name is compared byte by byte before it is sent again: neither a size nor an ETag proves content.
A read that the connection cuts goes on at the byte where it was cut, as long as something arrives.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from lugha.checkpoints.stores.names import Listed, entries_of, key_of, new_name, promoted_runs
from lugha.checkpoints.stores.protocol import MARKER, PROMOTED, Entry, MissingError, StoreError
from lugha.checkpoints.stores.s3_errors import Place, error_code, explained
from lugha.checkpoints.stores.s3_multipart import MultipartSender, Upload
from lugha.checkpoints.stores.source import bytes_in, exactly, opened, same_bytes
from lugha.errors import InputError

_BLOCK = 1 << 20
_PART_BYTES = 16 << 20  # S3 takes parts from 5 MiB; a part that is cut is sent again as a whole
_DELETED_AT_ONCE = 1000  # the most that one request may name
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?(/[^?#\s]*)?")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


class S3Store:
    """A bucket, or a prefix in one; see the module's story and `protocol.Store`.

    Args:
        address: `s3://bucket/prefix`.
        endpoint: URL of the server; None: that of the environment, or AWS.
        region: None: that of the environment.
        part_bytes: larger files are sent in parts of this size.
        patience: seconds without a byte after which a server counts as hanging.

    Raises:
        InputError: the address or the endpoint is not whole, or boto3 is not installed.
    """

    def __init__(
        self,
        address: str,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        part_bytes: int = _PART_BYTES,
        patience: float = 60.0,
    ) -> None:
        self._address = address
        self._bucket, self._root = _bucket_and_root(address)
        self._endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
        self._region = region
        self._part_bytes, self._patience = part_bytes, patience
        self._made: Any = None  # the client, once it is needed
        self._secrets: tuple[str, ...] = ()
        self._unfinished: dict[str, Upload] = {}
        if self._endpoint is not None:
            _check_endpoint(self._endpoint)
        if importlib.util.find_spec("boto3") is None:
            raise InputError(f"{address}: needs boto3, which is not installed. Run: pip install 'lugha[aws]'")

    @property
    def address(self) -> str:
        """`s3://bucket/prefix`, as the recipe names it."""
        return self._address

    def prepare(self, *, private: bool) -> None:
        """Look at the prefix: the one request that asks for no more rights than the others, and whose refusal has a reason.

        Raises:
            StoreError: it is not there, or access is denied; the message says what to do.
        """
        with self._asking() as client:
            self._check_page(client.list_objects_v2(Bucket=self._bucket, Prefix=self._root, MaxKeys=1))

    def name_for(self, run: str, step: int) -> str:
        """`<run>/step-00000500-<4 hex>`."""
        return new_name(run, step)

    def entries(self) -> list[Entry]:
        """All folders of checkpoints, in no particular order."""
        return entries_of(self._listing(""))

    def upload(self, name: str, folder: Path, files: Sequence[str]) -> None:
        """Send files; goes on with what arrived, also of a file, also of another process."""
        sources = {key_of(name, file): folder / key_of(file) for file in files}
        there = {listed.key: listed.bytes for listed in self._listing(key_of(name) + "/")}
        if key_of(name, MARKER) in there:
            self.unmark(name)
        for key, source in sources.items():
            total = bytes_in(source)
            if there.get(key) != total or not self._holds(key, source):
                self._send(key, source, total)

    def read(self, name: str, file: str) -> Iterator[bytes]:
        """The bytes of an object as the server has them now."""
        yield from self._read(key_of(name, file))

    def mark(self, name: str, content: bytes) -> None:
        """Write the marker of a folder."""
        self._put(key_of(name, MARKER), content)

    def unmark(self, name: str) -> None:
        """Remove the marker; nothing where there is none."""
        self._delete(key_of(name, MARKER))

    def remove(self, name: str) -> None:
        """Remove the marker first, then all files: never a marked folder with holes."""
        self.unmark(name)
        inside = key_of(name) + "/"
        self._delete_all([listed.key for listed in self._listing(inside)])
        with self._asking() as client:
            MultipartSender(client, self._bucket, self._unfinished).abort_all(self._root + inside)

    def promote(self, run: str, name: str, content: bytes) -> None:
        """Write `<run>/PROMOTED.json`."""
        self._put(key_of(run, PROMOTED), content)

    def promoted(self) -> dict[str, bytes]:
        """Run -> content of its `PROMOTED.json`."""
        last = self._root.rstrip("/").rpartition("/")[2]
        return {run: b"".join(self._read(key)) for run, key in promoted_runs(self._listing(""), last).items()}

    def _holds(self, key: str, source: Path) -> bool:
        """Whether the object has the bytes of the local file."""
        try:
            with contextlib.closing(self._read(key)) as stored:
                return same_bytes(source, stored)
        except MissingError:
            return False

    def _send(self, key: str, source: Path, total: int) -> None:
        if total > self._part_bytes:
            with self._asking() as client:
                MultipartSender(client, self._bucket, self._unfinished).send(self._root + key, source, self._part_bytes)
            return
        with opened(source) as stream:
            self._put(key, exactly(stream, source, total))

    def _put(self, key: str, content: bytes) -> None:
        with self._asking() as client:
            client.put_object(Bucket=self._bucket, Key=self._root + key, Body=content)

    def _read(self, key: str) -> Generator[bytes]:
        """The bytes of an object; cut off, it goes on at the byte where it was cut."""
        passed = 0
        while True:
            begun = passed
            try:
                for block in self._read_from(key, begun):
                    passed += len(block)
                    yield block
                return
            except StoreError as error:
                if error.permanent or passed == begun:
                    raise

    def _read_from(self, key: str, start: int) -> Iterator[bytes]:
        asked = {"Range": f"bytes={start}-"} if start else {}
        with self._asking() as client:
            try:
                answer = client.get_object(Bucket=self._bucket, Key=self._root + key, **asked)
            except client.exceptions.ClientError as error:
                if error_code(error) not in ("NoSuchKey", "404"):
                    raise
                raise MissingError(f"{self._address}: there is no file {key}.") from None
            if start and not str(answer.get("ContentRange")).startswith(f"bytes {start}-"):
                raise StoreError(
                    f"{self._address}: the connection broke, and the server gives no rest of {key}.", permanent=False
                )
            with contextlib.closing(answer["Body"]) as body:
                yield from body.iter_chunks(_BLOCK)

    def _delete(self, key: str) -> None:
        with self._asking() as client, contextlib.suppress(client.exceptions.NoSuchKey):
            client.delete_object(Bucket=self._bucket, Key=self._root + key)

    def _delete_all(self, keys: list[str]) -> None:
        """Delete in batches; one by one where the server refuses them, which also gives the reason."""
        from botocore.exceptions import ClientError

        for start in range(0, len(keys), _DELETED_AT_ONCE):
            batch = keys[start : start + _DELETED_AT_ONCE]
            named = {"Objects": [{"Key": self._root + key} for key in batch], "Quiet": True}
            try:
                with self._asking(passing=(ClientError,)) as client:
                    refused = client.delete_objects(Bucket=self._bucket, Delete=named).get("Errors", [])
            except ClientError:
                refused = named["Objects"]
            for one in refused:
                self._delete(one["Key"].removeprefix(self._root))

    def _listing(self, inside: str) -> list[Listed]:
        """What lies below `inside`, a part of the store that ends with a slash, or all of it."""
        with self._asking() as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._root + inside)
            found: list[Listed] = []
            for page in pages:
                self._check_page(page)
                contents = page.get("Contents", [])
                found += [Listed(one["Key"].removeprefix(self._root), one["Size"], one["LastModified"]) for one in contents]
            return found

    def _check_page(self, page: dict[str, Any]) -> None:
        """Refuse a page of a login or of a proxy that comes with status 200: boto3 takes it for an empty bucket."""
        if "Name" not in page and "IsTruncated" not in page:
            raise StoreError(f"{self._address}: no S3 server answers there. Check publish.s3_endpoint.", permanent=False)

    @contextlib.contextmanager
    def _asking(self, *, passing: tuple[type[Exception], ...] = ()) -> Iterator[Any]:
        """The client, for one request; what goes wrong becomes one line.

        Args:
            passing: exceptions that the caller looks at.
        """
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            yield self._client()
        except passing:
            raise
        except (BotoCoreError, ClientError, HTTPError, OSError, RecursionError) as error:
            told = explained(error, self._place(), self._secrets)
            if told.permanent:
                self._made = None  # the next request reads the credentials anew: somebody may have renewed them
            raise told from None  # the text of the original may hold the id of a key

    def _client(self) -> Any:
        """The boto3 client, made at the first request: importing it takes longer than most verbs."""
        if self._made is None:
            import boto3
            from botocore.config import Config

            session = boto3.session.Session()
            known = session.get_credentials()
            frozen = known.get_frozen_credentials() if known is not None else ()
            self._secrets = tuple(value for value in frozen if value)
            config = Config(
                connect_timeout=min(10.0, self._patience),
                read_timeout=self._patience,
                retries={"mode": "standard", "total_max_attempts": 3},  # a moment's trouble; longer waits are the caller's
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
            region = self._region or session.region_name or os.environ.get("AWS_REGION")
            self._made = session.client("s3", endpoint_url=self._endpoint, region_name=region, config=config)
        return self._made

    def _place(self) -> Place:
        made = self._made.meta if self._made is not None else None
        server = self._endpoint if made is None else made.endpoint_url  # a profile may name one as well
        known = "AWS" if server is None or ".amazonaws." in server else server
        return Place(self._address, self._bucket, self._root, known, self._region if made is None else made.region_name)


def _bucket_and_root(address: str) -> tuple[str, str]:
    """Bucket, and what every key begins with: empty, or with a slash at its end, so that no other prefix begins like it.

    Raises:
        InputError: not a whole address.
    """
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    if "@" in bucket or ":" in bucket:
        raise InputError("s3://...: an address holds no credentials and no port. Write s3://bucket/prefix.")
    if not address.startswith("s3://") or not _BUCKET.fullmatch(bucket):
        raise InputError(f"{address}: no bucket has such a name. Write s3://bucket/prefix.")
    parts = [part for part in prefix.split("/") if part]
    return bucket, key_of(*parts) + "/" if parts else ""


def _check_endpoint(endpoint: str) -> None:
    """Refuse what is no URL of a server.

    Raises:
        InputError: with what to write.
    """
    if "@" in endpoint:
        raise InputError(
            "The S3 endpoint holds credentials. Write https://host, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if not _ENDPOINT.fullmatch(endpoint):
        raise InputError(f"{endpoint}: not the URL of an S3 server. Write https://host or http://host:port.")
