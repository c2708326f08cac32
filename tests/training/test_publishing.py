"""Training with stores: what is verified when it ends, and what happens when a store is slow, dead, or refuses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lugha.checkpoints.format import list_checkpoints
from lugha.checkpoints.published import list_published
from lugha.checkpoints.stores.folder import FolderStore
from lugha.checkpoints.stores.protocol import MARKER, StoreError
from lugha.errors import InterruptedRunError, RefusedError
from lugha.recipe import PublishSection, Recipe, RunSection
from lugha.runs.folder import RunFolder, new_run, read_jsonl
from lugha.runs.ledger import Ledger
from lugha.training import publishing
from tests.training.test_stop import Forward, go_on
from tests.worlds import World


class GatedStore(FolderStore):
    """A folder whose uploads of checkpoints wait at a gate, or fail there."""

    gate = threading.Event()
    waiting = threading.Event()
    dead = False

    def upload(self, name: str, folder: Path, files: Sequence[str]) -> None:
        if not name.startswith("canary"):
            self.waiting.set()
            if self.dead and not self.gate.is_set():
                raise StoreError(f"{self.address}: 503", permanent=False)
            self.gate.wait()
        super().upload(name, folder, files)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Closed; the test opens it."""
    GatedStore.gate, GatedStore.waiting, GatedStore.dead = threading.Event(), threading.Event(), False
    monkeypatch.setattr(publishing, "open_store", lambda address, section: GatedStore(Path(address)))
    yield GatedStore.gate
    GatedStore.gate.set()


def stored(world: World, *stores: Path, grace: float = 30.0, **publish: object) -> Recipe:
    """Twelve steps, saved at 4, 8 and 12."""
    section = PublishSection(stores=[str(store) for store in stores], **publish)
    return world.recipe.model_copy(update={"publish": section, "run": RunSection(grace=f"{grace}s")})


def status(run: RunFolder) -> dict[str, object]:
    return json.loads((run.path / "status.json").read_bytes())


def test_a_finished_run_is_verified_and_promoted_in_every_store(documents: World, tmp_path: Path) -> None:
    stores = [tmp_path / "disk", tmp_path / "mount"]
    run, said = new_run(tmp_path, "tiny"), []
    done = go_on(documents, stored(documents, *stores), run, said)
    for store in stores:
        published = list_published(FolderStore(store))
        assert [one.step for one in published if one.verified] == [12, 8, 4]
        assert [one.step for one in published if one.promoted] == [12]
        assert f"step 12 verified in {store} after 0 s" in said
    assert status(run)["state"] == "finished"
    assert status(run)["health"] == "green"
    assert status(run)["verified"] == {str(store): 12 for store in stores}
    assert not any(run.spool.iterdir())
    written = [(line["event"], line["step"]) for line in Ledger(run.ledger).lines() if line["store"] == str(stores[0])]
    assert written[-1] == ("promoted", 12)
    assert (done.step, run.finished.exists()) == (12, True)


def test_a_signal_in_mid_upload_publishes_what_fits_into_the_grace(
    documents: World, tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing fits here: it is kept in the spool, and the same command sends it first."""
    recipe, run, forward = stored(documents, tmp_path / "disk", grace=0.5), new_run(tmp_path, "tiny"), Forward(monkeypatch)
    forward.then(1 + 6 + 2 + 1)  # in step 7
    with pytest.raises(
        InterruptedRunError, match="saved .*step-00000007. Step 7 is not verified in .*; the next attempt"
    ) as caught:
        go_on(documents, recipe, run)
    assert caught.value.exit_code == 75
    assert status(run)["state"] == "stopped"
    assert status(run)["health"] == "red"
    assert len(list(run.spool.iterdir())) == 2  # steps 4 and 7
    assert list((tmp_path / "disk").rglob(MARKER)) == []
    gate.set()
    done = go_on(documents, recipe, run)
    assert [one.step for one in list_published(FolderStore(tmp_path / "disk")) if one.verified] == [12, 8, 7, 4]
    assert done.weights_sha256 == go_on(documents, documents.recipe, new_run(tmp_path, "tiny")).weights_sha256


def test_a_signal_while_an_upload_ends_in_time_leaves_a_verified_checkpoint_of_that_moment(
    documents: World, tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run, forward = stored(documents, tmp_path / "disk"), new_run(tmp_path, "tiny"), Forward(monkeypatch)
    forward.then(1 + 6 + 2 + 1)
    signalled = forward.act

    def signal_then_open() -> None:
        GatedStore.waiting.wait()
        signalled()
        gate.set()

    forward.act = signal_then_open
    with pytest.raises(InterruptedRunError, match=r"by signal SIGTERM; saved .*step-00000007\. The same command"):
        go_on(documents, recipe, run)
    assert [one.step for one in list_published(FolderStore(tmp_path / "disk")) if one.verified] == [7, 4]
    assert status(run)["health"] == "green"


def test_a_run_whose_store_died_stops_by_policy_with_a_last_local_save(
    documents: World, tmp_path: Path, gate: threading.Event
) -> None:
    GatedStore.dead = True
    recipe = stored(documents, tmp_path / "disk", max_unverified_age="0.1s", stop_unverified_age="0.2s")
    recipe = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"steps": 10_000_000, "eval_every": 10_000_000})}
    )
    run = new_run(tmp_path, "tiny")
    with pytest.raises(InterruptedRunError, match="Stopped at step .* by no checkpoint was verified in .* for") as caught:
        go_on(documents, recipe, run)
    step = list_checkpoints(run.checkpoints)[0][0]
    assert f"Stopped at step {step:,} of" in str(caught.value)
    assert status(run)["health"] == "red"
    last = read_jsonl(run.path / "events.jsonl")[-1]
    assert (last["event"], last["step"]) == ("stopped", step)
    assert last["unpublished"]


def test_an_end_that_is_not_published_is_no_end(documents: World, tmp_path: Path, gate: threading.Event) -> None:
    GatedStore.dead = True
    recipe = stored(documents, tmp_path / "disk", max_unverified_age="0.1s", stop_unverified_age="0.5s")
    train = recipe.train.model_copy(update={"save_every": None})
    recipe, run = recipe.model_copy(update={"train": train}), new_run(tmp_path, "tiny")
    with pytest.raises(
        InterruptedRunError, match="Trained to the end and saved .*step-00000012, but step 12 is not verified"
    ):
        go_on(documents, recipe, run)
    assert not run.finished.exists()
    assert status(run)["health"] == "red"
    gate.set()
    assert go_on(documents, recipe, run).step == 12
    assert [one.promoted for one in list_published(FolderStore(tmp_path / "disk"))] == [True]
    assert status(run)["state"] == "finished"
    assert status(run)["health"] == "green"


def test_killed_between_its_save_and_its_way_to_the_store_a_checkpoint_is_sent_by_the_next_attempt(
    documents: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = tmp_path / "disk", new_run(tmp_path, "tiny")
    go_on(documents, stored(documents), run)  # the last step is saved, and no store knows of it
    run.finished.unlink()
    go_on(documents, stored(documents, store), run)
    assert [(one.step, one.promoted) for one in list_published(FolderStore(store))] == [(12, True)]


def test_a_store_that_refuses_is_one_line_before_the_first_step(documents: World, tmp_path: Path) -> None:
    run = new_run(tmp_path, "tiny")
    with pytest.raises(RefusedError, match="there is no folder .*/not-mounted. Mount the drive"):
        go_on(documents, stored(documents, tmp_path / "not-mounted" / "x"), run)
    assert list_checkpoints(run.checkpoints) == []
    assert not run.metrics.exists()
