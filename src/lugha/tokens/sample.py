"""The text that a tokenizer is trained and measured on: even shares of every language and source, drawn by seed.

A corpus is a set of streams, one for each (language, source); a pair gives each of its sides to a stream. When the whole is
larger than the budget, every language gets the same number of bytes, and within it every source; what a small one does not
need goes to the others. A tokenizer trained on raw proportions spends its vocabulary on the largest language.

    plan = plan_sample(open_texts(folder), budget=200_000_000, seed=42)
    for draw in sample(open_texts(folder), plan): draw.training, draw.held_out    # lists of texts, the same every time
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from lugha.corpus.shards import open_corpus, read_frames, shard_paths
from lugha.errors import InputError
from lugha.runs.manifest import MANIFEST

Stream = tuple[str, str]  # language (ISO 639-3, or "und" for plain text), source
UNKNOWN_LANGUAGE = "und"
CORPUS_STAGES = ("clean", "dedup", "filter", "split")
HELD_OUT_SHARE = 0.01
_LINES_PER_BATCH = 10_000
_PART_CHARACTERS = 4096
_K = TypeVar("_K", bound=Hashable)


@dataclass(frozen=True)
class Texts:
    """Where texts come from: the Parquet shards of a corpus (of one split, where it is split), or plain text files."""

    folder: Path
    languages: tuple[str, ...] = ()  # ISO 639-3, as the corpus' manifest has them
    split: str | None = None
    shards: tuple[Path, ...] = ()
    pairs: bool = False
    text_files: tuple[Path, ...] = ()

    def batches(self) -> Iterator[tuple[Stream, list[str]]]:
        """Texts in the order of the input, each batch from one stream. Plain text comes line by line, in NFC.

        Raises:
            InputError: a shard is not readable, or a line is not UTF-8.
        """
        for path in self.text_files:
            stream = (UNKNOWN_LANGUAGE, str(path.relative_to(self.folder)))
            for lines in _lines(path):
                yield stream, lines
        sides = [("source_text", "source_lang"), ("target_text", "target_lang")] if self.pairs else [("text", "lang")]
        for frame in read_frames(self.shards, [*(column for side in sides for column in side), "source"]):
            for text, lang in sides:
                for (language, source), rows in frame.group_by([lang, "source"], maintain_order=True):
                    yield (str(language), str(source)), rows[text].to_list()


def open_texts(path: Path, split: str = "train") -> Texts:
    """Texts of a corpus (of `split`, where it is split), of a .txt file, or of the .txt files of a folder.

    Raises:
        InputError: nothing of the kind is there, or the corpus is empty.
    """
    if path.is_file() and path.suffix == ".txt":
        return Texts(path.parent, text_files=(path,))
    files = tuple(sorted(path.rglob("*.txt"))) if path.is_dir() and not (path / MANIFEST).is_file() else ()
    if files:
        return Texts(path, text_files=files)
    if path.exists() and not (path / MANIFEST).is_file():
        raise InputError(f"{path}: neither a finished corpus (it has no {MANIFEST}) nor a .txt file or a folder of them.")
    manifest = open_corpus(path, CORPUS_STAGES)
    part = split if manifest.stage == "split" else None
    languages = tuple(manifest.details["languages"])
    pairs = manifest.details["kind"] == "pairs"
    return Texts(path, languages, part, shards=tuple(shard_paths(path, part)), pairs=pairs)


def _lines(path: Path) -> Iterator[list[str]]:
    batch: list[str] = []
    with path.open("rb") as stream:  # bytes, so that only \n ends a line and a wrong byte has a line number
        for number, raw in enumerate(stream, start=1):
            try:
                line = unicodedata.normalize("NFC", raw.decode()).strip()
            except UnicodeDecodeError as error:
                raise InputError(f"{path}, line {number}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from error
            if line:
                batch.append(line)
            if len(batch) == _LINES_PER_BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


@dataclass(frozen=True)
class SamplePlan:
    """How much of each stream is drawn. Plain values: the same plan and input give the same texts."""

    sizes: dict[Stream, int]  # UTF-8 bytes
    shares: dict[Stream, int]  # UTF-8 bytes to draw, at most
    held_out: float  # share of the texts that is never trained on
    seed: int


def plan_sample(texts: Texts, *, budget: int, seed: int) -> SamplePlan:
    """Measure `texts` and share `budget` bytes out. Where the input has no splits, one text in a hundred is held out.

    Raises:
        InputError: there is no text at all.
    """
    sizes: Counter[Stream] = Counter()
    for stream, batch in texts.batches():
        sizes[stream] += int(pl.Series(batch, dtype=pl.String).str.len_bytes().sum())
    if not sizes.total():
        raise InputError(f"{texts.folder}: there is no text{f' in split {texts.split}' if texts.split else ''}.")
    held_out = 0.0 if texts.split else HELD_OUT_SHARE
    return SamplePlan(dict(sizes), even_shares(sizes, budget), held_out, seed)


def even_shares(sizes: Mapping[Stream, int], budget: int) -> dict[Stream, int]:
    """Divide `budget` bytes evenly over languages, and each language's part over its sources.

    No stream gets more than it has; what it leaves goes to the others. All of it, where the whole fits the budget.
    """
    by_language: Counter[str] = Counter()
    for (language, _), size in sizes.items():
        by_language[language] += size
    shares: dict[Stream, int] = {}
    for language, part in _fill(by_language, budget).items():
        shares |= _fill({stream: size for stream, size in sizes.items() if stream[0] == language}, part)
    return shares


def _fill(sizes: Mapping[_K, int], budget: int) -> dict[_K, int]:
    """Even parts, the smallest first, so that what it leaves over is shared by those that follow."""
    shares: dict[_K, int] = {}
    for done, key in enumerate(sorted(sizes, key=lambda k: (sizes[k], k))):
        shares[key] = min(sizes[key], budget // (len(sizes) - done))
        budget -= shares[key]
    return shares


@dataclass(frozen=True)
class Draw:
    """What was drawn from one batch of one stream: of `texts` texts, or parts of long ones."""

    stream: Stream
    texts: int
    training: list[str]
    held_out: list[str]


def sample(texts: Texts, plan: SamplePlan) -> Iterator[Draw]:
    """Draw texts by plan; a long text in parts of a few thousand characters, so that one file is not all or nothing.

    Every stream has its own random numbers (PCG64 of seed, language, source): another source beside it changes nothing.
    """
    numbers: dict[Stream, np.random.Generator] = {}
    drawn: Counter[Stream] = Counter()
    for stream, batch in texts.batches():
        parts = [part for text in batch for part in _parts(text)]
        sizes = pl.Series(parts, dtype=pl.String).str.len_bytes().to_numpy().astype(np.int64)
        numbers.setdefault(stream, _generator(plan.seed, stream))
        chance = numbers[stream].random((len(parts), 2))
        held_out = chance[:, 0] < plan.held_out
        wanted = ~held_out & (chance[:, 1] * plan.sizes[stream] < plan.shares[stream])
        wanted &= drawn[stream] + np.cumsum(sizes * wanted) <= plan.shares[stream]
        drawn[stream] += int(sizes[wanted].sum())
        training = [parts[i] for i in np.flatnonzero(wanted)]
        yield Draw(stream, len(parts), training, [parts[i] for i in np.flatnonzero(held_out)])


def _parts(text: str) -> list[str]:
    """`text`, cut at the first blank after every few thousand characters."""
    parts = []
    start = 0
    while len(text) - start > _PART_CHARACTERS and (cut := text.find(" ", start + _PART_CHARACTERS)) != -1:
        parts.append(text[start:cut])
        start = cut + 1
    return [*parts, text[start:]]


def _generator(seed: int, stream: Stream) -> np.random.Generator:
    name = hashlib.sha256("\0".join(stream).encode()).digest()
    return np.random.Generator(np.random.PCG64([seed, *np.frombuffer(name, dtype="<u4").tolist()]))
