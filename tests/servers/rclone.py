"""A real S3 server for tests: `rclone serve s3`, a daemon that checks SigV4 and keeps objects as files on the disk.

with RcloneS3(folder) as server:
    server.bucket("checkpoints")            makes a bucket: a folder
    server.endpoint, server.environment     AWS_* variables, AWS_ENDPOINT_URL included
    server.path("checkpoints", "a/b")       the file that holds an object: read it, alter it
    server.stop(); server.start()           the network is gone, and back at the same port
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import botocore.loaders
import pytest

from tests.servers.ports import free_port, wait_until_listening

_create_loader = functools.cache(botocore.loaders.create_loader)

ACCESS_KEY = "RCLONETESTACCESSKEY0"
SECRET_KEY = "rclone-test-secret-that-must-never-be-printed"


def environment_for(endpoint: str, access_key: str, secret_key: str) -> dict[str, str]:
    """Variables that point boto3 at a server of this machine, and at nothing else that this machine may know."""
    return {
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }


def point_client_at(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, *, endpoint: str | None = None) -> None:
    """Let boto3 in this process talk to a server with this environment, or to the line in front of it."""
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if endpoint is not None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    # Each session of boto3 reads 2 MB of JSON about AWS; for many short tests once is enough.
    monkeypatch.setattr("botocore.session.create_loader", _create_loader)


class RcloneS3:
    """The server, as a process; see the module's story."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.environment = environment_for(self.endpoint, ACCESS_KEY, SECRET_KEY)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        program = Path(sys.executable).with_name("rclone")
        # Nearly no cache of directories: what is altered behind the server's back must be seen at once. (With 0s this server
        # spins on its own locks and answers after seconds, or never.)
        options = ["--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--dir-cache-time", "1ms"]
        self._process = subprocess.Popen(
            [program, "serve", "s3", *options, "--config", "/dev/null", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_listening(self.port, self._process)

    def stop(self) -> None:
        """Kill the server: connections break, the port refuses new ones."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def bucket(self, name: str) -> str:
        """Make a bucket and return its name."""
        (self.folder / name).mkdir()
        return name

    def path(self, bucket: str, key: str) -> Path:
        """The file that holds an object."""
        return self.folder / bucket / key


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    """One server for all tests that do not stop it; each makes its own bucket."""
    with RcloneS3(tmp_path_factory.mktemp("rclone")) as server:
        yield server
