"""Servers and a place to run scripts, one for all tests of this folder."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integrations.scripts import ScriptServer
from tests.integrations.user_scripts import stock, weights
from tests.servers.hub import MiniHub
from tests.servers.rclone import RcloneS3


@pytest.fixture(scope="session")
def hub_server() -> Iterator[MiniHub]:
    with MiniHub() as server:
        yield server


@pytest.fixture
def hub(hub_server: MiniHub) -> Iterator[MiniHub]:
    """The hub that the scripts know, with nothing wrong."""
    hub_server.faults.clear()
    yield hub_server
    hub_server.faults.clear()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def scripts(hub_server: MiniHub, s3: RcloneS3) -> Iterator[ScriptServer]:
    """Runs scripts that know the hub and the S3 server."""
    with ScriptServer(hub_server.environment | s3.environment) as server:
        yield server


@dataclass(frozen=True)
class Repository:
    """A new repository of the hub, and what it holds."""

    name: str
    hub: MiniHub

    @property
    def address(self) -> str:
        return f"hf://{self.name}"

    def files(self) -> set[str]:
        return set(self.hub.files(self.name))

    def checkpoints(self) -> set[int]:
        """Steps that a stock script has pushed whole, as far as one can tell from names."""
        return {int(f.split("/")[0].removeprefix("checkpoint-")) for f in self.files() if f.endswith("/trainer_state.json")}

    def verified(self) -> set[int]:
        return {int(f.split("/")[0].removeprefix("checkpoint-")) for f in self.files() if f.endswith("/VERIFIED.json")}


@pytest.fixture
def repository(hub: MiniHub) -> Repository:
    return Repository(f"{hub.user}/run-{secrets.token_hex(3)}", hub)


@pytest.fixture
def bucket(s3: RcloneS3) -> Path:
    """The folder of a new bucket."""
    return s3.path(s3.bucket(f"bucket-{secrets.token_hex(3)}"), "")


@pytest.fixture(scope="session")
def uninterrupted(scripts: ScriptServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of a stock training of twelve steps that nothing disturbs, without any evaluation."""
    return weights(scripts.run(stock(), tmp_path_factory.mktemp("stock")).text)
