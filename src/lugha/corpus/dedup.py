"""Stage "dedup": one copy of each document or pair stays; exact copies and near-duplicates of it go.

    dedup_corpus(Path("corpus/cleaned"), Path("corpus/deduped"))

Reasons: `exact_duplicate` (the same text; of a pair: both sides and the direction) and `near_duplicate` (exact Jaccard
similarity of character n-grams with the row that stays >= threshold; of a pair: of both sides taken together, so a new
translation of a known sentence is no duplicate). Which row stays: the first in the corpus, but rows of the official test
and validation sets come before all others and are themselves never dropped; copies among them are only counted.

Three passes over the shards, in the memory of one row group plus about 100 bytes a row: exact copies by digest; band keys of
the rest; the candidates' shingles. Then the rows that stay are written in their old order.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lugha.corpus.clusters import choose_keepers, components
from lugha.corpus.minhash import bucket_pairs, write_bands
from lugha.corpus.shards import TEXT_COLUMNS, Kind, ShardWriter, corpus_facts, kind_of, open_corpus, read_frames, shard_paths
from lugha.corpus.shingles import I64, U64, Batch, ShingleSets, key_batches
from lugha.recipe.corpus_sections import DedupSection
from lugha.runs.manifest import StageManifest, input_digest, is_current, read_manifest, stage_output
from lugha.runs.progress import Progress

STAGE, VERSION = "dedup", 1
DEFAULTS = DedupSection()
CORPUS_STAGES = ("clean", "dedup", "filter")
_CLUSTERS_SHOWN, _ROWS_SHOWN, _CHARS_SHOWN = 5, 3, 120
_OFFICIAL = {"test": 0, "validation": 1}  # rank of the rows of official evaluation sets; all others come after them
_KEPT, _EXACT, _NEAR = range(3)
_REASONS = {_EXACT: "exact_duplicate", _NEAR: "near_duplicate"}


@dataclass(frozen=True)
class Duplicates:
    """What stands for each row. All arrays have one number for each row of the corpus.

    keeper: the row that stays in its place; itself for a row that stays.
    verdict: 0 stays, 1 is an exact duplicate, 2 is a near-duplicate.
    official: how many rows of the official sets, all kept, are copies of one before them, by reason.
    """

    keeper: I64
    verdict: NDArray[np.int8]
    official: dict[str, int]


def dedup_corpus(
    input: Path, output: Path, *, section: DedupSection = DEFAULTS, rows_per_shard: int = 1_000_000
) -> StageManifest:
    """Remove exact and near-duplicates from the corpus in `input` and write the rest to `output`.

    Raises:
        InputError: `input` is not a finished corpus (clean, dedup or filter), or it is empty.
    """
    manifest = open_corpus(input, CORPUS_STAGES)
    parameters = {**section.model_dump(mode="json"), "rows_per_shard": rows_per_shard}
    inputs = {"corpus": input_digest(input)}
    if is_current(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs):
        return read_manifest(output)
    kind, paths = kind_of(manifest), shard_paths(input)
    with stage_output(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs) as out:
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=out.folder) as scratch:
            duplicates = find_duplicates(paths, kind, section, Path(scratch))
        largest = _largest_clusters(duplicates)
        shown = {row for cluster in largest for row in cluster}
        texts: dict[int, str] = {}
        first = 0
        with (
            Progress("dedup: write", "rows", manifest.rows_out) as progress,
            ShardWriter(out, kind, rows_per_shard=rows_per_shard) as writer,
        ):
            for frame in read_frames(paths):
                stays = duplicates.verdict[first : first + frame.height] == _KEPT
                writer.write(frame.filter(stays))
                texts |= {row: _short(frame, row - first, kind) for row in shown if 0 <= row - first < frame.height}
                first += frame.height
                progress.add(frame.height)
        out.tally.rows_in, out.tally.rows_out = first, writer.rows
        out.tally.dropped.update({r: int((duplicates.verdict == code).sum()) for code, r in _REASONS.items()})
        removed = duplicates.keeper[duplicates.verdict != _KEPT]
        out.details |= corpus_facts(manifest)
        out.details |= {
            "threshold": section.threshold,
            "clusters": len(np.unique(removed)),
            "largest_clusters": [
                {
                    "rows": 1 + int((removed == kept).sum()),
                    "kept": texts[kept],
                    "removed": [texts[row] for row in others],
                }
                for kept, *others in largest
            ],
            "official_duplicates": duplicates.official,
        }
    return read_manifest(output)


def find_duplicates(paths: Sequence[Path], kind: Kind, section: DedupSection, scratch: Path) -> Duplicates:
    """Find, for each row of the shards, the row that stands for it; `scratch` is a folder for temporary files."""
    to_rank = pl.col("split").replace_strict(_OFFICIAL, default=len(_OFFICIAL), return_dtype=pl.Int8)
    official = np.concatenate([frame.select(to_rank).to_series() for frame in read_frames(paths, ["split"])])
    everyone = np.arange(len(official))
    protected = official < len(_OFFICIAL)
    by_rank = np.argsort(official, kind="stable")
    rank = np.empty(len(official), np.int64)
    rank[by_rank] = everyone

    exact = _exact_keepers(paths, kind, by_rank)
    is_exact = (exact != everyone) & ~protected

    def batches(label: str, take: NDArray[np.bool_]) -> Iterator[Batch]:
        with Progress(f"dedup: {label}", "rows", int(take.sum())) as progress:
            for batch in key_batches(read_frames(paths), _sides(kind), take):
                yield batch
                progress.add(len(batch.rows))

    bands = write_bands(batches("signatures", ~is_exact), section, scratch)
    pairs = bucket_pairs(bands, by_rank[~is_exact[by_rank]])
    candidates = np.zeros(len(everyone), bool)
    candidates[pairs] = True
    sets = ShingleSets(batches("check", candidates), section.ngram, scratch / "sets.u64")
    pairs = pairs[sets.jaccard(pairs) >= section.threshold]
    # Not all pairs of a bucket were compared: a row that hangs on to a component by a chain meets its first row here.
    linked = np.unique(pairs)
    heads = by_rank[components(rank[pairs], len(rank))[rank[linked]]]
    chained = np.stack([heads, linked], axis=1)[heads != linked]
    pairs = np.concatenate([pairs, chained[sets.jaccard(chained) >= section.threshold]])

    near = by_rank[choose_keepers(rank[pairs], protected[by_rank])[rank]]
    is_near = near != everyone
    # The copy of an exact duplicate may itself have gone as a near-duplicate: its keeper then stands for both.
    keeper = np.where(is_exact, near[exact], near)
    verdict = np.select([is_exact, is_near], [_EXACT, _NEAR], _KEPT).astype(np.int8)
    official_copies = protected & (exact != everyone)
    official_near = np.zeros_like(protected)
    official_near[pairs[:, 1]] = True
    official_near &= protected & ~official_copies
    counts = {_REASONS[_EXACT]: int(official_copies.sum()), _REASONS[_NEAR]: int(official_near.sum())}
    return Duplicates(keeper, verdict, counts)


def _sides(kind: Kind) -> list[tuple[str, pl.Expr]]:
    """Text columns with the labels of their salts: texts of two directions, or of two sides, have nothing in common."""
    if kind == "documents":
        return [("text", pl.lit("text"))]
    direction = pl.col("source_lang") + ">" + pl.col("target_lang")
    return [(column, direction + f" {column}") for column in TEXT_COLUMNS[kind]]


def _exact_keepers(paths: Sequence[Path], kind: Kind, by_rank: I64) -> I64:
    """For each row the first row, by rank, with the same text (of pairs: both sides and the direction)."""
    columns = list(TEXT_COLUMNS[kind]) + (["source_lang", "target_lang"] if kind == "pairs" else [])
    parts: list[U64] = []
    with Progress("dedup: exact", "rows", len(by_rank)) as progress:
        for frame in read_frames(paths, columns):
            digests = [hashlib.blake2b(repr(row).encode(), digest_size=16).digest() for row in frame.iter_rows()]
            parts.append(np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2))
            progress.add(frame.height)
    high, low = np.concatenate(parts)[by_rank].T
    order = np.lexsort((low, high))  # stable: among equals the lowest rank comes first
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    keeper = np.empty(len(order), np.int64)
    keeper[by_rank[order]] = by_rank[order[is_first]][np.cumsum(is_first) - 1]
    return keeper


def _largest_clusters(duplicates: Duplicates) -> list[list[int]]:
    """The row that stays and a few of the removed, for the clusters that lost most rows."""
    removed = np.flatnonzero(duplicates.verdict != _KEPT)
    keepers, sizes = np.unique(duplicates.keeper[removed], return_counts=True)
    largest = keepers[np.argsort(-sizes, kind="stable")[:_CLUSTERS_SHOWN]]
    return [[int(kept), *removed[duplicates.keeper[removed] == kept][:_ROWS_SHOWN].tolist()] for kept in largest]


def _short(frame: pl.DataFrame, at: int, kind: Kind) -> str:
    return " | ".join(frame[column][at][:_CHARS_SHOWN] for column in TEXT_COLUMNS[kind])
