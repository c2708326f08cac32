"""The training loop: one for all roads, flat, read from top to bottom.

    result = train(recipe, tokens=..., tokenizer=..., run=new_run(...))

In: a recipe, a folder of token shards, the tokenizer, a run folder. Out: checkpoints, metrics, `train.json`, and the final
checkpoint's folder. Roads differ in their objective (objectives.py) and their batches (batches.py), nowhere else. The same
lines run on one process or on each of several (distributed.py). When it saves: saving.py; when it stops: watch.py; how it
ends: ending.py.

Invariants:
- A resumed run is the same run: weights are bit for bit those of one that was never stopped (on the CPU), and so are the
  figures in its log. State is the model, the optimiser and a `TrainerState` of plain values; data order and dropout are
  functions.
- The loss of a step is the mean over its units, however the step is cut into micro-batches and spread over processes.
- Order of events after an update: log, save, validate. A validation that fails cannot lose the save before it; one that was
  cut off is done first by the attempt that goes on.
- A stop drops the gradients of an unfinished step: what is saved is always the state between two steps.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch

from lugha.checkpoints.format import TrainerState
from lugha.checkpoints.restore import Verified, check_same_run, load_into
from lugha.errors import DivergedError, RefusedError
from lugha.models.base import Base
from lugha.models.build import prepare_model
from lugha.models.state import load_weights
from lugha.recipe import Recipe, dump_recipe
from lugha.runs.deadline import check_there_is_time, deadline_of
from lugha.runs.files import write_text
from lugha.runs.folder import RunFolder
from lugha.runs.ledger import Ledger
from lugha.runs.notices import noticed
from lugha.runs.rates import seconds_left
from lugha.runs.status import RunStatus
from lugha.runs.stopping import stopping
from lugha.training.announce import announce
from lugha.training.batches import Batches
from lugha.training.data import open_run_data
from lugha.training.device import choose_compute
from lugha.training.display import LiveLine
from lugha.training.distributed import (
    CostOf,
    check_accumulation,
    first_goes_first,
    on_first_rank,
    one_writer,
    processes,
    shared_errors,
    spread_over,
    summed,
    total,
)
from lugha.training.ending import Ending, told
from lugha.training.ending import TrainResult as TrainResult  # where callers look for it
from lugha.training.first_batch import check_first_batch, preview
from lugha.training.objectives import ROADS
from lugha.training.optimiser import build_optimiser, clip_gradients, loss_scaler, scaler_state
from lugha.training.places import next_places, with_steps
from lugha.training.publishing import publishing
from lugha.training.randomness import draw_for
from lugha.training.reference import with_reference
from lugha.training.saving import Saves
from lugha.training.schedule import learning_rate
from lugha.training.step_log import StepLog, is_validated, recall
from lugha.training.validation import check_start, sums_of, validate
from lugha.training.watch import StopAskedError, Watch


def train(
    recipe: Recipe,
    *,
    tokens: Path,
    tokenizer: Path,
    run: RunFolder,
    base: Base | None = None,
    resume: Verified | None = None,
    say: Callable[[str], None] | None = None,
) -> TrainResult:
    """Train until `train.steps`, from nothing or from a verified checkpoint.

    Args:
        tokens: output of the stage `tokens`; its manifest must name the tokenizer given.
        tokenizer: folder or file of tokenizer.json.
        run: where checkpoints, metrics and events go; of several processes all name the same.
        base: the model to begin with; default: new weights.
        resume: a checkpoint of the same run to go on from.
        say: gets each line that a person should read; default: stderr.

    Raises:
        InputError: tokens and tokenizer do not belong together, or the tokenizer is larger than the model's vocabulary.
        RefusedError: the first batch is wrong, the loss is not a number, the checkpoint is of another run, a store denies
            what a run needs, or the deadline leaves no time.
        InterruptedRunError: stopped by a signal, a deadline, a store that failed for too long, or a full disk; the last
            finished step was saved where possible.
    """
    line = LiveLine()
    road = ROADS[recipe.train.road]
    with processes() as ranks, one_writer(run, ranks) as run, contextlib.ExitStack() as held:
        say = (say or line.say) if ranks.first else _silent
        status, ledger = RunStatus(run), Ledger(run.ledger)
        held.enter_context(told(status))
        with shared_errors():
            deadline = deadline_of(recipe.run)
            check_accumulation(recipe.train, ranks)
            data = open_run_data(recipe, tokens, tokenizer, base)
            if resume is not None:
                check_same_run(data.depends_on, resume)
            section = with_steps(recipe.train, data.training)
            compute = choose_compute(section, ranks.local if ranks.size > 1 else None)
            model = prepare_model(recipe.model, data.base, seed=recipe.seed)
        training: Batches = data.training
        validation: Batches | None = data.validation
        if section.road == "dpo":
            model.to(compute.device)
            with first_goes_first():
                training = with_reference(training, model, compute, run.path / "reference" / "train.safetensors")
                validation = with_reference(validation, model, compute, run.path / "reference" / "validation.safetensors")

        if section.gradient_checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
            model.config.use_cache = False  # of keys and values; transformers would warn at every start
        if section.compile:
            model.model.compile()
        cost_of = CostOf(model, road, section)
        spread = spread_over(ranks, cost_of, section.parallel, compute.device)
        state = TrainerState()
        with shared_errors():
            optimiser = build_optimiser(model, section)
            if resume is not None:
                state = load_into(resume.folder, model, optimiser, load_weights)
                if ranks.first:
                    recall(run, resume.folder, state.step)
            elif run.metrics.is_file():
                run.forget_after(0)  # of an attempt that ended before its first save
        scaler = loss_scaler(compute, state)

        if ranks.first:
            write_text(run.path / "recipe.yaml", dump_recipe(recipe))
        run.log_event("resumed" if resume else "started", step=state.step, depends_on=data.depends_on)
        for text in announce(recipe, section, data, compute, ranks, state, run, deadline):
            say(text)
        if resume is None:
            first = training.micro_batch(0, 0)
            for text in preview(first, data.tokenizer, data.roles):
                say(text)
            check_first_batch(first, road=section.road, codes=data.codes, roles=data.roles)
            check_start(cost_of, road, first, compute, recipe.model.vocab_size)
        publisher = held.enter_context(publishing(recipe, run, ranks, ledger=ledger, status=status, say=say))
        with shared_errors():
            check_there_is_time(deadline)
        # From here on a signal ends no line of code, but asks; before there was nothing to lose.
        where, until = (run.path, deadline) if ranks.first else (None, None)
        stop = held.enter_context(stopping(run=where, deadline=until, grace=recipe.run.grace))
        held.enter_context(noticed(stop.ask))
        saves = Saves(recipe, run, data, publisher, stop, ledger=ledger, status=status, resumed=resume, say=say)
        watch = Watch(ranks, reason=saves.stop_reason)
        log = StepLog(run, line, road.unit, status, state)
        ending = Ending(run, saves, publisher, stop, status, say)

        def save() -> None:
            saves.save(model, optimiser, state.model_copy(update=log.unlogged()))

        def write(log_line: Callable[..., None], *given: object, **figures: object) -> None:
            """Let the first process write a line of a log; where its disk is full, all wait for it, and stop if it does."""
            on_first_rank(functools.partial(saves.patiently, log_line, *given, **figures))

        def held_out() -> None:
            """Measure the validation split where it is time, and log it."""
            if validation is None or (state.step % section.eval_every and state.step < section.steps):
                return
            figures = validate(cost_of, road, validation, section.eval_batches, compute, ranks, watch.check)
            write(run.log_metrics, kind="validation", step=state.step, **figures)
            if ranks.first:
                line.say(f"step {state.step:,}: validation loss {figures['loss']:.4f} nats/{road.unit[:-1]}")

        spread.train()
        started = time.monotonic()
        before = state.step  # of this attempt
        try:
            if resume is not None:
                # A run may have been killed between its save and its way to the stores.
                on_first_rank(functools.partial(saves.submit, resume.folder))
                if not on_first_rank(lambda: is_validated(run, state.step)):
                    held_out()

            while state.step < section.steps:
                watch.check()
                tick = time.monotonic()
                places, behind = next_places(training, state, section.accumulation)
                mine = places[ranks.rank :: ranks.size]
                micro_batches = [training.micro_batch(place.epoch, place.index) for place in mine]
                units = round(total([sum(road.units(batch) for batch in micro_batches)])[0])
                lr = learning_rate(state.step, section)
                for group in optimiser.param_groups:
                    group["lr"] = lr

                own_sums: dict[str, torch.Tensor] = {}
                for place, batch in zip(mine, micro_batches, strict=True):
                    if place != mine[0]:
                        watch.between()
                    draw_for(recipe.seed, place.number, compute.device)
                    with summed(spread, now=place == mine[-1]):
                        with compute.autocast():
                            cost = spread(compute.moved(batch))
                        torch.autograd.backward(scaler.scale(cost.objective * ranks.size / units))
                    own_sums = {name: own_sums.get(name, 0.0) + value for name, value in sums_of(cost).items()}
                scaler.unscale_(optimiser)
                grad_norm = clip_gradients(model, section.clip)
                sums = dict(zip(own_sums, total([*map(float, own_sums.values())]), strict=True))
                skipped = scaler.is_enabled() and not math.isfinite(grad_norm)
                if not math.isfinite(sums["loss"]) or not (skipped or math.isfinite(grad_norm)):
                    _refuse_not_a_number(run, state, sums["loss"] / units, grad_norm, saves.newest)
                scaler.step(optimiser)
                scaler.update()
                optimiser.zero_grad(set_to_none=True)

                seconds = time.monotonic() - tick
                watch.worked(seconds, len(mine))
                state = behind.model_copy(
                    update={
                        "step": state.step + 1,
                        "units": state.units + units,
                        "train_seconds": state.train_seconds + seconds,
                        "skipped": state.skipped + skipped,
                        **scaler_state(scaler),
                    }
                )
                if skipped:
                    write(run.log_event, "skipped", step=state.step, loss_scale=state.loss_scale)
                    _check_loss_scale(state, saves.newest)
                last = state.step == section.steps
                log.add(sums, units, seconds)
                if state.step % section.log_every == 0 or last or state.step == 1:
                    left = seconds_left(state.step - before, section.steps - before, time.monotonic() - started)
                    fp16 = {"loss_scale": state.loss_scale, "skipped": state.skipped} if scaler.is_enabled() else {}
                    write(log.write, state, section.steps, left, lr=lr, grad_norm=grad_norm, step_seconds=seconds, **fp16)

                if last or total([ranks.first and saves.due(state.step)])[0]:
                    save()
                held_out()

        except StopAskedError as asked:
            optimiser.zero_grad(set_to_none=True)  # of a step that is not finished
            if saves.step < state.step:
                save()
            raise ending.leave(asked.why, state.step, section.steps) from None
        return ending.finish()


def _refuse_not_a_number(run: RunFolder, state: TrainerState, loss: float, grad_norm: float, saved: Path | None) -> None:
    run.log_event("not_a_number", step=state.step + 1, loss=str(loss), grad_norm=str(grad_norm))
    raise DivergedError(
        f"Step {state.step + 1:,}: loss {loss}, gradient norm {grad_norm}: not a number, so the update was not made. "
        f"Last checkpoint: {saved or 'none'}. Lower train.lr, lengthen train.warmup_steps, or use precision fp32."
    )


def _check_loss_scale(state: TrainerState, saved: Path | None) -> None:
    """Refuse to go on once gradients overflow even though the loss is not magnified."""
    if state.loss_scale < 1:
        raise RefusedError(
            f"Step {state.step:,}: gradients overflow fp16 whatever the loss scale ({state.skipped:,} updates were not made). "
            f"Last checkpoint: {saved or 'none'}. Use train.precision bf16 or fp32, or lower train.lr."
        )


def _silent(text: str) -> None:
    """What a process says that is not the first."""
