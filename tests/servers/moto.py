"""An S3 server for tests that imitates AWS more closely than a file server: `moto_server`, as a process of its own.

    with MotoS3() as server:
        server.bucket("checkpoints")
        server.endpoint, server.environment     AWS_* variables, AWS_ENDPOINT_URL included
        server.client()                         a boto3 client past the store under test
        server.stop(); server.start()           gone, and back with nothing in it

It takes any credentials, unless its own variable INITIAL_NO_AUTH_ACTION_COUNT is among those given: after so many requests it
enforces IAM policies. Parts of a multipart upload below 5 MiB are refused, as AWS does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

import pytest

from tests.servers.ports import free_port, wait_until_listening
from tests.servers.rclone import environment_for

ACCESS_KEY = "MOTOTESTACCESSKEY000"
SECRET_KEY = "moto-test-secret-that-must-never-be-printed"


class MotoS3:
    """The server, as a process; see the module's story."""

    def __init__(self, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self._settings = environment
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.environment = environment_for(self.endpoint, ACCESS_KEY, SECRET_KEY)
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self._settings},
        )
        wait_until_listening(self.port, self._process)

    def stop(self) -> None:
        """Kill the server; what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> Any:
        """A client past the store under test."""
        import boto3

        if self._client is None:
            session = boto3.session.Session(ACCESS_KEY, SECRET_KEY, region_name="us-east-1")
            self._client = session.client("s3", endpoint_url=self.endpoint)
        return self._client

    def bucket(self, name: str) -> str:
        """Make a bucket and return its name."""
        self.client().create_bucket(Bucket=name)
        return name


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[MotoS3]:
    """One server for all tests that do not stop it; each makes its own bucket."""
    with MotoS3() as server:
        yield server
