"""What each variant of a sweep is trained on, for how many steps, and what its score is measured on.

    budget, planned = plan_variants(recipe, variants, tokens=None, say=print)

Data are prepared here, and whatever cannot be trained or fairly compared is refused here, before anything is trained.
Variants whose values touch the data (corpus, tokenizer, tokens, examples, base) get tokens under a name of their own, which all
with the same values share; a corpus that is the recipe's own is linked there, not made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lugha.errors import InputError
from lugha.models.base import Base, fit_section
from lugha.pipeline.base import prepare_base
from lugha.pipeline.layout import Layout
from lugha.pipeline.prepare import prepare_corpus, prepare_instructions, prepare_tokens
from lugha.pipeline.sweep_grid import Variant
from lugha.recipe import Recipe
from lugha.runs.files import sha256_json
from lugha.runs.manifest import read_manifest
from lugha.runs.rates import bits_per_byte
from lugha.tokens.shards import TokenShards
from lugha.training.data import RunData, open_run_data
from lugha.training.places import with_steps

Say = Callable[[str], None]

_DATA_SECTIONS = ("corpus", "tokenizer", "tokens", "examples")
_DATA_KEYS = ("model.base", "model.revision", "model.new_languages", "model.new_characters", "model.kind")
_KEEP = 2  # checkpoints of each run: the final one, and one to fall back on
_WARMUP_SHARE = 10  # of the steps, one in


@dataclass(frozen=True)
class Prepared:
    """The data that variants share."""

    name: str  # of the recipe's layout
    recipe: Recipe  # as it was prepared
    base: Base | None
    tokens: Path
    tokenizer: Path


@dataclass(frozen=True)
class Planned:
    """A variant that is ready to be trained with any seed."""

    variant: Variant
    recipe: Recipe
    prepared: Prepared
    tokens_per_step: float
    validation_batches: int
    bits_per_nat: float | None  # pretrain: what a loss in nats/token is multiplied by to be bits/byte
    text: str  # digest of what the score is measured on

    def score(self, loss: float) -> float:
        """Nats per token in the sweep's measure."""
        return loss if self.bits_per_nat is None else loss * self.bits_per_nat


def plan_variants(own: Recipe, variants: list[Variant], tokens: int | None, say: Say) -> tuple[int, list[Planned]]:
    """The token budget, and the variants with their data, model and steps.

    Args:
        own: the recipe itself; its data are prepared in any case.
        tokens: the budget; None: the target tokens of the recipe's own steps.

    Raises:
        InputError: a variant does not fit its data or its base, the budget is less than one of its steps, two variants train
            the same model, the validation split is empty, or scores would not be of the same text.
    """
    shared = _prepare(own, own, own.name, say)
    data = open_run_data(shared.recipe, shared.tokens, shared.tokenizer, shared.base)
    steps = with_steps(own.train, data.training).steps
    budget = tokens or round(steps * _tokens_per_step(shared.recipe, data))
    by_name = {own.name: shared}
    planned: list[Planned] = []
    seen: dict[str, Variant] = {}
    for variant in variants:
        name = _data_name(own, variant)
        if name not in by_name:
            by_name[name] = _prepare(own, variant.recipe, name, say)
        try:
            one, depends_on = _fitted(variant, by_name[name], budget)
        except InputError as error:
            raise InputError(f"Variant {variant.name}: {error}") from error
        if depends_on in seen:
            raise InputError(
                f"Variants {seen[depends_on].name} and {variant.name} train the same model: the key does not change what is "
                "trained. Leave it out of the grid."
            )
        seen[depends_on] = variant
        planned.append(one)
    other = next((p for p in planned if p.text != planned[0].text), None)
    if other is not None:
        raise InputError(
            f"Variants {planned[0].variant.name} and {other.variant.name} would be scored on different validation text or "
            "tokens, and such scores do not rank. Sweep a key that leaves the validation split (and, but for road pretrain, "
            "the tokenizer and the examples) as they are, or give held-out sources split: validation."
        )
    return budget, planned


def _data_name(own: Recipe, variant: Variant) -> str:
    """The layout of a variant: the recipe's, or one that all variants with the same data values share."""
    of_data = {k: v for k, v in variant.values.items() if k.partition(".")[0] in _DATA_SECTIONS or k in _DATA_KEYS}
    return f"{own.name}-{sha256_json(of_data)[:8]}" if of_data else own.name


def _prepare(own: Recipe, recipe: Recipe, name: str, say: Say) -> Prepared:
    """Corpus, base and tokens of a recipe under a name of its own; an equal corpus is shared, not made again."""
    recipe = recipe.model_copy(update={"name": name})
    layout = Layout.of(recipe)
    if recipe.train.road in ("sft", "dpo"):
        fitted, base = prepare_base(recipe, say)
        prepare_instructions(fitted, say)
        assert fitted.tokenizer.path is not None  # the base's
        return Prepared(name, fitted, base, layout.tokens, fitted.tokenizer.path)
    folder = layout.corpus("split").parent
    if name != own.name and recipe.corpus == own.corpus and not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(Path("..") / own.name / folder.name, target_is_directory=True)
    prepare_corpus(recipe, say)
    fitted, base = prepare_base(recipe, say)
    prepare_tokens(fitted, say)
    return Prepared(name, fitted, base, layout.tokens, layout.tokenizer)


def _fitted(variant: Variant, prepared: Prepared, budget: int) -> tuple[Planned, str]:
    """A variant on its data, with the steps that its budget buys; and the digest of all that its weights depend on."""
    recipe = variant.recipe.model_copy(update={"name": prepared.name, "tokenizer": prepared.recipe.tokenizer})
    if prepared.base is not None:
        recipe = recipe.model_copy(update={"model": fit_section(recipe.model, prepared.base)})
    data = open_run_data(recipe, prepared.tokens, prepared.tokenizer, prepared.base)
    if data.validation is None:
        raise InputError("the validation split is empty, so nothing can be ranked. Raise corpus.split.validation.")
    per_step = _tokens_per_step(recipe, data)
    if budget < per_step:
        raise InputError(
            f"a budget of {budget:,} tokens is less than one step ({per_step:,.0f} target tokens). Raise --tokens, or lower "
            "train.micro_batch or train.accumulation."
        )
    steps, train = round(budget / per_step), recipe.train
    warmup = (
        train.warmup_steps if "train.warmup_steps" in variant.values else min(train.warmup_steps, steps // _WARMUP_SHARE)
    )
    batches = data.validation.micro_batches(0)
    fixed = {"steps": steps, "epochs": None, "warmup_steps": warmup, "eval_every": steps, "eval_batches": batches}
    kept = recipe.checkpoints.model_copy(update={"keep_newest": _KEEP, "keep_every": None, "keep_best": False})
    # Its runs are for comparison and go nowhere: a Hub repository holds one run alone.
    nowhere = recipe.publish.model_copy(update={"stores": []})
    changes = {"train": train.model_copy(update=fixed), "checkpoints": kept, "publish": nowhere}
    recipe = recipe.model_copy(update=changes)
    depends_on = open_run_data(recipe, prepared.tokens, prepared.tokenizer, prepared.base).depends_on
    factor, text = _measured_on(recipe, prepared, data)
    return Planned(variant, recipe, prepared, per_step, batches, factor, text), sha256_json(depends_on)


def _tokens_per_step(recipe: Recipe, data: RunData) -> float:
    """Target tokens of a step, on average over an epoch."""
    return data.training.tokens_per_epoch / data.training.micro_batches(0) * recipe.train.accumulation


def _measured_on(recipe: Recipe, prepared: Prepared, data: RunData) -> tuple[float | None, str]:
    """What turns the validation loss into the score, and the digest of what it is measured on."""
    assert data.validation is not None
    if recipe.train.road == "pretrain":
        files = read_manifest(Layout.of(recipe).corpus("split")).files
        shards = TokenShards.open(prepared.tokens, "validation")
        bytes_ = int(shards.bytes.sum()) + len(shards)  # one for the end of each document, as evaluation counts
        text = sha256_json([f.sha256 for f in files if f.path.startswith("validation/")])
        return bits_per_byte(data.validation.tokens_per_epoch, bytes_), text
    files = read_manifest(prepared.tokens).files
    held_out = [f.sha256 for f in files if f.path.startswith("validation/")]
    return None, sha256_json([held_out, data.depends_on["tokenizer"], data.validation.tokens_per_epoch])
