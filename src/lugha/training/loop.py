"""The training loop: one for all roads, flat, read from top to bottom.

    result = train(recipe, tokens=..., tokenizer=..., run=new_run(...))

In: a recipe, a folder of token shards, the tokenizer, a run folder. Out: checkpoints, metrics, `train.json`, and the final
checkpoint's folder. Roads differ in their objective (objectives.py) and their batches (batches.py), nowhere else.

Invariants:
- A resumed run is the same run: weights are bit for bit those of one that was never stopped (on the CPU). State is the
  model, the optimiser, torch's random generators and a `TrainerState` of plain values; data order is a function.
- The loss of a step is the mean over its target tokens, however the step is cut into micro-batches.
- Order of events after an update: log, save, validate. A validation that fails cannot lose the save before it.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

import torch

from lugha.checkpoints.format import TrainerState, read_checkpoint
from lugha.checkpoints.restore import Verified, check_same_run, load_into
from lugha.checkpoints.save import keep_newest, save_checkpoint
from lugha.errors import InterruptedRunError, RefusedError
from lugha.models.build import build_model
from lugha.models.shapes import parameter_count
from lugha.recipe import Recipe, dump_recipe
from lugha.runs.files import write_json, write_text
from lugha.runs.folder import RunFolder
from lugha.runs.manifest import peak_memory_bytes
from lugha.runs.rates import format_count, rate, seconds_left
from lugha.training.batches import Batch, Batches
from lugha.training.data import RunData, open_run_data
from lugha.training.device import Compute, choose_compute
from lugha.training.display import LiveLine, progress_line
from lugha.training.first_batch import check_first_batch, check_first_loss, preview
from lugha.training.objectives import OBJECTIVES, Objective, predicted_tokens
from lugha.training.optimiser import build_optimiser
from lugha.training.pair_batches import PairBatches
from lugha.training.schedule import learning_rate

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
    resume: Verified | None = None,
    say: Callable[[str], None] | None = None,
) -> TrainResult:
    """Train until `train.steps`, from nothing or from a verified checkpoint.

    Args:
        tokens: output of the stage `tokens`; its manifest must name the tokenizer given.
        tokenizer: folder or file of tokenizer.json.
        run: where checkpoints, metrics and events go.
        resume: a checkpoint of the same run to go on from.
        say: gets each line that a person should read; default: stderr.

    Raises:
        InputError: tokens and tokenizer do not belong together, or the tokenizer is larger than the model's vocabulary.
        RefusedError: the first batch is wrong, the loss is not a number, or the checkpoint is of another run.
        InterruptedRunError: stopped by a signal, `train.max_minutes` or a full disk; a checkpoint was saved where possible.
    """
    line = LiveLine()
    say = say or line.say
    with run.lock(), _StopFlag() as stop:
        data = open_run_data(recipe, tokens, tokenizer)
        training, validation, depends_on = data.training, data.validation, data.depends_on
        section = recipe.train
        compute = choose_compute(section)
        objective = OBJECTIVES[section.road]

        model = build_model(recipe.model, seed=recipe.seed)
        model.to(device=compute.device)
        optimiser = build_optimiser(model, section)
        state = TrainerState()
        if resume is not None:
            check_same_run(depends_on, resume)
            state = load_into(resume.folder, model, optimiser)
            run.forget_after(state.step)
        else:
            torch.manual_seed(recipe.seed)  # dropout; the weights have drawn from the generator
        if section.gradient_checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        if section.compile:
            model.model.compile()

        write_text(run.path / "recipe.yaml", dump_recipe(recipe))
        run.log_event("resumed" if resume else "started", step=state.step, depends_on=depends_on)
        for text in _announce(recipe, data, compute, state, run):
            say(text)
        if resume is None:
            first = training.micro_batch(0, 0)
            for text in preview(first, data.tokenizer, data.roles):
                say(text)
            check_first_batch(first, road=section.road, codes=data.codes, roles=data.roles)
            _check_start(model, objective, first, compute, recipe.model.vocab_size)
        if state.step >= section.steps:
            assert resume is not None
            return _finish(run, resume)

        model.train()
        started = time.monotonic()
        before = state.step  # of this attempt
        window_nats = window_tokens = window_seconds = 0.0
        saved = resume.folder if resume else None

        while state.step < section.steps:
            tick = time.monotonic()
            micro_batches, state = _next_micro_batches(training, state, section.accumulation)
            targets = sum(predicted_tokens(b) for b in micro_batches)
            lr = learning_rate(state.step, section)
            for group in optimiser.param_groups:
                group["lr"] = lr

            step_nats = torch.zeros((), device=compute.device)
            for batch in micro_batches:
                with compute.autocast():
                    cost = objective(model, _to(batch, compute.device), section.label_smoothing)
                torch.autograd.backward(cost.objective / targets)
                step_nats += cost.nats
            grad_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), section.clip)
            loss = float(step_nats) / targets
            if not math.isfinite(loss) or not math.isfinite(float(grad_norm)):
                _refuse_not_a_number(run, state, loss, float(grad_norm), saved)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

            seconds = time.monotonic() - tick
            window_nats, window_tokens = window_nats + float(step_nats), window_tokens + targets
            window_seconds += seconds
            state = state.model_copy(
                update={
                    "step": state.step + 1,
                    "target_tokens": state.target_tokens + targets,
                    "train_seconds": state.train_seconds + seconds,
                }
            )
            last = state.step == section.steps
            left = seconds_left(state.step - before, section.steps - before, time.monotonic() - started)
            if state.step % section.log_every == 0 or last or state.step == 1:
                per_second = rate(window_tokens, window_seconds)
                run.log_metrics(
                    kind="train",
                    step=state.step,
                    loss=window_nats / window_tokens,
                    lr=lr,
                    grad_norm=float(grad_norm),
                    tokens=state.target_tokens,
                    tokens_per_second=per_second,
                    step_seconds=seconds,
                )
                line.show(
                    progress_line(
                        step=state.step,
                        steps=section.steps,
                        loss=window_nats / window_tokens,
                        lr=lr,
                        tokens_per_second=per_second,
                        left_seconds=left,
                    )
                )
                window_nats = window_tokens = window_seconds = 0.0

            minutes = (time.monotonic() - started) / 60
            out_of_time = section.max_minutes is not None and minutes >= section.max_minutes and not last
            if state.step % section.save_every == 0 or last or stop.asked or out_of_time:
                saved = save_checkpoint(
                    run.checkpoints,
                    run=run.id,
                    model=model,
                    optimiser=optimiser,
                    state=state,
                    depends_on=depends_on,
                    normalisers=data.normalisers,
                    tokenizer=data.tokenizer_file,
                    recipe_yaml=dump_recipe(recipe),
                )
                run.log_event("saved", step=state.step, checkpoint=saved.name)
                for gone in keep_newest(run.checkpoints, section.keep) if section.keep else []:
                    run.log_event("deleted", checkpoint=gone.name)
            if stop.asked or out_of_time:
                why = f"signal {stop.asked}" if stop.asked else f"train.max_minutes {section.max_minutes}"
                run.log_event("stopped", step=state.step, why=why)
                raise InterruptedRunError(
                    f"Stopped at step {state.step:,} of {section.steps:,} by {why}; saved {saved}. "
                    "The same command with --resume auto goes on from there."
                )
            if validation is not None and (state.step % section.eval_every == 0 or last):
                held_out = validate(model, objective, validation, section.eval_batches, compute)
                best = min(held_out, state.best_validation_loss or math.inf)
                state = state.model_copy(update={"best_validation_loss": best})
                run.log_metrics(kind="validation", step=state.step, loss=held_out)
                line.say(f"step {state.step:,}: validation loss {held_out:.4f} nats/token")

        assert saved is not None
        return _finish(run, Verified(saved, read_checkpoint(saved)))


def validate(model: PreTrainedModel, objective: Objective, batches: Batches, limit: int, compute: Compute) -> float:
    """Mean -ln p over the target tokens of the first `limit` micro-batches of a split; the model is left in train mode."""
    model.train(False)
    nats, tokens = 0.0, 0
    with torch.no_grad():
        for index in range(min(limit, batches.micro_batches(0))):
            batch = batches.micro_batch(0, index)
            with compute.autocast():
                nats += float(objective(model, _to(batch, compute.device), 0.0).nats)
            tokens += predicted_tokens(batch)
    model.train()
    return nats / tokens


def _next_micro_batches(batches: Batches, state: TrainerState, count: int) -> tuple[list[Batch], TrainerState]:
    """The micro-batches of the next step, and the place in the data behind them; epochs follow one another seamlessly."""
    epoch, index = state.epoch, state.micro_batch
    taken: list[Batch] = []
    while len(taken) < count:
        if index >= batches.micro_batches(epoch):
            epoch, index = epoch + 1, 0
        taken.append(batches.micro_batch(epoch, index))
        index += 1
    return taken, state.model_copy(update={"epoch": epoch, "micro_batch": index})


def _to(batch: Batch, device: torch.device) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _check_start(model: PreTrainedModel, objective: Objective, first: Batch, compute: Compute, vocab_size: int) -> None:
    """Compare the loss before the first update with chance; draws nothing from the random generators."""
    model.train(False)
    with torch.no_grad(), compute.autocast():
        nats = float(objective(model, _to(first, compute.device), 0.0).nats)
    check_first_loss(nats / predicted_tokens(first), vocab_size)


def _announce(recipe: Recipe, data: RunData, compute: Compute, state: TrainerState, run: RunFolder) -> list[str]:
    """What follows from the recipe and the data, before the run."""
    section, batches = recipe.train, data.training
    micro_batches = batches.micro_batches(0)
    epochs = section.steps * section.accumulation / micro_batches
    lines = [
        f"{run.id}: {format_count(parameter_count(recipe.model))} parameters, {format_count(batches.tokens_per_epoch)} "
        f"target tokens an epoch in {micro_batches:,} micro-batches ({batches.padding:.1%} padding)",
        f"{section.steps:,} steps = {epochs:.2f} epochs, on {compute.device.type} in "
        f"{str(compute.dtype).removeprefix('torch.')} ({compute.reason})",
    ]
    if isinstance(batches, PairBatches) and batches.too_long:
        lines.append(f"{batches.too_long:,} pairs are longer than tokens.max_length {recipe.tokens.max_length}: left out")
    if state.step:
        lines.append(f"resuming after step {state.step:,}")
    return lines


def _finish(run: RunFolder, final: Verified) -> TrainResult:
    """Write `train.json`, the mark of a finished training."""
    result = TrainResult(run, final.folder, final.manifest.step, final.manifest.weights_sha256())
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


def _refuse_not_a_number(run: RunFolder, state: TrainerState, loss: float, grad_norm: float, saved: Path | None) -> None:
    run.log_event("not_a_number", step=state.step + 1, loss=str(loss), grad_norm=str(grad_norm))
    raise RefusedError(
        f"Step {state.step + 1:,}: loss {loss}, gradient norm {grad_norm}: not a number, so the update was not made. "
        f"Last checkpoint: {saved or 'none'}. Lower train.lr, lengthen train.warmup_steps, or use precision fp32."
    )


class _StopFlag:
    """SIGTERM and SIGINT ask the loop to save and stop after the step; a second one ends the process at once."""

    def __init__(self) -> None:
        self.asked: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number).name
