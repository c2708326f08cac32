"""What follows from the recipe and the data, said before the first step."""

from __future__ import annotations

from lugha.checkpoints.format import TrainerState
from lugha.models.shapes import parameter_count, trainable_count
from lugha.recipe import Recipe, TrainSection
from lugha.runs.deadline import Deadline
from lugha.runs.folder import RunFolder
from lugha.runs.rates import format_count, format_duration
from lugha.training.data import RunData
from lugha.training.device import Compute
from lugha.training.distributed import Ranks
from lugha.training.pair_batches import PairBatches
from lugha.training.save_clock import FIRST_SECONDS


def announce(
    recipe: Recipe,
    section: TrainSection,
    data: RunData,
    compute: Compute,
    ranks: Ranks,
    state: TrainerState,
    run: RunFolder,
    deadline: Deadline | None,
) -> list[str]:
    """What follows from the recipe and the data, before the run."""
    batches = data.training
    micro_batches = batches.micro_batches(0)
    epochs = section.steps * section.accumulation / micro_batches
    parameters = f"{format_count(parameter_count(recipe.model))} parameters"
    if recipe.model.lora:
        parameters = f"{format_count(trainable_count(recipe.model))} trained parameters on {parameters}"
    lines = [
        f"{run.id}: {parameters}, {format_count(batches.tokens_per_epoch)} "
        f"target tokens an epoch in {micro_batches:,} micro-batches ({batches.padding:.1%} padding)",
        f"{section.steps:,} steps = {epochs:.2f} epochs, on {compute.device.type} in "
        f"{str(compute.dtype).removeprefix('torch.')} ({compute.reason})",
    ]
    if isinstance(batches, PairBatches):
        lines += [f"  {d}: {d.examples:,} examples, {d.drawn:,} drawn in each epoch" for d in batches.directions]
    if ranks.size > 1:
        each = section.accumulation // ranks.size
        lines.append(f"{ranks.size} processes ({section.parallel}), {each} micro-batches of a step in each")
    if left_out := getattr(batches, "too_long", 0):
        what = "examples" if section.road in ("lora", "sft") else "pairs"
        lines.append(f"{left_out:,} {what} are longer than tokens.max_length {recipe.tokens.max_length}: left out")
    lines.append(_saves(recipe, section))
    if deadline:
        lines.append(
            f"deadline {deadline.text}, in {format_duration(deadline.left())}: stops by itself before it, everything saved"
            + (" and published" if recipe.publish.stores else "")
        )
    if state.step:
        lines.append(f"resuming after step {state.step:,}")
    return lines


def _saves(recipe: Recipe, section: TrainSection) -> str:
    """When a checkpoint is made, and where it goes."""
    interval = recipe.checkpoints.interval
    if interval != "auto":
        when = f"every {format_duration(interval)}"
    else:
        between = format_duration(recipe.run.time_between_interruptions or 0.0)
        when = f"as often as pays with {between} between interruptions, first after {format_duration(FIRST_SECONDS)}"
    steps = f" and every {section.save_every:,} steps" if section.save_every else ""
    where = f", verified in {', '.join(recipe.publish.stores)}" if recipe.publish.stores else ", on this disk alone"
    return f"saves {when}{steps}{where}"
