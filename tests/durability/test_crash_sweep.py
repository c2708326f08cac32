"""The crash sweep: a process that is ended at every operation of save, publish, restore and prune, on every kind of store.

For each point a real process trains a tiny run that saves three checkpoints, publishes and verifies them, and prunes; it is
ended at that operation (`os._exit`), or by `kill -9` at a random moment. Then the same command goes on. Held for every point:

- the newest verified checkpoint of the store never goes back: not by the death, not by what follows;
- what the ledger calls verified is whole in the store, or was deleted behind newer ones;
- the restart ends, and its weights are those of a run that was never ended (SHA-256).

`make sweep` tries every operation; `make test` a part of them, spread over the whole way (LUGHA_SWEEP=all).
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lugha.checkpoints.published import list_published
from lugha.checkpoints.stores.open import open_store
from lugha.runs.folder import find_runs
from lugha.runs.ledger import Ledger
from tests.durability.forks import ForkServer, Outcome
from tests.durability.points import DIED
from tests.durability.worlds import stored
from tests.servers.hub import MiniHub, point_client_at
from tests.servers.rclone import RcloneS3
from tests.worlds import World, documents_world

POINTS = {"folder": 80, "s3": 45, "hub": 40}  # of each store in `make test`
RESTORE, RESTORES = 60, 12  # operations in which a restore surely is over, and how many of them are tried
KILLS = 6  # by kill -9, of each store
TRAIN = {"steps": 10, "save_every": 2, "eval_every": 100, "log_every": 5}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return documents_world(tmp_path_factory.mktemp("world"), train=60, **TRAIN)


@dataclass
class Place:
    """One kind of store, and how to empty it."""

    kind: str
    environment: dict[str, str]
    files: Path | None  # where its objects lie as files of this machine: changes there count as operations
    hub: MiniHub | None = None
    number: int = 0

    def fresh(self, folder: Path) -> str:
        """An address with nothing in it."""
        self.number += 1
        return {
            "folder": str(folder / f"store-{self.number}"),
            "s3": f"s3://sweep/{self.number}",
            "hub": f"hf://mwalimu/sweep/{self.number}",
        }[self.kind]


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one: a process that dies loses no more there, and fsync costs nothing."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path_factory.mktemp("sweep")
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.fixture(scope="module", params=["folder", "s3", "hub"])
def place(request: pytest.FixtureRequest, memory: Path) -> Iterator[Place]:
    folder = memory / f"servers-{request.param}"
    folder.mkdir()
    if request.param == "folder":
        yield Place("folder", {}, folder)
    elif request.param == "s3":
        with RcloneS3(folder) as server:
            server.bucket("sweep")
            yield Place("s3", server.environment, None)
    else:
        with MiniHub() as hub:
            yield Place("hub", hub.environment, None, hub)


def verified_steps(address: str) -> list[int]:
    """Steps of the verified checkpoints, the newest first; every one of them must be whole."""
    return [one.manifest.step for one in list_published(open_store(address)) if one.verified and one.manifest]


class Sweep:
    """Trains to a death, and on; what must hold is checked on the way."""

    def __init__(self, place: Place, world: World, folder: Path, forks: ForkServer) -> None:
        self._place, self._world, self._folder, self._forks = place, world, folder, forks
        self._number = 0
        self.whole = self.attempt()
        assert self.whole.code == 0, self.whole.error
        assert self.whole.weights

    def attempt(self, *deaths: int, wiped: bool = False, kill_after: float | None = None) -> Outcome:
        """Train and die at each operation of `deaths` in turn, then to the end; the outcome of the first attempt.

        Args:
            wiped: the run folder is lost after the first death.
            kill_after: the first death comes by `kill -9` after so many seconds instead.
        """
        self._number += 1
        folder = self._folder / f"{self._number:04d}"
        folder.mkdir(parents=True)
        store = self._place.fresh(self._place.files or folder)
        recipe = stored(self._world, folder / "runs", [store], checkpoints={"keep_newest": 2})
        watched = [folder / "runs"] + ([Path(store)] if self._place.files else [])
        newest, outcomes = 0, []
        for number, death in enumerate((*deaths, None) if kill_after is None else (None, None)):
            after = kill_after if number == 0 else None
            outcome = self._forks.train(
                recipe, self._world.tokens, self._world.tokenizer, folders=watched, die_at=death, kill_after=after
            )
            outcomes.append(outcome)
            steps, said = verified_steps(store), _said_verified(folder / "runs")
            where = f"attempt {number}, operation {death}: {outcome.error}"
            assert outcome.code in (0, DIED), where
            assert max(steps, default=0) >= max(said, default=0), f"{where}: the ledger knows more than the store"
            assert max(steps, default=0) >= newest, f"{where}: the newest verified checkpoint went back"
            newest = max(steps, default=0)
            if wiped and number == 0:
                shutil.rmtree(folder / "runs")
        assert outcomes[-1].code == 0, outcomes[-1].error
        assert newest == TRAIN["steps"]
        if self._number > 1:
            assert outcomes[-1].weights == self.whole.weights, f"operations {deaths}"
        shutil.rmtree(folder)
        return outcomes[0]


@pytest.mark.slow
def test_no_death_at_any_operation_loses_a_verified_checkpoint(
    place: Place, world: World, memory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    if place.hub:
        point_client_at(place.hub, memory / "cache", monkeypatch, token=place.hub.token)
    chance = random.Random(5)
    with ForkServer(place.environment) as forks:
        sweep = Sweep(place, world, memory / place.kind, forks)
        operations, kinds = sweep.whole.operations, sweep.whole.kinds
        points = _spread(operations, POINTS[place.kind])
        reached = sum(sweep.attempt(point).code == DIED for point in points)
        # An empty machine: it restores from the store, dies at each operation of that as well, and restores again.
        late = round(operations * 0.7)
        restores = _spread(RESTORE, RESTORES)
        for point in restores:
            sweep.attempt(late, point, wiped=True)
        for _ in range(KILLS):
            sweep.attempt(kill_after=chance.uniform(0.02, 0.5))
    with capsys.disabled():
        counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
        tried = reached + len(restores) + KILLS
        print(
            f"\n{place.kind}: {tried} deaths: {reached} of {operations} operations {counts}, {len(restores)} of a restore",
            end="",
        )
        print(f", {KILLS} by kill -9")
    # Threads interleave anew in every process: a few of the last points lie behind its end.
    assert reached >= 0.9 * len(points)


def _spread(operations: int, most: int) -> list[int]:
    """Which operations are tried: all, or so many, evenly."""
    if os.environ.get("LUGHA_SWEEP") == "all" or operations <= most:
        return list(range(1, operations + 1))
    return sorted({1 + round(i * (operations - 1) / (most - 1)) for i in range(most)})


def _said_verified(root: Path) -> set[int]:
    """Steps that the ledger calls verified and not deleted."""
    runs = find_runs(root, "tiny")
    steps = [step for run in runs for found in Ledger(run.ledger).verified_steps().values() for step in found]
    return set(steps)
