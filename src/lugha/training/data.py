"""What a run reads: token shards, tokenizer and recipe, compared with one another before anything is computed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from lugha.errors import InputError
from lugha.languages.normalise import Normaliser
from lugha.languages.registry import get_language
from lugha.models.base import BASE, Base
from lugha.models.lora import ADAPTER_CONFIG, adapter_config_text
from lugha.recipe import Recipe
from lugha.runs.manifest import StageManifest, verify_stage
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import Roles, roles_of, token_id
from lugha.tokens.template import TEMPLATE
from lugha.tokens.tokenizer import TOKENIZER_CONFIG, load_tokenizer, tokenizer_file, tokenizer_fingerprint
from lugha.training.example_batches import ExampleBatches
from lugha.training.packed_batches import PackedBatches
from lugha.training.pair_batches import PairBatches
from lugha.training.preference_batches import PreferenceBatches

# What may differ between a run and the checkpoint it goes on from: where and how fast, never what is computed.
FREE_TO_CHANGE = frozenset(
    {"device", "threads", "parallel", "gradient_checkpointing", "log_every", "eval_every", "eval_batches", "save_every"}
)

KIND_OF_ROAD = {
    "pretrain": "documents",
    "lora": "examples",
    "sft": "examples",
    "seq2seq": "pairs",
    "dpo": "preferences",
}
RunBatches = PackedBatches | ExampleBatches | PairBatches | PreferenceBatches


@dataclass(frozen=True)
class RunData:
    """The opened inputs of a run."""

    training: RunBatches
    validation: RunBatches | None  # None where the split is empty
    tokenizer: Tokenizer
    tokenizer_file: Path
    roles: Roles
    codes: npt.NDArray[np.int64]  # [languages] token id of each language's code (seq2seq)
    depends_on: dict[str, str]  # name -> value or digest of all that the weights are a function of
    normalisers: dict[str, str]  # ISO 639-3 -> digest of the normaliser of this version of lugha
    base: Base | None  # what the model begins with
    texts: dict[str, str]  # small files that go into every checkpoint: of the base, of the template


def open_run_data(recipe: Recipe, tokens: Path, tokenizer: Path, base: Base | None = None) -> RunData:
    """Open everything a run reads.

    Raises:
        InputError: tokens were not made by this tokenizer, the tokenizer is larger than the model's vocabulary, it lacks a
            language, the kind of data does not go with the road, or there is nothing to train on.
    """
    manifest = verify_stage(tokens, ("tokens",))
    loaded = load_tokenizer(tokenizer)
    fingerprint = tokenizer_fingerprint(tokenizer)
    if manifest.details["fingerprint"] != fingerprint:
        raise InputError(
            f"{tokens}: made with another tokenizer ({manifest.details['fingerprint'][:8]}) than {tokenizer} "
            f"({fingerprint[:8]}). Run `lugha tokens build` with this tokenizer."
        )
    size = loaded.get_vocab_size()
    if size > recipe.model.vocab_size:
        raise InputError(
            f"{tokenizer} has {size} tokens, but model.vocab_size is {recipe.model.vocab_size}: ids would be out of range. "
            f"Set model.vocab_size to {size} or more, or train a smaller tokenizer."
        )
    wanted = KIND_OF_ROAD[recipe.train.road]
    if manifest.details["kind"] != wanted:
        raise InputError(f"{tokens}: holds {manifest.details['kind']}, but road {recipe.train.road} trains on {wanted}.")
    languages = [get_language(code) for code in manifest.details["languages"]]
    spoken = languages if recipe.train.road == "seq2seq" else []
    roles, codes = roles_of(loaded), np.array([token_id(loaded, lang.nllb) for lang in spoken], dtype=np.int64)
    held_out = TokenShards.open(tokens, "validation")
    return RunData(
        training=_batches(recipe, TokenShards.open(tokens, "train"), manifest.details, codes, roles, shuffled=True),
        validation=_batches(recipe, held_out, manifest.details, codes, roles, shuffled=False) if len(held_out) else None,
        tokenizer=loaded,
        tokenizer_file=tokenizer_file(tokenizer),
        roles=roles,
        codes=codes,
        depends_on=_digests(manifest, fingerprint, base) | _settings(recipe),
        normalisers={lang.code: Normaliser(lang.code).digest() for lang in languages},
        base=base,
        texts=_texts(recipe, base, manifest.details.get("template")),
    )


def _texts(recipe: Recipe, base: Base | None, template: dict[str, Any] | None) -> dict[str, str]:
    texts = {TEMPLATE: template["text"]} if template else {}
    if base is None:
        return texts
    texts[BASE] = json.dumps(base.record(recipe.model), indent=2) + "\n"
    if recipe.model.lora:
        texts[ADAPTER_CONFIG] = adapter_config_text(recipe.model, base.id, base.revision)
    config = base.folder / TOKENIZER_CONFIG
    return texts | ({TOKENIZER_CONFIG: config.read_text(encoding="utf-8")} if config.is_file() else {})


def _batches(
    recipe: Recipe,
    shards: TokenShards,
    details: dict[str, Any],
    codes: npt.NDArray[np.int64],
    roles: Roles,
    *,
    shuffled: bool,
) -> RunBatches:
    train, tokens, seed = recipe.train, recipe.tokens, recipe.seed
    match train.road:
        case "pretrain":
            return PackedBatches(shards, tokens.max_length, train.micro_batch, seed, roles, shuffled)
        case "seq2seq":
            return PairBatches(shards, codes, tokens, train.micro_batch_tokens, seed, roles, shuffled)
        case "dpo":
            return PreferenceBatches(shards, train.micro_batch_tokens, tokens.max_length, seed, roles, shuffled)
        case "lora" | "sft":
            formats = len(details["formats"]) if train.road == "lora" else 1
            drawn = recipe.examples.per_pair if train.road == "lora" else None
            return ExampleBatches(shards, formats, drawn, tokens.max_length, train.micro_batch, seed, roles, shuffled)


def _digests(manifest: StageManifest, fingerprint: str, base: Base | None) -> dict[str, str]:
    digests = {"data": manifest.content_digest(), "tokenizer": fingerprint}
    return digests | ({"base": base.digest} if base else {})


def _settings(recipe: Recipe) -> dict[str, str]:
    """Every recipe value that the weights are a function of, by its dotted name."""
    values = {"seed": str(recipe.seed)}
    # A base counts by its weights, wherever it lies.
    model = recipe.model.model_dump(mode="json", exclude={"base", "revision", "scale"})
    values |= {f"model.{k}": str(v) for k, v in model.items()}
    values |= {f"tokens.{k}": str(getattr(recipe.tokens, k)) for k in _TOKENS_KEYS[recipe.train.road]}
    if recipe.train.road == "lora":
        values["examples.per_pair"] = str(recipe.examples.per_pair)
    train = recipe.train.model_dump(mode="json")
    return values | {f"train.{k}": str(v) for k, v in train.items() if k not in FREE_TO_CHANGE}


# Keys of `tokens` that decide the batches; the others decide the shards and count by their digest.
_TOKENS_KEYS = {
    "pretrain": ("max_length",),
    "lora": ("max_length",),
    "sft": ("max_length",),
    "dpo": ("max_length",),
    "seq2seq": ("max_length", "directions", "language_pairs", "temperature"),
}
