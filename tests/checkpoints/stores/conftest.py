"""A hub on this machine, and this process's client pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.hub import MiniHub, point_client_at


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MiniHub]:
    with MiniHub() as hub:
        point_client_at(hub, tmp_path / "client" / "hub", monkeypatch, token=hub.token)
        yield hub
