"""Ablation sweeps: every combination of some recipe values, each trained on the same number of tokens, seeds repeated, ranked.

    found = sweep("swahili-debug", grid=["train.lr=1e-4,3e-4,1e-3", "model.kv_heads=1,2"], seeds=3)
    found.rows[0].values, found.rows[0].mean, found.rows[1].distinguishable

In: a recipe and a grid. Out: below `run.root/sweeps/<name>-<digest>/`, written again after each run, whole or not at all,

    sweep.json    plan, score of each run, ranking with intervals, remarks (sweep_record.py)
    sweep.svg     score against each key of the grid

Invariants:
- Equal budget: a variant takes round(budget / its tokens a step) steps, whatever its batch; the schedule keeps its shape. Its
  warm-up is the recipe's, but at most a tenth of its steps (unless the grid sets it).
- Equal text: scores are of the whole validation split, in bits per byte for `pretrain` (comparable between tokenizers), else
  in nats per token or pair. Variants whose scores would not be of the same text are refused before anything is trained.
- A run is an ordinary run of the recipe: `train_recipe` finds it by what it depends on. Hence a killed sweep goes on with the
  same command, and a finished variant is not trained again. Its run folder stands among the recipe's others.
- Seeds change weights and data order; corpus, split and tokenizer are those of the recipe's own seed.
"""

from __future__ import annotations

import functools
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from lugha.checkpoints.format import TRAINER, TrainerState
from lugha.errors import DivergedError, InputError, InterruptedRunError
from lugha.models.shapes import parameter_count, trainable_count
from lugha.monitor.sweep_plot import Point, sweep_plot
from lugha.pipeline.sweep_grid import Variant, make_variants, parse_axis
from lugha.pipeline.sweep_plan import Planned, plan_variants
from lugha.pipeline.sweep_ranking import Place, rank
from lugha.pipeline.sweep_record import Sweep, SweepRow, SweepRun, read_sweep
from lugha.pipeline.training import train_recipe
from lugha.recipe import Recipe, load_recipe
from lugha.runs.files import sha256_json, write_json, write_text
from lugha.runs.folder import read_jsonl
from lugha.runs.rates import format_count, format_duration
from lugha.training.loop import TrainResult

Say = Callable[[str], None]

FILE, PLOT = "sweep.json", "sweep.svg"


def sweep(
    recipe: str | Path,
    *,
    grid: Sequence[str],
    seeds: int = 3,
    tokens: int | None = None,
    overrides: Iterable[str] = (),
    say: Say = print,
) -> Sweep:
    """Train and rank every combination of the grid's values; the same call again goes on where it was.

    Args:
        recipe: a preset's name or a YAML file.
        grid: `key=value,value` each.
        seeds: runs of each variant: the recipe's seed, the next, ...
        tokens: target tokens of each run; default: those of the recipe's own steps.
        overrides: `a.b=c` each, for all variants.

    Raises:
        InputError: the grid is empty, a key is unknown, a variant does not fit, the budget is less than one step, there is
            no validation split, or scores would not be of the same text. Nothing is trained then.
        InterruptedRunError: a run stopped early; the same call goes on.
    """
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: a sweep needs at least one seed; three give an interval.")
    if tokens is not None and tokens < 1:
        raise InputError(f"--tokens {tokens}: give the target tokens of each run, for example --tokens 2000000.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("A sweep is one process: run it without torchrun, one sweep for each GPU (CUDA_VISIBLE_DEVICES).")
    overrides = list(overrides)
    own = load_recipe(recipe, overrides)
    variants = make_variants(recipe, overrides, [parse_axis(text) for text in grid])
    budget, planned = plan_variants(own, variants, tokens, say)
    plan = _opened(own, variants, planned, budget, [own.seed + k for k in range(seeds)])
    say(
        f"sweep      {len(planned)} variants x {seeds} seeds = {plan.planned} runs of {format_count(budget)} target tokens "
        f"each -> {plan.folder}"
    )
    known = {(run.variant, run.seed): run for run in plan.runs}
    took = {key: run.seconds for key, run in known.items() if run.seconds is not None}
    todo = [(one, seed) for seed in plan.seeds for one in planned]  # all variants with the first seed: an early look
    for number, (one, seed) in enumerate(todo, start=1):
        left = f"; about {format_duration(statistics.fmean(took.values()) * (len(todo) - number + 1))} left" if took else ""
        say(f"sweep      run {number} of {len(todo)}: {one.variant.name}, seed {seed}{left}")
        key = (one.variant.number, seed)
        if key in known and (why := known[key].diverged):
            say(f"sweep      diverged before, not tried again (delete {FILE} to try): {why}")
        else:
            started = time.monotonic()
            known[key] = _train(one, seed, say)
            took[key] = max(known[key].seconds or 0.0, time.monotonic() - started)
        plan = _ranked(plan, planned, list(known.values()))
        _write(plan)
    return plan


def _opened(own: Recipe, variants: list[Variant], planned: list[Planned], budget: int, seeds: list[int]) -> Sweep:
    """The sweep's record: what an earlier call left, or a new one. More seeds are the same sweep; another budget is not."""
    grid: dict[str, list[Any]] = {}
    for variant in variants:
        for key, value in variant.values.items():
            if value not in grid.setdefault(key, []):
                grid[key].append(value)
    digest = sha256_json([own.model_dump(mode="json"), grid, budget, [p.text for p in planned]])
    folder = own.run.root / "sweeps" / f"{own.name}-{digest[:8]}"
    unit = {"pretrain": "bits/byte", "dpo": "nats/pair"}.get(own.train.road, "nats/token")
    before = read_sweep(folder / FILE).runs if (folder / FILE).is_file() else []
    return Sweep(
        recipe=own.name,
        folder=str(folder),
        measure=unit,
        tokens=budget,
        seeds=seeds,
        grid=grid,
        planned=len(planned) * len(seeds),
        runs=[run for run in before if run.seed in seeds],
    )


def _train(one: Planned, seed: int, say: Say) -> SweepRun:
    """Train a variant with a seed, or find it trained, and read its score."""
    recipe = one.recipe.model_copy(update={"seed": seed})
    of = one.prepared
    train = functools.partial(train_recipe, recipe, base=of.base, tokens=of.tokens, tokenizer=of.tokenizer, say=say)
    try:
        result = train()
        loss = _final_validation(result, one.validation_batches)
        if loss is None:
            say(f"sweep      {result.run.id} ended without a validation of the whole split: trained anew")
            result = train(anew=True)
            loss = _final_validation(result, one.validation_batches)
            assert loss is not None
    except InterruptedRunError as error:
        raise InterruptedRunError(f"{error} In a sweep: run the same `lugha sweep` again, it goes on there.") from error
    except DivergedError as error:
        say(f"sweep      diverged: {error}")
        return SweepRun(variant=one.variant.number, seed=seed, diverged=str(error))
    state = TrainerState.model_validate_json((result.checkpoint / TRAINER).read_bytes())
    score = one.score(loss)
    say(f"sweep      {result.run.id}: {score:.4f}")
    return SweepRun(
        variant=one.variant.number,
        seed=seed,
        run=result.run.id,
        score=score,
        loss=loss,
        seconds=round(state.train_seconds, 3),
    )


def _final_validation(result: TrainResult, batches: int) -> float | None:
    """The loss of the whole validation split after the last step; None where the run did not measure that."""
    recipe = yaml.safe_load((result.run.path / "recipe.yaml").read_text(encoding="utf-8"))
    lines = [m for m in read_jsonl(result.run.metrics) if m["kind"] == "validation" and m["step"] == result.step]
    return float(lines[-1]["loss"]) if lines and recipe["train"]["eval_batches"] >= batches else None


def _ranked(plan: Sweep, planned: list[Planned], runs: list[SweepRun]) -> Sweep:
    """The record with what is known so far."""
    scores: dict[int, dict[int, float | None]] = {}
    for run in runs:
        scores.setdefault(run.variant, {})[run.seed] = run.score
    places = rank(scores)
    rows = [_row(number, place, planned[place.variant], runs) for number, place in enumerate(places, start=1)]
    return plan.model_copy(update={"rows": rows, "runs": runs, "remarks": _remarks(plan, places)})


def _row(number: int, place: Place, one: Planned, runs: list[SweepRun]) -> SweepRow:
    seconds = [r.seconds for r in runs if r.variant == place.variant and r.seconds is not None]
    return SweepRow(
        rank=number,
        variant=place.variant,
        values=one.variant.values,
        steps=one.recipe.train.steps,
        tokens=round(one.recipe.train.steps * one.tokens_per_step),
        parameters=parameter_count(one.recipe.model),
        trained=trainable_count(one.recipe.model),
        seeds=place.seeds,
        diverged=place.diverged,
        mean=place.mean,
        interval=place.interval,
        difference=place.difference,
        difference_interval=place.difference_interval,
        distinguishable=place.distinguishable,
        seconds=round(statistics.fmean(seconds), 3) if seconds else None,
    )


def _remarks(plan: Sweep, places: list[Place]) -> list[str]:
    """What a reader of the ranking must know."""
    found = []
    verdicts = [p.distinguishable for p in places if p.distinguishable is not None]
    if len(plan.seeds) == 1:
        found.append("One seed: no interval, so that a difference may be noise. Repeat with --seeds 3.")
    elif verdicts and not any(verdicts):
        found.append(
            f"No variant is distinguishable from the best: at {plan.tokens:,} tokens and {len(plan.seeds)} seeds this sweep "
            "ranks nothing. Give more --tokens, or more --seeds."
        )
    if diverged := sum(p.diverged for p in places):
        found.append(f"{diverged} runs diverged (loss not a number); their variants stand last.")
    return found


def _write(found: Sweep) -> None:
    """Both files, each in one step."""
    folder = Path(found.folder)
    values = {row.variant: row.values for row in found.rows}
    points = [Point(values[r.variant], r.score) for r in found.runs if r.score is not None]
    write_json(folder / FILE, found.model_dump(mode="json"))
    if points:
        title = f"{found.recipe}: {found.tokens:,} target tokens a run"
        write_text(folder / PLOT, sweep_plot(points, measure=f"validation, {found.measure}", title=title))
