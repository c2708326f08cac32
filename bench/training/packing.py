"""Useful tokens per CPU second: examples packed into rows, against one example a row padded to 256.

    OMP_NUM_THREADS=1 python bench/training/packing.py [--corpora ../shared/corpora] [--rounds 5] [--lengths FILE.json]
    OMP_NUM_THREADS=1 python bench/training/packing.py --made      the same on the demo corpus, which needs no files

Both train the same Llama with the same AdamW on micro-batches of 4 rows of 256 tokens of the same examples (every pair in all
four formats), in turns. Padding to 256 is how the Igbo project that lugha began with trained. It is measured in two ways:

    padded            lugha's loss, and the plain causal mask, which is enough where padding stands on the right:
                      all that differs from packing is how many examples stand in a row
    padded, founding  `model(**batch).loss` with an attention mask, as that project's trainer called it: every position
                      is projected onto the vocabulary

A useful token is one of an example, `<s>` and `</s>` included; a predicted one belongs to a response. Seconds are measured;
tokens of a micro-batch are the exact mean over an epoch, so that the luck of a few batches does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from prepared import DECODERS, VOCABULARY, Prepared, median_and_spread, prepare, print_header

from lugha.models.build import build_model
from lugha.models.shapes import parameter_count
from lugha.recipe import TrainSection
from lugha.tokens.shards import TokenShards
from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import IGNORED, Batch
from lugha.training.example_batches import ExampleBatches
from lugha.training.objectives import causal_cost, predicted_tokens
from lugha.training.optimiser import build_optimiser, clip_gradients
from lugha.training.order import permuted

ROWS, ROW_LENGTH = 4, 256
TRAIN = TrainSection(road="sft", lr=1e-3)


def padded(shards: TokenShards, index: int) -> Batch:
    """Micro-batch `index` of one example a row, with the attention mask that a tokenizer makes of padding to 256."""
    fitting = np.flatnonzero(shards.lengths <= ROW_LENGTH - 2)
    places = permuted(np.arange(index * ROWS, (index + 1) * ROWS), n=len(fitting), seed=1, epoch=0)
    input_ids = np.full((ROWS, ROW_LENGTH), OUR_ROLES.pad)
    labels = np.full((ROWS, ROW_LENGTH), IGNORED)
    for row, number in enumerate(fitting[places]):
        ids, length = shards[int(number)], int(shards.lengths[number]) + 2
        input_ids[row, :length] = [OUR_ROLES.bos, *ids, OUR_ROLES.eos]
        answer = np.concatenate([[False], shards.predicted(int(number)), [True]])
        labels[row, :length][answer] = input_ids[row, :length][answer]
    mask = np.arange(ROW_LENGTH) < shards.lengths[fitting[places], None] + 2
    tensors = {"input_ids": input_ids, "labels": labels, "attention_mask": mask.astype(np.int64)}
    positions = torch.arange(ROW_LENGTH).expand(ROWS, -1)
    return {name: torch.from_numpy(array) for name, array in tensors.items()} | {"position_ids": positions}


def piecewise_loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """lugha's loss; what says which token sees which are the positions."""
    return causal_cost(model, batch, TRAIN).objective / predicted_tokens(batch)


def whole_loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """The loss of transformers."""
    loss: torch.Tensor = model(**batch, use_cache=False).loss
    return loss


class Trainer:
    """A model that is trained on one kind of micro-batch; keeps its place between rounds."""

    def __init__(
        self,
        shape: str,
        micro_batch: Callable[[int], Batch],
        loss: Callable[[torch.nn.Module, Batch], torch.Tensor],
        precision: str,
    ) -> None:
        self.model = build_model(DECODERS[shape], seed=1).train()
        self.optimiser = build_optimiser(self.model, TRAIN)
        self.micro_batch, self.loss, self.done = micro_batch, loss, 0
        self.bf16 = precision == "bf16"

    def seconds(self, steps: int) -> float:
        """Median CPU seconds of the next `steps` steps."""
        seconds = []
        for _ in range(steps):
            begun = time.process_time()
            batch = self.micro_batch(self.done)
            with torch.autocast("cpu", torch.bfloat16) if self.bf16 else contextlib.nullcontext():
                loss = self.loss(self.model, batch)
            loss.backward()
            clip_gradients(self.model, TRAIN.clip)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            seconds.append(time.process_time() - begun)
            self.done += 1
        return statistics.median(seconds)


def compare(prepared: Prepared, shape: str, options: argparse.Namespace) -> None:
    """Measure all three in turns and print their rates."""
    shards = prepared.training_examples
    batches = ExampleBatches(shards, prepared.formats, None, ROW_LENGTH, ROWS, 1, OUR_ROLES)
    examples = batches.sequences(0)
    useful = int((shards.lengths[examples] + 2).sum()) / len(examples)  # an example's mean
    predicted = batches.tokens_per_epoch / len(examples)
    a_row = ROW_LENGTH * (1 - batches.padding) / useful
    print(f"padding: {batches.padding:.1%} packed ({a_row:.2f} examples a row), {1 - useful / ROW_LENGTH:.1%} padded")
    ways = {
        "packed": (a_row, Trainer(shape, lambda i: batches.micro_batch(0, i), piecewise_loss, options.precision)),
        "padded": (1.0, Trainer(shape, lambda i: padded(shards, i), piecewise_loss, options.precision)),
        "padded, founding": (1.0, Trainer(shape, lambda i: padded(shards, i), whole_loss, options.precision)),
    }
    for _, trainer in ways.values():
        trainer.seconds(2)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, (in_row, trainer) in ways.items():
            rates[name].append(ROWS * in_row * useful / trainer.seconds(options.steps))
    for name, found in rates.items():
        rate = statistics.median(found)
        factors = [packed / other for packed, other in zip(rates["packed"], found, strict=True)]
        behind = "" if name == "packed" else f"; packed is faster by {median_and_spread(factors)}"
        print(
            f"{name:<17} {rate:7,.0f} useful, {rate * predicted / useful:6,.0f} predicted tokens/CPU-s{behind}", flush=True
        )


def describe(prepared: Prepared) -> None:
    """Print what the lengths are."""
    lengths = prepared.training_examples.lengths + 2
    print(
        f"{prepared.name}: {len(lengths):,} examples, {len(lengths) // prepared.formats:,} pairs in {prepared.formats} formats; "
        f"vocabulary {prepared.training_examples.vocab_size:,}, trained on the same text\n"
        f"tokens with <s> and </s>: mean {lengths.mean():.1f}, median {np.median(lengths):.0f}, 95 % up to "
        f"{np.percentile(lengths, 95):.0f}, longest {lengths.max()}; {(lengths > ROW_LENGTH).sum()} longer than {ROW_LENGTH}: "
        "left out of both"
    )


def write_lengths(prepared: Prepared, path: Path) -> None:
    """Counts of lengths, no text: what bench/gpu makes its batches of."""
    examples, pairs = prepared.training_examples, TokenShards.open(prepared.pairs, "train").lengths.reshape(-1, 2)
    lengths, counts = np.unique(examples.lengths, return_counts=True)
    sides, pair_counts = np.unique(-(-pairs // 4) * 4, axis=0, return_counts=True)
    content = {
        "text": prepared.name,
        "vocabulary": VOCABULARY,
        "predicted_share": round(float(examples.predicted_counts.sum() / examples.lengths.sum()), 4),
        "examples": [[int(n), int(c)] for n, c in zip(lengths, counts, strict=True)],
        "pairs": [[int(s), int(t), int(c)] for (s, t), c in zip(sides, pair_counts, strict=True)],
    }
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def main() -> None:
    """Prepare the text and compare for each model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpora", type=Path, default=Path("../shared/corpora"), help="folder that holds mafand-mt")
    parser.add_argument("--made", action="store_true", help="on the demo corpus instead")
    parser.add_argument("--models", nargs="+", choices=DECODERS, default=["10 M"])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="of each way in a round")
    parser.add_argument("--lengths", type=Path, help="only write the counts of lengths to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        prepared = prepare(None if options.made else options.corpora, Path(place))
        if options.lengths:
            write_lengths(prepared, options.lengths)
            return
        print_header()
        describe(prepared)
        for shape in options.models:
            print(f"{parameter_count(DECODERS[shape]):,} parameters, micro-batch {ROWS} x {ROW_LENGTH}, {options.precision}")
            compare(prepared, shape, options)


if __name__ == "__main__":
    main()
