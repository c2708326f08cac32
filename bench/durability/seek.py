"""What finding the place of a resume costs: seconds of data work before the first micro-batch, wherever the run stood.

    python bench/durability/seek.py [--examples 1000000]

Token shards of random ids and real-looking lengths are made for each road, opened anew for every position as a restarted process
does, and asked for the micro-batch at that position of epoch 2. `open` is what a first start pays as well (rows are packed when
the data is opened); `seek` is what the position adds. The peer is what a loader that replays does: draw the micro-batches one by
one up to the position (timed on 200 of them, and multiplied).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lugha.recipe import TokensSection
from lugha.runs.manifest import stage_output
from lugha.tokens.shards import STAGE, VERSION, Sequences, TokenShards, TokenShardWriter
from lugha.tokens.special import OUR_ROLES
from lugha.training.batches import Batches
from lugha.training.example_batches import ExampleBatches
from lugha.training.packed_batches import PackedBatches
from lugha.training.pair_batches import PairBatches

POSITIONS = (0.0, 0.1, 0.5, 0.9)
REPLAYED = 200
VOCABULARY, ROW = 16_384, 256


def make_shards(folder: Path, kind: str, count: int) -> None:
    """`count` sequences of 8 to 120 tokens, most of them short."""
    rng = np.random.default_rng(7)
    details = {"kind": kind, "languages": ["eng", "ibo"], "vocab_size": VOCABULARY, "fingerprint": "", "width": 2}
    with stage_output(folder, stage=STAGE, version=VERSION, parameters={}, inputs={}) as out:
        out.details |= details | {"splits": {"train": {}}}
        with TokenShardWriter(out, "train", tokens_per_shard=100_000_000, together=2) as writer:
            for begin in range(0, count, 100_000):
                size = min(100_000, count - begin)
                lengths = 8 + np.minimum(rng.geometric(1 / 25, size), 112)
                offsets = np.concatenate([[0], np.cumsum(lengths)])
                ids = rng.integers(10, VOCABULARY, offsets[-1], dtype=np.uint16)
                predicted = rng.random(offsets[-1]) < 0.5 if kind == "examples" else None
                langs = np.tile(np.array([0, 1], np.uint8), size // 2)
                writer.write(Sequences(ids, offsets, langs, lengths.astype(np.int32), predicted))
        out.tally.rows_in = out.tally.rows_out = count


def roads(folder: Path) -> dict[str, tuple[str, Callable[[TokenShards], Batches]]]:
    """Road -> the kind of its shards, and how the loop opens them."""
    codes, tokens = np.array([4, 5]), TokensSection(max_length=ROW)
    return {
        "pretrain": ("documents", lambda s: PackedBatches(s, ROW, 8, 1, OUR_ROLES)),
        "lora": ("examples", lambda s: ExampleBatches(s, 4, 1, ROW, 8, 1, OUR_ROLES)),
        "seq2seq": ("pairs", lambda s: PairBatches(s, codes, tokens, 4096, 1, OUR_ROLES)),
    }


def main() -> None:
    """Print one line for each road and position."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for road, (kind, opened) in roads(Path(place)).items():
            folder = Path(place) / kind
            make_shards(folder, kind, options.examples // 2 * 2)
            for position in POSITIONS:
                begun = time.perf_counter()
                batches = opened(TokenShards.open(folder, "train"))
                count = batches.micro_batches(2)
                opening = time.perf_counter() - begun
                index = int(position * (count - 1))
                begun = time.perf_counter()
                batches.micro_batch(2, index)
                seek = time.perf_counter() - begun
                line = (
                    f"{road:<9} {options.examples:,} sequences, at {position:.0%} ({index:,} of {count:,} micro-batches): "
                )
                line += f"open {opening:.2f} s, seek {seek * 1000:.1f} ms"
                if position:
                    begun = time.perf_counter()
                    for number in range(REPLAYED):
                        batches.micro_batch(2, number)
                    replay = (time.perf_counter() - begun) / REPLAYED * index
                    line += f"; replaying {replay:.0f} s, {replay / (opening + seek):.0f} times as long"
                print(line, flush=True)


if __name__ == "__main__":
    main()
