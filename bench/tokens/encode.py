"""How much of the tokenizer's own speed is left when a corpus is encoded to disk: `build_tokens` against `encode_batch`.

    python bench/tokens/encode.py [TEXT.txt] [--style bytes] [--megabytes 40] [--rounds 3]

Both read the same lines with the same tokenizer in the same process, in turns; the rate is that of the text's UTF-8 bytes.
`build_tokens` also reads Parquet, counts words, and writes, hashes and syncs its shards; `encode_batch` only makes encodings.
Wanted: a ratio of at least 0.9. Without TEXT the lines are made of random words, common ones more often (Zipf).
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

from lugha.corpus.shards import ShardWriter
from lugha.recipe import TokenizerSection, TokensSection
from lugha.runs.manifest import stage_output
from lugha.tokens.build import build_tokens
from lugha.tokens.tokenizer import load_tokenizer, train_tokenizer


def synthetic_lines(megabytes: float) -> list[str]:
    """Lines of 5 to 40 words out of 60,000 made-up ones."""
    rng = np.random.default_rng(0)
    syllables = [c + v for c in ["", *"bdfghjklmnprstvwyz", "ng'", "sh"] for v in "aeiouịọụ"]
    words = np.array(["".join(rng.choice(syllables, rng.integers(1, 6))) for _ in range(60_000)])
    lines: list[str] = []
    size = 0
    while size < megabytes * 1e6:
        lines.append(" ".join(words[np.minimum(rng.zipf(1.3, rng.integers(5, 41)) - 1, len(words) - 1)]))
        size += len(lines[-1].encode()) + 1
    return lines


def write_corpus(folder: Path, lines: list[str]) -> None:
    """The lines as an unsplit corpus of documents."""
    with stage_output(folder, stage="filter", version=1, parameters={}, inputs={}) as out:
        with ShardWriter(out, "documents") as writer:
            for start in range(0, len(lines), 50_000):
                text = lines[start : start + 50_000]
                ids = [f"bench/lines:{start + i + 1}" for i in range(len(text))]
                rest = {"lang": "swh", "source": "bench", "licence": "none", "group": "bench", "split": "auto"}
                writer.write(pl.DataFrame({"id": ids, "text": text}).with_columns(**{k: pl.lit(v) for k, v in rest.items()}))
        out.tally.rows_in = out.tally.rows_out = writer.rows
        out.details |= {"kind": "documents", "languages": ["swh"]}


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Print the rates of both, and their ratio, for each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", type=Path)
    parser.add_argument("--style", choices=["bytes", "metaspace"], default="bytes")
    parser.add_argument("--megabytes", type=float, default=40.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    names = ("tokenizers", "numpy", "polars", "pyarrow")
    print(f"python {platform.python_version()}, {', '.join(f'{n} {version(n)}' for n in names)}")
    print(f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}; style {asked.style}")
    if asked.text:
        lines = [line for line in asked.text.read_text(encoding="utf-8").split("\n") if line.strip()]
    else:
        lines = synthetic_lines(asked.megabytes)
    size = sum(len(line.encode()) for line in lines)
    print(f"{len(lines):,} lines, {size / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_corpus(folder / "corpus", lines)
        section = TokenizerSection(vocab_size=16_384, style=asked.style, max_train_bytes=20_000_000)
        made = train_tokenizer(folder / "corpus", folder / "tokenizer", section=section)
        print(f"vocabulary {made.details['vocab_size']:,}, trained in {made.wall_seconds:.1f} s")
        tokenizer = load_tokenizer(folder / "tokenizer")
        ratios = []
        for n in range(asked.rounds):
            raw = seconds(lambda: tokenizer.encode_batch(lines, add_special_tokens=False))
            made_here = (folder / "corpus", folder / "tokenizer", folder / f"tokens-{n}")
            built = seconds(partial(build_tokens, *made_here, section=TokensSection()))
            ratios.append(raw / built)
            rates = f"encode_batch {size / 1e6 / raw:.2f} MB/s, build_tokens {size / 1e6 / built:.2f} MB/s"
            print(f"round {n + 1}: {rates}, ratio {ratios[-1]:.2f}")
    print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.2f} (wanted: 0.90 or more)")
    sys.exit(0 if sorted(ratios)[len(ratios) // 2] >= 0.9 else 3)


if __name__ == "__main__":
    main()
