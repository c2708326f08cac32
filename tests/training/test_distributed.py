"""Several processes: real ones, started by torchrun, against one process with the same global batch."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lugha.checkpoints.format import list_checkpoints, read_checkpoint, verify_checkpoint
from lugha.checkpoints.restore import Verified
from lugha.errors import InputError, InterruptedRunError
from lugha.recipe import CheckpointsSection, Recipe, dump_recipe, parse_recipe
from lugha.runs.folder import RunFolder, find_runs, new_run, read_jsonl
from lugha.tokens.build_examples import build_preferences
from lugha.training.distributed import Ranks, check_accumulation, one_writer, processes
from lugha.training.loop import train
from tests.training import ranks
from tests.worlds import World, english, sentences

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
ALONE = Ranks(0, 1, 0)


def recipe_of(world: World, **values: object) -> Recipe:
    """Eight steps of four micro-batches, with a checkpoint in the middle."""
    settings = {"accumulation": 4, "steps": 8, "save_every": 4, "eval_every": 4, "eval_batches": 3, **values}
    return ranks.changed(world.recipe, **settings)


def figures(run: Path, *, after: int = 0) -> list[float]:
    """Training and validation losses, gradient norms and measures of a run, in order."""
    lines = [line for line in read_jsonl(run / "metrics.jsonl") if line["step"] > after]
    return [line[name] for line in lines for name in ("loss", "grad_norm", "margin", "accuracy") if name in line]


@dataclass(frozen=True)
class Runs:
    """FOLDER of ranks.py after the processes have ended, and the worlds in it."""

    folder: Path
    worlds: dict[str, World]


@pytest.fixture(scope="session")
def preferences(documents: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The decoder of `documents`, with dropout, that learns to answer in Swahili and not in English."""
    folder = tmp_path_factory.mktemp("preferences")
    rows = [{"prompt": s, "chosen": s, "rejected": english(s)} for s in sentences(80, 1)]
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    values = documents.recipe.model_dump(mode="json")
    values["model"] |= {"max_positions": 256, "dropout": 0.1}
    values["tokens"] |= {"max_length": 224}
    values["examples"] |= {"data": str(data)}
    values["train"] |= {"road": "dpo", "micro_batch_tokens": 1024}
    recipe = parse_recipe(values, "a test's recipe")
    build_preferences(documents.tokenizer, folder / "tokens", tokens=recipe.tokens, examples=recipe.examples)
    return World(documents.split, documents.tokenizer, folder / "tokens", recipe)


@pytest.fixture(scope="session")
def runs(documents: World, pairs: World, preferences: World, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Every case of ranks.py, run by one process and by two."""
    worlds = {"documents": documents, "pairs": pairs, "preferences": preferences}
    folder = tmp_path_factory.mktemp("ranks")
    for name, world in worlds.items():
        recipe = recipe_of(world)
        (folder / name / "one" / "checkpoints").mkdir(parents=True)
        (folder / name / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
        paths = {"tokens": world.tokens, "tokenizer": world.tokenizer}
        (folder / name / "paths.json").write_text(json.dumps(paths, default=str))
        train(recipe, run=RunFolder(folder / name / "one"), say=lambda _: None, **paths)
    command = [*TORCHRUN, str(ROOT / "tests" / "training" / "ranks.py"), str(folder)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return Runs(folder, worlds)


@pytest.mark.slow
@pytest.mark.parametrize(("world", "way"), [(w, way) for w, ways in ranks.CASES.items() for way in ways])
def test_two_processes_make_the_steps_of_one(world: str, way: str, runs: Runs) -> None:
    """Equivalence class: the same global batch on one process, on two with DDP, on two with FSDP2; pairs with dropout."""
    one, two = figures(runs.folder / world / "one"), figures(runs.folder / world / way)
    assert len(one) == (8 + 2) * (3 if world == "preferences" else 1) + 8
    assert two == pytest.approx(one, rel=1e-6, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("world", ranks.CASES)
def test_a_checkpoint_does_not_know_how_many_processes_made_it(world: str, runs: Runs) -> None:
    folders = [runs.folder / world / way / "checkpoints" / "step-00000008" for way in ("one", *ranks.CASES[world])]
    one, *others = folders
    for two in others:
        verify_checkpoint(two)
        assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}
        for file in one.glob("*.safetensors"):
            ours, theirs = load_file(file), load_file(two / file.name)
            assert ours.keys() == theirs.keys()
            for name, tensor in ours.items():
                assert (tensor.dtype, tensor.shape) == (theirs[name].dtype, theirs[name].shape)
                # Attention does not see a bias of its keys, whose gradient is rounding and whose Adam step is noise.
                if "k_proj.bias" not in name:
                    assert theirs[name].numpy() == pytest.approx(tensor.numpy(), rel=1e-3, abs=1e-5)
        plain = [json.loads((folder / "trainer.json").read_text()) for folder in (one, two)]
        assert all(state.pop("train_seconds") > 0 for state in plain)
        assert plain[0] == plain[1]


@pytest.mark.slow
@pytest.mark.parametrize("world", ranks.CASES)
def test_a_checkpoint_moves_between_one_process_and_two(world: str, runs: Runs, tmp_path: Path) -> None:
    whole = figures(runs.folder / world / "one", after=4)
    assert figures(runs.folder / world / "after-one", after=4) == pytest.approx(whole, rel=1e-6)  # resumed by two
    for way in ranks.CASES[world]:
        moved = RunFolder(tmp_path / way)
        shutil.copytree(runs.folder / world / way, moved.path)
        checkpoint = moved.checkpoints / "step-00000004"
        there = runs.worlds[world]
        train(
            recipe_of(there),
            tokens=there.tokens,
            tokenizer=there.tokenizer,
            run=moved,
            resume=Verified(checkpoint, read_checkpoint(checkpoint)),
            say=lambda _: None,
        )
        assert figures(moved.path, after=4) == pytest.approx(whole, rel=1e-6)


@pytest.mark.slow
def test_the_first_process_alone_writes_and_speaks(runs: Runs) -> None:
    events = [e["event"] for e in read_jsonl(runs.folder / "documents" / "ddp" / "events.jsonl")]
    assert events == ["started", "saved", "saved", "finished"]
    steps = [(line["kind"], line["step"]) for line in read_jsonl(runs.folder / "documents" / "ddp" / "metrics.jsonl")]
    assert len(steps) == len({*steps})


@pytest.mark.slow
def test_results_and_errors_of_one_process_reach_the_other(runs: Runs) -> None:
    for rank in (0, 1):
        found = json.loads((runs.folder / f"found-{rank}.json").read_text())
        assert found["total"] == [2.0, 1.0]
        assert found["first"] == "rank 0"
        assert found["first_error"] == "only the first process looked"
        assert found["other_error"] == "only the second process saw it"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_adapters_on_a_half_precision_base_spread_too(way: str, runs: Runs) -> None:
    found = json.loads((runs.folder / "found-0.json").read_text())[way]
    assert found == pytest.approx(ranks.adapters_on_a_bf16_base(ALONE, way), rel=1e-6)


@pytest.mark.slow
def test_a_gradient_that_overflowed_in_one_process_stops_the_update_in_all(runs: Runs) -> None:
    for rank in (0, 1):
        assert json.loads((runs.folder / f"found-{rank}.json").read_text())["overflow"] == [math.inf, 4.0, 0.0]


@contextlib.contextmanager
def two_processes(recipe: Path, world: World) -> Iterator[subprocess.Popen[str]]:
    """`lugha train` under torchrun."""
    command = [*TORCHRUN, "-m", "lugha", "train", "--config", str(recipe), "--resume", "auto"]
    command += ["--tokens", str(world.tokens), "--tokenizer", str(world.tokenizer)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_for_saves(root: Path, count: int, process: subprocess.Popen[str], *, after: str) -> RunFolder:
    """The newest run, once it has saved `count` checkpoints since the event `after`."""
    while process.poll() is None:
        for run in find_runs(root, "tiny"):
            events = [e["event"] for e in read_jsonl(run.path / "events.jsonl")]
            if after in events and events[events.index(after) :].count("saved") >= count:
                return run
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1])


@pytest.mark.slow
def test_killed_or_stopped_the_run_goes_on_from_its_checkpoint(documents: World, tmp_path: Path) -> None:
    """`kill -9` of one process ends the run with its checkpoints; SIGTERM to torchrun saves first; then one process goes on."""
    recipe = recipe_of(documents, steps=100_000, save_every=5, eval_every=50_000, parallel="fsdp")
    recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"root": tmp_path})})
    recipe = recipe.model_copy(update={"checkpoints": CheckpointsSection(keep_newest=3)})
    file = tmp_path / "tiny.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")

    with two_processes(file, documents) as process:
        run = wait_for_saves(tmp_path, 2, process, after="started")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        process.communicate()
        assert process.returncode == 1
    steps = [step for step, folder in list_checkpoints(run.checkpoints) if verify_checkpoint(folder)]
    assert steps
    assert max(steps) >= 10

    with two_processes(file, documents) as process:
        wait_for_saves(tmp_path, 1, process, after="resumed")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
        assert process.returncode != 0
    assert "by signal SIGTERM; saved" in said
    assert find_runs(tmp_path, "tiny") == [run]
    events = [e["event"] for e in read_jsonl(run.path / "events.jsonl")]
    assert events.count("started") == 1
    assert events.count("resumed") == 1
    assert events[-1] == "stopped"
    newest, folder = list_checkpoints(run.checkpoints)[0]
    assert newest == read_jsonl(run.metrics)[-1]["step"]

    (run.path / "STOP").touch()
    resume = Verified(folder, verify_checkpoint(folder))
    with pytest.raises(InterruptedRunError, match=rf"Stopped at step [\d,]+ of 100,000 by the file {run.path / 'STOP'}"):
        train(recipe, tokens=documents.tokens, tokenizer=documents.tokenizer, run=run, resume=resume, say=lambda _: None)
    assert list_checkpoints(run.checkpoints)[0][0] >= newest


def test_a_step_is_cut_into_equal_shares_or_refused(documents: World) -> None:
    check_accumulation(recipe_of(documents).train, Ranks(3, 4, 3))
    for accumulation, size, nearest in ((4, 3, "3 or 6"), (1, 2, "2"), (10, 4, "8 or 12")):
        with pytest.raises(InputError, match=rf"--set train\.accumulation={nearest}, or another --nproc-per-node"):
            check_accumulation(recipe_of(documents, accumulation=accumulation).train, Ranks(0, size, 0))


def test_one_process_joins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.distributed.init_process_group", lambda *_: pytest.fail("a group was opened"))
    monkeypatch.setenv("WORLD_SIZE", "1")
    with processes() as alone:
        assert alone == ALONE
        assert alone.first


def test_half_an_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="WORLD_SIZE is 2, but RANK is not set. Start with torchrun"), processes():
        pass


def test_all_but_the_first_leave_the_run_folder_as_it_is(tmp_path: Path) -> None:
    run = new_run(tmp_path, "tiny")
    run.log_metrics(kind="train", step=3)
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    with one_writer(run, Ranks(1, 2, 1)) as seen:
        seen.log_metrics(kind="train", step=4)
        seen.log_event("saved")
        seen.forget_after(0)
        assert seen.path == run.path
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before
