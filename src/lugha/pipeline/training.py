"""The train stage of a recipe: a finished run is reused, an unfinished one goes on, else a new one begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lugha.checkpoints.restore import Verified
from lugha.errors import InputError
from lugha.models.base import Base
from lugha.pipeline.base import prepare_base
from lugha.pipeline.candidates import Start, final_checkpoint
from lugha.pipeline.layout import Layout
from lugha.pipeline.prepare import check_language_pairs
from lugha.pipeline.resuming import choose_start, runs_with
from lugha.recipe import Recipe
from lugha.runs.folder import RunFolder
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
        resume: `auto`, a run folder, a checkpoint or a store: go on from there (pipeline/resuming.py). None: go on with the
            newest run of this recipe that depends on the same values, whether finished or not, or begin a new one.
        anew: begin a new run whatever is there.
        tokens, tokenizer: other folders than the recipe's own layout.

    Raises:
        InputError: the tokens or the checkpoint asked for are not there or damaged.
        RefusedError: the checkpoint belongs to another run, or a store denies access.
        InterruptedRunError: the training stopped early and can be resumed, or a store cannot be reached for now.
    """
    check_language_pairs(recipe)
    layout = Layout.of(recipe)
    tokens, tokenizer = tokens or layout.tokens, tokenizer or layout.tokenizer

    def choose(recipe: Recipe, base: Base | None) -> Start:
        depends_on = open_run_data(recipe, tokens, tokenizer, base).depends_on
        return choose_start(recipe, depends_on, resume=resume, anew=anew, say=say)

    with processes():
        if base is None:
            recipe, base = on_first_rank(lambda: prepare_base(recipe, say))  # one process downloads
        start = on_first_rank(lambda: choose(recipe, base))
        if start.finished and start.found is not None:
            done = _result(start.run, start.found)
            say(f"train      {done.run.id} is finished at step {done.step:,}: nothing to do")
            return done
        return train(recipe, tokens=tokens, tokenizer=tokenizer, run=start.run, base=base, resume=start.found)


def finished_training(recipe: Recipe, base: Base | None = None) -> TrainResult:
    """The finished training of this recipe on its prepared tokens.

    Raises:
        InputError: there is none; the message says what to run.
    """
    if base is None:
        recipe, base = prepare_base(recipe)
    layout = Layout.of(recipe)
    runs = runs_with(recipe, open_run_data(recipe, layout.tokens, layout.tokenizer, base).depends_on)
    final = final_checkpoint(runs[0]) if runs else None
    if final is None:
        where = f"{runs[0].path} is unfinished" if runs else f"there is no run below {recipe.run.root}"
        raise InputError(f"Recipe {recipe.name} is not trained with these settings: {where}. Run it --until train first.")
    return _result(runs[0], final)


def _result(run: RunFolder, final: Verified) -> TrainResult:
    return TrainResult(run, final.folder, final.manifest.step, final.manifest.weights_sha256())
