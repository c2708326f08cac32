"""The loop: it learns, a resumed run is the same run, and it stops with a checkpoint."""

from __future__ import annotations

import dataclasses
import functools
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lugha.checkpoints.format import TrainerState, list_checkpoints, read_checkpoint
from lugha.checkpoints.restore import Verified, find_checkpoint
from lugha.errors import InputError, RefusedError
from lugha.recipe import CheckpointsSection, Recipe, dump_recipe
from lugha.runs.folder import RunFolder, find_runs, new_run, read_jsonl
from lugha.training import loop
from lugha.training.loop import TrainResult, train
from lugha.training.objectives import ROADS, Cost, causal_cost
from tests.worlds import World, documents_world


def changed(recipe: Recipe, **values: object) -> Recipe:
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=values)})


def run_of(world: World, root: Path, recipe: Recipe | None = None, resume: Verified | None = None) -> TrainResult:
    run = RunFolder(resume.folder.parent.parent) if resume else new_run(root, "tiny")
    return train(
        recipe or world.recipe, tokens=world.tokens, tokenizer=world.tokenizer, run=run, resume=resume, say=lambda _: None
    )


@pytest.mark.parametrize("road", ["documents", "pairs"])
def test_the_loss_falls_and_everything_is_logged(road: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    world: World = request.getfixturevalue(road)
    done = run_of(world, tmp_path, changed(world.recipe, steps=60, save_every=30, eval_every=30, lr=1e-2))
    lines = read_jsonl(done.run.metrics)
    losses = [r["loss"] for r in lines if r["kind"] == "train"]
    assert len(losses) == 60
    assert losses[-1] < losses[0] - 1
    assert [r["step"] for r in lines if r["kind"] == "validation"] == [30, 60]
    assert {"loss", "lr", "grad_norm", "tokens", "tokens_per_second", "step_seconds", "time", "step", "kind"} == set(
        lines[0]
    )
    events = [e["event"] for e in read_jsonl(done.run.path / "events.jsonl")]
    assert events == ["started", "saved", "saved", "finished"]
    assert [s for s, _ in list_checkpoints(done.run.checkpoints)] == [60, 30]


@pytest.mark.parametrize("road", ["documents", "pairs"])
def test_a_resumed_run_is_the_same_run_bit_for_bit(road: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """From the middle of an epoch and, for documents, past the end of one; pairs train with dropout."""
    world: World = request.getfixturevalue(road)
    recipe = changed(world.recipe, steps=50, save_every=7)
    whole = run_of(world, tmp_path / "whole", recipe)
    metrics = [r["loss"] for r in read_jsonl(whole.run.metrics) if r["kind"] == "train"]
    for step in (7, 42):
        stopped = run_of(world, tmp_path / f"{step}", changed(recipe, steps=50))
        for later, folder in list_checkpoints(stopped.run.checkpoints):
            if later > step:
                (folder / "manifest.json").unlink()
                for file in folder.iterdir():
                    file.unlink()
                folder.rmdir()
        found = find_checkpoint(stopped.run.checkpoints, say=print)
        assert found is not None
        assert found.manifest.step == step
        resumed = run_of(world, tmp_path, recipe, found)
        assert resumed.weights_sha256 == whole.weights_sha256
        assert [r["loss"] for r in read_jsonl(resumed.run.metrics) if r["kind"] == "train"] == metrics


def test_a_run_of_epochs_takes_the_steps_that_follow(documents: World, tmp_path: Path) -> None:
    """35 micro-batches an epoch, in steps of four."""
    done = run_of(documents, tmp_path, changed(documents.recipe, epochs=0.8, accumulation=4, steps=1))
    assert done.step == 7
    rates = [line["lr"] for line in read_jsonl(done.run.metrics) if line["kind"] == "train"]
    assert rates[-1] == pytest.approx(documents.recipe.train.min_lr)


@pytest.mark.parametrize("road", ["documents", "pairs"])
def test_fp16_learns_skips_what_overflows_and_resumes_bit_for_bit(
    road: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a loss scale at which the first gradients overflow; gone on with while they still do."""
    world: World = request.getfixturevalue(road)
    monkeypatch.setattr(loop, "TrainerState", functools.partial(TrainerState, loss_scale=2.0**30))
    recipe = changed(world.recipe, steps=40, save_every=2, precision="fp16")
    whole = run_of(world, tmp_path / "whole", recipe)
    lines = [line for line in read_jsonl(whole.run.metrics) if line["kind"] == "train"]
    skipped = [e["step"] for e in read_jsonl(whole.run.path / "events.jsonl") if e["event"] == "skipped"]
    assert skipped[:3] == [1, 2, 3]
    assert lines[-1]["skipped"] == len(skipped)
    assert lines[-1]["loss_scale"] == 2.0 ** (30 - len(skipped))
    first = list_checkpoints(whole.run.checkpoints)[-1][1]
    assert not any(tensor.any() for tensor in load_file(first / "optimiser.safetensors").values())  # nothing learned yet
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.1

    stopped = shutil.copytree(whole.run.path, tmp_path / whole.run.id)
    resumed = run_of(world, tmp_path, recipe, Verified(stopped / "checkpoints" / first.name, read_checkpoint(first)))
    assert resumed.weights_sha256 == whole.weights_sha256 != read_checkpoint(first).weights_sha256()
    assert [r["loss"] for r in read_jsonl(resumed.run.metrics) if r["kind"] == "train"] == [r["loss"] for r in lines]


def test_gradients_that_overflow_at_any_scale_are_refused(
    documents: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steep(*given: object) -> Cost:
        cost = causal_cost(*given)
        return cost._replace(objective=cost.objective * 1e30)

    monkeypatch.setitem(ROADS, "pretrain", dataclasses.replace(ROADS["pretrain"], cost=steep))
    with pytest.raises(RefusedError, match=r"Step 17: gradients overflow fp16 whatever the loss scale \(17 updates"):
        run_of(documents, tmp_path, changed(documents.recipe, steps=40, precision="fp16"))


def test_accumulation_is_the_same_step_in_smaller_pieces(documents: World, tmp_path: Path) -> None:
    """Equivalence class: 8 rows at once, or 1 row 8 times."""
    losses = []
    for rows, pieces in ((8, 1), (1, 8)):
        done = run_of(documents, tmp_path, changed(documents.recipe, micro_batch=rows, accumulation=pieces))
        losses.append([r["loss"] for r in read_jsonl(done.run.metrics) if r["kind"] == "train"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    drift = [a - b for a, b in zip(*losses, strict=True)]
    assert max(drift) > 0 > min(drift) or max(map(abs, drift)) < 1e-6  # no one-sided drift, as a lost share would give


def test_gradient_checkpointing_changes_nothing_but_memory(documents: World, tmp_path: Path) -> None:
    plain = run_of(documents, tmp_path, documents.recipe)
    checkpointed = run_of(documents, tmp_path, changed(documents.recipe, gradient_checkpointing=True))
    assert plain.weights_sha256 == checkpointed.weights_sha256


def test_a_changed_recipe_cannot_resume_and_the_line_says_what_changed(documents: World, tmp_path: Path) -> None:
    done = run_of(documents, tmp_path)
    resume = Verified(done.checkpoint, read_checkpoint(done.checkpoint))
    with pytest.raises(RefusedError, match=r"train\.lr \(0\.001 here, 0\.003 there\)"):
        run_of(documents, tmp_path, changed(documents.recipe, lr=1e-3), resume)
    other = documents_world(tmp_path / "other", train=300)
    with pytest.raises(RefusedError, match=r"data \("):
        run_of(other, tmp_path, changed(other.recipe), resume)
    run_of(documents, tmp_path, changed(documents.recipe, log_every=3, eval_every=4), resume)  # these are free


def test_a_tokenizer_larger_than_the_model_is_refused(documents: World, tmp_path: Path) -> None:
    small = documents.recipe.model_copy(update={"model": documents.recipe.model.model_copy(update={"vocab_size": 300})})
    with pytest.raises(InputError, match=r"tokens, but model\.vocab_size is 300: ids would be out of range"):
        run_of(documents, tmp_path, small)


def test_pairs_do_not_go_with_a_decoder(pairs: World, documents: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds pairs, but road pretrain trains on documents"):
        train(documents.recipe, tokens=pairs.tokens, tokenizer=pairs.tokenizer, run=new_run(tmp_path, "x"), say=print)


def test_tokens_of_another_tokenizer_are_refused(documents: World, pairs: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="made with another tokenizer"):
        train(documents.recipe, tokens=documents.tokens, tokenizer=pairs.tokenizer, run=new_run(tmp_path, "x"), say=print)


def test_a_loss_that_is_not_a_number_stops_before_the_update(documents: World, tmp_path: Path) -> None:
    wild = changed(documents.recipe, lr=1e30, min_lr=1e30, clip=1e30, steps=12, save_every=1, warmup_steps=0)
    with pytest.raises(RefusedError, match=r"not a number, so the update was not made. Last checkpoint: .*step-0000000"):
        run_of(documents, tmp_path, wild)


@pytest.mark.slow
@pytest.mark.parametrize(("road", "times"), [("documents", 10), ("pairs", 3)])
def test_killed_at_random_moments_the_weights_are_the_same(
    road: str, times: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """`kill -9` of a real `lugha train`, each time gone on with by --resume auto."""
    world: World = request.getfixturevalue(road)
    recipe = changed(world.recipe, steps=400, save_every=5, eval_every=50, log_every=1)
    recipe = recipe.model_copy(update={"checkpoints": CheckpointsSection(keep_newest=3)})
    whole = run_of(world, tmp_path / "whole", recipe)

    killed = recipe.model_copy(update={"run": recipe.run.model_copy(update={"root": tmp_path / "killed"})})
    file = tmp_path / "tiny.yaml"
    file.write_text(dump_recipe(killed), encoding="utf-8")
    command = [sys.executable, "-m", "lugha", "train", "--config", str(file), "--resume", "auto"]
    command += ["--tokens", str(world.tokens), "--tokenizer", str(world.tokenizer)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    chance = random.Random(11)

    def step() -> int:
        runs = find_runs(tmp_path / "killed", "tiny")
        lines = read_jsonl(runs[0].metrics) if runs else []
        return int(lines[-1]["step"]) if lines else 0

    kills = 0
    while kills < times:
        goal = step() + chance.randint(1, 25)
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and step() < goal:
                time.sleep(0.002)
            time.sleep(chance.random() * 0.02)
            assert process.poll() is None, "the run ended before the last kill"
            process.kill()
            kills += 1
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert whole.weights_sha256 in done.stdout
    assert len(find_runs(tmp_path / "killed", "tiny")) == 1
