"""Alignment of a trained decoder: supervised fine-tuning on instructions (sft), then preferences (dpo).

    sft = align(aligned_recipe("sft", checkpoint=Path("runs/swahili-..."), data=Path("instructions.jsonl")))
    dpo = align(aligned_recipe("dpo", checkpoint=sft.checkpoint, data=Path("preferences.jsonl")))

A checkpoint and a file of examples become a recipe (`aligned_recipe`), and that goes through the ordinary stages: tokens,
train, a comparison with the checkpoint on held-out examples (comparing.py). It is the one training loop, so a killed
alignment goes on where it was and a finished one is not done again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lugha.checkpoints.format import RECIPE, TOKENIZER, CheckpointManifest, read_checkpoint
from lugha.checkpoints.restore import resolve_checkpoint
from lugha.errors import InputError, nearest
from lugha.pipeline.base import prepare_base
from lugha.pipeline.comparing import Result, compare_with_base
from lugha.pipeline.layout import Layout
from lugha.pipeline.prepare import prepare_instructions
from lugha.pipeline.reporting import report_run
from lugha.pipeline.training import train_recipe
from lugha.recipe import Recipe, TrainSection, load_recipe
from lugha.runs.deadline import deadline_of
from lugha.runs.folder import RunFolder
from lugha.runs.stopping import limited
from lugha.tokens.template import TEMPLATE
from lugha.training.data import open_run_data
from lugha.training.distributed import on_first_rank, processes

Say = Callable[[str], None]

# The usual rates for models of billions of parameters. A model of some millions barely moves at them: there --lr 1e-3 (sft)
# and 5e-4 (dpo) were right for 1.6 M parameters (bench/alignment/tata.py).
DEFAULTS: dict[str, dict[str, float]] = {"sft": {"lr": 1e-5, "epochs": 3}, "dpo": {"lr": 5e-7, "epochs": 1}}
WARMUP_STEPS = 5


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
        RefusedError: the recipe's deadline is over, or whatever training refuses.
        InterruptedRunError: it stopped early; the same call goes on.
    """
    road = recipe.train.road
    if road not in DEFAULTS:
        raise InputError(f"train.road {road} is no alignment.{nearest(road, DEFAULTS)}")
    with processes() as ranks, limited(deadline=deadline_of(recipe.run)):
        say = say if ranks.first else _nothing
        recipe, base = prepare_base(recipe, say)
        if base is None:
            raise InputError(f"train.road {road} begins with a trained model: name a checkpoint's folder in model.base.")
        tokens, tokenizer = Layout.of(recipe).tokens, recipe.tokenizer.path
        assert tokenizer is not None  # the base's, where the recipe names none
        on_first_rank(lambda: prepare_instructions(recipe, say))
        trained = train_recipe(recipe, base=base, tokens=tokens, tokenizer=tokenizer, say=say)
        say(f"train      {trained.run.id}: step {trained.step:,}, weights SHA-256 {trained.weights_sha256}")
        held_out = open_run_data(recipe, tokens, tokenizer, base).validation
        result = on_first_rank(lambda: compare_with_base(recipe, base, trained, held_out, say))
        say(f"report     {on_first_rank(lambda: report_run(recipe, trained.run))}")
        say(f"{trained.checkpoint}")
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
        "description": f"{before.description}; {road} on {data.name}",
        "run.root": str(root or before.run.root),
        "tokenizer": {"path": str(start / TOKENIZER)},
        "examples": examples,
        "model": model | {"base": str(start)},
        "train": before.train.model_dump(mode="json") | learning,
        "publish": before.publish.for_another_run(road).model_dump(mode="json"),
        "evaluate.metrics": ["generation"],
    }
    ours = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sections.items()]
    return load_recipe(start / RECIPE, [*ours, *overrides])


def _only_language(manifest: CheckpointManifest) -> str | None:
    """The language of a checkpoint's text, where it is one alone."""
    languages = list(manifest.normalisers)
    return languages[0] if len(languages) == 1 else None


def _nothing(_: str) -> None:
    """Processes but the first say nothing."""
