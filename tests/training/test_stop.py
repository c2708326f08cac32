"""Stopping: a signal, a file, a deadline or a failing store at any moment costs no step and changes no number."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lugha.checkpoints.format import list_checkpoints, verify_checkpoint
from lugha.checkpoints.restore import Verified, find_checkpoint
from lugha.errors import InterruptedRunError, RefusedError
from lugha.recipe import CheckpointsSection, Recipe, RunSection
from lugha.runs import stopping
from lugha.runs.folder import RunFolder, new_run, read_jsonl
from lugha.runs.ledger import LOCAL, Ledger
from lugha.training.loop import TrainResult, train
from lugha.training.objectives import ROADS
from tests.worlds import World

Act = Callable[[], None]


def changed(world: World, **values: object) -> Recipe:
    return world.recipe.model_copy(update={"train": world.recipe.train.model_copy(update=values)})


def go_on(world: World, recipe: Recipe, run: RunFolder, said: list[str] | None = None) -> TrainResult:
    """Begin a run, or go on with it from its newest checkpoint."""
    found = find_checkpoint(run.checkpoints, say=print)
    say = [] if said is None else said
    return train(recipe, tokens=world.tokens, tokenizer=world.tokenizer, run=run, resume=found, say=say.append)


def lines(run: RunFolder) -> list[dict[str, Any]]:
    """The log without what is a measure of time."""
    timed = ("time", "step_seconds", "tokens_per_second")
    return [{name: value for name, value in line.items() if name not in timed} for line in read_jsonl(run.metrics)]


def sorted_lines(run: RunFolder) -> list[dict[str, Any]]:
    return sorted(lines(run), key=lambda line: (line["step"], line["kind"]))


def events(run: RunFolder) -> list[str]:
    return [line["event"] for line in read_jsonl(run.path / "events.jsonl")]


def signalled(number: signal.Signals = signal.SIGTERM) -> None:
    """A real signal to this process, once it is heard."""
    os.kill(os.getpid(), number)
    assert stopping._current is not None
    while stopping._current.reason() is None:
        time.sleep(0.001)


class Forward:
    """Does something in the middle of the n-th forward from now on, of training and validation alike."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, road: str = "pretrain") -> None:
        self.count, self.at, self.act = 0, -1, signalled
        cost = ROADS[road].cost

        def counted(*given: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                self.act()
            return cost(*given)

        monkeypatch.setitem(ROADS, road, dataclasses.replace(ROADS[road], cost=counted))

    def then(self, at: int, act: Act = signalled) -> None:
        self.count, self.at, self.act = 0, at, act


# One forward checks the start of a new run; then 3 steps of 8 micro-batches, a validation of 2, 3 steps, a validation.
SETTINGS: dict[str, object] = {"accumulation": 8, "micro_batch": 1, "steps": 6, "eval_every": 3, "log_every": 2}
SETTINGS |= {"save_every": None}


@pytest.fixture(scope="module")
def whole(documents: World, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """The run that is never stopped."""
    return go_on(documents, changed(documents, **SETTINGS), new_run(tmp_path_factory.mktemp("whole"), "tiny"))


@pytest.mark.parametrize(
    ("at", "step", "saved"),
    [
        (2, 0, []),  # the first micro-batch of all: nothing was learned
        (9, 1, [1]),  # the last micro-batch of step 1 is the end of it
        (10, 1, [1]),  # the first of step 2
        (14, 1, [1]),  # in its middle
        (25, 3, [3]),  # the last of step 3: its validation is due and not begun
        (26, 3, [3]),  # in the validation
        (27, 3, [3]),  # in its last batch, so that it ends
        (28, 3, [3]),
        (50, 5, [5]),  # the last micro-batch but one of the last step
        (51, 6, [6]),  # the last of all: a validation is left
        (52, 6, [6]),
    ],
)
def test_a_signal_at_any_moment_loses_no_step_and_changes_no_number(
    at: int,
    step: int,
    saved: list[int],
    documents: World,
    whole: TrainResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe, run, forward = changed(documents, **SETTINGS), new_run(tmp_path, "tiny"), Forward(monkeypatch)
    forward.then(at)
    with pytest.raises(InterruptedRunError, match=f"Stopped at step {step} of 6 by signal SIGTERM") as caught:
        go_on(documents, recipe, run)
    assert caught.value.exit_code == 75
    assert [s for s, _ in list_checkpoints(run.checkpoints)] == saved
    assert all(verify_checkpoint(folder) for _, folder in list_checkpoints(run.checkpoints))
    assert forward.count == at  # none was begun behind it, of training or validation
    status = json.loads((run.path / "status.json").read_bytes())
    assert status["state"] == "stopped"
    assert not run.finished.exists()
    done = go_on(documents, recipe, run)
    assert done.weights_sha256 == whole.weights_sha256
    assert sorted_lines(run) == sorted_lines(whole.run)
    assert json.loads((run.path / "status.json").read_bytes())["state"] == "finished"


def test_a_signal_when_everything_is_done_stops_what_would_come_behind_it(
    documents: World, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run, forward = changed(documents, **SETTINGS), new_run(tmp_path, "tiny"), Forward(monkeypatch)
    forward.then(53)  # the last batch of the last validation
    with pytest.raises(InterruptedRunError, match="Stopped by signal SIGTERM. The same command goes on with what is left"):
        go_on(documents, recipe, run)
    assert json.loads(run.finished.read_bytes())["weights_sha256"] == whole.weights_sha256
    assert sorted_lines(run) == sorted_lines(whole.run)


def test_stopped_after_every_step_the_run_is_the_same(
    documents: World, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run, forward = changed(documents, **SETTINGS), new_run(tmp_path, "tiny"), Forward(monkeypatch)
    attempts = 0
    while not run.finished.exists():
        forward.then(9 if attempts == 0 else 8)
        attempts += 1
        try:
            go_on(documents, recipe, run)
        except InterruptedRunError:
            continue
    assert attempts > 5
    assert verify_checkpoint(list_checkpoints(run.checkpoints)[0][1]).weights_sha256() == whole.weights_sha256
    assert sorted_lines(run) == sorted_lines(whole.run)


class DeathError(Exception):
    """Stands for `kill -9` where what comes behind it must not run."""


def die() -> None:
    raise DeathError


@pytest.mark.parametrize("at", [26, 27])
def test_killed_between_save_and_validation_the_validation_comes_first(
    at: int, documents: World, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run, forward = (
        changed(documents, **SETTINGS | {"save_every": 3}),
        new_run(tmp_path, "tiny"),
        Forward(monkeypatch),
    )
    forward.then(at, die)
    with pytest.raises(DeathError):
        go_on(documents, recipe, run)
    assert json.loads((run.path / "status.json").read_bytes())["state"] == "failed"
    forward.then(1, die)  # again, in the validation that was not done
    with pytest.raises(DeathError):
        go_on(documents, recipe, run)
    assert [line["kind"] for line in lines(run) if line["step"] == 3] == []
    done = go_on(documents, recipe, run)
    assert done.weights_sha256 == whole.weights_sha256
    assert sorted_lines(run) == sorted_lines(whole.run)


def test_killed_before_the_first_save_it_begins_again_with_an_empty_log(
    documents: World, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, run, forward = changed(documents, **SETTINGS), new_run(tmp_path, "tiny"), Forward(monkeypatch)
    forward.then(40, die)
    with pytest.raises(DeathError):
        go_on(documents, recipe, run)
    assert lines(run) != []
    go_on(documents, recipe, run)
    assert lines(run) == lines(whole.run)


def test_pairs_with_dropout_stop_as_well(pairs: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, forward = changed(pairs, accumulation=4, steps=5, eval_every=2), Forward(monkeypatch, "seq2seq")
    whole = go_on(pairs, recipe, new_run(tmp_path / "whole", "tiny"))
    run = new_run(tmp_path, "tiny")
    forward.then(1 + 4 * 2 + 2 + 3)
    with pytest.raises(InterruptedRunError, match="Stopped at step 2 of 5"):
        go_on(pairs, recipe, run)
    assert go_on(pairs, recipe, run).weights_sha256 == whole.weights_sha256
    assert sorted_lines(run) == sorted_lines(whole.run)


def test_a_touch_of_stop_stops_and_a_touch_of_save_saves(
    documents: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "_POLL_SECONDS", 0.0)
    recipe, run, forward = changed(documents, **SETTINGS), new_run(tmp_path, "tiny"), Forward(monkeypatch)
    forward.then(12, (run.path / "SAVE").touch)
    whole = go_on(documents, recipe, run)
    assert [step for step, _ in list_checkpoints(run.checkpoints)] == [6, 2]
    assert not (run.path / "SAVE").exists()

    run = new_run(tmp_path, "tiny")
    forward.then(12, (run.path / "STOP").touch)
    with pytest.raises(InterruptedRunError, match=f"Stopped at step 1 of 6 by the file {run.path / 'STOP'}; saved"):
        go_on(documents, recipe, run)
    assert [step for step, _ in list_checkpoints(run.checkpoints)] == [1]
    assert not (run.path / "STOP").exists()  # obeyed: the same command goes on
    assert go_on(documents, recipe, run).weights_sha256 == whole.weights_sha256


def test_the_clock_saves_between_the_steps_of_save_every(documents: World, tmp_path: Path) -> None:
    recipe = changed(documents, steps=30, save_every=None, eval_every=100)
    recipe = recipe.model_copy(update={"checkpoints": CheckpointsSection(interval="0.000001s")})
    run = new_run(tmp_path, "tiny")
    go_on(documents, recipe, run)
    assert [step for step, _ in list_checkpoints(run.checkpoints)] == list(range(30, 0, -1))
    saved = [line for line in Ledger(run.ledger).lines() if line["event"] == "saved"]
    assert [line["step"] for line in saved] == list(range(1, 31))
    assert {line["store"] for line in saved} == {LOCAL}


def in_seconds(seconds: float) -> str:
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)).isoformat()


def test_before_its_deadline_a_run_ends_by_itself(documents: World, tmp_path: Path) -> None:
    """Hours of steps, eight seconds of time."""
    ends = in_seconds(8)
    recipe = changed(documents, steps=10_000_000, eval_every=10_000_000, save_every=None)
    recipe = recipe.model_copy(update={"run": RunSection(root=tmp_path, deadline=ends)})
    run, said = new_run(tmp_path, "tiny"), []
    with pytest.raises(InterruptedRunError, match="Stopped at step .* of 10,000,000 by run.deadline .*; saved"):
        go_on(documents, recipe, run, said)
    assert datetime.datetime.now(datetime.UTC) < datetime.datetime.fromisoformat(ends)
    assert any(text.startswith(f"deadline {ends}, in ") for text in said)
    steps = [step for step, folder in list_checkpoints(run.checkpoints) if verify_checkpoint(folder)]
    assert len(steps) == 2  # one in the first tenth of the time, so that the cost of a save was known; and the last
    assert steps[0] == read_jsonl(run.path / "events.jsonl")[-1]["step"]


def test_a_deadline_that_leaves_no_time_is_refused_before_the_first_step(documents: World, tmp_path: Path) -> None:
    for seconds, match in ((-5, "is over since"), (2.1, "no step would be made|nothing fits before it")):
        recipe = documents.recipe.model_copy(update={"run": RunSection(root=tmp_path, deadline=in_seconds(seconds))})
        run = new_run(tmp_path, "tiny")
        with pytest.raises(RefusedError, match=match):
            go_on(documents, recipe, run)
        assert list_checkpoints(run.checkpoints) == []
        assert lines(run) == []


def test_lost_lines_of_the_log_come_back_from_the_checkpoint(
    documents: World, whole: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wiped machine has none of them, one that lost power perhaps not the last ones, or zeros in their place."""
    recipe, run, forward = changed(documents, **SETTINGS), new_run(tmp_path, "tiny"), Forward(monkeypatch)
    forward.then(1 + 8 * 3 + 2 + 10)
    with pytest.raises(InterruptedRunError, match="Stopped at step 4"):
        go_on(documents, recipe, run)
    right = run.metrics.read_bytes()
    for left in (b"", right[: right.index(b"\n") + 1], right[:-7], b"\0" * 100 + b"\n" + right):
        other = RunFolder(tmp_path / str(len(left)) / run.id)
        other.checkpoints.mkdir(parents=True)
        stopped = list_checkpoints(run.checkpoints)[0][1]
        shutil.copytree(stopped, other.checkpoints / stopped.name)
        if left:
            other.metrics.write_bytes(left)
        assert go_on(documents, recipe, other).weights_sha256 == whole.weights_sha256
        assert sorted_lines(other) == sorted_lines(whole.run)


def test_an_older_checkpoint_takes_the_log_back_to_its_step(documents: World, whole: TrainResult, tmp_path: Path) -> None:
    recipe, run = changed(documents, **SETTINGS | {"save_every": 2}), new_run(tmp_path, "tiny")
    go_on(documents, recipe, run)
    older = next(folder for step, folder in list_checkpoints(run.checkpoints) if step == 2)
    resume = Verified(older, verify_checkpoint(older))
    done = train(recipe, tokens=documents.tokens, tokenizer=documents.tokenizer, run=run, resume=resume, say=lambda _: None)
    assert done.weights_sha256 == whole.weights_sha256
    assert sorted_lines(run) == sorted_lines(whole.run)
