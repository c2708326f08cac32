"""The training loop: one for all roads, flat, read from top to bottom.

    result = train(recipe, tokens=..., tokenizer=..., run=new_run(...))

In: a recipe, a folder of token shards, the tokenizer, a run folder. Out: checkpoints, metrics, `train.json`, and the final
checkpoint's folder. Roads differ in their objective (objectives.py) and their batches (batches.py), nowhere else. The same
lines run on one process or on each of several (distributed.py).

Invariants:
- A resumed run is the same run: weights are bit for bit those of one that was never stopped (on the CPU). State is the
  model, the optimiser and a `TrainerState` of plain values; data order and dropout are functions.
- The loss of a step is the mean over its units, however the step is cut into micro-batches and spread over processes.
- Order of events after an update: log, save, validate. A validation that fails cannot lose the save before it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lugha.checkpoints.format import TrainerState, read_checkpoint
from lugha.checkpoints.restore import Verified, check_same_run, load_into
from lugha.checkpoints.save import keep_newest, optimiser_tensors, save_checkpoint
from lugha.errors import DivergedError, InterruptedRunError, RefusedError
from lugha.models.base import Base
from lugha.models.build import prepare_model
from lugha.models.state import load_weights, weights_of
from lugha.recipe import Recipe, dump_recipe
from lugha.runs.files import write_json, write_text
from lugha.runs.folder import RunFolder, read_jsonl
from lugha.runs.manifest import peak_memory_bytes
from lugha.runs.rates import seconds_left
from lugha.training.announce import announce
from lugha.training.batches import Batches
from lugha.training.data import RunData, open_run_data
from lugha.training.device import Compute, choose_compute
from lugha.training.display import LiveLine
from lugha.training.distributed import (
    CostOf,
    Ranks,
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
from lugha.training.first_batch import check_first_batch, preview
from lugha.training.objectives import ROADS, Road
from lugha.training.optimiser import build_optimiser, clip_gradients, loss_scaler, scaler_state
from lugha.training.places import next_places, with_steps
from lugha.training.randomness import draw_for
from lugha.training.reference import with_reference
from lugha.training.schedule import learning_rate
from lugha.training.step_log import StepLog
from lugha.training.stopping import StopFlag
from lugha.training.validation import check_start, sums_of, validate

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class TrainResult:
    """What a finished training leaves."""

    run: RunFolder
    checkpoint: Path
    step: int
    weights_sha256: str


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
        RefusedError: the first batch is wrong, the loss is not a number, or the checkpoint is of another run.
        InterruptedRunError: stopped by a signal or a full disk; a checkpoint was saved where possible.
    """
    line = LiveLine()
    road = ROADS[recipe.train.road]
    with processes() as ranks, one_writer(run, ranks) as run, StopFlag() as stop:
        say = (say or line.say) if ranks.first else _silent
        with shared_errors():
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
                run.forget_after(state.step)
        scaler = loss_scaler(compute, state)

        if ranks.first:
            write_text(run.path / "recipe.yaml", dump_recipe(recipe))
        run.log_event("resumed" if resume else "started", step=state.step, depends_on=data.depends_on)
        for text in announce(recipe, section, data, compute, ranks, state, run):
            say(text)
        if resume is None:
            first = training.micro_batch(0, 0)
            for text in preview(first, data.tokenizer, data.roles):
                say(text)
            check_first_batch(first, road=section.road, codes=data.codes, roles=data.roles)
            check_start(cost_of, road, first, compute, recipe.model.vocab_size)
        if state.step >= section.steps:  # stopped between its last save and its end
            if validation is not None and not on_first_rank(lambda: _is_validated(run, state.step)):
                _held_out(run, line, state, cost_of, road, validation, section.eval_batches, compute, ranks)
            return _finish(run, resume.folder if resume else None)

        spread.train()
        started = time.monotonic()
        before = state.step  # of this attempt
        log = StepLog(run, line, road.unit)
        saved = resume.folder if resume else None

        while state.step < section.steps:
            tick = time.monotonic()
            places, state = next_places(training, state, section.accumulation)
            mine = places[ranks.rank :: ranks.size]
            micro_batches = [training.micro_batch(place.epoch, place.index) for place in mine]
            units = round(total([sum(road.units(batch) for batch in micro_batches)])[0])
            lr = learning_rate(state.step, section)
            for group in optimiser.param_groups:
                group["lr"] = lr

            own_sums: dict[str, torch.Tensor] = {}
            for place, batch in zip(mine, micro_batches, strict=True):
                draw_for(recipe.seed, place.number, compute.device)
                with summed(spread, now=place == mine[-1]):
                    with compute.autocast():
                        cost = spread(compute.moved(batch))
                    torch.autograd.backward(scaler.scale(cost.objective * ranks.size / units))
                own_sums = {name: own_sums.get(name, 0.0) + value for name, value in sums_of(cost).items()}
            scaler.unscale_(optimiser)
            grad_norm = clip_gradients(model, section.clip)
            *figures, asked = total([*map(float, own_sums.values()), stop.asked is not None])
            sums = dict(zip(own_sums, figures, strict=True))
            skipped = scaler.is_enabled() and not math.isfinite(grad_norm)
            if not math.isfinite(sums["loss"]) or not (skipped or math.isfinite(grad_norm)):
                _refuse_not_a_number(run, state, sums["loss"] / units, grad_norm, saved)
            scaler.step(optimiser)
            scaler.update()
            optimiser.zero_grad(set_to_none=True)

            seconds = time.monotonic() - tick
            state = state.model_copy(
                update={
                    "step": state.step + 1,
                    "units": state.units + units,
                    "train_seconds": state.train_seconds + seconds,
                    "skipped": state.skipped + skipped,
                    **scaler_state(scaler),
                }
            )
            if skipped:
                run.log_event("skipped", step=state.step, loss_scale=state.loss_scale)
                _check_loss_scale(state, saved)
            last = state.step == section.steps
            log.add(sums, units, seconds)
            if ranks.first and (state.step % section.log_every == 0 or last or state.step == 1):
                left = seconds_left(state.step - before, section.steps - before, time.monotonic() - started)
                fp16 = {"loss_scale": state.loss_scale, "skipped": state.skipped} if scaler.is_enabled() else {}
                log.write(state, section.steps, left, lr=lr, grad_norm=grad_norm, step_seconds=seconds, **fp16)

            stopping = bool(asked) and not last
            if (section.save_every and state.step % section.save_every == 0) or last or stopping:
                saved = _save(run, model, optimiser, state, recipe, data)
            if stopping:
                why = f"signal {stop.asked or 'to another process'}"
                run.log_event("stopped", step=state.step, why=why)
                raise InterruptedRunError(
                    f"Stopped at step {state.step:,} of {section.steps:,} by {why}; saved {saved}. "
                    "The same command with --resume auto goes on from there."
                )
            if validation is not None and (state.step % section.eval_every == 0 or last):
                _held_out(run, line, state, cost_of, road, validation, section.eval_batches, compute, ranks)

        return _finish(run, saved)


def _save(
    run: RunFolder,
    model: PreTrainedModel,
    optimiser: torch.optim.Optimizer,
    state: TrainerState,
    recipe: Recipe,
    data: RunData,
) -> Path:
    """Save a checkpoint: all processes gather, the first writes. Older ones go where the recipe says so."""
    weights, moments = weights_of(model), optimiser_tensors(model, optimiser)

    def write() -> Path:
        saved = save_checkpoint(
            run.checkpoints,
            run=run.id,
            weights=weights,
            optimiser=moments,
            state=state,
            depends_on=data.depends_on,
            normalisers=data.normalisers,
            tokenizer=data.tokenizer_file,
            recipe_yaml=dump_recipe(recipe),
            texts=data.texts,
        )
        run.log_event("saved", step=state.step, checkpoint=saved.name)
        keep = recipe.checkpoints.keep_newest
        for gone in keep_newest(run.checkpoints, keep) if keep else []:
            run.log_event("deleted", checkpoint=gone.name)
        return saved

    return on_first_rank(write)


def _held_out(
    run: RunFolder,
    line: LiveLine,
    state: TrainerState,
    cost_of: CostOf,
    road: Road,
    batches: Batches,
    limit: int,
    compute: Compute,
    ranks: Ranks,
) -> None:
    """Measure the validation split and log it."""
    figures = validate(cost_of, road, batches, limit, compute, ranks)
    run.log_metrics(kind="validation", step=state.step, **figures)
    if ranks.first:
        line.say(f"step {state.step:,}: validation loss {figures['loss']:.4f} nats/{road.unit[:-1]}")


def _is_validated(run: RunFolder, step: int) -> bool:
    lines = read_jsonl(run.metrics) if run.metrics.is_file() else []
    return any(line["kind"] == "validation" and line["step"] == step for line in lines)


def _finish(run: RunFolder, checkpoint: Path | None) -> TrainResult:
    """Write `train.json`, the mark of a finished training."""
    assert checkpoint is not None  # the last step saves

    def write() -> TrainResult:
        manifest = read_checkpoint(checkpoint)
        result = TrainResult(run, checkpoint, manifest.step, manifest.weights_sha256())
        write_json(
            run.finished,
            {
                "checkpoint": str(result.checkpoint.relative_to(run.path)),
                "step": result.step,
                "weights_sha256": result.weights_sha256,
                "peak_memory_bytes": peak_memory_bytes(),
            },
        )
        run.log_event("finished", step=result.step, checkpoint=result.checkpoint.name)
        return result

    return on_first_rank(write)


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
