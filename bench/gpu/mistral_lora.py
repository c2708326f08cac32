"""Mistral-7B with adapters on one GPU, under the memory of an A10G: the founding configuration against lugha's.

    python bench/gpu/mistral_lora.py [--cap-mib 22888] [--steps 4] [--lengths FILE.json]
    python bench/gpu/mistral_lora.py --tiny         the same code on a small shape on a CPU, to see that it runs

Full shape of `igbo-mistral-7b` (7,241,732,096 parameters) with random weights in bf16, fp32 adapters of rank 16 on q_proj and
v_proj (6,815,744), gradient checkpointing, bf16 autocast, examples of real lengths:

    founding   batch 1, accumulation 16, each example padded to 256, `model(**batch).loss`: the project's own repair after it
               ran out of memory
    lugha      rows of 1,024 tokens packed with document masks, lugha's cost; the largest micro-batch of 1, 2, 4 ... rows that
               fits the cap

MFU counts products with weight matrices alone (attention's own products add some per cent at these lengths): a token passes
N = 6.98 G weights in the layers, forward 2 N, backward 2 N, since frozen weights need no gradient: 4 N. HFU adds the second
forward pass of gradient checkpointing, which stops before down_proj, whose result nothing needs: 5.5 N. The head counts where
it is computed, for every position in the founding configuration, for predicted ones in lugha's, and is not checkpointed.
tests/bench holds these counts to the products that torch makes. Memory outside PyTorch's allocator, such as CUDA's own context
of about 0.5 GiB, is not under the cap: lower --cap-mib by that to be strict.
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
    largest,
    new_model,
    parse_options,
    report,
    train_steps,
)

from lugha.models.lora import add_lora
from lugha.models.shapes import linear_shapes, parameter_count, trainable_count
from lugha.recipe import ModelSection, Recipe, load_recipe
from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import IGNORED, Batch
from lugha.training.example_batches import ExampleBatches
from lugha.training.objectives import causal_cost, predicted_tokens
from lugha.training.optimiser import build_optimiser


class MadeExamples:
    """Examples of given lengths with random ids, for `ExampleBatches`."""

    def __init__(self, lengths: np.ndarray, predicted_share: float, vocabulary: int) -> None:
        self.lengths, self._vocabulary = lengths, vocabulary
        self.predicted_counts = np.maximum(1, np.rint(lengths * predicted_share)).astype(int)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> np.ndarray:
        return np.random.default_rng(number).integers(4, self._vocabulary, self.lengths[number])

    def predicted(self, number: int) -> np.ndarray:
        """The end of each example."""
        return np.arange(self.lengths[number]) >= self.lengths[number] - self.predicted_counts[number]


def counted(batch: Batch, model: ModelSection, useful: float, examples: float, projected: int) -> Tokens:
    """Tokens and products of a micro-batch; `projected` positions pass the head."""
    weights = {name: width_in * width_out * count for name, (width_in, width_out, count) in linear_shapes(model).items()}
    layers = sum(weights.values())
    computed = batch["input_ids"].numel()
    flops = 4.0 * layers * computed + 4.0 * model.vocab_size * model.d_model * projected
    return Tokens(examples, useful, computed, flops, 2.0 * (layers - weights["down_proj"]) * computed)


def founding(recipe: Recipe, examples: MadeExamples, network: torch.nn.Module, steps: int, accumulation: int) -> Measured:
    """One example a micro-batch, padded."""
    length = min(256, recipe.tokens.max_length)
    fitting = np.random.default_rng(1).permutation(np.flatnonzero(examples.lengths <= length - 2))
    mean = float(examples.lengths[fitting].mean()) + 2

    def micro_batch(index: int) -> tuple[Batch, Tokens]:
        number = int(fitting[index % len(fitting)])
        ids = np.array([OUR_ROLES.bos, *examples[number], OUR_ROLES.eos])
        answer = np.array([False, *examples.predicted(number), True])
        row, labels = np.full(length, OUR_ROLES.pad), np.full(length, IGNORED)
        row[: len(ids)], labels[: len(ids)] = ids, np.where(answer, ids, IGNORED)
        arrays = {"input_ids": row, "labels": labels, "attention_mask": (np.arange(length) < len(ids)).astype(int)}
        batch = {name: torch.from_numpy(array)[None] for name, array in arrays.items()}
        return batch, counted(batch, recipe.model, mean, 1, projected=length)

    def loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        value: torch.Tensor = model(**batch, use_cache=False).loss
        return value

    return train_steps(network, build_optimiser(network, recipe.train), micro_batch, loss, accumulation, steps)


def packed(recipe: Recipe, examples: MadeExamples, network: torch.nn.Module, steps: int, rows: int) -> Measured:
    """Packed rows; a step has four or more, as the preset's."""
    mean = float(examples.lengths.mean()) + 2
    batches = ExampleBatches(examples, 1, None, recipe.tokens.max_length, rows, 1, OUR_ROLES)

    def micro_batch(index: int) -> tuple[Batch, Tokens]:
        batch = batches.micro_batch(0, index % (batches.micro_batches(0) - 1))
        useful = int((batch["input_ids"] != OUR_ROLES.pad).sum())
        return batch, counted(batch, recipe.model, useful, useful / mean, projected=predicted_tokens(batch))

    def loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        return causal_cost(model, batch, recipe.train).objective / predicted_tokens(batch)

    accumulation = max(1, recipe.train.accumulation // rows)
    return train_steps(network, build_optimiser(network, recipe.train), micro_batch, loss, accumulation, steps)


def main() -> None:
    """Measure both and print them."""
    options = parse_options(__doc__)
    device = choose_device(options.tiny, options.cap_mib)
    recipe = load_recipe("igbo-mistral-7b", ["model.scale=tiny", "tokens.max_length=256"] if options.tiny else [])
    lengths = Lengths.read(options.lengths)
    mean = lengths.examples.mean() + 2
    print(
        f"{parameter_count(recipe.model):,} parameters, {trainable_count(recipe.model):,} trained; "
        f"examples of {mean:.1f} tokens ({lengths.source})"
    )
    examples = MadeExamples(lengths.examples, lengths.predicted_share, recipe.model.vocab_size)
    network = new_model(recipe.model, device, torch.bfloat16)
    assert recipe.model.lora is not None
    add_lora(network, recipe.model.lora, seed=1)

    before = report(
        "founding: batch 1, accumulation 16, padded to 256", founding(recipe, examples, network, options.steps, 16), device
    )
    gc.collect()
    rows = 2 if options.tiny else largest([2**n for n in range(7)], lambda n: packed(recipe, examples, network, 1, n))
    name = f"lugha: packed, micro-batch {rows} x {recipe.tokens.max_length:,}"
    after = report(name, packed(recipe, examples, network, options.steps, rows), device)
    print(f"lugha is faster by {after / before:.2f} in examples/s")


if __name__ == "__main__":
    main()
