"""What a run reads: token shards, tokenizer and recipe, compared with one another before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from lugha.errors import InputError
from lugha.languages.normalise import Normaliser
from lugha.languages.registry import get_language
from lugha.recipe import Recipe
from lugha.runs.manifest import verify_stage
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import Roles, roles_of, token_id
from lugha.tokens.tokenizer import load_tokenizer, tokenizer_file, tokenizer_fingerprint
from lugha.training.packed_batches import PackedBatches
from lugha.training.pair_batches import PairBatches

# What may differ between a run and the checkpoint it goes on from: where and how fast, never what is computed.
FREE_TO_CHANGE = frozenset(
    {"device", "threads", "gradient_checkpointing", "log_every", "eval_every", "eval_batches"}
    | {"save_every", "keep", "max_minutes"}
)


@dataclass(frozen=True)
class RunData:
    """The opened inputs of a run."""

    training: PackedBatches | PairBatches
    validation: PackedBatches | PairBatches | None  # None where the split is empty
    tokenizer: Tokenizer
    tokenizer_file: Path
    roles: Roles
    codes: npt.NDArray[np.int64]  # [languages] token id of each language's code
    depends_on: dict[str, str]  # name -> value or digest of all that the weights are a function of
    normalisers: dict[str, str]  # ISO 639-3 -> digest of the normaliser of this version of lugha


def open_run_data(recipe: Recipe, tokens: Path, tokenizer: Path) -> RunData:
    """Open everything a run reads.

    Raises:
        InputError: tokens were not made by this tokenizer, the tokenizer is larger than the model's vocabulary, the kind of
            data does not go with the road, or there is nothing to train on.
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
    wanted = "pairs" if recipe.train.road == "seq2seq" else "documents"
    if manifest.details["kind"] != wanted:
        raise InputError(f"{tokens}: holds {manifest.details['kind']}, but road {recipe.train.road} trains on {wanted}.")
    codes = np.array([token_id(loaded, get_language(code).nllb) for code in manifest.details["languages"]], dtype=np.int64)
    roles = roles_of(loaded)
    training = _batches(recipe, TokenShards.open(tokens, "train"), codes, roles, shuffled=True)
    held_out = TokenShards.open(tokens, "validation")
    return RunData(
        training=training,
        validation=_batches(recipe, held_out, codes, roles, shuffled=False) if len(held_out) else None,
        tokenizer=loaded,
        tokenizer_file=tokenizer_file(tokenizer),
        roles=roles,
        codes=codes,
        depends_on={"data": manifest.content_digest(), "tokenizer": fingerprint} | _settings(recipe),
        normalisers={code: Normaliser(code).digest() for code in manifest.details["languages"]},
    )


def _batches(
    recipe: Recipe, shards: TokenShards, codes: npt.NDArray[np.int64], roles: Roles, *, shuffled: bool
) -> PackedBatches | PairBatches:
    if recipe.train.road == "pretrain":
        return PackedBatches(shards, recipe.tokens.max_length, recipe.train.micro_batch, recipe.seed, roles, shuffled)
    return PairBatches(shards, codes, recipe.tokens, recipe.train.micro_batch_tokens, recipe.seed, roles, shuffled)


def _settings(recipe: Recipe) -> dict[str, str]:
    """Every recipe value that the weights are a function of, by its dotted name."""
    values = {"seed": str(recipe.seed)}
    values |= {f"model.{k}": str(v) for k, v in recipe.model.model_dump(mode="json").items()}
    values |= {f"tokens.{k}": str(getattr(recipe.tokens, k)) for k in ("max_length", "directions")}
    train = recipe.train.model_dump(mode="json")
    return values | {f"train.{k}": str(v) for k, v in train.items() if k not in FREE_TO_CHANGE}
