"""Stage "filter": rows that are not worth training on go, each with its reason (the rules stand in `rules`).

    filter_corpus(Path("corpus/deduped"), Path("corpus/filtered"), section=FilterSection(max_words=120))

    corpus/filtered/
        00000.parquet            the rows that stay, in their order
        dropped/00000.parquet    the rows that went, with one more column: `reason`
        manifest.json            details: funnel, samples for each reason, flags

No dropped row is lost: thresholds can be judged and changed by reading `dropped`. Rows of official test and validation sets
stay whatever the rules say, unless a side is empty; what the rules would have dropped of them is counted.
Memory: one row group.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lugha.corpus.rules import first_reason, flags, language_reasons, language_rules, text_rules
from lugha.corpus.shards import (
    SCHEMAS,
    TEXT_COLUMNS,
    Kind,
    ShardWriter,
    corpus_facts,
    kind_of,
    open_corpus,
    read_frames,
    shard_paths,
)
from lugha.recipe.corpus_sections import FilterSection
from lugha.runs.manifest import StageManifest, StageOutput, input_digest, is_current, read_manifest, stage_output
from lugha.runs.progress import Progress

STAGE, VERSION = "filter", 1
DEFAULTS = FilterSection()
CORPUS_STAGES = ("clean", "dedup", "filter")
DROPPED = "dropped/00000.parquet"
_SAMPLES, _CHARS_SHOWN = 5, 120


def filter_corpus(
    input: Path, output: Path, *, section: FilterSection = DEFAULTS, rows_per_shard: int = 1_000_000
) -> StageManifest:
    """Drop the rows of the corpus in `input` that break a rule of `section`, and write the rest to `output`.

    Raises:
        InputError: `input` is not a finished corpus (clean, dedup or filter), or it is empty.
    """
    manifest = open_corpus(input, CORPUS_STAGES)
    parameters = {**section.model_dump(mode="json"), "rows_per_shard": rows_per_shard}
    inputs = {"corpus": input_digest(input)}
    if is_current(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs):
        return read_manifest(output)
    kind = kind_of(manifest)
    report = _Report([*text_rules(kind, section), *language_rules(kind, section)])
    with stage_output(output, stage=STAGE, version=VERSION, parameters=parameters, inputs=inputs) as out:
        with (
            Progress("filter", "rows", manifest.rows_out) as progress,
            ShardWriter(out, kind, rows_per_shard=rows_per_shard) as writer,
            _DroppedWriter(out, kind) as dropped,
        ):
            for frame in read_frames(shard_paths(input)):
                judged = judge_rows(frame, kind, section)
                official = pl.col("split").is_in(["test", "validation"])
                is_dropped = pl.col("reason").is_not_null() & (~official | (pl.col("reason") == "empty"))
                kept, lost = judged.filter(~is_dropped), judged.filter(is_dropped)
                writer.write(kept)
                dropped.write(lost)
                report.add(kept, lost, kind)
                progress.add(frame.height)
        out.tally.rows_in, out.tally.rows_out = writer.rows + dropped.rows, writer.rows
        out.tally.dropped.update(report.dropped)
        out.details |= corpus_facts(manifest)
        out.details |= report.details(out.tally.rows_in)
    return read_manifest(output)


def judge_rows(frame: pl.DataFrame, kind: Kind, section: FilterSection) -> pl.DataFrame:
    """The rows of `frame` with a column `reason`: the first rule that fires, null for a row that breaks none."""
    judged = frame.with_columns(reason=first_reason(text_rules(kind, section)))
    if not section.language_id:
        return judged
    in_doubt = judged["reason"].is_null()
    reasons = judged["reason"].to_list()
    for row, reason in zip(in_doubt.arg_true(), language_reasons(judged.filter(in_doubt), kind), strict=True):
        reasons[row] = reason
    return judged.with_columns(reason=pl.Series(reasons, dtype=pl.String))


class _Report:
    """Counts and samples of what the rules did, for the manifest."""

    def __init__(self, rules: list[str]) -> None:
        self.dropped: Counter[str] = Counter()
        self._rules = rules
        self._official: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()
        self._samples: dict[str, list[str]] = {}

    def add(self, kept: pl.DataFrame, lost: pl.DataFrame, kind: Kind) -> None:
        self.dropped.update(lost["reason"].to_list())
        self._official.update(kept["reason"].drop_nulls().to_list())
        for name, applies in flags(kind).items():
            self._flags[name] += kept.select(applies.sum()).item()
        for reason in lost["reason"].unique():
            samples = self._samples.setdefault(reason, [])
            rows = lost.filter(pl.col("reason") == reason).head(_SAMPLES - len(samples))
            samples += [" | ".join(text[:_CHARS_SHOWN] for text in row) for row in rows.select(TEXT_COLUMNS[kind]).rows()]

    def details(self, rows_in: int) -> dict[str, Any]:
        funnel, left = [], rows_in
        for rule in self._rules:
            left -= self.dropped[rule]
            funnel.append({"rule": rule, "dropped": self.dropped[rule], "left": left})
        return {
            "funnel": funnel,
            "samples": {rule: self._samples[rule] for rule in self._rules if rule in self._samples},
            "flags": dict(self._flags),
            "official_rows_kept_against": {rule: self._official[rule] for rule in self._rules if self._official[rule]},
        }


class _DroppedWriter:
    """Writes the dropped rows with their `reason` to one file, which is there also when no row was dropped."""

    def __init__(self, out: StageOutput, kind: Kind) -> None:
        self._out = out
        self._schema = SCHEMAS[kind].append(pa.field("reason", pa.string()))
        self.rows = 0

    def __enter__(self) -> Self:
        path = self._out.folder / DROPPED
        path.parent.mkdir()
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.close()
        self._out.rows_of_file[DROPPED] = self.rows

    def write(self, frame: pl.DataFrame) -> None:
        if not frame.is_empty():
            self._writer.write_table(frame.select(self._schema.names).to_arrow().cast(self._schema))
            self.rows += frame.height
