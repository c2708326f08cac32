"""Which tokenizer style gives fewer bits per byte at equal compute: the measurement behind the default of `tokenizer.style`.

    python bench/tokens/style.py recipes/swahili-corpus.yaml --root FOLDER [--set KEY=VALUE ...]

The same recipe is run twice, once with each style: same model, same vocabulary size, same number of steps of the same number
of tokens, hence the same arithmetic. Bits per byte of the held-out files are compared; perplexity could not be, because the
tokens differ. Finished runs in `run.root` are reused.
"""

from __future__ import annotations

import argparse
import os
import platform

import torch

from lugha.evaluation.results import FILE, read_evaluation
from lugha.pipeline.layout import Layout
from lugha.pipeline.run import run_recipe
from lugha.recipe import load_recipe
from lugha.runs.manifest import read_manifest


def main() -> None:
    """Run both styles and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("--root", required=True, help="folder of the corpus: corpus.root")
    parser.add_argument("--set", action="append", default=[], help="further overrides")
    options = parser.parse_args()
    print(f"{platform.machine()}, torch {torch.__version__}, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads")
    rows = []
    for style in ("bytes", "metaspace"):
        name = load_recipe(options.recipe).name + ("" if style == "bytes" else f"-{style}")
        recipe = load_recipe(
            options.recipe, [f"corpus.root={options.root}", f"tokenizer.style={style}", f"name={name}", *options.set]
        )
        outcome = run_recipe(recipe, until="evaluate")
        assert outcome.run is not None
        held_out = read_evaluation(outcome.run.path / FILE).held_out[0]
        fertility = read_manifest(Layout.of(recipe).tokenizer).details["fertility"]
        rows.append((style, held_out, next(iter(fertility.values()))))
    for style, held_out, fertility in rows:
        print(
            f"{style:<10} {held_out.bits_per_byte:.4f} bits/byte, perplexity {held_out.perplexity:.1f}, "
            f"{fertility['tokens_per_word']:.3f} tokens/word, {fertility['bytes_per_token']:.2f} bytes/token, "
            f"{held_out.tokens:,} held-out tokens"
        )
    print(f"ratio {rows[1][1].bits_per_byte / rows[0][1].bits_per_byte:.4f} (metaspace / bytes)")


if __name__ == "__main__":
    main()
