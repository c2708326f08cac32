"""What an alignment changed: the model before and after it on the same held-out examples, in a file of the run folder.

    instruction.json    sft: loss of the responses
    preference.json     dpo: which answers both models prefer, with intervals, and the difference

Measured in fp32, whatever the training computed in, and once: a file that belongs to the same models and data is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from lugha.evaluation.likelihood import negative_log_likelihood
from lugha.evaluation.preference import Estimate, PreferenceScores, accuracy_gain, score_preferences
from lugha.models.base import Base
from lugha.models.build import load_model
from lugha.monitor.alignment_sections import INSTRUCTION, PREFERENCE
from lugha.pipeline.layout import Layout
from lugha.recipe import Recipe
from lugha.runs.files import sha256_json, write_text
from lugha.training.batches import Batches
from lugha.training.device import Compute, choose_compute
from lugha.training.loop import TrainResult
from lugha.training.preference_batches import PreferenceBatches
from lugha.training.reference import log_probs_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Say = Callable[[str], None]

FILES: dict[str, str] = {"sft": INSTRUCTION, "dpo": PREFERENCE}
_VERSION = 1


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str  # digest of all that the figures are a function of
    step: int
    start: str  # the checkpoint that the alignment began with


class HeldOutLoss(BaseModel):
    """Mean -ln p over the predicted tokens of held-out responses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loss: float  # nats per token
    tokens: int


class InstructionResult(_Result):
    """`instruction.json`."""

    before: HeldOutLoss
    after: HeldOutLoss


class PreferenceResult(_Result):
    """`preference.json`. Rewards and margins are those of the aligned model against the one that it began as."""

    before: PreferenceScores
    after: PreferenceScores
    accuracy_gain: Estimate  # after - before, paired
    accuracy_per_token_gain: Estimate
    too_long: int  # held-out pairs that were left out


Result = InstructionResult | PreferenceResult
AnyResult = TypeVar("AnyResult", InstructionResult, PreferenceResult)


def compare_with_base(recipe: Recipe, base: Base, trained: TrainResult, held_out: Batches | None, say: Say) -> Result | None:
    """Measure a finished alignment and its base on the held-out examples and write the result.

    Args:
        recipe: of road sft or dpo.
        held_out: the validation split; None where it is empty: then there is no result.
        say: gets the lines for people.
    """
    if held_out is None:
        say("evaluate   no prompt is held out: raise examples.validation, or give --validation-data")
        return None
    depends_on = json.loads((trained.run.path / "run.json").read_text(encoding="utf-8"))["depends_on"]
    key = sha256_json([_VERSION, depends_on, trained.weights_sha256, recipe.evaluate.bootstrap])
    common = {"key": key, "step": trained.step, "start": base.id}
    compute = replace(choose_compute(recipe.train), dtype=torch.float32)
    models = _Models((base.folder, trained.checkpoint), Layout.of(recipe).bases, compute)
    if isinstance(held_out, PreferenceBatches):
        path = trained.run.path / FILES["dpo"]
        preferred = _current(path, PreferenceResult, key)
        if preferred is None:
            preferred = _preferences(models, held_out, recipe.evaluate.bootstrap, common)
            write_text(path, preferred.model_dump_json(indent=2) + "\n")
        for line in preference_lines(preferred):
            say(f"evaluate   {line}")
        return preferred
    path = trained.run.path / FILES["sft"]
    learned = _current(path, InstructionResult, key)
    if learned is None:
        before, after = (_loss(model, held_out, models.compute) for model in models.loaded())
        learned = InstructionResult(before=before, after=after, **common)
        write_text(path, learned.model_dump_json(indent=2) + "\n")
    say(
        f"evaluate   held-out responses: {learned.before.loss:.4f} nats/token before, {learned.after.loss:.4f} after "
        f"({learned.after.tokens:,} tokens)"
    )
    return learned


def preference_lines(found: PreferenceResult) -> list[str]:
    """What a person reads of a `preference.json`."""
    before, after = found.before, found.after
    left_out = f" ({found.too_long:,} too long, left out)" if found.too_long else ""
    return [
        f"{after.pairs:,} held-out pairs of {after.prompts:,} prompts{left_out}; 95 % intervals over prompts",
        f"ln p(chosen) > ln p(rejected): {before.accuracy} before, {after.accuracy} after, gain {found.accuracy_gain}",
        f"the same per token: {before.accuracy_per_token} before, {after.accuracy_per_token} after, "
        f"gain {found.accuracy_per_token_gain}",
        f"reward of the chosen answer higher: {after.reward_accuracy}; margin {after.margin} nats",
    ]


@dataclass(frozen=True)
class _Models:
    """The model before and after, in memory one at a time."""

    folders: tuple[Path, Path]
    cache: Path
    compute: Compute

    def loaded(self) -> Iterator[PreTrainedModel]:
        for folder in self.folders:
            yield load_model(folder, cache=self.cache).to(self.compute.device)


def _preferences(models: _Models, batches: PreferenceBatches, bootstrap: int, common: dict[str, Any]) -> PreferenceResult:
    before, after = (log_probs_of(model, batches, models.compute) for model in models.loaded())
    lengths, prompts = batches.answer_tokens, batches.prompts
    return PreferenceResult(
        before=score_preferences(before, lengths, prompts, bootstrap=bootstrap),
        after=score_preferences(after, lengths, prompts, reference=before, bootstrap=bootstrap),
        accuracy_gain=accuracy_gain(after, before, prompts, bootstrap=bootstrap),
        accuracy_per_token_gain=accuracy_gain(after / lengths, before / lengths, prompts, bootstrap=bootstrap),
        too_long=batches.too_long,
        **common,
    )


def _loss(model: PreTrainedModel, batches: Batches, compute: Compute) -> HeldOutLoss:
    every = (batches.micro_batch(0, index) for index in range(batches.micro_batches(0)))
    found = negative_log_likelihood(model, every, compute.device)
    return HeldOutLoss(loss=found.loss, tokens=found.tokens)


def _current(path: Path, kind: type[AnyResult], key: str) -> AnyResult | None:
    """The result in `path`, if it is of `key`; one that is damaged or of another version is measured anew."""
    if not path.is_file():
        return None
    try:
        found = kind.model_validate_json(path.read_bytes())
    except ValidationError:
        return None
    return found if found.key == key else None
