"""NLLB-200-600M trained whole on one GPU, under the memory of an A10G: batches of 4 x 512 against lugha's token budget.

    python bench/gpu/nllb.py [--cap-mib 22888] [--steps 4] [--lengths FILE.json]
    python bench/gpu/nllb.py --tiny                 the same code on a small shape on a CPU, to see that it runs

Full shape of `nllb-600m` (615,073,792 parameters, vocabulary 256,206) with random weights: fp32 master weights and AdamW moments,
bf16 autocast, gradient checkpointing, pairs of real lengths in both directions:

    founding   batch 4, accumulation 4, both sides padded to 512, `model(**batch).loss`
    lugha      pairs of similar length under a budget of padded tokens, lugha's cost; the largest budget of 2,048, 4,096 ...
               that fits the cap

MFU counts products with weight matrices alone: a token passes the N weights of its side, forward 2 N, backward 4 N: 6 N; the
decoder's keys and values of the source count with the source. HFU adds the second forward pass of gradient checkpointing: 8 N.
The head counts where it is computed, and is not checkpointed. tests/bench holds these counts to the products that torch makes.
An example is a pair read in one direction. Memory outside PyTorch's allocator is not under the cap.
"""

from __future__ import annotations

import gc

import numpy as np
import torch
from full_size import (
    Lengths,
    Measured,
    Tokens,
    choose_device,
    fits,
    largest,
    new_model,
    parse_options,
    report,
    train_steps,
)

from lugha.models.shapes import parameter_count
from lugha.recipe import ModelSection, Recipe, TokensSection, load_recipe
from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import IGNORED, Batch
from lugha.training.objectives import predicted_tokens, seq2seq_cost
from lugha.training.optimiser import build_optimiser
from lugha.training.pair_batches import PairBatches

CODES = np.array([4, 5])  # ids of the two languages
FIRST_ID = 6


class MadePairs:
    """Pairs of given lengths with random ids, for `PairBatches`."""

    languages = ("eng", "ibo")

    def __init__(self, pairs: np.ndarray, vocabulary: int) -> None:
        self.lengths, self._vocabulary = pairs.reshape(-1), vocabulary
        self.langs = np.arange(len(self.lengths), dtype=np.uint8) % 2

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> np.ndarray:
        return np.random.default_rng(number).integers(FIRST_ID, self._vocabulary, self.lengths[number])


def counted(batch: Batch, model: ModelSection, useful: float, examples: float, projected: int) -> Tokens:
    """Tokens and products of a micro-batch; `projected` positions pass the head."""
    source, target = batch["input_ids"].numel(), batch["labels"].numel()
    square, feed_forward = model.d_model**2, 2 * model.d_model * model.d_ff
    # Source: the encoder's attention (4) and the decoder's keys and values of it (2). Target: own attention (4), queries and
    # outputs of that to the source (2).
    layers = model.layers * (6 * square + feed_forward) * (source + target)
    flops = 6.0 * (layers + model.vocab_size * model.d_model * projected)
    return Tokens(examples, useful, source + target, flops, 2.0 * layers)


def mean_tokens(pairs: MadePairs) -> float:
    """Of both sides of a pair, with a code and an end each."""
    return 2 * (float(pairs.lengths.mean()) + 2)


def padded_to(batch: Batch, length: int) -> Batch:
    """The same pairs with both sides filled up to `length`."""
    fill = {"input_ids": OUR_ROLES.pad, "attention_mask": 0, "decoder_input_ids": OUR_ROLES.pad, "labels": IGNORED}
    return {
        name: torch.nn.functional.pad(tensor, (0, length - tensor.shape[1]), value=fill[name])
        for name, tensor in batch.items()
    }


def founding(recipe: Recipe, pairs: MadePairs, network: torch.nn.Module, steps: int, length: int) -> Measured:
    """Four pairs a micro-batch, drawn without regard to length, padded."""
    mean = mean_tokens(pairs)
    by_one = PairBatches(pairs, CODES, TokensSection(max_length=length), 1, 1, OUR_ROLES)  # a budget of 1: a pair a batch

    def micro_batch(index: int) -> tuple[Batch, Tokens]:
        singles = [padded_to(by_one.micro_batch(0, 4 * index + i), length) for i in range(4)]
        batch = {name: torch.cat([single[name] for single in singles]) for name in singles[0]}
        return batch, counted(batch, recipe.model, 4 * mean, 4, projected=batch["labels"].numel())

    def loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        value: torch.Tensor = model(**batch, use_cache=False).loss
        return value

    return train_steps(network, build_optimiser(network, recipe.train), micro_batch, loss, 4, steps)


def budgeted(recipe: Recipe, pairs: MadePairs, network: torch.nn.Module, steps: int, budget: int) -> Measured:
    """Micro-batches under a token budget; a step has at least the preset's tokens. The widest batch comes first."""
    batches = PairBatches(pairs, CODES, TokensSection(max_length=recipe.tokens.max_length), budget, 1, OUR_ROLES)
    mean = mean_tokens(pairs)
    targets = [batches.micro_batch(0, i)["labels"].numel() for i in range(batches.micro_batches(0))]
    widest = int(np.argmax(targets))  # in the step that warms up: what fits there fits everywhere

    def micro_batch(index: int) -> tuple[Batch, Tokens]:
        batch = batches.micro_batch(0, widest if index == 0 else index % len(targets))
        projected = predicted_tokens(batch)
        useful = int(batch["attention_mask"].sum()) + projected
        return batch, counted(batch, recipe.model, useful, useful / mean, projected)

    def loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return seq2seq_cost(model, batch, recipe.train).objective / predicted_tokens(batch)

    accumulation = max(1, recipe.train.micro_batch_tokens * recipe.train.accumulation // budget)
    return train_steps(network, build_optimiser(network, recipe.train), micro_batch, loss, accumulation, steps)


def main() -> None:
    """Measure both and print them."""
    options = parse_options(__doc__)
    device = choose_device(options.tiny, options.cap_mib)
    recipe = load_recipe("nllb-600m", ["model.scale=tiny"] if options.tiny else [])
    lengths = Lengths.read(options.lengths)
    print(
        f"{parameter_count(recipe.model):,} parameters, all trained; sides of {lengths.pairs.mean() + 2:.1f} tokens "
        f"({lengths.source})"
    )
    pairs = MadePairs(lengths.pairs, recipe.model.vocab_size)
    network = new_model(recipe.model, device, torch.float32)

    length = 256 if options.tiny else 512
    name = f"founding: batch 4, accumulation 4, both sides padded to {length}"
    before = None
    if fits(lambda: founding(recipe, pairs, network, 1, length)):
        before = report(name, founding(recipe, pairs, network, options.steps, length), device)
    else:
        print(f"{name}\n  out of memory")
    gc.collect()
    sizes = [1024] if options.tiny else [2048 * 2**n for n in range(7)]
    budget = largest(sizes, lambda size: budgeted(recipe, pairs, network, 1, size))
    after = report(f"lugha: token budget {budget:,}", budgeted(recipe, pairs, network, options.steps, budget), device)
    if before:
        print(f"lugha is faster by {after / before:.2f} in examples/s")


if __name__ == "__main__":
    main()
