"""Run a recipe from raw text to an exported model: the one file that names the stages in order and calls them.

    run_recipe(load_recipe("demo"))

Each stage writes its manifest last and is skipped when its inputs and settings are unchanged, so the same command goes on
after an interruption, and after a changed setting redoes only what depends on it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lugha.errors import InputError, nearest
from lugha.pipeline.aligning import align
from lugha.pipeline.base import prepare_base
from lugha.pipeline.evaluating import evaluate_checkpoint
from lugha.pipeline.exporting import export_run
from lugha.pipeline.layout import Layout
from lugha.pipeline.prepare import check_recipe, prepare_corpus, prepare_tokens
from lugha.pipeline.reporting import report_run
from lugha.pipeline.training import finished_training, train_recipe
from lugha.recipe import Recipe
from lugha.runs.deadline import deadline_of
from lugha.runs.folder import RunFolder
from lugha.runs.manifest import only_current_stages
from lugha.runs.stopping import limited, stop_if_asked

Stage = Literal["corpus", "tokens", "train", "evaluate", "export"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class Outcome:
    """What a run of the pipeline reached."""

    last_stage: Stage
    run: RunFolder | None = None  # from the train stage on
    report: Path | None = None


def run_recipe(
    recipe: Recipe, *, until: str = "export", first: str | None = None, say: Callable[[str], None] = print
) -> Outcome:
    """Run the stages of a recipe in order; one of road sft or dpo is trained and compared with its base (aligning.py).

    Args:
        until: the last stage to run.
        first: redo this stage and those after it even where nothing changed; the stages before it must be there and
            current, and are not run.
        say: gets one line for each finished step.

    Raises:
        InputError: unknown stage, `first` after `until`, an earlier stage is missing or stale, or a part of road sft or dpo.
        RefusedError: the recipe's deadline is over.
        InterruptedRunError: a signal, a deadline, a full disk; the same call goes on.
        LughaError: whatever the stage raises.
    """
    for name in (until, first or until):
        if name not in STAGES:
            raise InputError(f'No stage "{name}".{nearest(name, STAGES)}')
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "torchrun starts `lugha train` alone. Run the stages before it first, with `lugha run --until tokens`."
        )
    if recipe.train.road in ("sft", "dpo"):
        if first or until != "export":
            raise InputError(f"Road {recipe.train.road} is one stage: run it without --from and --until.")
        return Outcome("train", align(recipe, say=say).run)
    check_recipe(recipe)
    begin, end = STAGES.index(first or "corpus"), STAGES.index(until)
    if begin > end:
        raise InputError(f"--from {first} comes after --until {until}: there is nothing to run.")
    with limited(deadline=deadline_of(recipe.run)):  # a past one is refused before hours of cleaning
        return _run_stages(recipe, begin, end, first, say)


def _run_stages(recipe: Recipe, begin: int, end: int, first: str | None, say: Callable[[str], None]) -> Outcome:
    """The stages from `begin` to `end`, in order; between two of them stands the question whether the time is over."""
    if first:
        _forget(recipe, begin)
    base = None
    if recipe.model.scale == "full" and not recipe.model.new_characters:  # else the base is made with the corpus
        recipe, base = prepare_base(recipe, say)  # a model that is missing or gated shows before hours of cleaning
    hint = f"Run without --from, or --from an earlier stage than {first}."
    with only_current_stages(hint) if begin > STAGES.index("corpus") else contextlib.nullcontext():
        prepare_corpus(recipe, say)
    stop_if_asked()
    if end == STAGES.index("corpus"):
        return Outcome("corpus")
    with only_current_stages(hint) if begin > STAGES.index("tokens") else contextlib.nullcontext():
        if base is None:
            recipe, base = prepare_base(recipe, say)
        prepare_tokens(recipe, say)
    stop_if_asked()
    if end == STAGES.index("tokens"):
        return Outcome("tokens")
    if begin > STAGES.index("train"):
        trained = finished_training(recipe, base)
    else:
        trained = train_recipe(recipe, base=base, anew=first == "train", say=say)
    say(f"train      {trained.run.id}: step {trained.step:,}, weights {trained.weights_sha256[:12]}")
    if end >= STAGES.index("evaluate"):
        split = Layout.of(recipe).corpus("split")
        with limited(run=trained.run.path):
            evaluate_checkpoint(trained.checkpoint, split=split, section=recipe.evaluate, output=trained.run.path, say=say)
            stop_if_asked()
    if end >= STAGES.index("export"):
        for manifest in export_run(recipe, trained):
            say(f"export     {manifest.stage}: {manifest.details['gate']}")
    report = report_run(recipe, trained.run)
    say(f"report     {report}")
    return Outcome(STAGES[end], trained.run, report)


def _forget(recipe: Recipe, begin: int) -> None:
    """Remove the outputs of the stages that `--from` redoes (training begins a new run instead)."""
    layout = Layout.of(recipe)
    if begin <= STAGES.index("corpus"):
        shutil.rmtree(layout.corpus("split").parent, ignore_errors=True)
    if begin <= STAGES.index("tokens"):
        shutil.rmtree(layout.tokens.parent, ignore_errors=True)
    if begin > STAGES.index("train"):
        run = finished_training(*prepare_base(recipe)).run
        if begin <= STAGES.index("evaluate"):
            (run.path / "evaluation.json").unlink(missing_ok=True)
        shutil.rmtree(run.path / "export", ignore_errors=True)
