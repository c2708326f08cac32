"""The train stage of a recipe: a finished run is reused, an unfinished one goes on, else a new one begins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lugha.checkpoints.format import verify_checkpoint
from lugha.checkpoints.restore import Verified, find_checkpoint
from lugha.errors import InputError
from lugha.models.base import Base
from lugha.pipeline.base import prepare_base
from lugha.pipeline.layout import Layout
from lugha.pipeline.prepare import check_language_pairs
from lugha.recipe import Recipe
from lugha.runs.files import write_json
from lugha.runs.folder import RunFolder, find_runs, new_run, open_run
from lugha.training.data import open_run_data
from lugha.training.distributed import on_first_rank, processes
from lugha.training.loop import TrainResult, train

Say = Callable[[str], None]


def train_recipe(
    recipe: Recipe,
    *,
    base: Base | None = None,
    resume: str | None = None,
    anew: bool = False,
    tokens: Path | None = None,
    tokenizer: Path | None = None,
    say: Say,
) -> TrainResult:
    """Train a recipe on its prepared tokens; under torchrun every process calls this, and the first chooses the run.

    Args:
        base: the recipe's base model where it is open already.
        resume: `auto`, a run folder or a checkpoint: go on with that run. None: go on with the newest run of this recipe
            that depends on the same values, whether finished or not, or begin a new one.
        anew: begin a new run whatever is there.
        tokens, tokenizer: other folders than the recipe's own layout.

    Raises:
        InputError: the tokens or the checkpoint asked for are not there or damaged.
        RefusedError: the checkpoint belongs to another run.
        InterruptedRunError: the training stopped early and can be resumed.
    """
    check_language_pairs(recipe)
    layout = Layout.of(recipe)
    tokens, tokenizer = tokens or layout.tokens, tokenizer or layout.tokenizer

    def choose(recipe: Recipe, base: Base | None) -> tuple[RunFolder, Verified | None] | TrainResult:
        if resume not in (None, "auto"):
            assert resume is not None
            return _asked_for(Path(resume), say)
        depends_on = open_run_data(recipe, tokens, tokenizer, base).depends_on
        same = None if anew else _same_run(recipe, depends_on)
        if same is None:
            run = new_run(recipe.run.root, recipe.name)
            write_json(run.path / "run.json", {"depends_on": depends_on})
            return run, None
        if (done := _finished(same)) is not None:
            say(f"train      {same.id} is finished at step {done.step:,}: nothing to do")
            return done
        return same, find_checkpoint(same.checkpoints, say=say)

    with processes():
        if base is None:
            recipe, base = on_first_rank(lambda: prepare_base(recipe, say))  # one process downloads
        chosen = on_first_rank(lambda: choose(recipe, base))
        if isinstance(chosen, TrainResult):
            return chosen
        run, found = chosen
        return train(recipe, tokens=tokens, tokenizer=tokenizer, run=run, base=base, resume=found)


def finished_training(recipe: Recipe, base: Base | None = None) -> TrainResult:
    """The finished training of this recipe on its prepared tokens.

    Raises:
        InputError: there is none; the message says what to run.
    """
    if base is None:
        recipe, base = prepare_base(recipe)
    layout = Layout.of(recipe)
    run = _same_run(recipe, open_run_data(recipe, layout.tokens, layout.tokenizer, base).depends_on)
    done = _finished(run) if run else None
    if done is None:
        where = f"{run.path} is unfinished" if run else f"there is no run below {recipe.run.root}"
        raise InputError(f"Recipe {recipe.name} is not trained with these settings: {where}. Run it --until train first.")
    return done


def _asked_for(path: Path, say: Say) -> tuple[RunFolder, Verified | None]:
    run = open_run(path)
    if path.resolve() == run.path.resolve():
        return run, find_checkpoint(run.checkpoints, say=say)
    return run, Verified(path, verify_checkpoint(path))


def _same_run(recipe: Recipe, depends_on: dict[str, str]) -> RunFolder | None:
    """The newest run whose weights are a function of the same values."""
    for run in find_runs(recipe.run.root, recipe.name):
        record = run.path / "run.json"
        if record.is_file() and json.loads(record.read_text(encoding="utf-8"))["depends_on"] == depends_on:
            return run
    return None


def _finished(run: RunFolder) -> TrainResult | None:
    """The result of a finished run whose final checkpoint is still whole."""
    if not run.finished.is_file():
        return None
    record = json.loads(run.finished.read_text(encoding="utf-8"))
    folder = run.path / record["checkpoint"]
    try:
        manifest = verify_checkpoint(folder)
    except InputError:
        return None
    return TrainResult(run, folder, manifest.step, manifest.weights_sha256())
