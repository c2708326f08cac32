"""The text of the training benches, by the stages of lugha: cleaned pairs, a tokenizer of 8,192, shards of examples and of pairs.

    prepared = prepare(Path("../shared/corpora"), folder)     MAFAND English-Igbo news, 7,000 pairs; not part of this project
    prepared = prepare(None, folder)                          the demo corpus, made here: shorter sentences of a grammar

Ratios that depend on lengths (packing, padding) hold for this text under this tokenizer: a vocabulary of 8,192, trained on the
same pairs, cuts a word into about 1.5 tokens; the tokenizer of a large model cuts Igbo into more.
"""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from lugha.pipeline.layout import Layout
from lugha.pipeline.prepare import prepare_corpus
from lugha.recipe import ExamplesSection, ModelSection, Recipe, TokenizerSection, TokensSection, load_recipe
from lugha.runs.manifest import read_manifest
from lugha.tokens.build import build_tokens
from lugha.tokens.build_examples import build_pair_examples
from lugha.tokens.shards import TokenShards
from lugha.tokens.tokenizer import train_tokenizer

VOCABULARY = 8192
MAFAND = Path(__file__).parents[2] / "recipes" / "mafand-en-ibo.yaml"

DECODERS = {
    "1.6 M": ModelSection(vocab_size=VOCABULARY, d_model=128, layers=4, heads=4, kv_heads=2, d_ff=256, max_positions=1024),
    "10 M": ModelSection(vocab_size=VOCABULARY, d_model=256, layers=8, heads=8, kv_heads=4, d_ff=1024, max_positions=1024),
}
"""The shape of `swahili-debug`, and one of 9,965,824 parameters; both with this vocabulary."""


@dataclass(frozen=True)
class Prepared:
    """Folders of what the stages made."""

    name: str
    recipe: Recipe  # whose corpus it is
    tokenizer: Path
    examples: Path  # shards: every pair in the four formats of the template
    pairs: Path  # shards: both sides of every pair

    @property
    def training_examples(self) -> TokenShards:
        """The training split of the examples."""
        return TokenShards.open(self.examples, "train")

    @property
    def formats(self) -> int:
        """Formats in which each pair is written."""
        return len(read_manifest(self.examples).details["formats"])


def prepare(corpora: Path | None, folder: Path) -> Prepared:
    """Make everything below `folder`, or find it there.

    Args:
        corpora: folder with mafand-mt/en-ibo/{train,dev,test}.{en,ibo}; None: write the demo corpus.
    """
    source, where = ("demo", ["corpus.demo_pairs=3000"]) if corpora is None else (str(MAFAND), [f"corpus.root={corpora}"])
    recipe = load_recipe(source, [f"run.root={folder}", *where])
    split = Layout.of(recipe).corpus("split")
    prepare_corpus(recipe, lambda _: None)
    made = Prepared("demo" if corpora is None else "MAFAND en-ibo", recipe, *(folder / n for n in ("tokenizer", "x", "p")))
    train_tokenizer(split, made.tokenizer, section=TokenizerSection(vocab_size=VOCABULARY))
    build_pair_examples(split, made.tokenizer, made.examples, tokens=TokensSection(), examples=ExamplesSection())
    build_tokens(split, made.tokenizer, made.pairs, section=TokensSection())
    return made


def print_header(*packages: str) -> None:
    """The machine, its load, threads and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", *packages))
    print(f"{processor()}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, {versions}", flush=True)


def processor() -> str:
    """The name of the CPU, as the kernel gives it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def median_and_spread(values: list[float]) -> str:
    """1.23 (1.10 to 1.31, 5 rounds)."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}, {len(values)} rounds)"
