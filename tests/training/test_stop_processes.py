"""Real processes that are asked to stop: signals, a second one, a store that hangs, a deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lugha.checkpoints.format import list_checkpoints, verify_checkpoint
from lugha.checkpoints.published import list_published
from lugha.checkpoints.restore import find_checkpoint
from lugha.checkpoints.stores.folder import FolderStore
from lugha.recipe import Recipe, dump_recipe
from lugha.runs.folder import RunFolder, find_runs, new_run, read_jsonl
from lugha.training.loop import train
from tests.servers.faults import FaultyLine
from tests.servers.rclone import RcloneS3
from tests.worlds import World

pytestmark = pytest.mark.slow


def recipe_of(
    world: World, root: Path, stores: tuple[str, ...] = (), deadline: str | None = None, **values: object
) -> Recipe:
    recipe = world.recipe
    changes = {
        "run": recipe.run.model_copy(update={"root": root, "deadline": deadline}),
        "train": recipe.train.model_copy(update=values),
        "publish": recipe.publish.model_copy(update={"stores": list(stores)}),
    }
    return recipe.model_copy(update=changes)


@contextlib.contextmanager
def training(world: World, recipe: Recipe, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """`lugha train --resume auto` as a process, killed at the end of the block if it still runs."""
    file = recipe.run.root.with_suffix(".yaml")
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "lugha", "train", "--config", str(file), "--resume", "auto"]
    command += ["--tokens", str(world.tokens), "--tokenizer", str(world.tokenizer)]
    env = os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment or {})
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield process
        finally:
            process.kill()


def the_run(root: Path) -> RunFolder:
    [run] = find_runs(root, "tiny")
    return run


def wait_until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def logged(root: Path) -> list[int]:
    """Steps in the log of the only run."""
    return [line["step"] for run in find_runs(root, "tiny") for line in read_jsonl(run.metrics) if line["kind"] == "train"]


def test_sigterm_in_the_middle_of_a_long_step(documents: World, tmp_path: Path) -> None:
    long = {"accumulation": 120, "micro_batch": 1, "steps": 3, "eval_every": 2, "save_every": None}
    recipe = recipe_of(documents, tmp_path / "runs", **long)
    with training(documents, recipe) as process:
        wait_until(process, lambda: bool(logged(tmp_path / "runs")))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 75, said
    run = the_run(tmp_path / "runs")
    step = logged(tmp_path / "runs")[-1]
    assert step < 3
    assert [s for s, folder in list_checkpoints(run.checkpoints) if verify_checkpoint(folder)] == [step]
    assert said.strip().splitlines()[-1] == (
        f"lugha: Stopped at step {step} of 3 by signal SIGTERM; saved {run.checkpoints / f'step-{step:08d}'}. "
        "The same command with --resume auto goes on from there."
    )
    places = {"tokens": documents.tokens, "tokenizer": documents.tokenizer, "say": lambda _: None}
    done = train(recipe, run=run, resume=find_checkpoint(run.checkpoints, say=print), **places)
    whole = train(recipe, run=new_run(tmp_path, "tiny"), **places)
    assert done.weights_sha256 == whole.weights_sha256
    losses = [[line["loss"] for line in read_jsonl(found.run.metrics)] for found in (done, whole)]
    assert losses[0] == losses[1]


def test_a_second_signal_ends_at_once_and_what_was_saved_is_whole(documents: World, tmp_path: Path) -> None:
    """In the drain of a store that hangs for ever: there the first signal of SageMaker would wait for two minutes."""
    store = tmp_path / "bucket"
    with RcloneS3(store) as server, FaultyLine(server.endpoint) as line:
        server.bucket("tests")
        recipe = recipe_of(documents, tmp_path / "runs", ("s3://tests/p",), steps=100_000, save_every=3, eval_every=100_000)
        line.hang(match="PUT .*/tiny-.*/step-")
        recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"grace": 3600.0})})
        with training(documents, recipe, server.environment | {"AWS_ENDPOINT_URL": line.url}) as process:
            wait_until(process, lambda: line.happened > 0)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            while "a second signal ends the process at once" not in process.stderr.readline():
                assert process.poll() is None
            while process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.2)
            assert process.returncode == 75
        checkpoints = list_checkpoints(the_run(tmp_path / "runs").checkpoints)
        assert all(verify_checkpoint(folder) for _, folder in checkpoints)
        assert checkpoints


def test_sigterm_while_an_upload_hangs_ends_within_the_grace_and_the_next_attempt_publishes(
    documents: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3's threads are in a request that never ends; Python would wait for them at its end."""
    with RcloneS3(tmp_path / "bucket") as server, FaultyLine(server.endpoint) as line:
        server.bucket("tests")
        recipe = recipe_of(documents, tmp_path / "runs", ("s3://tests/p",), steps=100_000, save_every=3, eval_every=100_000)
        recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"grace": 2.0})})
        environment = server.environment | {"AWS_ENDPOINT_URL": line.url}
        line.hang(match="PUT .*/tiny-.*/step-")
        with training(documents, recipe, environment) as process:
            wait_until(process, lambda: line.happened > 0)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate()
        assert process.returncode == 75, said
        run = the_run(tmp_path / "runs")
        newest = list_checkpoints(run.checkpoints)[0][0]
        assert f"saved {run.checkpoints / f'step-{newest:08d}'}. Step {newest} is not verified in s3://tests/p" in said
        assert any(run.spool.iterdir())

        line.heal()
        recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"grace": 120.0})})
        with training(documents, recipe, environment) as process:
            wait_until(process, lambda: len(logged(tmp_path / "runs")) > newest)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate()
        assert process.returncode == 75, said
        assert "not verified" not in said
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        from lugha.checkpoints.stores.open import open_store

        published = list_published(open_store("s3://tests/p"))
        assert all(one.verified for one in published)
        assert newest in [one.step for one in published]
        assert published[0].step == list_checkpoints(run.checkpoints)[0][0]  # that of the moment of the signal


def test_a_deadline_ends_a_run_of_hours_with_a_verified_checkpoint(documents: World, tmp_path: Path) -> None:
    """It ends by itself: a platform that counts the same seconds from the start of the process would not kill it."""
    recipe = recipe_of(documents, tmp_path / "runs", (str(tmp_path / "store"),), "30s", steps=10_000_000, save_every=None)
    recipe = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"eval_every": 10_000_000, "log_every": 100})}
    )
    started = time.time()
    with training(documents, recipe) as process:
        _, said = process.communicate()
    assert process.returncode == 75, said
    assert "by run.deadline 30s; saved" in said
    run = the_run(tmp_path / "runs")
    newest = list_checkpoints(run.checkpoints)[0][0]
    published = list_published(FolderStore(tmp_path / "store"))
    assert (published[0].step, published[0].verified) == (newest, True)
    assert len(published) == 2  # the first of them to learn what a save takes
    last = read_jsonl(run.path / "events.jsonl")[-1]
    assert (last["event"], last["step"], last["unpublished"]) == ("stopped", newest, [])
    assert last["time"] < started + 30


def test_sigterm_in_the_middle_of_a_generation(documents: World, tmp_path: Path) -> None:
    """`lugha evaluate`: nothing half-written, and the next one is whole."""
    run = new_run(tmp_path, "tiny")
    train(documents.recipe, tokens=documents.tokens, tokenizer=documents.tokenizer, run=run, say=lambda _: None)
    prompts = ", ".join(f"mtoto {n}" for n in range(2000))
    command = [sys.executable, "-m", "lugha", "evaluate", "--checkpoint", str(run.path), "--split", str(documents.split)]
    command += ["--metric", "perplexity", "--metric", "generation"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    many = [*command, "--set", f"evaluate.prompts=[{prompts}]", "--set", "evaluate.samples=2000"]
    with subprocess.Popen(many, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert "bits/byte" in process.stdout.readline()
        time.sleep(0.5)  # what comes behind that line is minutes of generation
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 75, said
    assert said.strip().splitlines()[-1] == (
        "lugha: Stopped by signal SIGTERM; nothing half-written was kept. The same command goes on."
    )
    assert not list(run.path.glob("*evaluation*"))
    few = [*command, "--set", "evaluate.prompts=[mtoto]"]
    done = subprocess.run(few, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert (run.path / "evaluation.json").is_file()


def test_sigterm_before_anything_can_be_lost_ends_in_order(tmp_path: Path) -> None:
    """Where nobody asks: here while standard input is awaited."""
    code = "import sys, lugha.cli.main as m; m.app = lambda _: (print('ready', flush=True), sys.stdin.read()); m.main()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert (process.returncode, said) == (75, "lugha: stopped by SIGTERM; the same command goes on where it can.\n")
