"""lugha's loop against the trainers that people would use instead: useful tokens per CPU second, same model, same examples.

    python bench/training/peers.py --peer trl         SFTTrainer of TRL, packing on       pip install 'lugha[bench]'
    python bench/training/peers.py --peer seq2seq     Seq2SeqTrainer of transformers, batches of similar length
    ... [--corpora ../shared/corpora | --made] [--precision fp32|bf16] [--rounds 5] [--steps N]

Both sides begin with the same weights, on the same data (the script refuses to compare where an epoch of the two does not hold
the same number of tokens, read and predicted), in one process and on one thread, in turns. Same fused AdamW with the same groups
and rates, same clipping, same precision; no dropout, no gradient checkpointing, no saving, no evaluation, no reports.
lugha is `lugha.training.loop.train` itself, logging every step; the peer logs every ten, which is its default.
The first two steps of each run are left out. The figure is the median over rounds of lugha's rate / the peer's.

The peer gets its best setting:
    trl      packing="bfd", which masks the examples of a row from one another as lugha does. SFTTrainer lays all rows of a
             micro-batch end to end: 4 rows of 256 become one of 1,024 with a mask of 1,024 x 1,024. The other way to the same
             step, 1 row and accumulation 4, is measured too, and the better of the two in a first round is the peer.
             ("wrapped" packing cuts examples in two and lets them attend to one another: another task.)
    seq2seq  train_sampling_strategy="group_by_length" by the longer side, which pads less (10 % at 16 pairs) than the default,
             the source (17 %), or the sum (16 %); as many pairs a batch as lugha's budget holds on average. A run is a whole
             megabatch of 50 batches, from its longest to its shortest: fewer would not be a fair draw of lengths.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from prepared import DECODERS, Prepared, median_and_spread, prepare, print_header
from trainers import Rate, lugha_rate, packed_data, pair_data, peer_rate

from lugha.models.shapes import parameter_count
from lugha.recipe import ModelSection, Recipe, TokensSection, TrainSection

ENCODER_DECODERS = {
    name: ModelSection(
        kind="m2m100", vocab_size=8192, d_model=width, layers=layers, heads=4, d_ff=4 * width, max_positions=256
    )
    for name, width, layers in (("2 M", 128, 2), ("8 M", 256, 3))
}
STEADY = {"lr": 1e-3, "min_lr": 1e-3, "warmup_steps": 0, "log_every": 1, "threads": 1, "device": "cpu"}
STEADY |= {"save_every": 10**9, "eval_every": 10**9, "eval_batches": 1}


def recipe_of(prepared: Prepared, model: ModelSection, road: str, options: argparse.Namespace, budget: int) -> Recipe:
    """A recipe that trains `model` on the prepared shards."""
    values = STEADY | {"road": road, "steps": options.steps, "precision": options.precision, "micro_batch": 4}
    train = TrainSection.model_validate(values | {"micro_batch_tokens": budget})
    tokens = TokensSection(max_length=256)
    return prepared.recipe.model_copy(update={"name": "peers", "model": model, "tokens": tokens, "train": train})


def compare(title: str, ours: Callable[[], Rate], theirs: dict[str, Callable[[], Rate]], rounds: int) -> None:
    """Choose the peer's better way in a first round, then measure in turns and print."""
    ours()
    first = {way: measure() for way, measure in theirs.items()}
    best = max(first, key=lambda way: first[way].useful)
    for way, found in first.items():
        print(f"  first round: {way:<24} {found.useful:7,.0f} useful tokens/CPU-s")
    pairs = []
    for number in range(rounds):
        mine = ours() if number % 2 else None  # who begins changes
        other = theirs[best]()
        pairs.append((mine or ours(), other))
    print(f"{title}, against {best}:")
    for name, rates in (("lugha", [a for a, _ in pairs]), ("peer", [b for _, b in pairs])):
        useful, predicted = (
            statistics.median(values) for values in zip(*[(r.useful, r.predicted) for r in rates], strict=True)
        )
        padding = statistics.mean(r.padding for r in rates)
        loss = statistics.mean(r.loss for r in rates)
        print(
            f"  {name:<6} {useful:7,.0f} useful, {predicted:6,.0f} predicted tokens/CPU-s; {padding:.1%} padding; "
            f"loss over the run {loss:.2f}"
        )
    print(f"  ratio {median_and_spread([a.useful / b.useful for a, b in pairs])}", flush=True)


def against_trl(prepared: Prepared, options: argparse.Namespace, folder: Path) -> None:
    """Packed examples, completion-only loss."""
    for name in options.models or DECODERS:
        recipe = recipe_of(prepared, DECODERS[name], "sft", options, budget=2048)
        peer = partial(peer_rate, recipe, packed_data(prepared, recipe), folder)
        theirs = {"4 rows laid end to end": partial(peer, 4, 1), "1 row, accumulation 4": partial(peer, 1, 4)}
        ours = partial(lugha_rate, recipe, prepared.examples, prepared.tokenizer, folder)
        compare(f"{title(name, recipe)}, 4 rows of 256", ours, theirs, options.rounds)


def against_seq2seq(prepared: Prepared, options: argparse.Namespace, folder: Path) -> None:
    """Pairs in both directions, batches of similar length."""
    budget = 1024
    for name in options.models or ENCODER_DECODERS:
        recipe = recipe_of(prepared, ENCODER_DECODERS[name], "seq2seq", options, budget)
        data = pair_data(prepared, recipe)
        rows = round(budget / data.padded_length)
        theirs = {f"{rows} pairs a batch": partial(peer_rate, recipe, data, folder, rows, 1)}
        ours = partial(lugha_rate, recipe, prepared.pairs, prepared.tokenizer, folder)
        compare(f"{title(name, recipe)}, {budget:,} padded tokens", ours, theirs, options.rounds)


def title(name: str, recipe: Recipe) -> str:
    """What is trained, and how long."""
    return f"{name}: {parameter_count(recipe.model):,} parameters, {recipe.train.steps} steps in {recipe.train.precision}"


def main() -> None:
    """Compare for each model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", choices=["trl", "seq2seq"], required=True)
    parser.add_argument("--corpora", type=Path, default=Path("../shared/corpora"), help="folder that holds mafand-mt")
    parser.add_argument("--made", action="store_true", help="on the demo corpus instead")
    parser.add_argument("--models", nargs="+", choices=[*DECODERS, *ENCODER_DECODERS])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of a run; default: 12 (trl), 52 (seq2seq)")
    options = parser.parse_args()
    known = DECODERS if options.peer == "trl" else ENCODER_DECODERS
    if unknown := sorted(set(options.models or ()) - set(known)):
        parser.error(f"--peer {options.peer} has no model {unknown[0]}; it has {', '.join(known)}")
    try:
        import accelerate  # noqa: F401
        import datasets  # noqa: F401

        if options.peer == "trl":
            import trl  # noqa: F401
    except ImportError as error:
        sys.exit(f"{error.name} is not installed: pip install 'lugha[bench]'")
    options.steps = options.steps or {"trl": 12, "seq2seq": 52}[options.peer]
    torch.set_num_threads(1)
    print_header("accelerate", *(["trl"] if options.peer == "trl" else []))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepared = prepare(None if options.made else options.corpora, folder)
        {"trl": against_trl, "seq2seq": against_seq2seq}[options.peer](prepared, options, folder)


if __name__ == "__main__":
    main()
