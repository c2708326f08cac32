"""Alignment of a trained decoder: supervised fine-tuning on instructions (sft), then preferences (dpo).

    sft = align(aligned_recipe("sft", checkpoint=Path("runs/swahili-..."), data=Path("instructions.jsonl")))
    dpo = align(aligned_recipe("dpo", checkpoint=sft.checkpoint, data=Path("preferences.jsonl")))

A checkpoint and a file of examples become a recipe (`aligned_recipe`), and that goes through the ordinary stages: tokens,
train, a comparison with the checkpoint on held-out examples. It is the one training loop, so a killed alignment goes on where
it was and a finished one is not done again. The comparison stands in the run folder beside what every run leaves:

    instruction.json    sft: loss of the responses before and after
    preference.json     dpo: preferences of both models on the same pairs, with intervals, and their difference
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lugha.checkpoints.format import RECIPE, TOKENIZER, CheckpointManifest, read_checkpoint
from lugha.checkpoints.restore import resolve_checkpoint
from lugha.errors import InputError, nearest
from lugha.evaluation.likelihood import negative_log_likelihood
from lugha.evaluation.preference import Estimate, PreferenceScores, accuracy_gain, score_preferences
from lugha.models.base import Base
from lugha.models.build import load_model
from lugha.pipeline.base import prepare_base
from lugha.pipeline.layout import Layout
from lugha.pipeline.prepare import stage_line
from lugha.pipeline.training import train_recipe
from lugha.recipe import Recipe, TrainSection, load_recipe
from lugha.runs.files import sha256_json, write_text
from lugha.runs.folder import RunFolder
from lugha.tokens.build_examples import build_instruction_examples, build_preferences
from lugha.tokens.template import TEMPLATE
from lugha.training.batches import Batches
from lugha.training.data import open_run_data
from lugha.training.device import Compute, choose_compute
from lugha.training.distributed import on_first_rank, processes
from lugha.training.loop import TrainResult
from lugha.training.preference_batches import PreferenceBatches
from lugha.training.reference import log_probs_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Say = Callable[[str], None]

# What a person who aligns changes about a run; these are the usual rates for models of billions of parameters. A model of
# some millions that was trained at 1e-3 barely moves at them: --lr 1e-4 (sft) and 1e-5 (dpo) are where to begin then.
DEFAULTS: dict[str, dict[str, float]] = {"sft": {"lr": 1e-5, "epochs": 3}, "dpo": {"lr": 5e-7, "epochs": 1}}
WARMUP_STEPS = 5

FILES: dict[str, str] = {"sft": "instruction.json", "dpo": "preference.json"}
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
    too_long: int  # held-out pairs that were left out


Result = InstructionResult | PreferenceResult
AnyResult = TypeVar("AnyResult", InstructionResult, PreferenceResult)


@dataclass(frozen=True)
class Alignment:
    """What an alignment leaves."""

    run: RunFolder
    checkpoint: Path
    step: int
    weights_sha256: str
    result: Result | None  # None where nothing was held out


def align(recipe: Recipe, *, say: Say = print) -> Alignment:
    """Train a recipe of road sft or dpo on its examples, and compare the model with its base.

    The same call again goes on with an unfinished run, and does nothing to a finished one.

    Args:
        recipe: of `aligned_recipe`, or any other with `model.base` and `examples.data`.

    Raises:
        InputError: another road, no base, a base that is no decoder, or examples that cannot be read.
        InterruptedRunError: the training stopped early; the same call goes on.
    """
    road = recipe.train.road
    if road not in FILES:
        raise InputError(f"train.road {road} is no alignment.{nearest(road, FILES)}")
    with processes() as ranks:
        say = say if ranks.first else _nothing
        recipe, base = prepare_base(recipe, say)
        if base is None:
            raise InputError(f"train.road {road} begins with a trained model: name a checkpoint's folder in model.base.")
        tokens, tokenizer = Layout.of(recipe).tokens, recipe.tokenizer.path
        assert tokenizer is not None  # the base's, where the recipe names none
        build = build_instruction_examples if road == "sft" else build_preferences
        say(stage_line(on_first_rank(lambda: build(tokenizer, tokens, tokens=recipe.tokens, examples=recipe.examples))))
        trained = train_recipe(recipe, base=base, tokens=tokens, tokenizer=tokenizer, say=say)
        say(f"train      {trained.run.id}: step {trained.step:,}, weights {trained.weights_sha256[:12]}")
        held_out = open_run_data(recipe, tokens, tokenizer, base).validation
        result = on_first_rank(lambda: _compare(recipe, base, trained, held_out, say))
    return Alignment(trained.run, trained.checkpoint, trained.step, trained.weights_sha256, result)


def aligned_recipe(
    road: str,
    *,
    checkpoint: Path,
    data: Path,
    validation_data: Path | None = None,
    epochs: float | None = None,
    lr: float | None = None,
    beta: float | None = None,
    lang: str | None = None,
    root: Path | None = None,
    overrides: Iterable[str] = (),
    say: Say = print,
) -> Recipe:
    """The recipe of an alignment: that of a checkpoint, with its model as the base and `road` as the road.

    How the machine is used (precision, threads, rows of a micro-batch) stays as it was. How the model learns is new:
    `DEFAULTS`, one micro-batch a step, no weight decay.

    Args:
        road: sft or dpo.
        checkpoint: a run folder (its newest checkpoint) or a checkpoint, of a decoder.
        data: JSONL of instructions (sft) or preferences (dpo), or a folder of them; preferences also do for sft.
        validation_data: held-out examples; default: a share of the prompts of `data` (`examples.validation`).
        lang: language of the examples; default: that of the checkpoint, where it has one.
        root: folder of the run folders; default: the checkpoint's own `run.root`.
        overrides: `a.b=c` each, on top of all this.

    Raises:
        InputError: no such road or file, no whole checkpoint, `beta` for sft, or values that do not go together.
    """
    if road not in DEFAULTS:
        raise InputError(f'No alignment "{road}".{nearest(road, DEFAULTS)}')
    if beta is not None and road == "sft":
        raise InputError("--beta ties dpo to its reference model; sft has none. Leave it out.")
    for path in (data, validation_data):
        if path is not None and not path.exists():
            raise InputError(f"{path}: no such file or folder. Give JSONL, or a folder of them.")
    start = resolve_checkpoint(checkpoint, say=say).resolve()
    before = load_recipe(start / RECIPE)
    lr = DEFAULTS[road]["lr"] if lr is None else lr
    learning = {
        "road": road,
        "epochs": DEFAULTS[road]["epochs"] if epochs is None else epochs,
        "lr": lr,
        "min_lr": lr / 10,
        "warmup_steps": WARMUP_STEPS,
        "schedule": "cosine",
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "beta": TrainSection().beta if beta is None else beta,
        "accumulation": 1,
        # As many padded tokens as the packed rows had: what fitted in memory then fits now.
        "micro_batch_tokens": before.train.micro_batch * before.tokens.max_length,
        "max_minutes": None,
    }
    template = start / TEMPLATE
    examples = {
        "template": str(template) if template.is_file() else before.examples.template,
        "data": str(data.resolve()),
        "validation_data": str(validation_data.resolve()) if validation_data else None,
        "validation": before.examples.validation,
        "lang": lang or _only_language(read_checkpoint(start)),
    }
    # The base has its own shape; these are what its config.json does not say, or what other keys are checked against.
    model = before.model.model_dump(mode="json", include={"kind", "max_positions", "lora", "base_dtype", "dropout"})
    sections: dict[str, Any] = {
        "name": f"{before.name}-{road}",
        "run.root": str(root or before.run.root),
        "tokenizer": {"path": str(start / TOKENIZER)},
        "examples": examples,
        "model": model | {"base": str(start)},
        "train": before.train.model_dump(mode="json") | learning,
        "evaluate.metrics": ["generation"],
    }
    ours = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sections.items()]
    return load_recipe(start / RECIPE, [*ours, *overrides])


def _only_language(manifest: CheckpointManifest) -> str | None:
    """The language of a checkpoint's text, where it is one alone."""
    languages = list(manifest.normalisers)
    return languages[0] if len(languages) == 1 else None


def _compare(recipe: Recipe, base: Base, trained: TrainResult, held_out: Batches | None, say: Say) -> Result | None:
    """Measure both models on the held-out examples and write the result, unless a current one is there."""
    if held_out is None:
        say("evaluate   no prompt is held out: raise examples.validation, or give --validation-data")
        return None
    depends_on = json.loads((trained.run.path / "run.json").read_text(encoding="utf-8"))["depends_on"]
    key = sha256_json([_VERSION, depends_on, trained.weights_sha256, recipe.evaluate.bootstrap])
    common = {"key": key, "step": trained.step, "start": base.id}
    models = _Models((base.folder, trained.checkpoint), Layout.of(recipe).bases, choose_compute(recipe.train))
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
        f"the same per token: {before.accuracy_per_token} before, {after.accuracy_per_token} after",
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


def _nothing(_: str) -> None:
    """Processes but the first say nothing."""
