"""Corpus shards: rows of documents or of aligned pairs in Parquet, read and written piece by piece.

    corpus/cleaned/00000.parquet, 00001.parquet, ... , manifest.json

A shard holds up to `rows_per_shard` rows in row groups of 50,000, so that any corpus is processed in the memory of one
row group. A pair is one row: its two sides can only be kept or dropped together. All stages below go through these
functions; none opens Parquet by itself.

    documents  id, text, lang, source, licence, group, split
    pairs      id, source_text, target_text, source_lang, target_lang, score, source, licence, group, split

`group` is the document (or file, or block of lines) that a split never cuts. `split` is where the source wants the row:
auto, train, validation or test; the split stage obeys it and drops the column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lugha.errors import InputError
from lugha.runs.manifest import StageManifest, StageOutput, verify_stage

Kind = Literal["documents", "pairs"]
ROWS_PER_GROUP = 50_000
SPLITS = ("train", "validation", "test")

_TAIL = [("source", pa.string()), ("licence", pa.string()), ("group", pa.string()), ("split", pa.string())]
SCHEMAS: dict[str, pa.Schema] = {
    "documents": pa.schema([("id", pa.string()), ("text", pa.string()), ("lang", pa.string()), *_TAIL]),
    "pairs": pa.schema(
        [
            ("id", pa.string()),
            ("source_text", pa.string()),
            ("target_text", pa.string()),
            ("source_lang", pa.string()),
            ("target_lang", pa.string()),
            ("score", pa.float32()),
            *_TAIL,
        ]
    ),
}
TEXT_COLUMNS: dict[str, tuple[str, ...]] = {"documents": ("text",), "pairs": ("source_text", "target_text")}


def kind_of(manifest: StageManifest) -> Kind:
    """Whether a corpus stage's output holds documents or pairs."""
    kind: Kind = manifest.details["kind"]
    return kind


def corpus_facts(manifest: StageManifest) -> dict[str, Any]:
    """What every corpus stage hands on: kind, languages and, for pairs, directions."""
    return {key: manifest.details[key] for key in ("kind", "languages", "directions") if key in manifest.details}


def open_corpus(folder: Path, stages: tuple[str, ...] = ()) -> StageManifest:
    """Check that `folder` is a finished, whole and non-empty corpus (made by one of `stages`) and return its manifest.

    Raises:
        InputError: not such a folder, or it holds no rows; the line names it and says what to run.
    """
    manifest = verify_stage(folder, stages)
    if "kind" not in manifest.details:
        raise InputError(f"{folder}: made by stage {manifest.stage}, which is not a corpus stage.")
    if manifest.rows_out == 0:
        raise InputError(f"{folder}: the corpus is empty (0 rows): every row was dropped before. See its manifest.json.")
    return manifest


def shard_paths(folder: Path, split: str | None = None) -> list[Path]:
    """The Parquet files of a corpus folder, in order; of one `split` where the corpus is split."""
    return sorted((folder / split if split else folder).glob("*.parquet"))


def read_frames(paths: Iterable[Path], columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """Yield the rows of the shards in order, one row group (at most 50,000 rows) at a time.

    Raises:
        InputError: a shard is not readable as Parquet or lacks a column.
    """
    for path in paths:
        try:
            with pq.ParquetFile(path) as shard:
                missing = sorted(set(columns or ()) - set(shard.schema_arrow.names))
                if missing:
                    raise InputError(f"{path}: has no column {missing[0]}; it has {', '.join(shard.schema_arrow.names)}.")
                for batch in shard.iter_batches(ROWS_PER_GROUP, columns=list(columns) if columns else None):
                    frame = pl.from_arrow(pa.Table.from_batches([batch]))
                    assert isinstance(frame, pl.DataFrame)
                    yield frame
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: not readable as Parquet ({' '.join(str(error).split())}).") from error


class ShardWriter:
    """Writes frames as numbered shards below a stage's folder and counts their rows for the manifest.

    Frames keep their order; a shard is closed when the next frame would bring it over `rows_per_shard`.
    """

    def __init__(self, out: StageOutput, kind: Kind, *, rows_per_shard: int = 1_000_000, subfolder: str = "") -> None:
        self._out, self._rows_per_shard, self._subfolder = out, rows_per_shard, subfolder
        names = SCHEMAS[kind].names
        self._schema = pa.schema([SCHEMAS[kind].field(n) for n in names if not (subfolder and n == "split")])
        self._writer: pq.ParquetWriter | None = None
        self._shards = self._rows_in_shard = 0
        self._name = ""
        self.rows = 0

    def __enter__(self) -> Self:
        if self._subfolder:
            (self._out.folder / self._subfolder).mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close_shard()

    def write(self, frame: pl.DataFrame) -> None:
        """Append the rows of `frame` (columns of the kind's schema, in any order)."""
        if frame.is_empty():
            return
        table = frame.select(self._schema.names).to_arrow().cast(self._schema)
        for start in range(0, table.num_rows, ROWS_PER_GROUP):
            part = table.slice(start, ROWS_PER_GROUP)
            if self._writer and self._rows_in_shard + part.num_rows > self._rows_per_shard:
                self._close_shard()
            if self._writer is None:
                self._name = str(Path(self._subfolder) / f"{self._shards:05d}.parquet")
                self._writer = pq.ParquetWriter(self._out.folder / self._name, self._schema, compression="zstd")
                self._shards += 1
            self._writer.write_table(part, row_group_size=ROWS_PER_GROUP)
            self._rows_in_shard += part.num_rows
            self.rows += part.num_rows

    def _close_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._out.rows_of_file[self._name] = self._rows_in_shard
            self._writer, self._rows_in_shard = None, 0
