"""A machine with a runs folder and a recipe with some stores, in front of which a start is chosen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lugha.checkpoints import reaching
from lugha.checkpoints.backoff import Backoff
from lugha.checkpoints.format import verify_checkpoint
from lugha.checkpoints.publish import publish
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.protocol import Store
from lugha.pipeline import resume_from, resuming
from lugha.pipeline.candidates import Start
from lugha.pipeline.resuming import choose_start
from lugha.recipe import Recipe, load_recipe
from lugha.runs.files import write_json
from lugha.runs.folder import RunFolder
from tests.checkpoints.small import RUN, small_checkpoint

OLDER = "small-20261119T104210Z-ffff"
OTHERS = {"train.lr": "0.02"}  # `depends_on` of a run with other values; small checkpoints have none


WorldOf = Callable[..., "World"]


class World:
    """A machine with a runs folder, and a recipe called `small` with some stores."""

    def __init__(self, folder: Path, *stores: Store) -> None:
        self.root = folder / "runs"
        self.stores = {store.address: store for store in stores}
        self.recipe: Recipe = load_recipe(
            "swahili-debug", ["name=small", f"run.root={self.root}", f"publish.stores={json.dumps([*self.stores])}"]
        )
        self.said: list[str] = []

    def start(self, resume: str | None = "auto", *, anew: bool = False, ours: dict[str, str] | None = None) -> Start:
        self.said.clear()
        return choose_start(self.recipe, ours or {}, resume=resume, anew=anew, say=self.said.append)

    def local(self, *steps: int, run: str = RUN, values: dict[str, str] | None = None) -> RunFolder:
        folder = RunFolder(self.root / run)
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
        write_json(folder.path / "run.json", {"depends_on": values or {}})
        for step in steps:
            small_checkpoint(folder.checkpoints, step, run=run)
        return folder

    def published(self, store: Store, *steps: int, run: str = RUN, mark: bool = True) -> list[str]:
        names = []
        for step in steps:
            names.append(store.name_for(run, step))
            publish(store, names[-1], small_checkpoint(self.root.parent / "elsewhere" / run, step, run=run))
            if not mark:
                store.unmark(names[-1])
        return names

    def wipe(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture
def world_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Makes a world whose addresses lead to these stores; what fails for now is tried again at once."""
    monkeypatch.setattr(reaching, "PAUSES", Backoff(first=0.0, cap=0.0))

    def make(*stores: Store) -> World:
        world = World(tmp_path, *stores)

        def open_store(address: str, section: object = None) -> Store:
            return world.stores[address] if address in world.stores else FolderStore(Path(address))

        for module in (resuming, resume_from):
            monkeypatch.setattr(module, "open_store", open_store)
        return world

    return make


def picked(start: Start) -> tuple[str, int]:
    """(run, step) that goes on; step 0: from the beginning. What is found must be whole and in the run's folder."""
    if start.found is None:
        return start.run.id, 0
    assert start.found.folder.parent == start.run.checkpoints
    assert verify_checkpoint(start.found.folder) == start.found.manifest
    assert json.loads((start.run.path / "run.json").read_text()) == {"depends_on": {}}
    return start.run.id, start.found.manifest.step
