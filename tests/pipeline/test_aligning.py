"""Alignment: a checkpoint learns from instructions and preferences by the ordinary stages, and says what it gained."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lugha.checkpoints.format import read_checkpoint
from lugha.errors import InputError, InterruptedRunError
from lugha.models.build import load_model
from lugha.pipeline.aligning import align, aligned_recipe
from lugha.pipeline.comparing import FILES, InstructionResult, PreferenceResult
from lugha.pipeline.layout import Layout
from lugha.pipeline.run import run_recipe
from lugha.recipe import Recipe, dump_recipe, load_recipe
from lugha.runs.files import sha256_file
from lugha.runs.folder import find_runs, new_run, read_jsonl
from lugha.runs.manifest import read_manifest
from lugha.runs.notices import Ask
from lugha.training.data import open_run_data
from lugha.training.device import choose_compute
from lugha.training.loop import TrainResult, train
from lugha.training.reference import log_probs_of, reference_log_probs
from tests.worlds import documents_world, english, sentences


def rows(count: int, seed: int) -> list[dict[str, str]]:
    """Preferences that a small model can learn: the sentence itself is better than its English."""
    return [{"prompt": s, "chosen": s, "rejected": english(s)} for s in sentences(count, seed)]


def write_rows(path: Path, content: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A decoder of some thousand parameters, trained for a few steps, with room for a template."""
    folder = tmp_path_factory.mktemp("start")
    world = documents_world(folder, steps=40, save_every=40, eval_every=40, lr=1e-2)
    model = world.recipe.model.model_copy(update={"max_positions": 256})
    tokens = world.recipe.tokens.model_copy(update={"max_length": 224})
    recipe = world.recipe.model_copy(update={"model": model, "tokens": tokens})
    run = new_run(folder / "runs", recipe.name)
    return train(recipe, tokens=world.tokens, tokenizer=world.tokenizer, run=run, say=lambda _: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.jsonl and held.jsonl."""
    folder = tmp_path_factory.mktemp("data")
    write_rows(folder / "train.jsonl", rows(160, 1))
    write_rows(folder / "held.jsonl", rows(40, 2))
    return folder


def recipe_for(road: str, checkpoint: Path, data: Path, root: Path, *overrides: str, **options: float) -> Recipe:
    return aligned_recipe(
        road,
        checkpoint=checkpoint,
        data=data / "train.jsonl",
        validation_data=data / "held.jsonl",
        root=root,
        overrides=["train.log_every=1", "evaluate.bootstrap=100", *overrides],
        say=lambda _: None,
        **options,  # type: ignore[arg-type]
    )


def recipe_of(checkpoint: Path) -> Recipe:
    return load_recipe(checkpoint / "recipe.yaml")


def test_dpo_grows_the_margin_and_prefers_as_people_do(start: TrainResult, data: Path, tmp_path: Path) -> None:
    recipe = recipe_for("dpo", start.checkpoint, data, tmp_path, lr=1e-2, epochs=2)
    said: list[str] = []
    done = align(recipe, say=said.append)
    steps = [line for line in read_jsonl(done.run.metrics) if line["kind"] == "train"]
    assert steps[0]["loss"] == pytest.approx(float(np.log(2)), rel=1e-6)
    assert steps[0]["margin"] == 0.0
    assert steps[-1]["margin"] > 1.0
    assert steps[-1]["accuracy"] > 0.8
    assert steps[-1]["loss"] < 0.5
    result = done.result
    assert isinstance(result, PreferenceResult)
    assert (result.after.pairs, result.too_long) == (40, 0)
    assert result.before.reward_accuracy is None
    assert result.after.reward_accuracy is not None
    assert result.after.reward_accuracy.value > 0.9
    assert result.accuracy_gain.value == pytest.approx(result.after.accuracy.value - result.before.accuracy.value)
    assert PreferenceResult.model_validate_json((done.run.path / FILES["dpo"]).read_bytes()) == result
    assert any("gain" in line for line in said)
    validation = [line for line in read_jsonl(done.run.metrics) if line["kind"] == "validation"][-1]
    assert validation["accuracy"] == pytest.approx(result.after.reward_accuracy.value)


@contextlib.contextmanager
def noticed_at_once(ask: Ask) -> Iterator[None]:
    """A notice of the cloud before the first step."""
    ask("the machine goes", within=60.0)
    yield


def test_the_reference_is_that_of_the_start_before_and_after(
    start: TrainResult, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_for("dpo", start.checkpoint, data, tmp_path / "runs", lr=1e-2)
    weights = sha256_file(start.checkpoint / "model.safetensors")
    monkeypatch.setattr("lugha.training.loop.noticed", noticed_at_once)
    with pytest.raises(InterruptedRunError, match="Stopped at step 0 of .* by the machine goes"):
        align(recipe, say=lambda _: None)
    monkeypatch.undo()
    run = find_runs(recipe.run.root, recipe.name)[0]
    stored = run.path / "reference" / "train.safetensors"
    before = sha256_file(stored)
    done = align(recipe, say=lambda _: None)
    assert done.run.path == run.path  # the same run went on
    assert sha256_file(stored) == before
    assert sha256_file(start.checkpoint / "model.safetensors") == weights
    batches = open_run_data(recipe_of(done.checkpoint), Layout.of(recipe).tokens, start.checkpoint).training
    compute = choose_compute(recipe.train)
    again = log_probs_of(load_model(start.checkpoint), batches, compute)  # type: ignore[arg-type]
    found = reference_log_probs(load_model(start.checkpoint), batches, compute, stored)  # type: ignore[arg-type]
    assert np.array_equal(found, again)
    assert sha256_file(stored) == before


def test_sft_learns_the_responses_and_nothing_else(start: TrainResult, data: Path, tmp_path: Path) -> None:
    """Preferences do for sft: the chosen answer is the response."""
    done = align(recipe_for("sft", start.checkpoint, data, tmp_path, lr=1e-2, epochs=4), say=lambda _: None)
    result = done.result
    assert isinstance(result, InstructionResult)
    assert result.after.loss < result.before.loss - 0.5
    assert result.before.tokens == result.after.tokens
    held = json.loads((data / "held.jsonl").read_text(encoding="utf-8").splitlines()[0])
    recipe = recipe_of(done.checkpoint)
    batches = open_run_data(recipe, Layout.of(recipe).tokens, start.checkpoint)
    assert batches.validation is not None
    batch = batches.validation.micro_batch(0, 0)
    predicted = [i for i in batch["labels"].ravel().tolist() if i != -100]
    text = batches.tokenizer.decode(predicted, skip_special_tokens=False)
    assert held["chosen"] in text
    assert "###" not in text


def test_dpo_after_sft_and_the_same_call_does_nothing_again(start: TrainResult, data: Path, tmp_path: Path) -> None:
    sft = align(recipe_for("sft", start.run.path, data, tmp_path, lr=1e-2, epochs=1), say=lambda _: None)
    recipe = recipe_for("dpo", sft.run.path, data, tmp_path, lr=1e-2)
    dpo = align(recipe, say=lambda _: None)
    assert dpo.run.id.startswith("tiny-sft-dpo-")
    assert read_checkpoint(dpo.checkpoint).depends_on["base"]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and p.name not in (".lock", "report.html")}
    said: list[str] = []
    again = align(recipe_for("dpo", sft.run.path, data, tmp_path, lr=1e-2), say=said.append)
    assert (again.checkpoint, again.result) == (dpo.checkpoint, dpo.result)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert any("nothing to do" in line for line in said)
    (dpo.run.path / FILES["dpo"]).write_text("{}")  # damaged: measured anew, from the same models
    assert align(recipe, say=lambda _: None).result == dpo.result
    assert load_model(dpo.checkpoint)(torch.tensor([[1, 5, 6]])).logits.shape == (1, 3, 400)


LORA = "model.lora={r: 4, alpha: 8, dropout: 0.1}"


def test_adapters_are_aligned_on_a_frozen_base(start: TrainResult, data: Path, tmp_path: Path) -> None:
    """The reference of an adapter is the model before its first update: the base, for an adapter begins with no effect."""
    done = align(recipe_for("dpo", start.checkpoint, data, tmp_path, LORA, lr=3e-2, epochs=2), say=lambda _: None)
    assert not (done.checkpoint / "model.safetensors").exists()
    result = done.result
    assert isinstance(result, PreferenceResult)
    assert result.after.margin is not None
    assert result.after.margin.value > 1
    whole = align(recipe_for("dpo", start.checkpoint, data, tmp_path / "whole"), say=lambda _: None)
    assert isinstance(whole.result, PreferenceResult)
    assert whole.result.before == result.before
    stored = [load_file(r.path / "reference" / "validation.safetensors")["log_probs"] for r in (done.run, whole.run)]
    assert np.array_equal(*stored)


def test_adapters_are_aligned_on_top_of_adapters(start: TrainResult, data: Path, tmp_path: Path) -> None:
    sft = align(recipe_for("sft", start.checkpoint, data, tmp_path, LORA, lr=1e-2), say=lambda _: None)
    dpo = align(recipe_for("dpo", sft.checkpoint, data, tmp_path, lr=3e-2), say=lambda _: None)
    assert recipe_of(dpo.checkpoint).model.lora is not None
    steps = [line for line in read_jsonl(dpo.run.metrics) if line["kind"] == "train"]
    assert steps[-1]["margin"] > steps[0]["margin"] + 0.5
    assert isinstance(dpo.result, PreferenceResult)
    assert dpo.result.after.margin is not None
    assert dpo.result.after.margin.value > 0


def test_the_recipe_of_an_alignment(start: TrainResult, data: Path, tmp_path: Path) -> None:
    """The defaults are those of the founding project (X-019); the machine's settings stay, the rest is new."""
    sft = recipe_for("sft", start.checkpoint, data, tmp_path)
    assert (sft.name, sft.train.road, sft.train.lr, sft.train.epochs) == ("tiny-sft", "sft", 1e-5, 3)
    dpo = recipe_for("dpo", start.checkpoint, data, tmp_path)
    assert (dpo.train.lr, dpo.train.epochs, dpo.train.beta, dpo.train.min_lr) == (5e-7, 1, 0.1, 5e-8)
    assert dpo.train.micro_batch_tokens == 4 * 224
    assert (dpo.train.precision, dpo.train.threads) == ("fp32", 1)
    assert dpo.examples.lang == "swh"
    assert dpo.model.base == str(start.checkpoint)
    assert dpo.run.root == tmp_path
    other = recipe_for("dpo", start.checkpoint, data, tmp_path, "train.lr=3e-4", "examples.lang=null", beta=0.5)
    assert (other.train.lr, other.train.beta, other.examples.lang) == (3e-4, 0.5, None)


def test_the_recipe_reads_back(start: TrainResult, data: Path, tmp_path: Path) -> None:
    """A recipe of an alignment is a recipe: written and read, it is the same."""
    recipe = recipe_for("dpo", start.checkpoint, data, tmp_path)
    file = tmp_path / "aligned.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(file) == recipe


def test_what_is_refused(start: TrainResult, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match='No alignment "dpoo". Did you mean "dpo"?'):
        recipe_for("dpoo", start.checkpoint, data, tmp_path)
    with pytest.raises(InputError, match="--beta ties dpo to its reference model; sft has none"):
        recipe_for("sft", start.checkpoint, data, tmp_path, beta=0.2)
    with pytest.raises(InputError, match="none/train.jsonl: no such file or folder"):
        recipe_for("sft", start.checkpoint, tmp_path / "none", tmp_path)
    with pytest.raises(InputError, match="no checkpoint here"):
        recipe_for("sft", tmp_path, data, tmp_path)
    with pytest.raises(InputError, match="train.road pretrain is no alignment"):
        align(recipe_of(start.checkpoint), say=print)
    with pytest.raises(InputError, match=r"No preference of 1\d\d fits tokens\.max_length 16"):
        align(recipe_for("dpo", start.checkpoint, data, tmp_path, "tokens.max_length=16"), say=lambda _: None)
    assert find_runs(tmp_path, "tiny-dpo") == []


def test_without_held_out_prompts_there_is_no_comparison(start: TrainResult, data: Path, tmp_path: Path) -> None:
    overrides = ["examples.validation_data=null", "examples.validation=0"]
    said: list[str] = []
    done = align(recipe_for("dpo", start.checkpoint, data, tmp_path, *overrides), say=said.append)
    assert done.result is None
    assert not (done.run.path / FILES["dpo"]).exists()
    assert any("no prompt is held out" in line for line in said)


def test_a_share_of_the_prompts_is_held_out_by_default(start: TrainResult, data: Path, tmp_path: Path) -> None:
    recipe = recipe_for("dpo", start.checkpoint, data, tmp_path, "examples.validation_data=null", "examples.validation=0.2")
    done = align(recipe, say=lambda _: None)
    splits = read_manifest(Layout.of(recipe).tokens).details["splits"]
    held_out = splits["validation"]["sequences"] // 2
    assert 10 < held_out < 60
    assert isinstance(done.result, PreferenceResult)
    assert done.result.after.pairs == held_out


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_ends_with_the_same_weights(
    start: TrainResult, data: Path, tmp_path: Path
) -> None:
    """`kill -9` of a real `lugha align dpo`, while it computes its reference, trains, saves."""
    whole = align(recipe_for("dpo", start.checkpoint, data, tmp_path / "whole", *_MANY_STEPS, lr=1e-3), say=lambda _: None)
    command = [sys.executable, "-m", "lugha", "align", "dpo", "--checkpoint", str(start.checkpoint), "--lr", "1e-3"]
    command += ["--data", str(data / "train.jsonl"), "--validation-data", str(data / "held.jsonl")]
    command += ["--output", str(tmp_path / "killed"), "--set", "train.log_every=1", "--set", "evaluate.bootstrap=100"]
    for override in _MANY_STEPS:
        command += ["--set", override]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for goal in (0, 3, 17):
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and _step(tmp_path / "killed") < goal:
                time.sleep(0.005)
            while goal == 0 and process.poll() is None and not list((tmp_path / "killed").rglob("reference")):
                time.sleep(0.001)
            assert process.poll() is None, "the run ended before it was killed"
            process.send_signal(signal.SIGKILL)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert whole.weights_sha256 in done.stdout
    assert len(find_runs(tmp_path / "killed", "tiny-dpo")) == 1


_MANY_STEPS = ["train.save_every=5", "train.eval_every=1000", "train.micro_batch_tokens=600", "train.epochs=3"]


def _step(root: Path) -> int:
    runs = find_runs(root, "tiny-dpo")
    lines = read_jsonl(runs[0].metrics) if runs else []
    return int(lines[-1]["step"]) if lines else -1


def test_run_takes_the_same_recipe_whole_and_no_part_of_it(start: TrainResult, data: Path, tmp_path: Path) -> None:
    recipe = recipe_for("sft", start.run.path, data, tmp_path, lr=1e-2, epochs=1)
    with pytest.raises(InputError, match="Road sft is one stage"):
        run_recipe(recipe, until="tokens", say=lambda _: None)
    done = run_recipe(recipe, say=lambda _: None)
    assert done.run is not None
    assert done.run.id == align(recipe, say=lambda _: None).run.id
