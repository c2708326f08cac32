"""Stage "split": train, validation and test that share no document group, no near-duplicate cluster and no known text.

    split_corpus(Path("corpus/filtered"), Path("corpus/split"), section=SplitSection(), seed=42)

    corpus/split/{train,validation,test}/00000.parquet    without the column `split`
    corpus/split/manifest.json                            details: rows, groups, components, overlap, leaks

Rows with a fixed split go there. Rows with split `auto` are divided by component (`division`): document groups that hold
similar texts stay together, and what is drawn depends on the seed and the rows alone, not on shards.

No train row is similar to a row of validation or test on either side (`likeness`): components keep automatic rows apart, and
a train row that resembles a fixed evaluation set is dropped as `leaks_into_test` or `leaks_into_validation`. Rows of a fixed
evaluation set are never dropped. Where there is nothing to divide (both shares 0, or no automatic row), rows are compared with
the evaluation sets alone. Memory: one row group plus about 100 bytes a text.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lugha.corpus.clusters import components
from lugha.corpus.division import AUTO, TEST, TRAIN, VALIDATION, Rows, assign
from lugha.corpus.likeness import Likeness, are_among, find_likeness
from lugha.corpus.shards import (
    SPLITS,
    TEXT_COLUMNS,
    Kind,
    ShardWriter,
    corpus_facts,
    kind_of,
    open_corpus,
    read_frames,
    shard_paths,
)
from lugha.corpus.shingles import I64, U64
from lugha.errors import InputError
from lugha.recipe.corpus_sections import SplitSection
from lugha.runs.manifest import StageManifest, input_digest, is_current, read_manifest, stage_output
from lugha.runs.progress import Progress

STAGE, VERSION = "split", 1
DEFAULTS = SplitSection()
CORPUS_STAGES = ("clean", "dedup", "filter")
_ODD = np.uint64(0x9E3779B97F4A7C15)  # makes one digest of two, (a, b) unlike (b, a)


def split_corpus(
    input: Path, output: Path, *, section: SplitSection = DEFAULTS, seed: int = 42, rows_per_shard: int = 1_000_000
) -> StageManifest:
    """Divide the corpus in `input` into output/train, output/validation and output/test.

    Raises:
        InputError: `input` is not a finished corpus (clean, dedup or filter), it is empty, or the automatic rows of a
            language consist of too few components to be divided.
    """
    manifest = open_corpus(input, CORPUS_STAGES)
    parameters = {**section.model_dump(mode="json"), "seed": seed, "rows_per_shard": rows_per_shard}
    inputs = {"corpus": input_digest(input)}
    if is_current(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs):
        return read_manifest(output)
    kind, paths = kind_of(manifest), shard_paths(input)
    with stage_output(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs) as out:
        rows = read_rows(paths, kind, seed)
        is_divided = (section.test > 0 or section.validation > 0) and bool((rows.fixed == AUTO).any())
        with tempfile.TemporaryDirectory(prefix="scratch-", dir=out.folder) as scratch:
            likeness = find_likeness(
                lambda: read_frames(paths),
                kind,
                sets={"test": rows.fixed == TEST, "validation": rows.fixed == VALIDATION},
                groups=rows.group if is_divided else None,
                threshold=section.cluster_threshold,
                scratch=Path(scratch),
            )
        leaks = {name: found.any for name, found in likeness.leaks.items()}
        component = components(rows.group[likeness.linked], int(rows.group.max()) + 1)[rows.group]
        try:
            assigned = assign(rows, component, leaks["test"] | leaks["validation"], section)
        except InputError as error:
            raise InputError(f"{input}: {error}") from None
        into_test = (assigned == TRAIN) & leaks["test"]
        into_validation = (assigned == TRAIN) & leaks["validation"] & ~leaks["test"]
        stays = ~(into_test | into_validation)

        first = 0
        with ExitStack() as stack:
            progress = stack.enter_context(Progress("split: write", "rows", len(stays)))
            writers = [
                stack.enter_context(ShardWriter(out, kind, rows_per_shard=rows_per_shard, subfolder=name)) for name in SPLITS
            ]
            for frame in read_frames(paths):
                here = slice(first, first + frame.height)
                for number, writer in enumerate(writers):
                    writer.write(frame.filter((assigned[here] == number) & stays[here]))
                first += frame.height
                progress.add(frame.height)
        out.tally.rows_in, out.tally.rows_out = first, sum(writer.rows for writer in writers)
        out.tally.dropped.update(leaks_into_test=int(into_test.sum()), leaks_into_validation=int(into_validation.sum()))
        out.details |= corpus_facts(manifest)
        out.details |= _report(rows, component, assigned, stays, likeness, kind)
    return read_manifest(output)


def read_rows(paths: Sequence[Path], kind: Kind, seed: int) -> Rows:
    """Read what the division depends on: every column but the texts."""
    languages: dict[str, int] = {}
    fixed, group, language, ticket = [], [], [], []
    columns = ["id", "group", "split"] + (["lang"] if kind == "documents" else ["source_lang", "target_lang"])
    label = pl.col("lang") if kind == "documents" else pl.col("source_lang") + "-" + pl.col("target_lang")
    for frame in read_frames(paths, columns):
        labels = frame.select(label).to_series()
        for name in labels.unique(maintain_order=True):
            languages.setdefault(name, len(languages))
        names = frame["group"].unique()
        group_digests = dict(zip(names, _digests(names, b"group").tolist(), strict=True))
        fixed.append(frame["split"].replace_strict([*SPLITS, "auto"], range(AUTO + 1), return_dtype=pl.Int8).to_numpy())
        language.append(labels.replace_strict(languages, return_dtype=pl.Int64).to_numpy())
        group.append(frame["group"].replace_strict(group_digests, return_dtype=pl.UInt64).to_numpy())
        ticket.append(_digests(frame["id"], str(seed).encode()))
    groups = np.unique(np.concatenate(group), return_inverse=True)[1]
    return Rows(np.concatenate(fixed), groups, np.concatenate(language), np.concatenate(ticket), list(languages))


def _digests(texts: Iterable[str], salt: bytes) -> U64:
    hashes = (hashlib.blake2b(text.encode(), digest_size=8, key=salt).digest() for text in texts)
    return np.frombuffer(b"".join(hashes), np.uint64)


def _report(
    rows: Rows, component: I64, assigned: NDArray[np.int8], stays: NDArray[np.bool_], likeness: Likeness, kind: Kind
) -> dict[str, Any]:
    """What the manifest says beyond the counts of rows.

    overlap: rows of the first split whose text stands in the second, before rows were dropped; for pairs each side (in
    its language, on any side) and both sides at once.
    leaks: rows outside of the fixed evaluation sets that share a text with one; `near` does not repeat the exact ones.
    """
    by_split = {name: (assigned == number) & stays for number, name in enumerate(SPLITS)}
    auto = rows.fixed == AUTO
    _, sizes = np.unique(component[auto], return_counts=True)
    return {
        "rows": {name: int(flags.sum()) for name, flags in by_split.items()},
        "rows_by_language": {
            name: dict(
                zip(rows.languages, np.bincount(rows.language[flags], minlength=len(rows.languages)).tolist(), strict=True)
            )
            for name, flags in by_split.items()
        },
        "groups": {name: len(np.unique(rows.group[flags])) for name, flags in by_split.items()},
        "components": {"count": len(sizes), "largest": int(sizes.max(initial=0))},
        "overlap": {
            f"{SPLITS[a]}_in_{SPLITS[b]}": _overlap(likeness.digests, assigned == a, assigned == b, kind)
            for a, b in ((TEST, TRAIN), (VALIDATION, TRAIN), (TEST, VALIDATION))
        },
        "leaks": {
            name: {"exact": int(found.exact.sum()), "near": int((found.near & ~found.exact).sum())}
            for name, found in likeness.leaks.items()
        },
    }


def _overlap(digests: U64, inner: NDArray[np.bool_], outer: NDArray[np.bool_], kind: Kind) -> dict[str, int]:
    sides = are_among(digests[inner], digests[outer])
    counts = {column: int(flags.sum()) for column, flags in zip(TEXT_COLUMNS[kind], sides.T, strict=True)}
    if kind == "pairs":
        whole = digests[:, 0] * _ODD + digests[:, 1]
        counts["pair"] = int(are_among(whole[inner], whole[outer]).sum())
    return counts
